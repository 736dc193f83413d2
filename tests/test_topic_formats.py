"""Forms of topics that people have, beside those that test_topics.py writes and reads."""

import logging
import os
import threading
from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest
from pyarrow import feather, parquet

from splade_anserini.errors import NOTE, InputError, RecordError
from splade_anserini.formats.topics import Topics
from tests.shared_data import CASES, needs_cases

TREC = """<top>
<num> Number: 301
<title> International Organized
Crime

<desc> Description:
Identify organizations.

<narr> Narrative:
A relevant document names one.
</top>

<top>
<num> Number: 051
<title> Topic: R&D at AT&amp;T
<desc> Description
What is x < 3?
</top>
"""
CLOSED = """<top>
<num>Number: MB001</num>
<query> BBC World Service </query>
<querytime> Tue Feb 08 12:30:27 +0000 2011 </querytime>
</top>
<top><num>Number: MB002</num><query>2022 &lt;FIFA&gt; soccer</query><querytime>later</querytime></top>
"""
COVID = """<?xml version="1.0" encoding="UTF-8"?>
<!-- <topic number="0"> is no topic -->
<topics task="COVIDSearch">
  <topic number="1">
    <query>coronavirus origin</query>
    <question>what is the origin?</question>
    <narrative>seeking <b>articles</b></narrative>
  </topic>
  <topic number="2"><query><![CDATA[R&D < 3]]></query><question/><narrative>n</narrative></topic>
</topics>
"""
WEB = """<webtrack2009>
<topic number="1" type="faceted">
  <query>obama family tree</query>
  <description>Find information on his family.</description>
  <subtopic number="1" type="nav">Find the page.</subtopic>
  <subtopic number="2" type="inf">Where did they come from?</subtopic>
</topic>
<topic number='2' type='single'><query>french lick resort</query><description>…</description></topic>
</webtrack2009>
"""
NTCIR = (
    "<queries><query><qid>0001</qid><content>halloween</content><description>Pictures.</description></query></queries>"
)
CLEF = '<topics><topic lang="en"><identifier>10.2452/401-AH</identifier><title>Inflation</title></topic></topics>'
OLD_CLEF = "<top>\n<num> C041 </num>\n<EN-title> Pesticides </EN-title>\n<EN-desc> Find reports. </EN-desc>\n</top>"
TRIALS = '<topics task="CT"><topic number="1">\nA 45-year-old man\nwith anaplasia.\n</topic></topics>'
TREC_4 = "<top>\n<num> Number: 201\n<desc> Description:\nWhat is the economic impact?\n</top>\n"
CAST = """[{"number": 31, "title": "head and neck cancer", "description": "…", "turn": [
  {"number": 1, "raw_utterance": "What is throat cancer?", "manual_rewritten_utterance": "What is it?"},
  {"number": 2, "raw_utterance": "Is it treatable?"}]}]"""
QA = '{"query_id": {"0": 7, "1": 8}, "query": {"0": "cats", "1": "dogs"}, "answers": {"0": [], "1": ["a"]}}'


def write(path: Path, content: str) -> str:
    path.write_text(content, encoding="utf-8", newline="")
    return str(path)


def texts(source: str, field: str = "title") -> dict[str, str]:
    """Return the text of each query of topics that are taken for texts."""
    topics = Topics(source, field=field)
    assert not topics.are_encoded()
    return {query.id: query.text for query in topics.texts()}


def vectors(source: str, scale: float | None = None) -> dict[str, Any]:
    """Return the vectors of topics that are taken for vectors."""
    topics = Topics(source)
    assert topics.are_encoded()
    return topics.vectors(scale)


