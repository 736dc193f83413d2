"""`index --documents`: the documents of a corpus, stored with all their fields beside the postings of their vectors."""

import json
import random
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, NamedTuple

import pyarrow as pa
import pytest
from pyarrow import parquet

from splade_anserini.artifacts.manifests import IndexManifest, read_manifest
from splade_anserini.errors import InputError, OutputError, RecordError
from splade_anserini.formats.corpora import InMemoryCorpus
from splade_anserini.formats.corpus_fields import CorpusOptions, document_of, whole_records
from splade_anserini.formats.irds import whole_irds_document
from splade_anserini.formats.parsing.lines import Location
from splade_anserini.index import index
from splade_anserini.indexing.changing import append_documents
from splade_anserini.lucene import ImpactSearcher, IndexOptions
from splade_anserini.lucene.document_store import DocumentStore, write_document_store
from splade_anserini.lucene.stored_fields import json_document
from splade_anserini.lucene.worker_options import IndexWorkerOptions
from splade_anserini.records import Document
from tests.cli_runner import run_stage
from tests.impact_fixtures import ANIMALS, random_vectors, write_encoded

RECORDS: list[dict[str, Any]] = [
    {"_id": "d1", "title": "One", "text": "a cat", "year": 1999, "tags": ["a", "b"], "metadata": {"url": "u"}},
    {"_id": "d2", "title": "", "text": "a dog", "year": 2001},
    {"_id": "d3", "text": "a bird"},
    {"_id": "d4", "text": "a fish", "year": 2020, "vector": {"fish": 4}},
]
STORED: dict[str, dict[str, Any]] = {
    "d1": {"id": "d1", "title": "One", "contents": "One a cat", "year": 1999, "tags": ["a", "b"],
           "metadata": {"url": "u"}},
    "d2": {"id": "d2", "contents": "a dog", "year": 2001},
    "d3": {"id": "d3", "contents": "a bird"},
    "d4": {"id": "d4", "contents": "a fish", "year": 2020},
}  # fmt: skip


