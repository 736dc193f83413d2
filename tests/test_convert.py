import json
import logging
import shutil
import zipfile
from collections.abc import Mapping
from functools import partial
from pathlib import Path
from tempfile import gettempdir
from types import ModuleType

import numpy as np
import pytest
import scipy.sparse
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from pyarrow import parquet as pyarrow_parquet

from splade_anserini.artifacts.manifests import EncodeSettings, ImpactManifest, read_manifest
from splade_anserini.conversion import (
    FORMATS,
    ClampedImpacts,
    ImpactDirectory,
    Source,
    buckets,
    csr,
    document_format,
    scaled_down,
    spool,
    topic_format,
    write_converted,
)
from splade_anserini.conversion.directory import read_directory
from splade_anserini.conversion.format import FileFormat
from splade_anserini.convert import convert, open_source
from splade_anserini.errors import InputError, IntegrityError, OutputError
from splade_anserini.formats import vector_parquet
from splade_anserini.formats.impacts import count_impacts, read_impacts
from splade_anserini.formats.tokens import JAVA_WHITESPACE
from splade_anserini.formats.topics import read_encoded_topics, write_encoded_topics
from splade_anserini.records import ImpactDocument
from tests.cli_runner import run_stage
from tests.impact_fixtures import ANIMALS, IDENTITY, documents, random_vectors, write_documents, write_encoded
from tests.shared_data import DATA, needs_data

FILES = {"csr": "a.npz", "parquet": "a.parquet", "ciff": "a.ciff", "seismic": "a.jsonl", "bmp": "a.bmp.ciff"}
OUTPUTS = {"impacts": "a"} | FILES

characters = st.characters(exclude_categories=["Cs"])
tokens = st.text(characters, min_size=1, max_size=8).filter(JAVA_WHITESPACE.isdisjoint) | st.just("##ing")
vectors = st.dictionaries(tokens, st.integers(1, 255), max_size=6)
ids = st.text(characters, min_size=1, max_size=8).filter(lambda id_: id_.split() == [id_] and "\0" not in id_)
impact_documents = st.builds(ImpactDocument, ids, vectors, st.text(characters, max_size=20))
collections = st.lists(impact_documents, min_size=1, max_size=6, unique_by=lambda document: document.id)


def source_of(collection: list[ImpactDocument], encoded: EncodeSettings | None = None) -> Source:
    return Source(Path("memory"), lambda: iter(collection), encoded)


def documents_of(path: Path) -> list[ImpactDocument]:
    return list(open_source(path, None).read())


@pytest.mark.parametrize("name", FILES)
@given(collections)
@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], max_examples=25, deadline=None)
def test_a_file_contains_the_documents_that_were_written(
    tmp_path: Path, name: str, collection: list[ImpactDocument]
) -> None:
    format_ = FORMATS[name]
    texts = [text for document in collection for text in (document.id, *document.vector)]
    if name == "csr" and any(text.endswith("\0") for text in texts):
        with pytest.raises(InputError, match="ends in NUL"):
            write_converted(source_of(collection), tmp_path / FILES[name], format_)
        return
    write_converted(source_of(collection), tmp_path / FILES[name], format_)
    without_contents = [ImpactDocument(document.id, document.vector) for document in collection]
    expected = collection if format_.keeps_contents else without_contents
    assert list(format_.read(tmp_path / FILES[name])) == expected


@pytest.mark.parametrize("name", OUTPUTS)
def test_paths_can_be_strings(tmp_path: Path, name: str) -> None:
    path, collection = str(tmp_path / OUTPUTS[name]), documents(ANIMALS)
    write_converted(source_of(collection), path, document_format(path, name, for_output=True))
    assert {document.id: document.vector for document in FORMATS[name].read(path)} == ANIMALS
    assert FORMATS[name].read_settings(path) is None