@pytest.mark.parametrize(
    ("content", "expected"),
    [
        pytest.param(TREC, {"301": "International Organized Crime", "51": "R&D at AT&T"}, id="trec"),
        pytest.param(CLOSED, {"MB001": "BBC World Service", "MB002": "2022 <FIFA> soccer"}, id="microblog"),
        pytest.param(COVID, {"1": "coronavirus origin", "2": "R&D < 3"}, id="covid"),
        pytest.param(WEB, {"1": "obama family tree", "2": "french lick resort"}, id="web"),
        pytest.param(NTCIR, {"0001": "halloween"}, id="ntcir"),
        pytest.param(CLEF, {"10.2452/401-AH": "Inflation"}, id="clef"),
        pytest.param(OLD_CLEF, {"C041": "Pesticides"}, id="old clef"),
        pytest.param(OLD_CLEF.replace("EN-desc", "DE-desc"), {"C041": "Pesticides"}, id="two languages"),
        pytest.param(TRIALS, {"1": "A 45-year-old man with anaplasia."}, id="clinical trials"),
        pytest.param(TREC_4, {"201": "What is the economic impact?"}, id="only a description"),
        pytest.param("<160>What is PrnP?\n<161>And <i>IDE</i>?\n", {"160": "What is PrnP?", "161": "And <i>IDE</i>?"}),
        pytest.param("<top>\n<num> 1\n<title> vector<int> in C++\n</top>", {"1": "vector<int> in C++"}),
    ],
)
def test_markup_is_read(tmp_path: Path, content: str, expected: dict[str, str]) -> None:
    assert texts(write(tmp_path / "topics.txt", content)) == expected


def test_the_encoding_that_markup_declares_is_used(tmp_path: Path) -> None:
    content = '<?xml version="1.0" encoding="ISO-8859-1"?><topics><topic id="1"><title>café</title></topic></topics>'
    (tmp_path / "topics.xml").write_text(content, encoding="latin-1")
    assert texts(str(tmp_path / "topics.xml")) == {"1": "café"}


@pytest.mark.parametrize(
    ("content", "expected"),
    [
        ('{"qid": "1", "query": "cats"}', {"1": "cats"}),
        ('{"query_id": 1, "query": "cats", "positive_passages": [{"docid": "7", "text": "no"}]}', {"1": "cats"}),
        ('{"id": 0, "qid": "PLAIN-1", "question": "cats", "title": "a page"}', {"PLAIN-1": "cats"}),
        ('{"_id": "1", "title": "", "text": "cats", "metadata": {}}', {"1": "cats"}),
        ('{"id": "1", "text": "", "contents": "cats"}', {"1": "cats"}),
        ('{"topic": 301, "title": "cats", "description": "more"}', {"301": "cats"}),
        ('{"1": "cats", "2": {"title": "dogs", "description": "more"}}', {"1": "cats", "2": "dogs"}),
        ('{"1": "cats"}\n{"2": "dogs"}', {"1": "cats", "2": "dogs"}),
        ('{\n  "1": "cats",\n  "2": "dogs"\n}\n', {"1": "cats", "2": "dogs"}),
        ('{"questions": [{"id": "5503", "body": "cats", "type": "summary"}]}', {"5503": "cats"}),
        ('{"qid": "1", "query": "cats", "text": "a passage about them"}', {"1": "cats"}),
        ('{"queries": [{"number": "301", "text": "cats"}]}', {"301": "cats"}),
        ('{"topics": {"1": "cats"}, "version": 3}', {"1": "cats"}),
        ('{"columns": ["qid", "query"], "index": [0], "data": [["1", "cats"]]}', {"1": "cats"}),
        ('[{"topic_id": 1, "query": "cats"},\n{"topic_id": 2, "query": "dogs"}]', {"1": "cats", "2": "dogs"}),
        (QA, {"7": "cats", "8": "dogs"}),
        ('{"qid": ["7", "8"], "text": ["cats", "dogs"]}', {"7": "cats", "8": "dogs"}),
        (CAST, {"31_1": "What is throat cancer?", "31_2": "Is it treatable?"}),
    ],
)
@pytest.mark.parametrize("name", ["topics.json", "topics.jsonl", "topics"])
def test_json_is_read_whatever_its_keys_are(tmp_path: Path, name: str, content: str, expected: dict[str, str]) -> None:
    assert texts(write(tmp_path / name, content)) == expected


