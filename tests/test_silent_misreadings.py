"""Inputs that used to be read otherwise than their makers meant, without a word."""

import bz2
import json
import logging
import lzma
from collections.abc import Callable
from pathlib import Path

import orjson
import pyarrow as pa
import pytest
from pyarrow import parquet as pq

from splade_anserini.errors import NOTE, InputError, RecordError
from splade_anserini.formats.corpora import open_corpus
from splade_anserini.formats.qrels import read_qrels
from splade_anserini.formats.query_weights import read_query_weights
from splade_anserini.formats.runs import read_rankings
from splade_anserini.formats.topics import are_encoded, read_encoded_topics, read_topics, write_encoded_topics
from splade_anserini.formats.vector_files import read_vectors
from splade_anserini.formats.vectors import VectorReader
from splade_anserini.formats.vocabularies import read_vocabulary
from splade_anserini.lucene.filter_fields import keyword_of, number_of, period_of
from tests.cli_runner import run_stage


def write(path: Path, content: str | bytes) -> str:
    path.write_bytes(content if isinstance(content, bytes) else content.encode())
    return str(path)


def documents(path: Path, content: str | bytes) -> list[tuple[str, str, str]]:
    return [(document.id, document.title, document.text) for document in open_corpus(write(path, content))]


@pytest.mark.parametrize("compress", [lzma.compress, bz2.compress])
def test_damage_in_a_later_stream_is_not_the_end_of_the_file(
    tmp_path: Path, compress: Callable[[bytes], bytes]
) -> None:
    parts = [
        b"".join(json.dumps({"id": f"d{n}", "text": f"word{n * n}"}).encode() + b"\n" for n in numbers)
        for numbers in (range(100), range(100, 300))
    ]
    first, second = map(compress, parts)
    path = tmp_path / "c.jsonl"
    assert len(documents(path, first + b"\0" * 4 + second)) == 300
    for position in range(0, len(second) - 8, 5):
        damaged = bytearray(second)
        damaged[position] ^= 1
        with pytest.raises(RecordError, match="truncated or damaged"):
            documents(path, first + damaged)
    for rest in (second[:-3], b"more text"):
        with pytest.raises(RecordError, match="truncated or damaged"):
            documents(path, first + rest)


@pytest.mark.parametrize(
    ("name", "content", "document"),
    [
        ("c.csv", "id,Title,text\nd1,My title,body\n", ("d1", "My title", "body")),
        ("c.tsv", "id\tTITLE\ttext\nd1\tMy title\tbody\n", ("d1", "My title", "body")),
        ("c.jsonl", '{"id": "d1", "doc_title": "T", "text": "body"}', ("d1", "T", "body")),
        ("c.jsonl", '{"ID": "x", "docid": "5", "text": "body"}', ("x", "", "body")),
        ("c.jsonl", '{"id": "x", "Text": "body", "contents": "other"}', ("x", "", "body")),
        ("c.jsonl", '{"_id": "x", "title": "t", "text": "", "contents": "c"}', ("x", "t", "c")),
    ],
)
def test_fields_are_those_that_the_line_about_them_names(
    tmp_path: Path, name: str, content: str, document: tuple[str, str, str]
) -> None:
    assert documents(tmp_path / name, content) == [document]


def test_marks_between_csv_files_that_were_concatenated_are_left_out(tmp_path: Path) -> None:
    assert [row[0] for row in documents(tmp_path / "c.csv", "d1,foo\n\ufeffd2,bar\n")] == ["d1", "d2"]


@pytest.mark.parametrize(
    "content",
    [
        '{"q1": {"d1": 1, "d2": null}}',
        '{"query_id": "1", "doc_id": "d1", "rating": 3}',
        '{"query_id": "1", "doc_id": "d1", "relevance": null}',
        '{"q1": [["d1", null]]}',
    ],
)
def test_a_judgement_without_a_grade_is_refused(tmp_path: Path, content: str) -> None:
    with pytest.raises(RecordError, match="has no grade"):
        list(read_qrels(write(tmp_path / "qrels.json", content)))


@pytest.mark.parametrize(
    "content", ['{"q1": ["d1", "d2"]}', '[{"qid": "q1", "docno": "d1"}, {"qid": "q1", "docno": "d2"}]']
)
def test_ids_alone_are_relevant(tmp_path: Path, content: str) -> None:
    qrels = read_qrels(write(tmp_path / "qrels.json", content))
    assert [(qrel.doc_id, qrel.relevance) for qrel in qrels] == [("d1", 1), ("d2", 1)]


def test_a_judgement_of_a_document_called_d_is_no_header(tmp_path: Path) -> None:
    qrels = read_qrels(write(tmp_path / "qrels.txt", "q 0 d 0\nq 0 e 1\n"))
    assert [(qrel.doc_id, qrel.relevance) for qrel in qrels] == [("d", 0), ("e", 1)]


