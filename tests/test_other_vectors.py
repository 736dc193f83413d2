"""Vectors that other tools wrote, in the forms that they have: what is read, left out or refused."""

import bz2
import gzip
import json
import logging
import lzma
import zipfile
from pathlib import Path
from typing import Any

import pytest

from splade_anserini.artifacts.manifests import Counts, ImpactManifest, IndexManifest, read_manifest
from splade_anserini.artifacts.outputs import read_output_manifest
from splade_anserini.convert import convert
from splade_anserini.errors import InputError, RecordError
from splade_anserini.formats.parsing import lines
from splade_anserini.formats.parsing.lines import Location
from splade_anserini.formats.reading_options import ReadingOptions
from splade_anserini.formats.vector_files import find_vector_files, read_vectors
from splade_anserini.formats.vectors import VectorOptions, VectorReader
from splade_anserini.formats.vocabularies import read_vocabulary
from splade_anserini.index import index
from splade_anserini.lucene import IndexOptions
from splade_anserini.lucene.worker_options import IndexWorkerOptions
from splade_anserini.records import ImpactDocument
from splade_anserini.vectors.quantization import quantize
from tests.cli_runner import run_stage
from tests.impact_fixtures import write_encoded
from tests.shared_data import CASES, DATA, needs_cases, needs_data

VOCABULARY = ["[PAD]", "cat", "##s", "2015", ""]


def document_of(record: object, **options: Any) -> ImpactDocument:
    """Return the document in a record, read with a scale of 100 unless `options` say otherwise."""
    reader = VectorReader(VectorOptions(**({"scale": 100.0} | options)))
    path = Path("vectors.jsonl")
    return reader.document(record, Location(path, 7))  # type: ignore[arg-type]


def write_lines(path: Path, *records: object) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text("".join(json.dumps(record) + "\n" for record in records))
    return path


FORMS = {
    "Anserini": {"id": "a", "contents": "cats", "vector": {"cat": 1.5, "##s": 0.25}},
    "SPLADE's docs_anserini.jsonl": {"id": "a", "content": "cats", "vector": {"cat": 1.5, "##s": 0.25}},
    "pairs, as sentence-transformers decodes": {"id": "a", "text": "cats", "vector": [["cat", 1.5], ["##s", 0.25]]},
    "objects": {"id": "a", "vector": [{"token": "cat", "weight": 1.5}, {"token": "##s", "weight": 0.25}]},
    "objects of one entry": {"id": "a", "vector": [{"cat": 1.5}, {"##s": 0.25}]},
    "two lists": {"docid": "a", "tokens": ["cat", "##s"], "weights": [1.5, 0.25]},
    "two lists in a vector": {"_id": "a", "vector": {"tokens": ["cat", "##s"], "values": [1.5, 0.25]}},
    "an embedding under its name": {"doc_id": "a", "sparse_embedding": {"cat": 1.5, "##s": 0.25}},
    "BGE-M3": {"id": "a", "lexical_weights": {"cat": 1.5, "##s": 0.25}},
    "a vector beside a dense one": {
        "id": "a",
        "embedding": [0.1, 0.2, 0.3],
        "sparse_vector": {"cat": 1.5, "##s": 0.25},
    },
    "Vespa's document": {
        "put": "id:ns:passage::a",
        "fields": {"text": "cats", "splade": {"cells": {"cat": 1.5, "##s": 0.25}}},
    },
    "Vespa's cells": {
        "id": "a",
        "vector": {
            "type": "tensor<float>(t{})",
            "cells": [{"address": {"t": "cat"}, "value": 1.5}, {"address": {"t": "##s"}, "value": 0.25}],
        },
    },
    "Elasticsearch's hit": {"_index": "i", "_id": "a", "_source": {"ml": {"tokens": {"cat": 1.5, "##s": 0.25}}}},
    "rank_features": {"_id": "a", "text": "cats", "rank_features": {"cat": 1.5, "##s": 0.25}},
    "ELSER": {"id": "a", "predicted_value": {"cat": 1.5, "##s": 0.25}},
    "JSON in a text": {"id": "a", "vector": '{"cat": 1.5, "##s": 0.25}'},
}