@given(collections)
@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], max_examples=15, deadline=None)
def test_a_directory_of_several_files_contains_the_documents_that_were_written(
    tmp_path: Path, collection: list[ImpactDocument]
) -> None:
    shutil.rmtree(tmp_path / "out", ignore_errors=True)
    write_converted(source_of(collection), tmp_path / "out", ImpactDirectory(docs_per_shard=2))
    assert list(read_directory(tmp_path / "out")) == collection
    assert len(list((tmp_path / "out").iterdir())) == -(-len(collection) // 2)


@pytest.mark.parametrize("name", FILES)
def test_blocks_and_batches_of_any_size_give_the_same_bytes(
    tmp_path: Path, name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    collection = documents(random_vectors(1, 50) | {"none": {}, "nothing": {}})
    large, small = (tmp_path / f"{size}.{FILES[name]}" for size in ("large", "small"))
    write_converted(source_of(collection), large, FORMATS[name])
    monkeypatch.setattr(spool, "BLOCK", 7)
    monkeypatch.setattr(buckets, "POSTINGS", 5)
    monkeypatch.setattr(csr, "BATCH", 3)
    monkeypatch.setattr(vector_parquet, "BATCH", 3)
    write_converted(source_of(collection), small, FORMATS[name])
    assert small.read_bytes() == large.read_bytes()
    assert [document.vector for document in FORMATS[name].read(small)] == [document.vector for document in collection]


@pytest.mark.parametrize("name", FILES)
def test_a_round_trip_keeps_documents_encoder_and_scale(
    tmp_path: Path, caplog: pytest.LogCaptureFixture, name: str
) -> None:
    encoded = write_encoded(tmp_path / "in", ANIMALS | {"d5": {}})
    file = tmp_path / FILES[name]
    out = run_stage("convert", "--input", tmp_path / "in", "--output", file)
    assert (out.code, out.out) == (0, f"{file}: 4 documents, 1 empty, 7 postings, 23 impacts\n")
    back = run_stage("convert", "--input", file, "--output", tmp_path / "back", "--docs-per-shard", 2)
    assert back.code == 0, back.err
    vectors = {document.id: document.vector for document in documents_of(tmp_path / "back")}
    assert [*vectors.items()] == [*ANIMALS.items(), ("d5", {})]
    assert ("Documents whose contents" in caplog.text) is (name not in {"parquet", "seismic"})
    manifest = read_manifest(tmp_path / "back", ImpactManifest)
    if name == "seismic":
        assert manifest is None
        assert "seismic does not store how documents were encoded" in caplog.text
        return
    assert manifest
    assert (manifest.settings.encoder, manifest.settings.scale) == (IDENTITY, 100.0)
    assert (manifest.counts, manifest.empty, manifest.complete) == (encoded.counts, 1, True)
    assert [shard.empty for shard in manifest.shards] == [(), (), ("d5",)]
    assert manifest.settings.contents is (name == "parquet")


def test_scipy_reads_the_matrix(tmp_path: Path) -> None:
    write_converted(source_of(documents(ANIMALS)), tmp_path / "a.npz", FORMATS["csr"])
    matrix = scipy.sparse.load_npz(tmp_path / "a.npz")
    with np.load(tmp_path / "a.npz") as file:
        names, columns = file["ids"].tolist(), file["tokens"].tolist()
    assert (names, columns) == (list(ANIMALS), ["##ing", "bird", "cat", "dog", "fish"])
    assert matrix.dtype == np.int32
    assert matrix.has_canonical_format
    assert matrix.toarray().tolist() == [[0, 0, 3, 1, 0], [2, 0, 0, 5, 0], [0, 7, 1, 0, 0], [0, 0, 0, 0, 4]]


def test_a_scipy_matrix_with_ids_and_tokens_is_read(tmp_path: Path) -> None:
    matrix = scipy.sparse.csr_array(np.array([[0.0, 2.0], [3.0, 0.0]]))
    arrays = {"data": matrix.data, "indices": matrix.indices, "indptr": matrix.indptr}
    named = {"format": b"csr", "shape": matrix.shape, "ids": ["a", "b"], "tokens": ["cat", "dog"]}
    np.savez(tmp_path / "a.npz", **arrays, **named)  # type: ignore[arg-type]
    assert list(FORMATS["csr"].read(tmp_path / "a.npz")) == [
        ImpactDocument("a", {"dog": 2}),
        ImpactDocument("b", {"cat": 3}),
    ]


def test_a_parquet_file_contains_lists_of_tokens_and_impacts(tmp_path: Path) -> None:
    write_converted(source_of(documents({"d1": {"b": 2, "a": 3}})), tmp_path / "a.parquet", FORMATS["parquet"])
    assert pyarrow_parquet.read_table(tmp_path / "a.parquet").to_pylist() == [
        {"id": "d1", "contents": "text of d1", "tokens": ["a", "b"], "impacts": [3, 2]}
    ]


def arrays_of(path: Path) -> dict[str, np.ndarray]:
    with np.load(path) as file:
        return dict(file)


@pytest.mark.parametrize(
    ("changes", "fragment"),
    [
        ({"ids": None}, "has no array ids"),
        ({"tokens": None}, "has no array tokens"),
        ({"indptr": None}, "has no array indptr"),
        ({"format": np.array(b"csc")}, "is not a CSR matrix"),
        ({"ids": np.array(["d1", "d2"])}, "2 ids"),
        ({"tokens": np.array(["a"])}, "5 columns and 1 token"),
        ({"tokens": np.array(["a", "a", "b", "c", "d"])}, "two columns of the same token"),
        ({"indptr": np.array([0, 4, 2, 6, 7])}, "end before they start"),
        ({"indptr": np.array([0, 2, 4, 6, 8])}, "7 indices, but its rows end at 8"),
        ({"data": np.ones(6, np.int32)}, "6 data"),
        ({"data": np.full(7, 0.5)}, "row 1: the impact of"),
        ({"indices": np.full(7, 9)}, "an index outside its columns"),
        ({"indices": np.full(7, -1)}, "an index outside its columns"),
        ({"indices": np.zeros(7, int)}, "row 1: duplicate column"),
        ({"ids": np.array(["d 1 ", "d2", "d3", "d4"])}, "row 1: the id 'd 1 ' contains white space"),
        ({"ids": np.array(["d1", "d2", "d3", "d1"])}, "document 4: duplicate document id 'd1'"),
        ({"data": np.array([object()] * 7)}, "array data of object"),
        ({"format": np.array([], "S3")}, "is not a CSR matrix"),
        ({"ids": np.array(["\ud800", "d2", "d3", "d4"])}, "array ids that is not valid text"),
        ({"ids": np.full(4, 2**31 - 1, np.uint32).view("<U1")}, "array ids that is not valid text"),
        ({"tokens": np.array(["\ud800", "b", "c", "d", "e"])}, "array tokens that is not valid text"),
    ],
)
def test_an_invalid_matrix_is_an_error(tmp_path: Path, changes: Mapping[str, np.ndarray | None], fragment: str) -> None:
    write_converted(source_of(documents(ANIMALS)), tmp_path / "a.npz", FORMATS["csr"])
    arrays = {name: array for name, array in (arrays_of(tmp_path / "a.npz") | changes).items() if array is not None}
    np.savez(tmp_path / "a.npz", allow_pickle=True, **arrays)
    check_conversion_fails(tmp_path, "a.npz", fragment)


def check_conversion_fails(directory: Path, file: str, fragment: str) -> None:
    """Check that a conversion to a directory and to a file exits with code 2 and leaves nothing behind."""
    before = sorted(directory.iterdir())
    for output in ("out", "b.parquet"):
        outcome = run_stage("convert", "--input", directory / file, "--output", directory / output)
        assert outcome.code == 2, outcome.err
        assert fragment in outcome.err
    assert sorted(directory.iterdir()) == before


@pytest.mark.parametrize(
    ("columns", "fragment"),
    [
        ({"id": ["d1"], "tokens": [["a"]]}, "row 1: no vector; the keys are id, tokens"),
        ({"name": ["d1"], "tokens": [["a"]], "impacts": [[1]]}, "row 1: no id; the keys are name, tokens, impacts"),
        ({"id": ["d1"], "tokens": [["a"]], "impacts": [[1, 2]]}, "row 1: 1 token and 2 impacts"),
        ({"id": ["d0", "d1"], "tokens": [["b"], ["a", "a"]], "impacts": [[1], [1, 2]]}, "row 2: duplicate token"),
        ({"id": [None], "tokens": [["a"]], "impacts": [[1]]}, "row 1: no id"),
        ({"id": ["d1"], "tokens": ["a"], "impacts": [[1]]}, "row 1: no vector; the keys are id, tokens, impacts"),
        ({"id": ["d1"], "tokens": [[1]], "impacts": [[1]]}, "row 1: the vector has ids of a vocabulary, such as 1"),
        ({"id": ["d1"], "tokens": [["a"]], "impacts": [[1.5]]}, "the impact of 'a' is 1.5"),
        ({"id": ["d1"], "tokens": [["a"]], "impacts": [[None]]}, "the impact of 'a' is null"),
        ({"id": ["d1"], "tokens": [["a"]], "impacts": [[1]], "contents": [7]}, "row 1: the contents is 7"),
        ({"id": [b"d1"], "tokens": [["a"]], "impacts": [[1]]}, "row 1: the id is a Python bytes"),
        ({"id": [1.5], "tokens": [["a"]], "impacts": [[1]]}, "row 1: the id is 1.5"),
        ({"id": [["d1"]], "tokens": [["a"]], "impacts": [[1]]}, "row 1: the id is an array"),
        ({"id": [], "tokens": [], "impacts": []}, "contains no documents"),
    ],
)
def test_an_invalid_table_is_an_error(tmp_path: Path, columns: dict[str, list[object]], fragment: str) -> None:
    import pyarrow as pa

    if not columns["tokens"]:
        types = [("id", pa.string()), ("tokens", pa.list_(pa.string())), ("impacts", pa.list_(pa.int32()))]
        table = pa.table(columns, schema=pa.schema(types))
    else:
        table = pa.table(columns)
    pyarrow_parquet.write_table(table, tmp_path / "a.parquet")
    check_conversion_fails(tmp_path, "a.parquet", fragment)


def test_a_duplicate_column_is_an_error(tmp_path: Path) -> None:
    import pyarrow as pa

    columns = [pa.array(["d1"]), pa.array(["d2"]), pa.array([["a"]]), pa.array([[1]])]
    table = pa.table(columns, names=["id", "id", "tokens", "impacts"])
    pyarrow_parquet.write_table(table, tmp_path / "a.parquet")
    check_conversion_fails(tmp_path, "a.parquet", "has 2 columns 'id'")


def test_a_string_that_is_not_utf8_is_an_error(tmp_path: Path) -> None:
    import pyarrow as pa

    offsets = pa.py_buffer(np.array([0, 2], np.int32).tobytes())
    invalid = pa.Array.from_buffers(pa.string(), 1, [None, offsets, pa.py_buffer(b"\xff\xfe")])
    table = pa.table([invalid, pa.array([["a"]]), pa.array([[1]])], names=["id", "tokens", "impacts"])
    pyarrow_parquet.write_table(table, tmp_path / "a.parquet")
    check_conversion_fails(tmp_path, "a.parquet", "cannot be read as Parquet: 'utf-8' codec")


@pytest.mark.parametrize("name", ["csr", "parquet", "ciff", "bmp"])
def test_a_file_truncated_anywhere_is_an_error(tmp_path: Path, name: str) -> None:
    file = tmp_path / FILES[name]
    write_converted(source_of(documents(random_vectors(3, 6))), file, FORMATS[name])
    complete = file.read_bytes()
    for size in sorted({*range(0, len(complete), max(1, len(complete) // 60)), len(complete) - 1}):
        file.write_bytes(complete[:size])
        with pytest.raises(InputError):
            write_converted(open_source(file, None), tmp_path / "out", ImpactDirectory())
        assert list(tmp_path.iterdir()) == [file]


@pytest.mark.parametrize("name", ["csr", "parquet", "ciff", "bmp"])
def test_a_file_of_another_format_is_an_error(tmp_path: Path, name: str) -> None:
    (tmp_path / FILES[name]).write_bytes(b'{"id": "d1", "vector": {"a": 1}}\n')
    check_conversion_fails(tmp_path, FILES[name], str(tmp_path / FILES[name]))


@pytest.mark.slow
@pytest.mark.parametrize("name", ["csr", "parquet", "ciff"])
def test_a_flipped_bit_is_an_error_or_changes_nothing_but_a_name_in_ciff(tmp_path: Path, name: str) -> None:
    file = tmp_path / FILES[name]
    write_converted(source_of(documents(random_vectors(3, 40))), file, FORMATS[name])
    intact = file.read_bytes()

    def protected(collection: list[ImpactDocument]) -> list[object]:
        if name == "ciff":  # which has no checksums
            return [sorted(document.vector.values()) for document in collection]
        return [(document.id, document.vector) for document in collection]

    expected = protected(documents_of(file))
    for position in range(0, len(intact), max(1, len(intact) // 300)):
        flipped = bytes([intact[position] ^ 1 << position % 8])
        file.write_bytes(intact[:position] + flipped + intact[position + 1 :])
        try:
            collection = documents_of(file)
        except InputError:
            continue
        assert protected(collection) == expected, position


def test_lengths_that_lucene_rounded_are_accepted_only_from_other_programs(tmp_path: Path) -> None:
    file = tmp_path / "a.ciff"
    write_converted(source_of(documents({"d1": {"a": 3, "b": 4}})), file, FORMATS["ciff"])
    rounded = file.read_bytes()[:-1] + b"\x08"
    file.write_bytes(rounded)
    with pytest.raises(InputError, match="the impacts of 'd1' do not sum to its length, 8"):
        documents_of(file)
    file.write_bytes(rounded.replace(b"Impact vectors", b"By others: now"))
    assert documents_of(file) == [ImpactDocument("d1", {"a": 3, "b": 4})]


def test_an_unknown_suffix_needs_a_format(tmp_path: Path) -> None:
    write_encoded(tmp_path / "in")
    outcome = run_stage("convert", "--input", tmp_path / "in", "--output", tmp_path / "a.data")
    assert outcome.code == 2
    assert f"Cannot infer the format of {tmp_path / 'a.data'}." in outcome.err
    assert ".npz (csr)" in outcome.err
    assert run_stage("convert", "--input", tmp_path / "in", "--output", tmp_path / "a.data", "--to", "csr").code == 0
    outcome = run_stage("convert", "--input", tmp_path / "a.data", "--output", tmp_path / "b.npz", "--from", "csv")
    assert outcome.code == 2
    assert "There is no format 'csv'" in outcome.err
    back = ["--input", tmp_path / "a.data", "--from", "csr", "--output", tmp_path / "b.out", "--to", "impacts"]
    assert run_stage("convert", *back).code == 0
    assert count_impacts(tmp_path / "b.out")[0].postings == 7


@pytest.mark.parametrize(
    ("path", "name"),
    [
        ("a", "impacts"),
        ("a.npz", "csr"),
        ("a.parquet", "parquet"),
        ("a.ciff", "ciff"),
        ("a.bmp.ciff", "bmp"),
        ("a.jsonl", "seismic"),
        ("a.json", "seismic"),
    ],
)
def test_a_suffix_implies_the_format_of_documents(path: str, name: str) -> None:
    assert document_format(Path(path)).name == name
    assert document_format(Path(path), for_output=True).name == name


@pytest.mark.parametrize("path", ["a.jsonl.gz", "a.json.gz"])
def test_compressed_json_is_read_but_not_written(path: str) -> None:
    assert document_format(Path(path)).name == "seismic"
    with pytest.raises(InputError, match="Cannot infer the format"):
        document_format(Path(path), for_output=True)


@pytest.mark.parametrize(
    ("path", "name"),
    [
        ("t.tsv", "impacts"),
        ("t.tsv.gz", "impacts"),
        ("t.npz", "csr"),
        ("t.parquet", "parquet"),
        ("t.jsonl", "seismic"),
        ("t.bmp.txt", "bmp"),
    ],
)
def test_a_suffix_implies_the_format_of_topics(path: str, name: str) -> None:
    assert topic_format(path).name == name
    assert topic_format(path, for_output=True).name == name


@pytest.mark.parametrize("name", ["topics", "impacts"])
def test_topics_is_another_name_of_impacts(name: str) -> None:
    assert topic_format("t.npz", name).name == "impacts"


@pytest.mark.parametrize("source", ["irds:cranfield", "beir", "t.jsonl.gz", "t.data"])
def test_topics_of_an_unknown_suffix_are_read_as_pseudo_documents_are(source: str) -> None:
    assert topic_format(source).name == "impacts"


@pytest.mark.parametrize(
    ("source", "output", "fragment"),
    [
        ("in", "in", "are the same path"),
        ("in", "in/a.npz", "is inside input"),
        ("in", "link/b.npz", "is inside input"),
        ("a.npz", "out/../a.npz", "are the same path"),
        ("a.npz", "out", "already exists"),
        ("nothing", "b.npz", "does not exist"),
        ("in", "out/mine.txt/b.npz", "mine.txt"),
    ],
)
def test_an_input_or_output_path_that_cannot_be_used_is_an_error(
    tmp_path: Path, source: str, output: str, fragment: str
) -> None:
    write_encoded(tmp_path / "in")
    (tmp_path / "link").symlink_to("in")
    (tmp_path / "out").mkdir()
    (tmp_path / "out" / "mine.txt").write_text("mine")
    assert run_stage("convert", "--input", tmp_path / "in", "--output", tmp_path / "a.npz").code == 0
    outcome = run_stage("convert", "--input", tmp_path / source, "--output", tmp_path / output)
    assert outcome.code == 2
    assert fragment in outcome.err


def test_a_directory_with_the_name_of_a_file_format_is_an_error(tmp_path: Path) -> None:
    write_encoded(tmp_path / "in")
    outcome = run_stage("convert", "--input", tmp_path / "in", "--from", "csr", "--output", tmp_path / "b.npz")
    assert outcome.code == 2
    assert "is a directory" in outcome.err


@pytest.mark.parametrize("output", ["a.npz", "out"])
def test_a_conversion_is_made_once_and_replaced_only_with_overwrite(tmp_path: Path, output: str) -> None:
    write_encoded(tmp_path / "in")
    write_encoded(tmp_path / "changed", ANIMALS | {"d5": {"cat": 1}})
    (tmp_path / "link").symlink_to("in")
    made = ["--output", tmp_path / output, "--format", "json"]
    first = run_stage("convert", "--input", tmp_path / "link", *made)
    counts = {"documents": 4, "empty": 0, "postings": 7, "impacts": 23}
    assert json.loads(first.out) == {"output": str(tmp_path / output), **counts, "up_to_date": False}
    written = (tmp_path / output).stat().st_mtime_ns
    again = run_stage("convert", "--input", tmp_path / "in", *made)
    assert (again.code, json.loads(again.out)) == (0, {**json.loads(first.out), "up_to_date": True})
    assert (tmp_path / output).stat().st_mtime_ns == written
    (tmp_path / "link").unlink()
    (tmp_path / "link").symlink_to("changed")
    other = run_stage("convert", "--input", tmp_path / "link", *made)
    assert (other.code, "made with other settings or inputs: input was" in other.err) == (2, True)
    scaled = run_stage("convert", "--input", tmp_path / "in", *made, "--max-impact", 3)
    assert (scaled.code, "max_impact was None, is 3" in scaled.err) == (2, True)
    assert json.loads(run_stage("convert", "--input", tmp_path / "link", *made, "--overwrite").out)["documents"] == 5
    assert len(documents_of(tmp_path / output)) == 5


def test_overwrite_removes_no_directory_that_others_made(tmp_path: Path) -> None:
    write_encoded(tmp_path / "in")
    (tmp_path / "out").mkdir()
    (tmp_path / "out" / "mine.txt").write_text("mine")
    done = run_stage("convert", "--input", tmp_path / "in", "--output", tmp_path / "out", "--overwrite")
    assert (done.code, "was not written by splade-anserini" in done.err) == (2, True)
    with pytest.raises(OutputError, match="was not written by splade-anserini"):
        convert(tmp_path / "in", tmp_path / "out", overwrite=True)
    assert (tmp_path / "out" / "mine.txt").read_text() == "mine"


@pytest.mark.parametrize(
    ("option", "message"),
    [
        (("--docs-per-shard", 0), "--docs-per-shard must be at least 1, got 0."),
        (("--docs-per-shard", 2**31), "--docs-per-shard must be at most"),
        (("--max-impact", 0), "--max-impact must be at least 1, got 0."),
    ],
)
def test_numbers_out_of_range_are_refused(tmp_path: Path, option: tuple[str, int], message: str) -> None:
    write_encoded(tmp_path / "in")
    done = run_stage("convert", "--input", tmp_path / "in", "--output", tmp_path / "out", *option)
    assert (done.code, message in done.err) == (2, True)


def test_an_incomplete_directory_is_an_error(tmp_path: Path) -> None:
    write_encoded(tmp_path / "a", complete=False)
    outcome = run_stage("convert", "--input", tmp_path / "a", "--output", tmp_path / "a.npz")
    assert outcome.code == 2
    assert "a is incomplete: encoding was interrupted.\nRun the same encode command again." in outcome.err


def test_a_directory_that_does_not_match_its_manifest_is_an_error(tmp_path: Path) -> None:
    write_encoded(tmp_path / "b")
    write_documents(tmp_path / "b" / "shard-00001.jsonl.gz", documents({"d9": {"a": 1}}))
    with pytest.raises(IntegrityError, match="documents: 3 instead of 4"):
        write_converted(open_source(tmp_path / "b", None), tmp_path / "b.npz", FORMATS["csr"])
    assert not list(tmp_path.glob("b.npz*"))


@pytest.mark.parametrize("name", OUTPUTS)
def test_a_document_lost_in_writing_is_an_error(tmp_path: Path, name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    format_ = FORMATS[name]
    read = format_.read
    monkeypatch.setattr(format_, "read", lambda path: iter(list(read(path))[:-1]))
    with pytest.raises(IntegrityError, match="documents: 3 instead of 4"):
        write_converted(source_of(documents(ANIMALS)), tmp_path / OUTPUTS[name], format_)
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize("name", ["csr", "parquet", "seismic", "bmp"])
def test_a_query_changed_in_writing_is_an_error(tmp_path: Path, name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    format_ = FORMATS[name]
    assert isinstance(format_, FileFormat)
    rows = format_.topic_rows
    monkeypatch.setattr(format_, "topic_rows", lambda path, reader: list(rows(path, reader))[:-1])
    with pytest.raises(IntegrityError, match="does not match what was written"):
        format_.write_topics(tmp_path / "topics", ANIMALS)
    assert not list(tmp_path.iterdir())


def test_bmp_does_not_store_impacts_above_255(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    write_encoded(tmp_path / "in", {"d1": {"a": 1000, "b": 1, "c": 500}, "d2": {"c": 3}})
    outcome = run_stage("convert", "--input", tmp_path / "in", "--output", tmp_path / "a.bmp.ciff")
    assert outcome.code == 2
    assert "document 1: the impact of 'a' is 1000" in outcome.err
    assert "--max-impact 255" in outcome.err
    assert not list(tmp_path.glob("a.*"))
    scaled = ["--input", tmp_path / "in", "--output", tmp_path / "a.bmp.ciff", "--max-impact", 255]
    outcome = run_stage("convert", *scaled)
    assert outcome.code == 0
    assert "set to 1: 1" in caplog.text
    source = open_source(tmp_path / "a.bmp.ciff", None)
    assert [document.vector for document in source.read()] == [{"a": 255, "b": 1, "c": 128}, {"c": 1}]
    assert source.settings
    assert source.settings.scale == pytest.approx(25.5)


@given(collections, st.integers(1, 300))
@settings(max_examples=50, deadline=None)
def test_scaling_down_keeps_every_entry_and_rounds(collection: list[ImpactDocument], limit: int) -> None:
    scaled = list(scaled_down(source_of(collection), limit, ClampedImpacts()).read())
    greatest = max((impact for document in collection for impact in document.vector.values()), default=0)
    if greatest <= limit:
        assert scaled == collection
    for before, after in zip(collection, scaled, strict=True):
        assert before.vector.keys() == after.vector.keys()
        for token, impact in after.vector.items():
            assert 1 <= impact <= limit
            if greatest > limit:
                exact = before.vector[token] * limit / greatest
                assert impact == 1 or abs(impact - exact) <= 0.5


TOPICS = {"q1": {"cat": 3, "##ing": 1}, "q2": {"größe": 40}, "q:3": {"dog": 2}}


@pytest.mark.parametrize("name", ["t.npz", "t.parquet", "t.jsonl", "t.tsv.gz", "t.bmp.txt"])
def test_a_round_trip_keeps_topics(tmp_path: Path, name: str) -> None:
    topics = {id_: vector for id_, vector in TOPICS.items() if ":" not in id_ or "bmp" not in name}
    write_encoded_topics(tmp_path / "in.tsv", topics)
    out = ["--input", tmp_path / "in.tsv", "--output", tmp_path / name, "--topics"]
    assert run_stage("convert", *out).out == f"{tmp_path / name}: {len(topics)} queries\n"
    assert "is up to date" in run_stage("convert", *out).out
    back = ["--input", tmp_path / name, "--output", tmp_path / "back.tsv", "--topics"]
    assert run_stage("convert", *back).code == 0
    assert read_encoded_topics(str(tmp_path / "back.tsv")) == topics
    assert (tmp_path / "back.tsv").read_bytes() == (tmp_path / "in.tsv").read_bytes()


@pytest.mark.parametrize(
    ("output", "options", "fragment"),
    [
        ("t.ciff", [], "CIFF does not define topics"),
        ("t.out", [], "Cannot infer the format of"),
        ("t.tsv", ["--to", "ciff"], "not defined for topics"),
        ("t.bmp.txt", [], "contains a colon"),
        ("t.npz", ["--max-impact", "255"], "--max-impact is for documents"),
        ("in.tsv", [], "are the same path"),
    ],
)
def test_topics_that_cannot_be_written_are_an_error(
    tmp_path: Path, output: str, options: list[str], fragment: str
) -> None:
    write_encoded_topics(tmp_path / "in.tsv", TOPICS)
    outcome = run_stage("convert", "--input", tmp_path / "in.tsv", "--output", tmp_path / output, "--topics", *options)
    assert outcome.code == 2
    assert fragment in outcome.err
    assert [path.name for path in tmp_path.iterdir()] == ["in.tsv"]


@pytest.mark.parametrize(
    ("text", "fragment"),
    [("q1 cat", "line 1: no colon"), ("q1: cat\nq1: dog", "line 2: duplicate query id 'q1'"), ("q1: ", "empty")],
)
def test_invalid_topics_of_bmp_are_an_error(tmp_path: Path, text: str, fragment: str) -> None:
    (tmp_path / "t.bmp.txt").write_text(text)
    outcome = run_stage("convert", "--input", tmp_path / "t.bmp.txt", "--output", tmp_path / "t.tsv", "--topics")
    assert outcome.code == 2
    assert fragment in outcome.err


def test_a_warning_says_what_seismic_rounds_or_truncates(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    collection = [ImpactDocument("d1", {"a": 2049, "x" * 31: 2048})]
    with caplog.at_level(logging.WARNING):
        write_converted(source_of(collection), tmp_path / "a.jsonl", FORMATS["seismic"])
    assert "Impacts above 2048, which Seismic rounds: 1" in caplog.text
    assert "longer than 30" in caplog.text


@pytest.mark.slow
@needs_data("splade-v3.nfcorpus")
@pytest.mark.parametrize(
    "name", ["csr", *(pytest.param(name, marks=pytest.mark.full) for name in ("parquet", "ciff", "seismic"))]
)
def test_a_round_trip_keeps_the_vectors_of_a_real_collection(tmp_path: Path, name: str) -> None:
    docs = DATA / "splade-v3.nfcorpus" / "docs.jsonl.gz"
    out = run_stage("convert", "--input", docs, "--output", tmp_path / FILES[name])
    assert out.code == 0
    counts = out.out.partition(": ")[2]
    back = run_stage(
        "convert", "--input", tmp_path / FILES[name], "--output", tmp_path / "back", "--docs-per-shard", 999
    )
    assert back.out.partition(": ")[2] == counts
    assert len(list((tmp_path / "back").glob("shard-*"))) == 4
    for before, after in zip(read_impacts(docs), read_directory(tmp_path / "back"), strict=True):
        assert (before.id, before.vector) == (after.id, after.vector)


def test_the_npz_archive_has_no_time_stamps(tmp_path: Path) -> None:
    write_converted(source_of(documents(ANIMALS)), tmp_path / "a.npz", FORMATS["csr"])
    with zipfile.ZipFile(tmp_path / "a.npz") as archive:
        assert {entry.date_time[0] for entry in archive.infolist()} == {1980}


@pytest.mark.parametrize("module", [spool, buckets])
def test_an_error_about_a_full_disk_names_the_directory_of_temporary_files(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, module: ModuleType
) -> None:
    if not Path("/dev/full").exists():
        pytest.skip("this system has no /dev/full")
    # Every write to this device fails with the error of a full disk.
    monkeypatch.setattr(module, "TemporaryFile", partial(Path("/dev/full").open, "wb+", 1 << 16))
    with pytest.raises(OutputError, match=f"The disk is full: {gettempdir()} "):
        write_converted(source_of(documents(ANIMALS)), tmp_path / "a.ciff", FORMATS["ciff"])
    assert not list(tmp_path.iterdir())