@pytest.mark.parametrize("label", ["label", "relevance", "grade"])
@pytest.mark.parametrize("form", ["csv", "json"])
def test_a_run_that_was_joined_to_judgements_is_ranked_by_its_scores(
    tmp_path: Path, label: str, form: str, caplog: pytest.LogCaptureFixture
) -> None:
    rows = [("q1", "d1", 9.5, 0), ("q1", "d2", 8.5, 1)]
    if form == "csv":
        content = f"qid,docno,score,{label}\n" + "".join(",".join(map(str, row)) + "\n" for row in rows)
    else:
        content = json.dumps([dict(zip(("qid", "docno", "score", label), row, strict=True)) for row in rows])
    with caplog.at_level(NOTE):
        rankings = dict(read_rankings(write(tmp_path / "run", content)))
    assert [(hit.doc_id, hit.score) for hit in rankings["q1"]] == [("d1", 9.5), ("d2", 8.5)]
    if form == "csv":
        assert f"of the columns score and {label}, score has the scores" in caplog.text


def test_a_query_whose_id_begins_with_a_bracket_is_no_json(tmp_path: Path) -> None:
    rankings = dict(read_rankings(write(tmp_path / "run", "[1] Q0 d1 1 2.5 x\n{2} Q0 d1 1 1 x\n")))
    assert list(rankings) == ["[1]", "{2}"]
    assert list(dict(read_rankings(write(tmp_path / "run", '[1] Q0 "d1" 1 2.5 x\n')))) == ["[1]"]
    assert [qrel.query_id for qrel in read_qrels(write(tmp_path / "qrels", '{"a":1} 0 d2 1\n'))] == ['{"a":1}']
    for content in ('{"1": {"d1": 2.5}}', '[\n {"qid": "1", "docno": "d1", "score": 2.5}\n]', '{\n"1": {"d1": 2.5}}'):
        assert list(dict(read_rankings(write(tmp_path / "run", content)))) == ["1"]


@pytest.mark.parametrize("numbers", [("1.0", "2.0", "3.0"), ("0.11", "0.25", "0.7")])
def test_ranks_and_distances_that_ascend_are_a_warning(
    tmp_path: Path, numbers: tuple[str, ...], caplog: pytest.LogCaptureFixture
) -> None:
    content = "".join(f"q1\td{place}\t{number}\n" for place, number in enumerate(numbers))
    list(read_rankings(write(tmp_path / "run", content)))
    assert [record.levelno for record in caplog.records] == [logging.WARNING]
    assert "scores although they ascend" in caplog.text


def test_a_topic_whose_text_is_the_name_of_a_column_is_a_topic(tmp_path: Path) -> None:
    topics = read_topics(write(tmp_path / "t.tsv", "1\tidentifier\n2\tfoo\n"))
    assert [(topic.id, topic.text) for topic in topics] == [("1", "identifier"), ("2", "foo")]


@pytest.mark.parametrize(
    "vector",
    ['{"sparse": {"cat": 1, "cat": 2}}', '[{"token": "cat", "weight": 1, "weight": 2}]'],
)
def test_a_key_that_occurs_twice_deep_in_a_record_is_refused(tmp_path: Path, vector: str) -> None:
    (tmp_path / "vectors.jsonl").write_text(f'{{"id": "d1", "vector": {vector}}}\n')
    done = run_stage("index", "--input", tmp_path / "vectors.jsonl", "--scale", 10, "--index", tmp_path / "index")
    assert (done.code, "occurs twice in an object" in done.err) == (2, True), done.err


def test_a_token_that_occurs_twice_is_refused(tmp_path: Path) -> None:
    write(tmp_path / "query_weights.json", '{"cat": 1.0, "cat": 2.0}')
    with pytest.raises(InputError, match="'cat' occurs more than once"):
        read_query_weights(tmp_path, ["cat"])
    with pytest.raises(InputError, match="a key occurs twice"):
        read_vocabulary(write(tmp_path / "vocab.json", '{"cat": 0, "cat": 1, "dog": 2}'))


@pytest.mark.parametrize(("name", "content"), [("vocab.json", '{\n"cat": 0,\n"dog": 1}'), ("vocab.txt", "cat\ndog\n")])
def test_a_byte_order_mark_is_no_part_of_a_vocabulary(tmp_path: Path, name: str, content: str) -> None:
    assert read_vocabulary(write(tmp_path / name, f"\ufeff{content}")) == ["cat", "dog"]


def test_values_of_filters_are_numbers_as_people_write_them() -> None:
    assert [number_of(text, "float") for text in ("1.5", "-.5", "1e3", " 2. ")] == [1.5, -0.5, 1000.0, 2.0]
    for text in ("1_0", "١٢", "nan", "inf", ""):
        with pytest.raises(ValueError, match="not a number"):
            number_of(text, "float")
    assert keyword_of(" pad ") == "pad"
    for value in (float("nan"), float("inf")):
        with pytest.raises(ValueError, match="not a finite number"):
            keyword_of(value)


def test_an_integer_that_json_cannot_hold_is_no_keyword() -> None:
    """JSON's parser rounds integers from 2^64."""
    assert keyword_of(orjson.loads("18446744073709551615")) == "18446744073709551615"
    with pytest.raises(ValueError, match="64 bits"):
        keyword_of(orjson.loads("18446744073709551617"))