@pytest.mark.parametrize("form", FORMS)
def test_a_document_is_read_in_each_form(form: str) -> None:
    document = document_of(FORMS[form])
    assert (document.id, document.vector) == ("a", {"cat": 150, "##s": 25})
    assert document.contents in ("cats", "")


FORMS_OF_IDS = {
    "Qdrant": {"id": 9, "vector": {"indices": [1, 2], "values": [1.5, 0.25]}, "payload": {"text": "cats"}},
    "Qdrant's named vector": {"id": 9, "vector": {"splade": {"indices": [1, 2], "values": [1.5, 0.25]}}},
    "Qdrant's named vectors": {
        "id": 9,
        "vector": {"dense": [0.1, 0.2, 0.3], "splade": {"indices": [1, 2], "values": [1.5, 0.25]}},
    },
    "Pinecone": {"id": 9, "values": [0.1, 0.2], "sparse_values": {"indices": [1, 2], "values": [1.5, 0.25]}},
    "two lists": {"id": 9, "indices": [1, 2], "values": [1.5, 0.25]},
    "Milvus": {"id": 9, "sparse_vector": {"1": 1.5, "2": 0.25}},
    "OpenSearch": {"_id": "9", "_source": {"passage_embedding": {"1": 1.5, "2": 0.25}}},
    "pairs": {"id": 9, "vector": [[1, 1.5], [2, 0.25]]},
}


@pytest.mark.parametrize("form", FORMS_OF_IDS)
def test_ids_become_tokens_of_the_vocabulary(form: str) -> None:
    document = document_of(FORMS_OF_IDS[form], vocabulary=VOCABULARY)
    assert (document.id, document.vector) == ("9", {"cat": 150, "##s": 25})


@pytest.mark.parametrize("form", [form for form in FORMS_OF_IDS if form not in ("Milvus", "OpenSearch")])
def test_ids_without_a_vocabulary_are_refused(form: str) -> None:
    with pytest.raises(RecordError, match=r"(?s)line 7: .*ids of a vocabulary, such as 1.*--vocabulary"):
        document_of(FORMS_OF_IDS[form])


@pytest.mark.parametrize(
    ("record", "message"),
    [
        ({"id": "a", "vector": [0.1, 0.2, 0.3]}, "an array of 3 numbers, as of a dense encoder"),
        ({"id": "a", "vector": {"tokens": ["cat"], "weights": [1.5, 2.0]}}, "1 token and 2 weights"),
        ({"id": "a", "vector": {"indices": [1, 2], "values": [1.5]}}, "2 indices and 1 value"),
        ({"id": "a", "vector": {"one": {"cat": 1.5}, "two": {"cat": 2.5}}}, "several vectors: one, two"),
        ({"id": "a", "sparse_vector": {"cat": 1.5}, "splade": {"cat": 2.5}}, "several vectors: sparse_vector, splade"),
        ({"id": "a", "vector": [["cat", 1.5], ["cat", 2.0]]}, "duplicate token 'cat'"),
        ({"id": "a", "vector": {"cat": -0.1}}, "the weight of 'cat' is -0.1"),
        ({"id": "a", "vector": {"cat": "1.5"}}, "the weight of 'cat' is a string"),
        ({"id": "a", "vector": {"cat": True}}, "the weight of 'cat' is true"),
        ({"id": "a", "vector": {"cat": 1e300}}, "its impact would be 1e[+]302"),
        ({"id": "a", "vector": {"cat": 1e308}}, "its impact would be inf"),
        ({"id": "a", "vector": "cat:1.5 ##s:0.25"}, "the vector is a string"),
        ({"id": "a", "text": "cats"}, "no vector; the keys are id, text"),
        ({"text": "cats", "vector": {"cat": 1.5}}, "no id; the keys are text, vector"),
        ({"id": 1.5, "vector": {"cat": 1.5}}, "the id is 1.5"),
    ],
)
def test_what_is_not_a_document_with_a_vector_is_refused_by_line(record: object, message: str) -> None:
    with pytest.raises(RecordError, match=f"line 7: .*{message}"):
        document_of(record)


