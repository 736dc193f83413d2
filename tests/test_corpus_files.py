"""Corpora in the shapes that people have: read, with what they were taken for, or refused with what they are."""

import json
import logging
from pathlib import Path

import pyarrow as pa
import pytest
from pyarrow import feather, parquet

from splade_anserini.errors import NOTE, InputError, RecordError
from splade_anserini.formats.corpora import check_corpus, open_corpus
from splade_anserini.formats.corpus_fields import CorpusOptions
from splade_anserini.records import Document
from tests.compressed import COMPRESSIONS, zip_of
from tests.shared_data import CASES, needs_cases

CAT, DOG = Document("d0", "Cats", "sleep, all day"), Document("d1", "", "dogs bark")


def write(path: Path, content: str | bytes) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(content if isinstance(content, bytes) else content.encode())
    return path


def documents(source: Path | str, **options: object) -> list[Document]:
    return list(open_corpus(source, CorpusOptions(**options)))


def lines(*records: object) -> str:
    return "".join(json.dumps(record) + "\n" for record in records)


# Keys of records.


@pytest.mark.parametrize(
    ("record", "document", "note"),
    [
        ({"docno": "d0", "text": "x"}, Document("d0", "", "x"), "the id is 'docno', the text is 'text'"),
        ({"doc_id": "d0", "title": "T", "body": "x"}, Document("d0", "T", "x"), "the text is 'body'"),
        ({"Id": 3, "Title": "T", "Text": "x"}, Document("3", "T", "x"), "the id is 'Id'"),
        ({"pid": "P1", "passage": "x", "spans": "(0,10)", "docid": "D1"}, Document("P1", "", "x"), "not read: spans"),
        ({"docid": "D1", "pid": "P1", "text": "x"}, Document("D1", "", "x"), "not read: pid"),
        (
            {"docid": "D1", "url": "http://x", "title": "T", "headings": "H", "body": "x"},
            Document("D1", "T", "x"),
            "the title is 'title', the text is 'body'; not read: url, headings",
        ),
        ({"docid": "D1#0", "title": "T", "segment": "x"}, Document("D1#0", "T", "x"), "the text is 'segment'"),
        ({"_id": "d0", "title": "T", "text": "x", "metadata": {"url": "u"}}, Document("d0", "T", "x"), ""),
        ({"id": "d0", "contents": "x"}, Document("d0", "", "x"), ""),
        ({"id": "d0", "contents": "x", "vector": {"x": 3}}, Document("d0", "", "x"), "not read: vector"),
        ({"id": "d0", "text": "", "contents": "real"}, Document("d0", "", "real"), ""),
        ({"id": None, "_id": "d0", "text": "x"}, Document("d0", "", "x"), ""),
        ({"_id": "d0", "title": "T", "text": None}, Document("d0", "T", ""), ""),
        ({"_id": "d0", "title": "T", "text": ""}, Document("d0", "T", ""), ""),
    ],
)
def test_keys_are_recognized_and_a_note_says_how_where_there_is_a_choice(
    tmp_path: Path, record: dict[str, object], document: Document, note: str, caplog: pytest.LogCaptureFixture
) -> None:
    corpus = open_corpus(write(tmp_path / "c.jsonl", lines(record)))
    with caplog.at_level(NOTE):
        assert list(corpus) == list(corpus) == [document]
    assert len(caplog.messages) == bool(note), "once, although the corpus is read twice"
    assert note in "".join(caplog.messages)


@pytest.mark.parametrize(
    ("record", "options", "document"),
    [
        ({"key": "d0", "abstract": "x"}, {"id_field": "key", "text_fields": ("abstract",)}, Document("d0", "", "x")),
        (
            {"id": "d0", "title": "T", "body": "x", "text": "no"},
            {"text_fields": ("title,body",)},
            Document("d0", "", "T x"),
        ),
        (
            {"id": "d0", "name": "N", "body": "x", "end": ""},
            {"title_field": "name", "text_fields": ("body", "end")},
            Document("d0", "N", "x"),
        ),
        ({"id": "d0", "name": "N", "text": "x"}, {"title_field": "name"}, Document("d0", "N", "x")),
        (
            {"_id": "d0", "_source": {"name": "N", "body": "x"}},
            {"text_fields": ("_source.name,_source.body",)},
            Document("d0", "", "N x"),
        ),
        ({"id": "d0", "parts": ["x", "y"]}, {"text_fields": ("parts",)}, Document("d0", "", "x y")),
        ({"id": "d0", "other": 7, "text": "x"}, {"id_field": "other"}, Document("7", "", "x")),
    ],
)
def test_named_fields_are_read(
    tmp_path: Path, record: dict[str, object], options: dict[str, object], document: Document
) -> None:
    assert documents(write(tmp_path / "c.jsonl", lines(record)), **options) == [document]