@pytest.mark.parametrize(
    ("content", "expected"),
    [
        ("qid\tquery\n1\tcats\n", {"1": "cats"}),
        ("query_id\tsentence\n1\tcats\n", {"1": "cats"}),
        ("query\tqid\tlang\ncats\t1\ten\n", {"1": "cats"}),
        ('id\ttext\n1\t"a ""cat"", please"\n2\ta "cat"\n', {"1": 'a "cat", please', "2": 'a "cat"'}),
        ('qid,query\n1,"cats, and\ndogs"\n2, "no"\n', {"1": "cats, and\ndogs", "2": "no"}),
        ("Topic ID;Title\n1;cats, dogs\n", {"1": "cats, dogs"}),
        ('1,"cats, dogs"\n2,no\n', {"1": "cats, dogs", "2": "no"}),
        ("1\tcats\t\n2\tdogs\t \t\n", {"1": "cats", "2": "dogs"}),
        ('1\t"cats" and dogs\n', {"1": '"cats" and dogs'}),
        ("q1 the cats\nq2  dogs\n", {"q1": "the cats", "q2": "dogs"}),
        ("1;cats, dogs\n2;no\n", {"1": "cats, dogs", "2": "no"}),
        ("wt09-1:obama family tree\nwt09-2:at 10:30\n", {"wt09-1": "obama family tree", "wt09-2": "at 10:30"}),
        ("20001:1:obama\n20002:2:lick resort\n", {"20001": "obama", "20002": "lick resort"}),
        ("{1}\tcats\n[2]\tdogs\n", {"{1}": "cats", "[2]": "dogs"}),
    ],
)
def test_tables_and_lines_are_read(tmp_path: Path, content: str, expected: dict[str, str]) -> None:
    assert texts(write(tmp_path / "topics", content)) == expected


def test_parquet_and_arrow_are_read(tmp_path: Path) -> None:
    table = pa.table({"_id": ["1", "2"], "title": ["", ""], "text": ["cats", None]})
    parquet.write_table(table, tmp_path / "topics.parquet")
    feather.write_feather(table, tmp_path / "topics.arrow")
    for name in ("topics.parquet", "topics.arrow"):
        assert texts(str(tmp_path / name)) == {"1": "cats", "2": ""}


def test_vectors_in_parquet_are_recognized(tmp_path: Path) -> None:
    vectors_of = pa.array([[("cat", 5)], []], pa.map_(pa.string(), pa.int64()))
    parquet.write_table(pa.table({"qid": [1, 2], "vector": vectors_of}), tmp_path / "topics.parquet")
    assert vectors(str(tmp_path / "topics.parquet")) == {"1": {"cat": 5}, "2": {}}


@pytest.mark.parametrize(
    ("content", "field", "expected"),
    [
        (TREC, "description", {"301": "Identify organizations.", "51": "What is x < 3?"}),
        (
            TREC,
            "title+narrative",
            {"301": "International Organized Crime A relevant document names one.", "51": "R&D at AT&T"},
        ),
        (COVID, "narrative", {"1": "seeking articles", "2": "n"}),
        (COVID, "query+question", {"1": "coronavirus origin what is the origin?", "2": "R&D < 3"}),
        (WEB.replace("…", "x"), "Description", {"1": "Find information on his family.", "2": "x"}),
        ('<topics><topic number="1"><disease>a</disease><gene>b</gene></topic></topics>', "disease+gene", {"1": "a b"}),
        ('{"id": "1", "title": "cats", "desc": "dogs"}', "description", {"1": "dogs"}),
        ("qid\ttitle\tdescription\n1\tcats\tdogs\n", "description+title", {"1": "dogs cats"}),
        ("1\tcats\n", "title", {"1": "cats"}),
    ],
)
def test_a_field_or_several_are_the_query(tmp_path: Path, content: str, field: str, expected: dict[str, str]) -> None:
    assert texts(write(tmp_path / "topics", content), field) == expected