@pytest.fixture(scope="module")
def home(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A directory with `impacts` and their `corpus.jsonl`."""
    home = tmp_path_factory.mktemp("documents")
    write_encoded(home / "impacts", ANIMALS)
    write_corpus(home / "corpus.jsonl", RECORDS)
    return home


def write_corpus(path: Path, records: list[dict[str, Any]]) -> None:
    path.write_text("".join(f"{json.dumps(record)}\n" for record in records))


def documents_in(directory: Path, ids: "list[str] | None" = None) -> dict[str, Any]:
    with ImpactSearcher(directory) as searcher:
        names = ids or list(ANIMALS)
        return dict(zip(names, searcher.documents_of(names), strict=True))


def stored_texts(directory: Path) -> dict[str, str | None]:
    """Return the stored field `contents`, which `doc(id).contents()` returns."""
    with ImpactSearcher(directory) as searcher:
        fields = searcher.lucene.getIndexReader().storedFields()
        documents = [fields.document(number) for number in range(searcher.documents)]
        return {document.get("id"): document.get("contents") for document in documents}


def test_all_fields_of_a_corpus_are_stored_and_no_vector(home: Path, tmp_path: Path) -> None:
    index(home / "impacts", tmp_path / "index", IndexOptions(store_text=True), documents=home / "corpus.jsonl")
    assert documents_in(tmp_path / "index") == STORED
    assert stored_texts(tmp_path / "index") == {id_: document["contents"] for id_, document in STORED.items()}
    assert sorted(path.name for path in (tmp_path / "index").iterdir() if path.is_dir()) == []


def test_without_a_corpus_the_texts_of_the_vectors_are_stored(home: Path, tmp_path: Path) -> None:
    index(home / "impacts", tmp_path / "index", IndexOptions(store_text=True))
    assert documents_in(tmp_path / "index") == {id_: {"id": id_, "contents": f"text of {id_}"} for id_ in ANIMALS}
    assert stored_texts(tmp_path / "index") == {id_: f"text of {id_}" for id_ in ANIMALS}


def test_fields_to_store_are_chosen(home: Path, tmp_path: Path) -> None:
    options = IndexOptions(store_text=True, store_fields="title, year")
    index(home / "impacts", tmp_path / "index", options, documents=home / "corpus.jsonl")
    assert documents_in(tmp_path / "index")["d1"] == {"id": "d1", "title": "One", "year": 1999}
    assert set(stored_texts(tmp_path / "index").values()) == {None}


def as_csv(path: Path) -> Path:
    path = path.with_suffix(".csv")
    path.write_text("docid,title,text,year\n" + "".join(f"{id_},,text {id_},1999\n" for id_ in ANIMALS))
    return path


def as_tsv(path: Path) -> Path:
    path = path.with_suffix(".tsv")
    path.write_text("id\ttext\tyear\n" + "".join(f"{id_}\ttext {id_}\t1999\n" for id_ in ANIMALS))
    return path


def as_parquet(path: Path) -> Path:
    rows = [{"id": id_, "text": f"text {id_}", "year": "1999", "none": None} for id_ in ANIMALS]
    parquet.write_table(pa.Table.from_pylist(rows), path.with_suffix(".parquet"))
    return path.with_suffix(".parquet")


def as_json_object(path: Path) -> Path:
    path = path.with_suffix(".json")
    path.write_text(json.dumps({id_: {"text": f"text {id_}", "year": "1999"} for id_ in ANIMALS}))
    return path


@pytest.mark.parametrize("write", [as_csv, as_tsv, as_parquet, as_json_object])
def test_other_fields_are_kept_of_every_kind_of_corpus(
    home: Path, tmp_path: Path, write: Callable[[Path], Path]
) -> None:
    corpus = write(tmp_path / "corpus")
    index(home / "impacts", tmp_path / "index", IndexOptions(store_text=True), documents=corpus)
    nulls = {"none": None} if write is as_parquet else {}
    assert documents_in(tmp_path / "index") == {
        id_: {"id": id_, "contents": f"text {id_}", "year": "1999", **nulls} for id_ in ANIMALS
    }


def test_documents_may_be_in_memory_with_fields(home: Path, tmp_path: Path) -> None:
    documents = InMemoryCorpus("memory", [Document(id_, "T", "text", {"n": 1}) for id_ in ANIMALS])
    index(home / "impacts", tmp_path / "index", IndexOptions(store_text=True), documents=documents)
    expected = {"id": "d2", "title": "T", "contents": "T text", "n": 1}
    assert documents_in(tmp_path / "index")["d2"] == expected


def test_passages_are_cut_from_the_documents_again_and_keep_their_fields(tmp_path: Path) -> None:
    write_encoded(tmp_path / "impacts", {"d#0": {"a": 1}, "d#1": {"b": 2}}, passages="2/2")
    write_corpus(tmp_path / "corpus.jsonl", [{"id": "d", "title": "T", "text": "a b c d", "year": 1}])
    index(tmp_path / "impacts", tmp_path / "index", IndexOptions(store_text=True), documents=tmp_path / "corpus.jsonl")
    assert documents_in(tmp_path / "index", ["d#0", "d#1"]) == {
        "d#0": {"id": "d#0", "title": "T", "contents": "T a b", "year": 1},
        "d#1": {"id": "d#1", "title": "T", "contents": "T c d", "year": 1},
    }


def test_fields_that_encode_recorded_are_read_again(tmp_path: Path) -> None:
    write_encoded(tmp_path / "impacts", {"d": {"a": 1}}, fields={"id": "key", "text": ["body"]})
    write_corpus(tmp_path / "corpus.jsonl", [{"key": "d", "body": "B", "text": "T"}])
    index(tmp_path / "impacts", tmp_path / "index", IndexOptions(store_text=True), documents=tmp_path / "corpus.jsonl")
    assert documents_in(tmp_path / "index", ["d"]) == {"d": {"id": "d", "contents": "B", "text": "T"}}


@pytest.mark.parametrize(
    "workers", [IndexWorkerOptions(), IndexWorkerOptions(shards=3)], ids=["one index", "three shards"]
)
@pytest.mark.parametrize("threads", [1, 3])
def test_documents_in_any_order_are_joined_by_their_ids(
    tmp_path: Path, workers: IndexWorkerOptions, threads: int
) -> None:
    vectors = random_vectors(5, 900)
    write_encoded(tmp_path / "impacts", vectors, shard_size=100)
    records = [{"id": id_, "text": f"text {id_}", "n": number} for number, id_ in enumerate(vectors)]
    random.Random(1).shuffle(records)
    write_corpus(tmp_path / "corpus.jsonl", records)
    options = IndexOptions(threads=threads, store_text=True)
    index(tmp_path / "impacts", tmp_path / "index", options, documents=tmp_path / "corpus.jsonl", workers=workers)
    expected = {id_: {"id": id_, "contents": f"text {id_}", "n": number} for number, id_ in enumerate(vectors)}
    assert documents_in(tmp_path / "index", list(vectors)) == expected


@pytest.mark.slow
def test_documents_are_joined_in_several_processes(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    vectors = random_vectors(5, 600)
    write_encoded(tmp_path / "impacts", vectors, shard_size=50)
    records = [{"id": id_, "text": f"text {id_}"} for id_ in [*vectors, "more"] if not id_.endswith("0")]
    write_corpus(tmp_path / "corpus.jsonl", records)
    index(
        tmp_path / "impacts",
        tmp_path / "index",
        IndexOptions(threads=2, store_text=True),
        documents=tmp_path / "corpus.jsonl",
        workers=IndexWorkerOptions(workers=2),
    )
    ids = list(vectors)
    documents = documents_in(tmp_path / "index", ids)
    assert documents[ids[1]] == {"id": ids[1], "contents": f"text {ids[1]}"}
    assert documents[ids[0]] == {"id": ids[0], "contents": f"text of {ids[0]}"}
    assert "60 documents of" in caplog.text
    assert "1 document of" in caplog.text
    assert "'more'" in caplog.text


def test_documents_that_one_side_lacks_are_counted_and_named(
    home: Path, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    write_corpus(tmp_path / "corpus.jsonl", [*RECORDS[:2], {"id": "d8", "text": "x"}, {"id": "d9", "text": "y"}])
    index(home / "impacts", tmp_path / "index", IndexOptions(store_text=True), documents=tmp_path / "corpus.jsonl")
    assert f"2 documents of {home / 'impacts'} not in {tmp_path / 'corpus.jsonl'}, such as 'd3', 'd4'" in caplog.text
    assert f"2 documents of {tmp_path / 'corpus.jsonl'} without a vector in {home / 'impacts'}, such as" in caplog.text
    assert "'d8', 'd9'" in caplog.text
    assert documents_in(tmp_path / "index")["d3"] == {"id": "d3", "contents": "text of d3"}


def test_another_corpus_is_refused(home: Path, tmp_path: Path) -> None:
    write_corpus(tmp_path / "corpus.jsonl", [{"id": "x1", "text": "x"}])
    with pytest.raises(InputError, match=r"None of the documents of .*impacts is in .*'x1', those of the vectors.*'d"):
        index(home / "impacts", tmp_path / "index", IndexOptions(store_text=True), documents=tmp_path / "corpus.jsonl")
    assert not (tmp_path / "index").exists()


def test_an_id_that_two_documents_have_is_refused(home: Path, tmp_path: Path) -> None:
    write_corpus(tmp_path / "corpus.jsonl", [*RECORDS, RECORDS[0]])
    with pytest.raises(RecordError, match=r"corpus.jsonl, line 5: duplicate document id 'd1' \(first seen at line 1\)"):
        index(home / "impacts", tmp_path / "index", IndexOptions(store_text=True), documents=tmp_path / "corpus.jsonl")


def test_the_same_call_finds_the_index_up_to_date_and_another_corpus_does_not(home: Path, tmp_path: Path) -> None:
    write_corpus(tmp_path / "corpus.jsonl", RECORDS)
    options = IndexOptions(store_text=True)
    for _ in range(2):
        index(home / "impacts", tmp_path / "index", options, documents=tmp_path / "corpus.jsonl")
    write_corpus(tmp_path / "corpus.jsonl", [{**RECORDS[0], "year": 2000}, *RECORDS[1:]])
    with pytest.raises(OutputError, match=r"documents was \w+…?, is \w+"):
        index(home / "impacts", tmp_path / "index", options, documents=tmp_path / "corpus.jsonl")
    with pytest.raises(OutputError, match="documents"):
        index(home / "impacts", tmp_path / "index", options)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({}, "--documents has no effect without --store-text or --filter-fields"),
        ({"store_text": True, "writer": "anserini"}, "--documents and --writer anserini exclude each other"),
        ({"store_text": True, "store_fields": "titel"}, "No document of .* has 'titel', which --store-fields names"),
    ],
)
def test_documents_that_cannot_be_stored_are_refused(
    home: Path, tmp_path: Path, options: Mapping[str, Any], message: str
) -> None:
    with pytest.raises(InputError, match=message):
        index(home / "impacts", tmp_path / "index", IndexOptions(**options), documents=home / "corpus.jsonl")
    assert not (tmp_path / "index").exists()


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"store_fields": "title"}, "--store-fields needs --store-text"),
        ({"store_text": True, "store_fields": "title,"}, "--store-fields 'title,' has an empty name"),
        ({"store_text": True, "store_fields": "a", "writer": "anserini"}, "--store-fields and --writer anserini"),
        ({"filter_fields": "year:int", "writer": "anserini"}, "--filter-fields and --writer anserini exclude"),
        ({"filter_fields": "year:integer"}, "--filter-fields has 'year:integer'"),
        ({"filter_fields": ""}, "--filter-fields has ''"),
        ({"filter_fields": "a>b:int"}, "--filter-fields has 'a>b:int'"),
        ({"filter_fields": "contents:str"}, "--filter-fields has 'contents', which is a field of every index"),
        ({"filter_fields": "year:int,year:str"}, "--filter-fields has 'year' as int and as str"),
    ],
)
def test_options_that_do_not_fit_are_refused(options: Mapping[str, Any], message: str) -> None:
    with pytest.raises(InputError, match=message):
        IndexOptions(**options)


def test_the_command_stores_documents_and_records_the_fields_for_filters(
    home: Path, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    outcome = run_stage(
        *("index", "--input", home / "impacts", "--index", tmp_path / "index", "--documents", home / "corpus.jsonl"),
        *("--store-text", "--store-fields", "title", "--filter-fields", "year:int,tags"),
    )
    assert outcome.code == 0, outcome.err
    assert "1 document of" in caplog.text
    assert "without a value of year, such as 'd3'" in caplog.text
    manifest = read_manifest(tmp_path / "index", IndexManifest)
    assert manifest is not None
    assert manifest.filter_fields == {"year": "int", "tags": "str"}
    assert documents_in(tmp_path / "index")["d1"] == {"id": "d1", "title": "One"}


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--bm25", "--documents", "x"], "--documents has no effect with --bm25"),
        (["--bm25", "--filter-fields", "year:int"], "--filter-fields has no effect with --bm25"),
        (["--text-fields", "body"], "--text-fields needs --bm25 or --documents"),
        (["--filter-fields", "year:int"], "--filter-fields needs --documents"),
    ],
)
def test_the_command_refuses_options_in_vain(home: Path, tmp_path: Path, arguments: list[str], message: str) -> None:
    outcome = run_stage("index", "--input", home / "impacts", "--index", tmp_path / "index", *arguments)
    assert (outcome.code, message in outcome.err) == (2, True), outcome.err


class TestStore:
    """Fields on disk."""

    def write(self, directory: Path, ids: list[str]) -> DocumentStore:
        return write_document_store(directory, "c", lambda: ((None, id_, f'"{id_}"'.encode()) for id_ in ids))  # type: ignore[misc]

    def test_fields_are_found_by_id(self, tmp_path: Path) -> None:
        ids = [f"d{number}" for number in range(5000)]
        with self.write(tmp_path / "store", ids).open() as lookup:
            chosen = ["d4999", "no", "d0", "d77", "d77", ""]
            assert lookup.fields(chosen) == [b'"d4999"', None, b'"d0"', b'"d77"', b'"d77"', None]
            assert (lookup.asked, lookup.missing, lookup.first_missing) == (6, 2, ["no", ""])

    def test_ids_with_the_same_hash_are_told_apart(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr("splade_anserini.lucene.document_store.digest_of", lambda _: b"\x80" + bytes(15))
        with self.write(tmp_path / "store", ["a", "b", "c"]).open() as lookup:
            assert lookup.fields(["c", "x", "a"]) == [b'"c"', None, b'"a"']

    def test_the_use_of_several_readers_is_summed(self, tmp_path: Path) -> None:
        store = self.write(tmp_path / "store", list("abcdefghij"))
        for key, ids in (("first", ["a", "x"]), ("second", ["b", "j"]), ("first", ["a", "x"])):
            with store.open() as lookup:
                lookup.fields(ids)
                store.record_use(key, [lookup])
        use = store.use()
        assert (use.asked, use.missing, use.first_missing) == (4, 1, ("x",))
        assert (use.unused, use.first_unused) == (7, ("c", "d", "e", "f", "g"))


def test_documents_that_are_appended_are_stored_as_those_of_the_index(home: Path, tmp_path: Path) -> None:
    options = IndexOptions(store_text=True, store_fields="contents,year", filter_fields="year:int")
    index(home / "impacts", tmp_path / "index", options, documents=home / "corpus.jsonl")
    write_encoded(tmp_path / "more", {"d7": {"cat": 2}})
    write_corpus(tmp_path / "more.jsonl", [{"id": "d7", "title": "T", "text": "seven", "year": 7}])
    with pytest.raises(InputError, match="was built with --documents, whose fields the new documents would lack"):
        append_documents(tmp_path / "index", tmp_path / "more")
    append_documents(tmp_path / "index", tmp_path / "more", documents=tmp_path / "more.jsonl")
    assert documents_in(tmp_path / "index", ["d1", "d7"]) == {
        "d1": {"id": "d1", "contents": "One a cat", "year": 1999},
        "d7": {"id": "d7", "contents": "T seven", "year": 7},
    }


class Article(NamedTuple):
    """A document of ir_datasets."""

    doc_id: str
    title: str
    text: str
    authors: list[str]


class WebPage(NamedTuple):
    """A document of ir_datasets without a field `text`."""

    doc_id: str
    title: str
    body: str

    def default_text(self) -> str:
        return f"{self.title} {self.body}"


@pytest.mark.parametrize(
    ("item", "document"),
    [
        (Article("d", "T", "t", ["A"]), {"id": "d", "title": "T", "contents": "T t", "authors": ["A"]}),
        (Article("d", "", "t", []), {"id": "d", "contents": "t", "authors": []}),
        (WebPage("d", "T", "b"), {"id": "d", "contents": "T b", "title": "T", "body": "b"}),
    ],
)
def test_documents_of_ir_datasets_have_all_fields(item: Any, document: object) -> None:
    assert json_document(whole_irds_document(item)) == document


@pytest.mark.parametrize(
    ("record", "options", "fields"),
    [
        ({"id": "d", "text": "t", "n": 1}, CorpusOptions(), {"n": 1}),
        ({"_id": "d", "title": "", "text": "t", "contents": "", "n": None}, CorpusOptions(), {"n": None}),
        ({"docno": "d", "body": "t", "headline": "h"}, CorpusOptions(), {"headline": "h"}),
        ({"id": 7, "text": "t", "body": "b"}, CorpusOptions(text_fields=("body",)), {"text": "t"}),
        ({"id": "d", "a": {"b": "t", "c": 1}}, CorpusOptions(text_fields=("a.b",)), {"a": {"b": "t", "c": 1}}),
    ],
)
def test_other_fields_are_those_that_are_neither_id_nor_title_nor_text(
    record: dict[str, Any], options: CorpusOptions, fields: object
) -> None:
    document = document_of(record, Location("c", 1), whole_records(options))
    assert document == document_of(record, Location("c", 1), options)
    assert document.fields == fields