@pytest.mark.parametrize(
    ("key", "message"),
    [("99", "the id 99 is not in the vocabulary"), ("4", "the id 4 is not in"), ("cat", "the token 'cat'")],
)
def test_an_id_that_the_vocabulary_lacks_is_refused(key: str, message: str) -> None:
    with pytest.raises(RecordError, match=message):
        document_of({"id": "a", "vector": {key: 1.5}}, vocabulary=VOCABULARY)


def test_fields_can_be_named() -> None:
    record = {"key": "k", "id": "i", "out": {"doc": {"cat": 1.5}, "query": {"cat": 2.5}}}
    document = document_of(record, id_field="key", vector_field="out.doc")
    assert document == ImpactDocument("k", {"cat": 150})
    with pytest.raises(RecordError, match=r"no field 'out.title'; the keys are doc, query"):
        document_of(record, vector_field="out.title")


def test_weights_are_rounded_as_encode_rounds_them() -> None:
    weights = {f"t{n}": n / 7 for n in range(1, 300)} | {"half": 0.125, "small": 0.004, "one": 1}
    assert document_of({"id": "a", "vector": weights}).vector == quantize(weights, 100.0)


@pytest.mark.parametrize("scale", [None, 100.0])
def test_zeros_are_left_out_and_counted(scale: float | None) -> None:
    reader = VectorReader(VectorOptions(scale=scale))
    record = {"id": "a", "vector": {"`": 0, "x": 0.0, "cat": 3}}
    assert list(reader.document(record, Location("a", 1)).vector) == ["cat"]
    assert reader.zeros == 2


def test_weights_without_a_scale_are_refused_with_the_option(tmp_path: Path) -> None:
    write_lines(tmp_path / "a.jsonl", {"id": "a", "vector": {"cat": 2}}, {"id": "b", "vector": {"cat": 1.5}})
    for arguments in (["index", "--index"], ["convert", "--output"]):
        outcome = run_stage(arguments[0], "--input", tmp_path / "a.jsonl", arguments[1], tmp_path / "out")
        assert outcome.code == 2
        assert "a.jsonl, line 2: the impact of 'cat' is 1.5" in outcome.err
        assert "--scale 100" in outcome.err
        assert not (tmp_path / "out").exists()