@pytest.mark.parametrize(
    ("content", "field", "message"),
    [
        (TREC, "narrative", r"line 13: topic 51 has no narrative, only title, desc"),
        ("1\tcats\n", "description", "line 1: topic 1 has no description, only text"),
        ('<topics>\n<topic number="1"><disease>a</disease><gene>b</gene></topic></topics>', "title",
         r"(?s)line 2: topic 1 has no text, only disease, gene.*--topics-field disease\+gene"),
        ('{"id": "1", "url": "http"}', "title", "line 1: topic 1 has no text, only url"),
        ('{"url": "http", "text": "cats"}', "title", "line 1: no id, only url, text"),
        ('{"id": "1", "text": "cats", "text": "dogs"}', "title", "the key 'text' occurs twice"),
        ('{"1": "cats", "1": "dogs"}', "title", "the key '1' occurs twice"),
        ('{"1": "cats", "2": ["dogs"]}', "title", "the value of '2' is an array"),
        ('{"qid": "1", "query": 5}', "title", "the query is 5"),
        ("<top>\n<num> 1\n<title> cats\n<top>\n<num> 2\n</top>", "title", "line 1: the element <top> has no end"),
        ("<topics>\n<topic><title>cats</title></topic></topics>", "title", "line 2: <topic> has no id"),
        ("<html><body>Not found</body></html>", "title", "no topics among the elements html, body"),
        ("<topic number='1'><title>a</title><title>b</title></topic>", "title", "two fields title"),
        ("qid\tdid\tscore\n1\t2\t3\n", "title", "a header without a column of texts: qid, did, score"),
        ("qid\tquery\n1\tcats\tdogs\n", "title", "line 2: 3 columns below a header of 2"),
        ("1,cats, dogs\n2,no\n", "title", "line 1: 3 columns"),
        ('qid,query\n1,"cats\n', "title", "line 2: not valid CSV"),
        ("many cats\nmore dogs\n", "title", "line 1: 1 column"),
        ("1 cats\n1 dogs\n", "title", "line 1: 1 column"),
        ("1 cats\r2 dogs\r", "title", "line 1: a carriage return inside the line"),
        ("1\tcats\n2\tdogs\r3", "title", "line 2: a carriage return inside the line"),
        (
            "<top><num>1</num><EN-title>a</EN-title><DE-title>b</DE-title></top>",
            "title",
            r"(?s)topic 1 has no text, only entitle, detitle.*--topics-field entitle",
        ),
    ],
)  # fmt: skip
def test_what_has_no_reading_is_refused_with_what_is_there(
    tmp_path: Path, content: str, field: str, message: str
) -> None:
    with pytest.raises(RecordError, match=message):
        Topics(write(tmp_path / "topics", content), field=field).texts()


@pytest.mark.parametrize("field", ["", "title+", "+"])
def test_a_field_without_a_name_is_refused(tmp_path: Path, field: str) -> None:
    with pytest.raises(InputError, match="--topics-field must name fields"):
        Topics(write(tmp_path / "topics", "1\tcats\n"), field=field)


@pytest.mark.parametrize(
    ("content", "expected"),
    [
        ("q1\tcat:50 dog:20\nq2\tcat:1\n", {"q1": {"cat": 50, "dog": 20}, "q2": {"cat": 1}}),
        ("q1\tcat^5.0 ::2\n", {"q1": {"cat": 5, ":": 2}}),
        ("q1\tcat|5 dog=2\n", {"q1": {"cat": 5, "dog": 2}}),
        ('q1\t[["cat", 5], ["dog", 2]]\n', {"q1": {"cat": 5, "dog": 2}}),
        ('q1\t{"cat": 50, "dog": 20}\nq2\t{}\n', {"q1": {"cat": 50, "dog": 20}, "q2": {}}),
        ('qid\tvector\nq1\t{"cat": 50}\n', {"q1": {"cat": 50}}),
        ("q1\tsleep ##ing\nq2\theadache pain\n", {"q1": {"sleep": 1, "##ing": 1}, "q2": {"headache": 1, "pain": 1}}),
        ("q1\twhat \u0120is \u0120it\n", {"q1": {"what": 1, "\u0120is": 1, "\u0120it": 1}}),
        ('{"qid": "q1", "vector": {"cat": 50}}', {"q1": {"cat": 50}}),
        ('{"id": "q1", "text": "pain in the head", "vector": {"cat": 50}}', {"q1": {"cat": 50}}),
        ('{"id": "q1", "sparse_embedding": {"cat": 50}}', {"q1": {"cat": 50}}),
        ('{"id": "q1", "vector": [["cat", 50], ["dog", 20]]}', {"q1": {"cat": 50, "dog": 20}}),
        ('{"q1": {"cat": 50}, "q2": {"dog": 20}}', {"q1": {"cat": 50}, "q2": {"dog": 20}}),
        ('{"id": "q1", "contents": "cat cat cat cat cat"}', {"q1": {"cat": 5}}),
    ],
)  # fmt: skip
def test_encoded_topics_are_recognized(tmp_path: Path, content: str, expected: dict[str, Any]) -> None:
    assert vectors(write(tmp_path / "topics", content)) == expected