@pytest.mark.parametrize(
    ("record", "options", "problem"),
    [
        ({"name": "d0", "text": "x"}, {}, "no id.\nExpected .*\n.*--id-field; there are: name, text."),
        ({"id": "d0", "abstract": "x"}, {}, "no text.\nExpected .*\n.*--text-fields; there are: id, abstract."),
        (
            {"_id": "d0", "_source": {"abstract": "x"}},
            {},
            r"no text.\nExpected .*\n.*there are: _id, _source\.abstract",
        ),
        ({"id": "d0", "text": "x"}, {"id_field": "key"}, "no id.*\n.*\n.*there are: id, text"),
        ({"id": "d0", "title": "T"}, {"text_fields": ("title,body",)}, "no 'body'"),
        ({"id": "d0", "body": 3}, {"text_fields": ("body",)}, "the 'body' is 3"),
    ],
)
def test_a_record_without_known_keys_is_refused_with_the_keys_that_are_there(
    tmp_path: Path, record: dict[str, object], options: dict[str, object], problem: str
) -> None:
    with pytest.raises(RecordError, match=problem):
        documents(write(tmp_path / "c.jsonl", lines(record)), **options)


@pytest.mark.parametrize("options", [{"text_fields": ("title,,body",)}, {"id_field": " "}])
def test_an_empty_name_is_refused(options: dict[str, object]) -> None:
    with pytest.raises(InputError, match="empty"):
        CorpusOptions(**options)


# JSON.


@pytest.mark.parametrize(
    ("name", "content"),
    [
        ("c.json", '{"d0": {"title": "Cats", "text": "sleep, all day"}, "d1": {"text": "dogs bark"}}'),
        ("c.json", '\ufeff{\n "d0":\n{"title": "Cats", "text": "sleep, all day"},\n"d1": {"text": "dogs bark"} }\n'),
        ("c.json", '{"0": {"id": "d0", "title": "Cats", "text": "sleep, all day"}, "1": {"id": "d1", "text": "dogs bark"}}'),  # noqa: E501
        ("c.json", '[{"id": "d0", "title": "Cats", "text": "sleep, all day"}, {"id": "d1", "text": "dogs bark"}]'),
        ("c.jsonl", '[{"id": "d0", "title": "Cats", "text": "sleep, all day"},\n {"id": "d1", "text": "dogs bark"}]'),
        ("c.ndjson", '{"id": "d0", "title": "Cats", "text": "sleep, all day"}\n{"id": "d1", "text": "dogs bark"}'),
        ("c.json", '{"metadata": {"a": 1}, "id": "d0", "title": "Cats", "text": "sleep, all day"}\n{"id": "d1", "text": "dogs bark"}'),  # noqa: E501
        ("part-00000", '{"id": "d0", "title": "Cats", "text": "sleep, all day"}\n{"id": "d1", "text": "dogs bark"}'),
        ("c.txt", '{"id": "d0", "title": "Cats", "text": "sleep, all day"}\n{"id": "d1", "text": "dogs bark"}'),
    ],
)  # fmt: skip
@pytest.mark.parametrize("compression", ["", *COMPRESSIONS])
def test_json_is_read_in_each_shape(tmp_path: Path, name: str, content: str, compression: str) -> None:
    data = content.encode()
    path = write(tmp_path / name, COMPRESSIONS[compression](data) if compression else data)
    assert documents(path) == [CAT, DOG]


def test_an_object_of_texts_is_read(tmp_path: Path) -> None:
    path = write(tmp_path / "c.json", json.dumps({f"d{n}": f"text {n}" for n in range(3000)}))
    assert documents(path) == [Document(f"d{n}", "", f"text {n}") for n in range(3000)]
    assert check_corpus(open_corpus(path)) == 3000