@pytest.mark.parametrize("value", [1419071770911, "1419071770911", 1419071770911123456, -5, "2024-05-31x12:00", 20245])
def test_a_number_of_milliseconds_is_no_date(value: object) -> None:
    with pytest.raises(ValueError):  # noqa: PT011  # of several kinds
        period_of(value)
    day = period_of("2024-05-31")
    assert period_of(20240531) == period_of("20240531") == period_of("2024-W22-5") == day
    assert period_of("2024-05-31T00:00Z")[0] == period_of("2024-05-31 00:00")[0] == day[0]


@pytest.mark.parametrize("vector", ['{"cat" : 4, "cat" : 9}', '{"cat":4,"cat":9}'])
def test_a_token_that_occurs_twice_in_a_vector_that_is_text_is_refused(tmp_path: Path, vector: str) -> None:
    with pytest.raises(InputError, match="brackets, but not JSON objects of tokens and weights"):
        are_encoded(write(tmp_path / "t.tsv", f"q1\t{vector}\n"))
    with pytest.raises(RecordError, match="each token once"):
        read_encoded_topics(write(tmp_path / "t.tsv", f"q1\t{vector}\n"))
    line = json.dumps({"id": "d1", "vector": vector})
    with pytest.raises(RecordError, match="'cat' occurs twice"):
        list(read_vectors(Path(write(tmp_path / "v.jsonl", line)), VectorReader()))


def test_topics_of_which_one_vector_is_malformed_are_not_read_as_tokens(tmp_path: Path) -> None:
    with pytest.raises(RecordError, match="line 2: the text is not a JSON object of numbers"):
        read_encoded_topics(write(tmp_path / "t.tsv", 'q1\t{"cat": 4}\nq2\t{"cat": 3, "dog": "x"}\n'))


@pytest.mark.parametrize("names", [["id", "text", "text"], ["qid", "query", "query"]])
def test_a_column_that_is_there_twice_is_refused(tmp_path: Path, names: list[str]) -> None:
    path = tmp_path / "rows.parquet"
    pq.write_table(pa.Table.from_arrays([pa.array(["1"]), pa.array(["cat"]), pa.array(["dog"])], names), path)
    for read in (open_corpus, read_topics):
        with pytest.raises(InputError, match=f"has 2 columns '{names[1]}'"):
            list(read(str(path)))


@pytest.mark.parametrize(
    "columns",
    [
        {"contents": [""], "tokens": [["cat", "dog"]], "impacts": [[4, 1]]},
        {"contents": [""], "vector": [[{"token": "cat", "weight": 4}, {"token": "dog", "weight": 1}]]},
        {"vector": [{"tokens": ["cat", "dog"], "weights": [4, 1]}]},
        {"vector": [{"cat": 4, "dog": 1, "sun": None}]},
    ],
)
def test_encoded_topics_of_parquet_are_read(tmp_path: Path, columns: dict[str, list[object]]) -> None:
    pq.write_table(pa.table({"id": ["q1"], **columns}), tmp_path / "t.parquet")
    assert are_encoded(tmp_path / "t.parquet")
    assert read_encoded_topics(tmp_path / "t.parquet") == {"q1": {"cat": 4, "dog": 1}}


@pytest.mark.parametrize("suffix", ["parquet", "jsonl", "tsv"])
def test_encoded_topics_that_convert_writes_are_read(tmp_path: Path, suffix: str) -> None:
    topics = {"q1": {"cat": 4, "dog": 1}, "q2": {}}
    write_encoded_topics(tmp_path / "topics.tsv", topics)
    output = tmp_path / f"converted.{suffix}"
    done = run_stage("convert", "--topics", "--input", tmp_path / "topics.tsv", "--output", output)
    assert (done.code, read_encoded_topics(output)) == (0, topics), done.err


def test_times_that_python_cannot_hold_are_named(tmp_path: Path) -> None:
    path = tmp_path / "t.parquet"
    nanoseconds = pa.array([1_419_071_770_911_123_456], pa.timestamp("ns"))
    pq.write_table(pa.table({"qid": ["1"], "query": ["cat"], "time": nanoseconds}), path)
    assert [topic.text for topic in read_topics(path)] == ["cat"]
    milliseconds = pa.array([1_419_071_770_911], pa.timestamp("s"))
    table = pa.table({"qid": ["1"], "query": ["cat"], "time": milliseconds})
    with pa.OSFile(str(path), "wb") as file, pa.ipc.new_file(file, table.schema) as writer:
        writer.write_table(table)
    with pytest.raises(InputError, match="has a time that cannot be read"):
        read_topics(path)


def test_ranks_that_are_no_integers_beside_scores_that_are_is_a_warning(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    list(read_rankings(write(tmp_path / "run", "q1 Q0 d1 12.5 1 x\nq1 Q0 d2 11.5 2 x\n")))
    assert "the column of ranks has 12.5 and that of scores 1" in caplog.text