@pytest.mark.parametrize(
    ("content", "expected"),
    [
        ('{"id": "1", "text": "cats", "vector": [0.5, 0.25]}', "cats"),
        ('{"id": "1", "text": "cats", "weights": {"title": 2}}', "cats"),
        ('{"id": "1", "text": "cats", "vector": []}', "cats"),
        ("1\twhat opens at 10:30\n", "what opens at 10:30"),
        ("1\t10:30\n", "10:30"),
        ("1\tiphone 12\n", "iphone 12"),
        ("1\t1984\n", "1984"),
        ("1\tcompare x=1 and y=2\n", "compare x=1 and y=2"),
        ("1\t{see} below\n", "{see} below"),
        ("1\tC# and ## headings\n", "C# and ## headings"),
    ],
)
def test_texts_are_not_taken_for_vectors(tmp_path: Path, content: str, expected: str) -> None:
    assert texts(write(tmp_path / "topics", content)) == {"1": expected}


@pytest.mark.parametrize(
    ("name", "content", "reason"),
    [
        ("topics.tsv", "1\tWhat's a ##cat?\n2\tdogs\n", "some words are word pieces"),
        (
            "topics.tsv",
            "1\tcat cat dog dog pet pet ant ant\n2\tbee bee owl owl fox fox elk elk\n3\tcow hen hen yak\n",
            "words are repeated, but not often",
        ),
        ("topics.tsv", "1\tcat:5 dog:3 pet\n", "most words have a weight"),
        ("topics.tsv", "1\t{'cat': 5}\n", "they are in brackets, but not JSON"),
        ("topics.tsv", '1\t{"cat": 5, "cat": 6}\n', "they are in brackets, but not JSON"),
        ("topics.tsv", "1\t\u2581cats \u2581sleep\n", "some words are word pieces"),
        ("topics.tsv", "1\twhat's \u0120this \u0120thing\n", "some words are word pieces"),
        ("topics.tsv", "1\t[CLS] cats sleep [SEP]\n", "some words are word pieces"),
        ("topics.tsv", "1\t" + " ".join(map(str, range(20))), "all words are numbers"),
        ("topics.tsv", "1\t" + " ".join(f"w{i} {i}" for i in range(10)), "every second word is a number"),
        ("queries_anserini.tsv", "0\tcats sleep\n", "SPLADE gives this name to encoded topics"),
    ],
)
def test_what_may_be_either_is_refused_with_the_option_to_say_it(
    tmp_path: Path, name: str, content: str, reason: str
) -> None:
    with pytest.raises(InputError, match=reason) as caught:
        Topics(write(tmp_path / name, content)).are_encoded()
    assert "--pre-encoded" in str(caught.value)
    assert "--not-pre-encoded" in str(caught.value)


@pytest.mark.parametrize("content", ["q1\tcat:0.53 dog:0.001\n", '{"id": "q1", "vector": {"cat": 0.53, "dog": 0.001}}'])
def test_weights_need_a_scale(tmp_path: Path, content: str, caplog: pytest.LogCaptureFixture) -> None:
    source = write(tmp_path / "topics", content)
    with pytest.raises(RecordError, match=r"(?s)the impact of 'cat' is 0\.53.*--scale"):
        vectors(source)
    assert vectors(source, 100) == {"q1": {"cat": 53}}
    assert "1 entry of a query with impact 0 is left out" in caplog.text