@pytest.mark.parametrize(
    ("content", "problem"),
    [
        ('{"d0": {"text": "x"}, "d0": {"text": "y"}}', "duplicate document id 'd0'"),
        ('{"docs": [{"id": "d0", "text": "x"}]}', "no id.*\n.*\n.*there are: docs"),
        ('{"id": {"0": "d0"}, "text": {"0": "x"}}', "no text|no id|duplicate"),
        ('{"d0": {"text": "x"}', "neither continued nor closed|not valid JSON"),
        ('{"d0": {"abstract": "x"}}', "no text.*\n.*\n.*there are: id, abstract"),
    ],
)
def test_what_is_wrong_with_an_object_is_said(tmp_path: Path, content: str, problem: str) -> None:
    with pytest.raises(RecordError, match=problem):
        check_corpus(open_corpus(write(tmp_path / "c.json", content)))


def test_numbers_and_characters_that_only_python_writes_are_read_where_they_do_no_harm(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    content = '{"id": "a", "text": "x", "score": NaN}\n{"id": "b", "text": "x \\ud83d y"}\n{"id": "c", "text": "\\ud83d\\ude00"}'  # noqa: E501
    assert documents(write(tmp_path / "c.jsonl", content)) == [
        Document("a", "", "x"),
        Document("b", "", "x \ufffd y"),
        Document("c", "", "\U0001f600"),
    ]
    (record,) = (record for record in caplog.records if record.levelno == logging.WARNING)
    assert "1 record with half of a surrogate pair" in record.message
    assert record.message.endswith("line 2")


def test_an_id_may_have_a_no_break_space(tmp_path: Path) -> None:
    assert [document.id for document in documents(write(tmp_path / "c.tsv", "caf\u00e9\u00a0bar\tx"))] == [
        "café\u00a0bar"
    ]


# Tables.


@pytest.mark.parametrize(
    ("name", "content"),
    [
        ("c.tsv", "id\ttext\ttitle\nd0\tsleep, all day\tCats\nd1\tdogs bark\t\n"),
        ("c.tsv", "\ufeffDOC_ID\tTitle\tText\r\nd0\tCats\tsleep, all day\r\nd1\t\tdogs bark\r\n"),
        ("c.tsv", "_id\ttitle\ttext\turl\nd0\tCats\tsleep, all day\tu\nd1\t\tdogs bark\tv\n"),
        ("c.csv", 'id,title,text\nd0,Cats,"sleep, all day"\nd1,,dogs bark\n'),
        ("c.csv", '"docid";"title";"text"\n"d0";"Cats";"sleep, all day"\n"d1";"";"dogs bark"\n'),
        ("c.csv", "docid\ttitle\ttext\nd0\tCats\tsleep, all day\nd1\t\tdogs bark\n"),
        ("c.csv", 'd0,Cats,"sleep, all day"\nd1,,dogs bark\n'),
        ("c.tsv", "d0\thttp://x.org/a\tCats\tsleep, all day\nd1\thttps://x.org/b\t\tdogs bark\n"),
        ("c.txt", "d0\tCats\tsleep, all day\nd1\t\tdogs bark\n"),
        ("c.tsv", '"id"\t"title"\t"text"\n"d0"\t"Cats"\t"sleep, all day"\n"d1"\t""\t"dogs bark"\n'),
        ("c.tsv", "#id\ttitle\ttext\nd0\tCats\tsleep, all day\nd1\t\tdogs bark\n"),
        ("c.csv", ',id,title,text\n0,d0,Cats,"sleep, all day"\n1,d1,,dogs bark\n'),
        ("c.csv", 'id, title, text\nd0, Cats, "sleep, all day"\nd1, , dogs bark\n'),
    ],
)
@pytest.mark.parametrize("compression", ["", "zstd"])
def test_a_table_is_read_by_the_names_of_its_columns(tmp_path: Path, name: str, content: str, compression: str) -> None:
    data = content.encode()
    assert documents(write(tmp_path / name, COMPRESSIONS[compression](data) if compression else data)) == [CAT, DOG]


def test_quotation_marks_have_a_meaning_below_a_header_only(tmp_path: Path) -> None:
    rows = '1\t"Aaron is a ""high priest"", and brother."\tA\n2\t"Not" quoted "at all"\tB\n3\t"two\nlines"\tC\n4\t"open\tD\n'  # noqa: E501
    texts = [document.text for document in documents(write(tmp_path / "a.tsv", f"id\ttext\ttitle\n{rows}"))]
    assert texts == ['Aaron is a "high priest", and brother.', '"Not" quoted "at all"', "two\nlines", '"open']
    path = write(tmp_path / "c.tsv", 'id\ttext\n1\t"say ""hi"",\nthere"\n2\t"open\n3\tx\n')
    assert [document.text for document in documents(path)] == ['say "hi",\nthere', '"open', "x"]
    assert documents(write(tmp_path / "b.tsv", '1\t"a ""b"""\n')) == [Document("1", "", '"a ""b"""')]


def test_csv_texts_may_have_several_lines(tmp_path: Path) -> None:
    path = write(tmp_path / "c.csv", 'id,text\nd0,"one\n\ntwo, ""three"""\n\nd1,x\nd2\n')
    corpus = open_corpus(path).__iter__()
    assert next(corpus) == Document("d0", "", 'one\n\ntwo, "three"')
    assert next(corpus) == Document("d1", "", "x")
    with pytest.raises(RecordError, match=r"line 7: 1 column.\nExpected 2 columns: id, text"):
        next(corpus)


def test_columns_without_names_have_numbers(tmp_path: Path) -> None:
    path = write(tmp_path / "c.tsv", "2020\td0\tsleep, all day\tCats\n2021\td1\tdogs bark\t\n")
    assert documents(path, id_field="2", text_fields=("3",), title_field="4") == [CAT, DOG]


@pytest.mark.parametrize(
    ("name", "content", "options", "problem"),
    [
        ("c.tsv", "docno\tabstract\nd0\tx\n", {}, "no text.*\n.*\n.*there are: docno, abstract"),
        ("c.csv", "docno,abstract\nd0,x\n", {}, "no text.*\n.*\n.*there are: docno, abstract"),
        ("c.csv", "a,b,c,d\n1,2,3,4\n", {}, "4 columns without a header that is recognized: a, b, c, d"),
        ("c.csv", 'id,text\nd0,"never closed\nd1,x\n', {}, "line 2: not valid CSV"),
        ("c.tsv", "d0\tx\n", {"id_field": "docno"}, "no id.*\n.*\n.*there are: 1, 2"),
        ("c.tsv", "id\ttext\ttext\nd0\tx\ty\n", {}, "the header above has two columns 'text'"),
        ("c.tsv", "id\ttext\nd0\tx\ty\n", {}, "line 2: 3 columns.\nExpected 2 columns: id, text"),
    ],
)
def test_a_table_that_is_not_understood_is_refused(
    tmp_path: Path, name: str, content: str, options: dict[str, object], problem: str
) -> None:
    with pytest.raises(RecordError, match=problem):
        documents(write(tmp_path / name, content), **options)


# Parquet and Arrow.


def table(**columns: list[object]) -> pa.Table:
    return pa.table(columns or {"docid": ["d0", "d1"], "title": ["Cats", None], "text": [CAT.text, DOG.text]})


def write_stream(data: pa.Table, path: Path) -> None:
    with pa.OSFile(str(path), "wb") as file, pa.ipc.new_stream(file, data.schema) as writer:
        writer.write_table(data)


ARROW_WRITERS = {
    "c.parquet": parquet.write_table,
    "c.feather": feather.write_feather,
    "c.arrow": write_stream,
    "without-suffix": parquet.write_table,
}


@pytest.mark.parametrize("name", ARROW_WRITERS)
def test_parquet_and_arrow_are_read(tmp_path: Path, name: str, caplog: pytest.LogCaptureFixture) -> None:
    data = table().append_column("embedding", pa.array([[0.5], [1.5]])).append_column("source", pa.array(["a", "b"]))
    ARROW_WRITERS[name](data, tmp_path / name)
    with caplog.at_level(NOTE):
        assert documents(tmp_path / name) == [CAT, DOG]
    assert "not read: source" in caplog.text


def test_a_large_parquet_file_is_read_in_its_order(tmp_path: Path) -> None:
    ids = list(range(5000))
    data = table(id=ids, text=[f"text {n}" for n in ids]).cast(
        pa.schema([("id", pa.int64()), ("text", pa.large_string())])
    )
    parquet.write_table(data, tmp_path / "c.parquet", row_group_size=1500)
    assert documents(tmp_path / "c.parquet") == [Document(str(n), "", f"text {n}") for n in ids]


def test_columns_of_parquet_are_named_where_they_are_not_recognized(tmp_path: Path) -> None:
    parquet.write_table(table(key=["d0"], abstract=["x"], meta=[{"name": "N"}]), tmp_path / "c.parquet")
    with pytest.raises(InputError, match="no column of ids: its columns are key, abstract, meta"):
        documents(tmp_path / "c.parquet")
    options = {"id_field": "key", "text_fields": ("abstract",), "title_field": "meta.name"}
    assert documents(tmp_path / "c.parquet", **options) == [Document("d0", "N", "x")]


@pytest.mark.parametrize("content", [b"PAR1 and no more", b"id\ttext\n"])
def test_a_damaged_parquet_file_is_an_error(tmp_path: Path, content: bytes) -> None:
    with pytest.raises(InputError, match="cannot be read as Parquet or Arrow"):
        documents(write(tmp_path / "c.parquet", content))


def test_an_error_in_a_row_has_its_number(tmp_path: Path) -> None:
    parquet.write_table(table(id=["d0", None], text=["x", "y"]), tmp_path / "c.parquet")
    with pytest.raises(RecordError, match=r"c.parquet, row 2: "):
        documents(tmp_path / "c.parquet")


# Directories.


def test_a_directory_is_read_with_what_is_below_it(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    write(tmp_path / "b/two.tsv", "d1\t\tdogs bark")
    write(tmp_path / "a.csv", 'id,title,text\nd0,Cats,"sleep, all day"')
    write(tmp_path / "b/.hidden.tsv", "d2\tx")
    write(tmp_path / ".git/x.tsv", "d3\tx")
    for name in ("notes.txt", "b/paper.pdf", "dev_queries.tsv", "qrels/test.tsv", "topics.dl19.tsv"):
        write(tmp_path / name, "no document")
    assert documents(tmp_path) == [CAT, DOG]
    assert caplog.messages[0] == (
        f"5 files in {tmp_path} were not read: b/paper.pdf, dev_queries.tsv, notes.txt, qrels/test.tsv, topics.dl19.tsv"
    )


def test_shards_without_a_suffix_are_read(tmp_path: Path) -> None:
    write(
        tmp_path / "msmarco_passage_00.gz", COMPRESSIONS["gzip"](lines({"pid": "d1", "passage": "dogs bark"}).encode())
    )
    write(tmp_path / "README", "about")
    assert documents(tmp_path) == [DOG]


def test_many_unread_files_are_counted(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    write(tmp_path / "a.tsv", "d1\tdogs bark")
    for number in range(12):
        write(tmp_path / f"{number:02}.pdf", "")
    assert documents(tmp_path) == [DOG]
    assert "12 files" in caplog.text
    assert "09.pdf and 2 others" in caplog.text


def test_a_directory_of_collections_names_them(tmp_path: Path) -> None:
    for name in ("android", "english"):
        write(tmp_path / name / "corpus.jsonl", lines({"_id": "d0", "text": "x"}))
        write(tmp_path / name / "queries.jsonl", lines({"_id": "q0", "text": "x"}))
    with pytest.raises(InputError, match=r"contains 2 collections: android, english\.\n.*\n.*android"):
        open_corpus(tmp_path)


@pytest.mark.parametrize("name", ["corpus.parquet", "corpus/corpus-00000-of-00001.parquet"])
def test_the_corpus_of_a_collection_is_found_in_other_formats(tmp_path: Path, name: str) -> None:
    (tmp_path / name).parent.mkdir(exist_ok=True)
    parquet.write_table(table(), tmp_path / name)
    write(tmp_path / "queries.jsonl", lines({"_id": "q0", "text": "x"}))
    assert documents(tmp_path) == [CAT, DOG]


def test_a_snapshot_of_the_hub_is_read_by_its_split(tmp_path: Path) -> None:
    (tmp_path / "data").mkdir()
    for split in ("train", "test"):
        for shard, (id_, text) in enumerate([("d0", split), ("d1", "x")]):
            data = table(docid=[id_], text=[text])
            parquet.write_table(data, tmp_path / f"data/{split}-{shard:05}-of-00002.parquet")
    with pytest.raises(InputError, match=r"has 2 splits.\nExpected one of its splits: test, train.\n.*@test"):
        open_corpus(tmp_path)
    assert documents(f"{tmp_path}@train") == [Document("d0", "", "train"), Document("d1", "", "x")]
    with pytest.raises(InputError, match="has no split 'dev'"):
        open_corpus(f"{tmp_path}@dev")


def test_what_save_to_disk_wrote_is_read(tmp_path: Path) -> None:
    datasets = pytest.importorskip("datasets")
    data = datasets.Dataset.from_dict({"docid": ["d0", "d1"], "title": ["Cats", None], "text": [CAT.text, DOG.text]})
    data.save_to_disk(tmp_path / "one", num_shards=2)
    datasets.DatasetDict({"train": data}).save_to_disk(tmp_path / "dict")
    datasets.DatasetDict({"train": data, "test": data.select([0])}).save_to_disk(tmp_path / "two")
    assert documents(tmp_path / "one") == documents(tmp_path / "dict") == [CAT, DOG]
    assert documents(f"{tmp_path / 'two'}@test") == [CAT]
    with pytest.raises(InputError, match="splits: train, test"):
        open_corpus(tmp_path / "two")
    next((tmp_path / "one").glob("*.arrow")).unlink()
    with pytest.raises(InputError, match=r"lacks data-\d+-of-00002.arrow"):
        open_corpus(tmp_path / "one")


def test_a_name_of_the_hub_is_loaded_by_the_datasets_library(tmp_path: Path) -> None:
    pytest.importorskip("datasets")
    write(tmp_path / "set/corpus.jsonl", lines({"_id": "d0", "title": "Cats", "text": CAT.text}))
    corpus = open_corpus(f"hf:{tmp_path / 'set'}")
    assert list(corpus) == [CAT]
    assert check_corpus(corpus) == 1
    with pytest.raises(InputError, match="has no split 'dev'"):
        list(open_corpus(f"hf:{tmp_path / 'set'}@dev"))


def test_a_name_that_cannot_be_loaded_is_an_input_error(tmp_path: Path) -> None:
    pytest.importorskip("datasets")
    with pytest.raises(InputError, match="cannot be loaded from Hugging Face"):
        list(open_corpus(f"hf:{tmp_path}/missing"))
    with pytest.raises(InputError, match="hf:no/such"):
        open_corpus("no/such")


@pytest.mark.parametrize(
    ("name", "content", "problem"),
    [
        ("docs.trec", "<DOC>\n<DOCNO>1</DOCNO>\n</DOC>\n", "TREC's markup"),
        ("docs.txt", "a text without tabs", "unknown format"),
    ],
)
def test_a_file_of_another_format_is_refused_with_what_it_is(
    tmp_path: Path, name: str, content: str, problem: str
) -> None:
    with pytest.raises(InputError, match=problem):
        open_corpus(write(tmp_path / name, content))


def test_a_directory_in_a_zip_archive_is_read(tmp_path: Path) -> None:
    write(
        tmp_path / "c.zip",
        zip_of({"c/a.tsv": b"d0\tCats\tsleep, all day", "c/b.jsonl": b'{"id": "d1", "text": "dogs bark"}'}),
    )
    assert documents(tmp_path / "c.zip") == [CAT, DOG]


# Files from the field.


@needs_cases(".")
@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("psgs_w100.tsv", [Document("1", "Aaron", 'Aaron is a prophet, "high priest", and brother.'), Document("2", "Aaron", "God at Sinai")]),  # noqa: E501
        ("corpus-header.tsv", [Document("d1", "", "cats")]),
        ("corpus.csv", [Document("1", "", "Cats, sleep")]),
        ("corpus.parquet", [Document("a", "", "cats"), Document("b", "", "dogs")]),
        ("dict.json", [Document("a", "x", "cats")]),
        ("docno.jsonl", [Document("D1", "", "Cats sleep all day.")]),
        ("nulltext.jsonl", [Document("D1", "T", "")]),
        ("nbspid.jsonl", [Document("café\u00a0bar", "", "cats")]),
        ("surrogate.jsonl", [Document("a", "", "cats \ufffd broken")]),
        ("nan.jsonl", [Document("a", "", "cats"), Document("b", "", "NaN ok")]),
        ("msmarco-docs.tsv", [Document("D1", "Cats", "Cats sleep all day.")]),
        ("msmarco_v2_doc.jsonl", [Document("D1", "Cats", "Cats sleep all day.")]),
        ("msmarco_v2_passage.jsonl", [Document("P1", "", "Cats sleep all day.")]),
        ("msmarco_v2_seg.jsonl", [Document("D1#1", "Cats", "Cats sleep all day.")]),
    ],
)  # fmt: skip
def test_the_case_is_read(name: str, expected: list[Document]) -> None:
    corpus = open_corpus(CASES / name)
    assert list(corpus) == expected
    assert check_corpus(corpus) == len(expected)


@needs_cases("dir-partly-read")
def test_all_files_of_the_directory_are_read() -> None:
    corpus = open_corpus(CASES / "dir-partly-read")
    assert sorted(path.name for path in getattr(corpus, "files")) == ["a.tsv", "b.jsonl", "c.jsonl.bz2"]  # noqa: B009
    with pytest.raises(RecordError, match=r"sub/b.jsonl, line 3: duplicate document id 'd3' .*c.jsonl.bz2, line 3"):
        check_corpus(corpus)