def test_index_records_scale_and_zeros(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    file = write_lines(
        tmp_path / "a.jsonl", {"id": "a", "vector": {"cat": 1.83, "x": 0.001}}, {"id": "b", "vector": {}}
    )
    outcome = run_stage("index", "--input", file, "--index", tmp_path / "index", "--scale", "100")
    assert outcome.code == 0, outcome.err
    assert "Entries with an impact of 0, which are left out: 1" in caplog.text
    assert "Documents with an empty vector, which Lucene cannot hold: 1" in caplog.text
    manifest = read_manifest(tmp_path / "index", IndexManifest)
    assert manifest
    assert (manifest.scale, manifest.zeros, manifest.counts) == (
        100.0,
        1,
        Counts(documents=1, postings=1, impacts=183),
    )
    again = run_stage("index", "--input", file, "--index", tmp_path / "index", "--scale", "100")
    assert again.code == 0, again.err
    other = run_stage("index", "--input", file, "--index", tmp_path / "index", "--scale", "50")
    assert (other.code, "scale was 100.0, is 50.0" in other.err) == (2, True), other.err


def test_convert_records_scale_and_zeros(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    file = write_lines(tmp_path / "a.jsonl", {"id": "a", "vector": {"cat": 1.83, "x": 0.001}})
    outcome = run_stage("convert", "--input", file, "--output", tmp_path / "impacts", "--scale", "100")
    assert outcome.code == 0, outcome.err
    assert "Entries with an impact of 0, which are left out: 1" in caplog.text
    made = read_output_manifest(tmp_path / "impacts")
    impacts = read_manifest(tmp_path / "impacts", ImpactManifest)
    assert made
    assert impacts
    assert (made.counts["zeros"], made.settings["scale"]) == (1, 100.0)
    assert (impacts.settings.scale, impacts.settings.encoder) == (100.0, None)
    assert index(tmp_path / "impacts", tmp_path / "index").scale == 100.0
    for name in ("a.npz", "a.parquet", "a.ciff"):
        convert(tmp_path / "impacts", tmp_path / name)
        assert index(tmp_path / name, tmp_path / f"index of {name}").scale == 100.0


def test_a_scale_for_impacts_that_have_one_is_refused(tmp_path: Path) -> None:
    file = write_lines(tmp_path / "a.jsonl", {"id": "a", "vector": {"cat": 1.83}})
    convert(file, tmp_path / "impacts", reading=ReadingOptions(scale=100.0))
    convert(file, tmp_path / "a.parquet", reading=ReadingOptions(scale=100.0))
    with pytest.raises(InputError, match=r"(?s)splade.manifest.*Leave out --scale"):
        index(tmp_path / "impacts", tmp_path / "index", reading=ReadingOptions(scale=3.0))
    with pytest.raises(InputError, match=r"(?s)the scale 100.*Leave --scale out"):
        index(tmp_path / "a.parquet", tmp_path / "index", reading=ReadingOptions(scale=3.0))


COMPRESSIONS = {
    "a.jsonl": bytes,
    "a.jsonl.gz": gzip.compress,
    "a.gz": gzip.compress,
    "a.jsonl.bz2": bz2.compress,
    "a.jsonl.xz": lzma.compress,
    "a.jsonl.bin": gzip.compress,
    "a.ndjson": bytes,
    "a": bytes,
}


@pytest.mark.parametrize("name", COMPRESSIONS)
def test_a_single_file_is_indexed_and_converted_whatever_its_compression(tmp_path: Path, name: str) -> None:
    content = COMPRESSIONS[name](b'{"id": "a", "vector": {"cat": 3}}\n')
    (tmp_path / name).write_bytes(content)
    assert index(tmp_path / name, tmp_path / "index").counts == Counts(documents=1, postings=1, impacts=3)
    convert(tmp_path / name, tmp_path / "out")
    assert index(tmp_path / "out", tmp_path / "index2").counts.impacts == 3


def test_a_zip_archive_is_a_directory(tmp_path: Path) -> None:
    with zipfile.ZipFile(tmp_path / "vectors.zip", "w") as archive:
        for name in ("v/a", "v/b"):
            archive.writestr(f"{name}.jsonl", json.dumps({"id": name[-1], "vector": {"cat": 3}}))
        archive.writestr("v/topics.jsonl", json.dumps({"id": "1", "vector": {"cat": 9}}))
    assert index(tmp_path / "vectors.zip", tmp_path / "index").counts.documents == 2
    workers = IndexWorkerOptions(shards=2)
    sharded = index(tmp_path / "vectors.zip", tmp_path / "sharded", workers=workers)
    assert [part.counts.documents for part in sharded.parts] == [1, 1]


def test_files_that_are_not_read_are_named_with_their_number(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    write_lines(tmp_path / "in" / "a.jsonl", {"id": "a", "vector": {"cat": 3}})
    write_lines(tmp_path / "in" / "below" / "b.jsonl", {"id": "b", "vector": {"cat": 3}})
    for name in ("topics.jsonl", "queries_anserini.tsv", "below/topics.dl19.jsonl"):
        write_lines(tmp_path / "in" / name, {"id": "q", "vector": {"cat": 3}})
    (tmp_path / "in" / "topics.tsv.gz").write_bytes(gzip.compress(b"1\tcat cat\n"))
    (tmp_path / "in" / "array_index_h5py.h5py").write_bytes(b"\x89HDF")
    (tmp_path / "in" / "corpus.jsonl.bz2").write_bytes(bz2.compress(b'{"_id": "a", "text": "cats"}\n'))
    (tmp_path / "in" / ".cache").mkdir()
    write_lines(tmp_path / "in" / ".cache" / "c.jsonl", {"id": "c", "vector": {"cat": 3}})
    with caplog.at_level(logging.WARNING):
        assert index(tmp_path / "in", tmp_path / "index").counts.documents == 2
    (message,) = (record.getMessage() for record in caplog.records)
    assert "6 (array_index_h5py.h5py, below/topics.dl19.jsonl, corpus.jsonl.bz2, queries_anserini.tsv" in message
    assert message.endswith("and 1 more)")


@pytest.mark.parametrize("writer", ["lucene", "anserini"])
def test_topics_beside_shards_with_a_manifest_are_not_indexed(
    tmp_path: Path, writer: Any, caplog: pytest.LogCaptureFixture
) -> None:
    write_encoded(tmp_path / "in")
    (tmp_path / "in" / "topics.tsv.gz").write_bytes(gzip.compress(b"1\tcat cat\n"))
    assert index(tmp_path / "in", tmp_path / "index", IndexOptions(writer=writer)).counts.documents == 4
    assert "1 (topics.tsv.gz)" in caplog.text


def test_one_shard_has_the_settings_of_its_manifest(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    write_encoded(tmp_path / "in")
    manifest = index(tmp_path / "in" / "shard-00001.jsonl.gz", tmp_path / "index")
    assert (manifest.scale, manifest.counts.documents) == (100.0, 2)
    assert "is one of 2 files" in caplog.text


def test_a_field_that_says_where_a_vector_was_found_is_logged_once(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    file = write_lines(tmp_path / "a.jsonl", *({"pid": n, "sparse_values": {"cat": 3}} for n in range(3)))
    with caplog.at_level(logging.INFO):
        assert len(list(read_vectors(file, VectorReader()))) == 3
    assert [record.getMessage() for record in caplog.records] == [
        f"{file}, line 1: ids are read from pid, vectors from sparse_values"
    ]


def test_tokens_that_are_all_numbers_are_suspected_to_be_ids(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    file = write_lines(tmp_path / "a.jsonl", {"id": "a", "sparse_vector": {"4937": 3, "2015": 2}})
    index(file, tmp_path / "index")
    assert "All tokens of" in caplog.text
    assert "--vocabulary" in caplog.text


def test_the_bulk_format_of_elasticsearch_is_read(tmp_path: Path) -> None:
    lines = [
        {"index": {"_index": "i", "_id": "a"}},
        {"text": "cats", "ml": {"tokens": {"cat": 3}}},
        {"create": {"_id": "b"}},
        {"ml": {"tokens": {"dog": 4}}},
    ]
    file = write_lines(tmp_path / "bulk.ndjson", *lines)
    documents = [document for _, document in read_vectors(file, VectorReader())]
    assert documents == [ImpactDocument("a", {"cat": 3}, "cats"), ImpactDocument("b", {"dog": 4})]


def parquet_of(path: Path, **columns: Any) -> Path:
    import pyarrow as pa
    from pyarrow import parquet

    parquet.write_table(pa.table(columns), path)
    return path


def parquet_forms() -> dict[str, dict[str, Any]]:
    import pyarrow as pa

    weights = pa.map_(pa.string(), pa.float32())
    return {
        "lists": {"docid": ["a"], "tokens": [["cat", "##s"]], "weights": [[1.5, 0.25]]},
        "a map": {"id": ["a"], "vector": pa.array([[("cat", 1.5), ("##s", 0.25)]], weights)},
        "structs in a list": {
            "id": ["a"],
            "vector": [[{"token": "cat", "weight": 1.5}, {"token": "##s", "weight": 0.25}]],
        },
        "a struct of all tokens": {"id": ["a", "b"], "vector": [{"cat": 1.5, "##s": 0.25}, {"dog": 2.0}]},
        "JSON in a text": {"id": ["a"], "vector": ['{"cat": 1.5, "##s": 0.25}']},
        "another column, dense": {
            "_id": ["a"],
            "embedding": [[0.1, 0.2]],
            "sparse_embedding": pa.array([[("cat", 1.5), ("##s", 0.25)]], weights),
        },
    }


@pytest.mark.parametrize("form", parquet_forms())
def test_parquet_is_read_in_each_form(tmp_path: Path, form: str) -> None:
    file = parquet_of(tmp_path / "a.parquet", **parquet_forms()[form])
    (_, document), *_ = read_vectors(file, VectorReader(VectorOptions(scale=100.0)))
    assert (document.id, document.vector) == ("a", {"cat": 150, "##s": 25})


@pytest.mark.parametrize("form", ["two lists", "a struct"])
def test_parquet_of_ids_is_read_with_a_vocabulary(tmp_path: Path, form: str) -> None:
    entries = {"indices": [1, 2], "values": [1.5, 0.25]}
    columns = {name: [value] for name, value in entries.items()} if form == "two lists" else {"vector": [entries]}
    file = parquet_of(tmp_path / "a.pq", id=["a"], **columns)
    ((_, document),) = read_vectors(file, VectorReader(VectorOptions(scale=100.0, vocabulary=VOCABULARY)))
    assert document.vector == {"cat": 150, "##s": 25}


VOCABULARIES = {
    "vocab.txt": "[PAD]\ncat\n##s\n2015\n",
    "tokenizer.json": {
        "model": {"type": "WordPiece", "vocab": {"cat": 1, "##s": 2, "2015": 3}},
        "added_tokens": [{"id": 0, "content": "[PAD]"}],
    },
    "unigram.json": {"model": {"type": "Unigram", "vocab": [["[PAD]", 0], ["cat", -1.5], ["##s", -2], ["2015", -3]]}},
    "vocab.json": {"[PAD]": 0, "cat": 1, "##s": 2, "2015": 3},
    "token_list.json": ["[PAD]", "cat", "##s", "2015"],
}


@pytest.mark.parametrize("name", VOCABULARIES)
def test_a_vocabulary_is_read_from_each_file(tmp_path: Path, name: str) -> None:
    content = VOCABULARIES[name]
    (tmp_path / name).write_text(content if isinstance(content, str) else json.dumps(content))
    assert read_vocabulary(tmp_path / name) == ["[PAD]", "cat", "##s", "2015"]


def test_a_vocabulary_is_read_from_a_directory_and_from_an_encoder(tmp_path: Path) -> None:
    (tmp_path / "vocab.txt").write_text("[PAD]\ncat\n")
    assert read_vocabulary(tmp_path) == ["[PAD]", "cat"]
    assert read_vocabulary("splade-mini")[4937] == "cat"


@pytest.mark.parametrize("content", ["", "{}", '{"model": {}}', '{"cat": "1"}', "[1, 2]", "one line", "\x00\xff"])
def test_what_is_not_a_vocabulary_is_refused(tmp_path: Path, content: str) -> None:
    (tmp_path / "file").write_text(content, encoding="latin-1")
    with pytest.raises(InputError, match=r"file"):
        read_vocabulary(tmp_path / "file")


@pytest.mark.parametrize("threads", [1, 2, 4])
@pytest.mark.parametrize(
    ("line", "message"),
    [
        (
            '{"id": "d3", "vector": {"cat": 1}}',
            r"b.jsonl, line 2: duplicate document id 'd3' \(first seen at .*a.jsonl",
        ),
        ('{"id": "d3"}', "b.jsonl, line 2: no vector"),
        ('{"id": "d9", "vector": {"c t": 1}}', "b.jsonl, line 2: the token 'c t' contains white space"),
        ("{nonsense", "b.jsonl, line 2: not valid JSON"),
        ('{"id": "x9", "vector": {"cat": 1, "cat": 2}}', "b.jsonl, line 2: duplicate token 'cat'"),
    ],
)
def test_nothing_is_indexed_unless_all_is_right(tmp_path: Path, line: str, message: str, threads: int) -> None:
    write_lines(tmp_path / "in" / "a.jsonl", *({"id": f"d{n}", "vector": {"cat": n}} for n in range(1, 600)))
    write_lines(tmp_path / "in" / "b.jsonl", {"id": "e", "vector": {"cat": 3}})
    with (tmp_path / "in" / "b.jsonl").open("a") as file:
        file.write(line + "\n")
    with pytest.raises(RecordError, match=message):
        index(tmp_path / "in", tmp_path / "index", IndexOptions(threads=threads))
    assert [path.name for path in tmp_path.iterdir()] == ["in"]


def test_files_without_a_manifest_are_read_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    opened: list[str] = []
    real = lines.open_input

    def counting(path: Path) -> Any:
        opened.append(path.name)
        return real(path)

    write_lines(tmp_path / "in" / "a.jsonl", {"id": "a", "vector": {"cat": 3}})
    write_lines(tmp_path / "in" / "b.jsonl", {"id": "b", "vector": {"cat": 3.0}})
    monkeypatch.setattr(lines, "open_input", counting)
    index(tmp_path / "in", tmp_path / "index")
    assert opened == ["a.jsonl", "b.jsonl"]


def test_a_file_that_changed_is_not_up_to_date_though_its_size_and_counts_are_the_same(tmp_path: Path) -> None:
    file = write_lines(tmp_path / "a.jsonl", {"id": "a", "vector": {"cat": 3}})
    index(file, tmp_path / "index")
    write_lines(file, {"id": "b", "vector": {"dog": 3}})
    outcome = run_stage("index", "--input", file, "--index", tmp_path / "index")
    assert (outcome.code, "pseudo-documents was" in outcome.err) == (2, True)


def test_a_directory_without_vectors_is_refused(tmp_path: Path) -> None:
    write_lines(tmp_path / "topics.jsonl", {"id": "a", "vector": {"cat": 3}})
    with pytest.raises(InputError, match="contains no impact pseudo-documents"):
        index(tmp_path, tmp_path.with_name("index"))


@needs_cases("impacts-zero", "impacts-float", "impacts-other-tools", "seismic-float.jsonl", "impacts.ciff.gz")
@pytest.mark.parametrize(
    ("name", "arguments", "expected"),
    [
        ("impacts-zero", [], "2 documents, 3 postings, 220 impacts"),
        ("impacts-float", ["--scale", "100"], "1 document, 2 postings, 208 impacts"),
        ("seismic-float.jsonl", ["--scale", "100"], "1 document, 2 postings, 208 impacts"),
        ("impacts-other-tools/docid-weights.parquet", ["--scale", "100"], "1 document, 2 postings, 170 impacts"),
        ("impacts-other-tools/list-of-pairs.jsonl", ["--scale", "100"], "1 document, 1 posting, 150 impacts"),
        (
            "impacts-other-tools/indices-values.jsonl",
            ["--scale", "100", "--vocabulary", "splade-mini"],
            "1 document, 2 postings, 170 impacts",
        ),
        ("impacts.ciff.gz", [], "5 documents, 254 postings"),
        ("impacts-dir-partly-read", [], "1 document, 1 posting, 3 impacts"),
    ],
)
def test_the_cases_of_other_tools_are_indexed(tmp_path: Path, name: str, arguments: list[str], expected: str) -> None:
    outcome = run_stage("index", "--input", CASES / name, "--index", tmp_path / "index", *arguments)
    assert (outcome.code, expected in outcome.out) == (0, True), outcome.err + outcome.out


@needs_data("real-vectors")
def test_topics_beside_real_shards_are_not_taken_for_documents() -> None:
    files = find_vector_files(DATA / "real-vectors")
    assert len(files.files) == 26
    assert [path.name for path in files.unread] == ["README.md", "topics.tsv.gz"]


def test_a_message_shows_the_first_keys_of_an_object_of_all_documents() -> None:
    with pytest.raises(RecordError, match=r"the keys are d0, d1, .*d11, …\.") as caught:
        document_of({f"d{n}": {"cat": 1.5} for n in range(10_000)})
    assert len(str(caught.value)) < 400