def test_a_scale_does_not_apply_to_repeated_tokens(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(NOTE)
    assert vectors(write(tmp_path / "topics", "1\tcat cat cat cat\n"), 100) == {"1": {"cat": 4}}
    assert "--scale is for weights" in caplog.text


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ("1\tcats\n2\t\n3\t  \n", "2 queries are blank and find nothing: 2, 3"),
        ("1\tcats\n2\n", "1 query is blank and finds nothing: 2"),
        ('{"id": "1", "text": "cats"}\n{"id": "2", "text": null}', "1 query is blank and finds nothing: 2"),
        ("qid,query\n1,cats\n2,\n", "1 query is blank and finds nothing: 2"),
        ("<top><num> 1 <title> cats </top>\n<top><num> 2 <title>\n</top>", "1 query is blank and finds nothing: 2"),
    ],
)  # fmt: skip
def test_a_blank_topic_is_a_warning(
    tmp_path: Path, content: str, message: str, caplog: pytest.LogCaptureFixture
) -> None:
    queries = texts(write(tmp_path / "topics", content))
    assert (queries["1"], queries["2"].strip()) == ("cats", "")
    (record,) = (record for record in caplog.records if record.levelno >= logging.WARNING)
    assert message in record.message


def test_an_empty_vector_is_a_warning(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    source = write(
        tmp_path / "topics.jsonl", '{"id": "q1", "vector": {}}\n{"id": "q2", "vector": {"cat": 5, "dog": 0}}'
    )
    assert vectors(source) == {"q1": {}, "q2": {"cat": 5}}
    assert "1 query has an empty vector and finds nothing: q1" in caplog.text
    assert "1 entry of a query with impact 0 is left out, first: " in caplog.text


@pytest.mark.parametrize(
    ("content", "notes"),
    [
        (TREC, ["the queries are the field title; --topics-field may name desc, narr"]),
        ("1 cats\n2 dogs\n", ["each line is taken for an id and a text, separated by a space"]),
        ("1\tcats\n", []),
        ('{"_id": "1", "text": "cats", "title": ""}', []),
    ],
)
def test_a_choice_is_said_once(
    tmp_path: Path, content: str, notes: list[str], caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(NOTE)
    source = write(tmp_path / "topics", content)
    texts(source)
    assert caplog.messages == [f"{source}: {note}." for note in notes]


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="named pipes are a matter of POSIX")
@pytest.mark.parametrize("content", ["1\tcats\n2\tdogs\n", '{"1": "cats"}\n{"2": "dogs"}', "1 cats\n2 dogs\n"])
def test_a_pipe_is_read_once(tmp_path: Path, content: str) -> None:
    pipe = tmp_path / "topics"
    os.mkfifo(pipe)
    writer = threading.Thread(target=pipe.write_text, args=(content,), daemon=True)
    writer.start()
    assert texts(str(pipe)) == {"1": "cats", "2": "dogs"}
    writer.join()


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        pytest.param(name, expected, marks=needs_cases(name))
        for name, expected in [
            ("topics.trec", {"301": "pain in the head", "302": "sleeping cats"}),
            ("topics.csv", {"1": "pain, in the head"}),
            *(
                (name, {"1": "pain in the head"})
                for name in [
                    *("topics.xml", "topics-space.tsv", "topics-trailtab.tsv", "topics-qid2.jsonl"),
                    *("topics-dict2.json", "topics-header.tsv"),
                ]
            ),
        ]
    ],
)
def test_topics_of_the_field_are_read(name: str, expected: dict[str, str]) -> None:
    assert texts(str(CASES / name)) == expected


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        pytest.param(name, expected, marks=needs_cases(name))
        for name, expected in [
            ("topics-qidvec.jsonl", {"q1": {"cat": 50}}),
            ("topics-emptyvec.jsonl", {"q1": {}, "q2": {"cat": 5}}),
            ("topics-textvec.jsonl", {"q1": {"cat": 50}}),
            ("topics-colonw.tsv", {"q1": {"cat": 50, "dog": 20}}),
            ("topics-jsonintsv.tsv", {"q1": {"cat": 50, "dog": 20}}),
            ("topics-doconly.tsv", {"q1": {"cats": 1, "sleep": 1, "##ing": 1}, "q2": {"headache": 1, "pain": 1}}),
        ]
    ],
)
def test_encoded_topics_of_the_field_are_recognized(name: str, expected: dict[str, Any]) -> None:
    assert vectors(str(CASES / name)) == expected
