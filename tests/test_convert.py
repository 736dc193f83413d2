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
from pyarrow import parquet

from splade_anserini.artifacts.manifests import EncodeSettings, ImpactManifest, read_manifest
from splade_anserini.conversion import FORMATS, IMPACTS, Source, write_converted
from splade_anserini.conversion import buckets as sorting
from splade_anserini.conversion import spool as spooling
from splade_anserini.conversion.directory import read_directory
from splade_anserini.convert import open_source
from splade_anserini.errors import InputError, IntegrityError, OutputError
from splade_anserini.formats.impacts import count_impacts, read_impacts
from splade_anserini.formats.tokens import JAVA_WHITESPACE
from splade_anserini.formats.topics import read_encoded_topics, write_encoded_topics
from splade_anserini.records import ImpactDocument
from tests import pseudo
from tests.running import run_stage

VECTORS = Path(__file__).parents[2] / "shared" / "data" / "splade-v3.nfcorpus"
FILES = {"csr": "a.npz", "parquet": "a.parquet", "ciff": "a.ciff", "seismic": "a.jsonl", "bmp": "a.bmp.ciff"}

characters = st.characters(exclude_categories=["Cs"])
tokens = st.text(characters, min_size=1, max_size=8).filter(JAVA_WHITESPACE.isdisjoint) | st.just("##ing")
vectors = st.dictionaries(tokens, st.integers(1, 255), max_size=6)
ids = st.text(characters, min_size=1, max_size=8).filter(lambda id_: id_.split() == [id_])
documents = st.builds(ImpactDocument, ids, vectors, st.text(characters, max_size=20))
collections = st.lists(documents, min_size=1, max_size=6, unique_by=lambda document: document.id)


def source_of(some: list[ImpactDocument], encoded: EncodeSettings | None = None) -> Source:
    return Source(Path("memory"), lambda: iter(some), encoded)


def documents_of(path: Path) -> list[ImpactDocument]:
    return list(open_source(path, None).read())


@pytest.mark.parametrize("name", FORMATS)
@given(collections)
@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], max_examples=25, deadline=None)
def test_what_is_written_is_read_again(tmp_path: Path, name: str, written: list[ImpactDocument]) -> None:
    format_ = FORMATS[name]
    names = [*(document.id for document in written), *(token for each in written for token in each.vector)]
    if name == "csr" and any(text.endswith("\0") for text in names):
        with pytest.raises(InputError, match="ends in NUL"):
            write_converted(source_of(written), tmp_path / FILES[name], format_)
        return
    write_converted(source_of(written), tmp_path / FILES[name], format_)
    kept = written if format_.keeps_contents else [ImpactDocument(each.id, each.vector) for each in written]
    assert list(format_.read(tmp_path / FILES[name])) == kept


@given(collections)
@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], max_examples=15, deadline=None)
def test_so_it_is_in_a_directory_of_several_files(tmp_path: Path, written: list[ImpactDocument]) -> None:
    shutil.rmtree(tmp_path / "out", ignore_errors=True)
    write_converted(source_of(written), tmp_path / "out", None, docs_per_shard=2)
    assert list(read_directory(tmp_path / "out")) == written
    assert len(list((tmp_path / "out").iterdir())) == -(-len(written) // 2)


@pytest.mark.parametrize("name", FORMATS)
def test_small_pieces_give_the_same_bytes(tmp_path: Path, name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    from splade_anserini.conversion import csr, parquet

    some = pseudo.documents(pseudo.random_vectors(1, 50) | {"none": {}, "nothing": {}})
    write_converted(source_of(some), tmp_path / f"one.{FILES[name]}", FORMATS[name])
    monkeypatch.setattr(spooling, "BLOCK", 7)
    monkeypatch.setattr(sorting, "POSTINGS", 5)
    monkeypatch.setattr(csr, "BATCH", 3)
    monkeypatch.setattr(parquet, "BATCH", 3)
    write_converted(source_of(some), tmp_path / f"two.{FILES[name]}", FORMATS[name])
    one, two = ((tmp_path / f"{which}.{FILES[name]}").read_bytes() for which in ("one", "two"))
    assert one == two
    assert [each.vector for each in FORMATS[name].read(tmp_path / f"two.{FILES[name]}")] == [
        each.vector for each in some
    ]


def test_the_way_out_and_back_keeps_documents_encoder_and_scale(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    manifest = pseudo.write_encoded(tmp_path / "in", pseudo.ANIMALS | {"d5": {}})
    for name, file in FILES.items():
        out = run_stage("convert", "--input", tmp_path / "in", "--output", tmp_path / file)
        assert (out.code, out.out) == (0, f"{tmp_path / file}: 4 documents, 1 empty, 7 postings, 23 impacts\n")
        back = run_stage("convert", "--input", tmp_path / file, "--output", tmp_path / name, "--docs-per-shard", 2)
        assert back.code == 0, back.err
        said = caplog.text
        caplog.clear()
        assert [(each.id, each.vector) for each in documents_of(tmp_path / name)] == [
            *pseudo.ANIMALS.items(),
            ("d5", {}),
        ]
        found = read_manifest(tmp_path / name, ImpactManifest)
        if name == "seismic":
            assert found is None
            assert "seismic does not hold how the documents were encoded" in said
            continue
        assert found
        assert (found.settings.encoder, found.settings.scale) == (pseudo.IDENTITY, 100.0)
        assert (found.counts, found.empty, found.complete) == (manifest.counts, 1, True)
        assert [shard.empty for shard in found.shards] == [(), (), ("d5",)]
        assert ("contents" in said) is (name != "parquet")
        assert found.settings.contents is (name == "parquet")


def test_scipy_reads_the_matrix(tmp_path: Path) -> None:
    write_converted(source_of(pseudo.documents(pseudo.ANIMALS)), tmp_path / "a.npz", FORMATS["csr"])
    matrix = scipy.sparse.load_npz(tmp_path / "a.npz")
    with np.load(tmp_path / "a.npz") as file:
        names, columns = file["ids"].tolist(), file["tokens"].tolist()
    assert (names, columns) == (list(pseudo.ANIMALS), ["##ing", "bird", "cat", "dog", "fish"])
    assert matrix.dtype == np.int32
    assert matrix.has_canonical_format
    assert matrix.toarray().tolist() == [[0, 0, 3, 1, 0], [2, 0, 0, 5, 0], [0, 7, 1, 0, 0], [0, 0, 0, 0, 4]]


def test_a_matrix_of_scipy_with_names_is_read(tmp_path: Path) -> None:
    matrix = scipy.sparse.csr_array(np.array([[0.0, 2.0], [3.0, 0.0]]))
    arrays = {"data": matrix.data, "indices": matrix.indices, "indptr": matrix.indptr}
    named = {"format": b"csr", "shape": matrix.shape, "ids": ["a", "b"], "tokens": ["cat", "dog"]}
    np.savez(tmp_path / "a.npz", **arrays, **named)  # type: ignore[arg-type]
    assert list(FORMATS["csr"].read(tmp_path / "a.npz")) == [
        ImpactDocument("a", {"dog": 2}),
        ImpactDocument("b", {"cat": 3}),
    ]


def test_every_reader_of_parquet_gets_lists(tmp_path: Path) -> None:
    write_converted(source_of(pseudo.documents({"d1": {"b": 2, "a": 3}})), tmp_path / "a.parquet", FORMATS["parquet"])
    assert parquet.read_table(tmp_path / "a.parquet").to_pylist() == [
        {"id": "d1", "contents": "text of d1", "tokens": ["a", "b"], "impacts": [3, 2]}
    ]


def arrays_of(path: Path) -> dict[str, np.ndarray]:
    with np.load(path) as file:
        return dict(file)


@pytest.mark.parametrize(
    ("changes", "fragment"),
    [
        ({"ids": None}, "holds no array ids"),
        ({"tokens": None}, "holds no array tokens"),
        ({"indptr": None}, "holds no array indptr"),
        ({"format": np.array(b"csc")}, "is no matrix in CSR"),
        ({"ids": np.array(["d1", "d2"])}, "2 ids"),
        ({"tokens": np.array(["a"])}, "1 tokens"),
        ({"tokens": np.array(["a", "a", "b", "c", "d"])}, "two columns alike"),
        ({"indptr": np.array([0, 4, 2, 6, 7])}, "end before they begin"),
        ({"indptr": np.array([0, 2, 4, 6, 8])}, "7 indices, but rows end at 8"),
        ({"data": np.ones(6, np.int32)}, "6 data"),
        ({"data": np.full(7, 0.5)}, "row 1: the impact of"),
        ({"data": np.zeros(7, np.int32)}, "row 1: the impact of"),
        ({"indices": np.full(7, 9)}, "none of its tokens"),
        ({"indices": np.full(7, -1)}, "none of its tokens"),
        ({"indices": np.zeros(7, int)}, "row 1: a column stands twice"),
        ({"ids": np.array(["d 1", "d2", "d3", "d4"])}, "row 1: the id 'd 1' holds white space"),
        ({"ids": np.array(["d1", "d2", "d3", "d1"])}, "document 4: the document id 'd1' occurs again"),
        ({"data": np.array([object()] * 7)}, "array data of object"),
        ({"format": np.array([], "S3")}, "is no matrix in CSR"),
        ({"ids": np.array(["\ud800", "d2", "d3", "d4"])}, "array ids that is no text"),
        ({"ids": np.full(4, 2**31 - 1, np.uint32).view("<U1")}, "array ids that is no text"),
        ({"tokens": np.array(["\ud800", "b", "c", "d", "e"])}, "array tokens that is no text"),
    ],
)
def test_a_bad_matrix_is_refused(tmp_path: Path, changes: Mapping[str, np.ndarray | None], fragment: str) -> None:
    write_converted(source_of(pseudo.documents(pseudo.ANIMALS)), tmp_path / "a.npz", FORMATS["csr"])
    changed = {name: array for name, array in (arrays_of(tmp_path / "a.npz") | changes).items() if array is not None}
    np.savez(tmp_path / "a.npz", allow_pickle=True, **changed)
    refused(tmp_path, "a.npz", fragment)


def refused(directory: Path, file: str, fragment: str) -> None:
    """A file is refused with exit code 2, and nothing is left."""
    before = sorted(directory.iterdir())
    for output in ("out", "b.parquet"):
        done = run_stage("convert", "--input", directory / file, "--output", directory / output)
        assert done.code == 2, done.err
        assert fragment in done.err
    assert sorted(directory.iterdir()) == before


@pytest.mark.parametrize(
    ("columns", "fragment"),
    [
        ({"id": ["d1"], "tokens": [["a"]]}, "no column impacts"),
        ({"docid": ["d1"], "tokens": [["a"]], "impacts": [[1]]}, "It has docid, tokens, impacts"),
        ({"id": ["d1"], "tokens": [["a"]], "impacts": [[1, 2]]}, "row 1: 1 tokens and 2 impacts"),
        ({"id": ["d0", "d1"], "tokens": [["b"], ["a", "a"]], "impacts": [[1], [1, 2]]}, "row 2: a token stands twice"),
        ({"id": [None], "tokens": [["a"]], "impacts": [[1]]}, "row 1: no id"),
        ({"id": ["d1"], "tokens": ["a"], "impacts": [[1]]}, "no lists"),
        ({"id": ["d1"], "tokens": [[1]], "impacts": [[1]]}, "a token that is no string"),
        ({"id": ["d1"], "tokens": [["a"]], "impacts": [[1.5]]}, "the impact of 'a' is 1.5"),
        ({"id": ["d1"], "tokens": [["a"]], "impacts": [[None]]}, "the impact of 'a' is null"),
        ({"id": ["d1"], "tokens": [["a"]], "impacts": [[1]], "contents": [7]}, "contents that are no string"),
        ({"id": [b"d1"], "tokens": [["a"]], "impacts": [[1]]}, "row 1: no id"),
        ({"id": [1.5], "tokens": [["a"]], "impacts": [[1]]}, "row 1: no id"),
        ({"id": [["d1"]], "tokens": [["a"]], "impacts": [[1]]}, "row 1: no id"),
        ({"id": [], "tokens": [], "impacts": []}, "no documents"),
    ],
)
def test_a_bad_table_is_refused(tmp_path: Path, columns: dict[str, list[object]], fragment: str) -> None:
    import pyarrow as pa

    if not columns["tokens"]:
        types = [("id", pa.string()), ("tokens", pa.list_(pa.string())), ("impacts", pa.list_(pa.int32()))]
        table = pa.table(columns, schema=pa.schema(types))
    else:
        table = pa.table(columns)
    parquet.write_table(table, tmp_path / "a.parquet")
    refused(tmp_path, "a.parquet", fragment)


def test_columns_of_one_name_and_strings_that_are_no_text_are_refused(tmp_path: Path) -> None:
    import pyarrow as pa

    rest = [pa.array([["a"]]), pa.array([[1]])]
    two = pa.table([pa.array(["d1"]), pa.array(["d2"]), *rest], names=["id", "id", "tokens", "impacts"])
    parquet.write_table(two, tmp_path / "a.parquet")
    refused(tmp_path, "a.parquet", "has two columns id")
    bytes_ = [None, pa.py_buffer(np.array([0, 2], np.int32).tobytes()), pa.py_buffer(b"\xff\xfe")]
    no_text = pa.Array.from_buffers(pa.string(), 1, bytes_)
    parquet.write_table(pa.table([no_text, *rest], names=["id", "tokens", "impacts"]), tmp_path / "a.parquet")
    refused(tmp_path, "a.parquet", "cannot be read as Parquet: 'utf-8' codec")


@pytest.mark.parametrize("name", ["csr", "parquet", "ciff", "bmp"])
def test_what_is_cut_off_anywhere_or_is_something_else_is_refused(tmp_path: Path, name: str) -> None:
    some = pseudo.documents(pseudo.random_vectors(3, 6))
    file = tmp_path / FILES[name]
    write_converted(source_of(some), file, FORMATS[name])
    whole = file.read_bytes()
    for size in sorted({*range(0, len(whole), max(1, len(whole) // 60)), len(whole) - 1}):
        file.write_bytes(whole[:size])
        with pytest.raises(InputError):
            write_converted(open_source(file, None), tmp_path / "out", None)
        assert list(tmp_path.iterdir()) == [file]
    file.write_bytes(b'{"id": "d1", "vector": {"a": 1}}\n')
    refused(tmp_path, FILES[name], str(file))


@pytest.mark.parametrize("name", ["csr", "parquet", "ciff"])
def test_a_flipped_bit_is_an_error_or_changes_nothing_and_in_ciff_no_more_than_a_name(
    tmp_path: Path, name: str
) -> None:
    file = tmp_path / FILES[name]
    write_converted(source_of(pseudo.documents(pseudo.random_vectors(3, 40))), file, FORMATS[name])
    whole = file.read_bytes()

    def told(documents: list[ImpactDocument]) -> list[object]:
        if name == "ciff":  # which has no checksums
            return [sorted(each.vector.values()) for each in documents]
        return [(each.id, each.vector) for each in documents]

    right = told(documents_of(file))
    for place in range(0, len(whole), max(1, len(whole) // 300)):
        file.write_bytes(whole[:place] + bytes([whole[place] ^ 1 << place % 8]) + whole[place + 1 :])
        try:
            found = documents_of(file)
        except InputError:
            continue
        assert told(found) == right, place


def test_lengths_that_lucene_has_rounded_are_taken_from_others_alone(tmp_path: Path) -> None:
    file = tmp_path / "a.ciff"
    write_converted(source_of(pseudo.documents({"d1": {"a": 3, "b": 4}})), file, FORMATS["ciff"])
    rounded = file.read_bytes()[:-1] + b"\x08"
    file.write_bytes(rounded)
    with pytest.raises(InputError, match="the impacts of 'd1' do not sum up to its length, 8"):
        documents_of(file)
    file.write_bytes(rounded.replace(b"Impact vectors", b"By others: now"))
    assert documents_of(file) == [ImpactDocument("d1", {"a": 3, "b": 4})]


def test_a_name_that_says_nothing_needs_a_format(tmp_path: Path) -> None:
    pseudo.write_encoded(tmp_path / "in")
    done = run_stage("convert", "--input", tmp_path / "in", "--output", tmp_path / "a.data")
    assert done.code == 2
    assert ".npz (csr)" in done.err
    assert run_stage("convert", "--input", tmp_path / "in", "--output", tmp_path / "a.data", "--to", "csr").code == 0
    done = run_stage("convert", "--input", tmp_path / "a.data", "--output", tmp_path / "b.npz", "--from", "csv")
    assert done.code == 2
    assert "There is no format 'csv'" in done.err
    back = ["--input", tmp_path / "a.data", "--from", "csr", "--output", tmp_path / "b.out", "--to", IMPACTS]
    assert run_stage("convert", *back).code == 0
    assert count_impacts(tmp_path / "b.out")[0].postings == 7


def test_places_that_are_taken_missing_or_the_same_are_refused(tmp_path: Path) -> None:
    pseudo.write_encoded(tmp_path / "in")
    (tmp_path / "link").symlink_to("in")
    (tmp_path / "out").mkdir()
    (tmp_path / "out" / "mine.txt").write_text("mine")
    assert run_stage("convert", "--input", tmp_path / "in", "--output", tmp_path / "a.npz").code == 0
    for source, output, fragment in [
        ("in", "in", "one place"),
        ("in", "in/a.npz", "one place"),
        ("in", "link/b.npz", "one place"),
        ("a.npz", "out/../a.npz", "one place"),
        ("a.npz", "out", "exists already"),
        ("nothing", "b.npz", "does not exist"),
        ("in", "out/mine.txt/b.npz", "mine.txt"),
    ]:
        done = run_stage("convert", "--input", tmp_path / source, "--output", tmp_path / output)
        assert done.code == 2, (source, output)
        assert fragment in done.err
    done = run_stage("convert", "--input", tmp_path / "in", "--from", "csr", "--output", tmp_path / "b.npz")
    assert done.code == 2
    assert "is a directory" in done.err


def test_an_incomplete_directory_and_one_that_was_changed_are_refused(tmp_path: Path) -> None:
    pseudo.write_encoded(tmp_path / "a", complete=False)
    done = run_stage("convert", "--input", tmp_path / "a", "--output", tmp_path / "a.npz")
    assert done.code == 2
    assert "not complete" in done.err
    pseudo.write_encoded(tmp_path / "b")
    pseudo.write_documents(tmp_path / "b" / "shard-00001.jsonl.gz", pseudo.documents({"d9": {"a": 1}}))
    with pytest.raises(IntegrityError, match="documents: 3 instead of 4"):
        write_converted(open_source(tmp_path / "b", None), tmp_path / "b.npz", FORMATS["csr"])
    assert not list(tmp_path.glob("b.npz*"))


@pytest.mark.parametrize("name", FORMATS)
def test_what_is_lost_while_it_is_written_is_noticed(tmp_path: Path, name: str) -> None:
    import dataclasses

    some = pseudo.documents(pseudo.ANIMALS)
    format_ = FORMATS[name]
    forgetful = dataclasses.replace(format_, read=lambda path: iter(list(format_.read(path))[:-1]))
    with pytest.raises(IntegrityError, match="documents: 3 instead of 4"):
        write_converted(source_of(some), tmp_path / FILES[name], forgetful)
    assert not list(tmp_path.iterdir())


def test_impacts_of_more_than_8_bits_need_a_word(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    pseudo.write_encoded(tmp_path / "in", {"d1": {"a": 1000, "b": 1, "c": 500}, "d2": {"c": 3}})
    done = run_stage("convert", "--input", tmp_path / "in", "--output", tmp_path / "a.bmp.ciff")
    assert done.code == 2
    assert "document 1: the impact of 'a' is 1000" in done.err
    assert "--max-impact 255" in done.err
    assert not list(tmp_path.glob("a.*"))
    scaled = ["--input", tmp_path / "in", "--output", tmp_path / "a.bmp.ciff", "--max-impact", 255]
    done = run_stage("convert", *scaled)
    assert done.code == 0
    assert "made 1: 1" in caplog.text
    opened = open_source(tmp_path / "a.bmp.ciff", None)
    assert [each.vector for each in opened.read()] == [{"a": 255, "b": 1, "c": 128}, {"c": 1}]
    assert opened.settings
    assert opened.settings.scale == pytest.approx(25.5)


@given(collections, st.integers(1, 300))
@settings(max_examples=50, deadline=None)
def test_scaling_down_keeps_every_entry_and_the_order(some: list[ImpactDocument], most: int) -> None:
    from splade_anserini.conversion import ClampedImpacts, scaled_down

    scaled = list(scaled_down(source_of(some), most, ClampedImpacts()).read())
    greatest = max((impact for each in some for impact in each.vector.values()), default=0)
    if greatest <= most:
        assert scaled == some
    for before, after in zip(some, scaled, strict=True):
        assert before.vector.keys() == after.vector.keys()
        for token, impact in after.vector.items():
            assert 1 <= impact <= max(most, 1)
            if greatest > most:
                exact = before.vector[token] * most / greatest
                assert impact == 1 or abs(impact - exact) <= 0.5


TOPICS = {"q1": {"cat": 3, "##ing": 1}, "q2": {"größe": 40}, "q:3": {"dog": 2}}


@pytest.mark.parametrize("name", ["t.npz", "t.parquet", "t.jsonl", "t.tsv.gz", "t.bmp.txt"])
def test_topics_come_back_as_they_were(tmp_path: Path, name: str) -> None:
    topics = {id_: vector for id_, vector in TOPICS.items() if ":" not in id_ or "bmp" not in name}
    write_encoded_topics(tmp_path / "in.tsv", topics)
    out = ["--input", tmp_path / "in.tsv", "--output", tmp_path / name, "--topics"]
    assert run_stage("convert", *out).out == f"{tmp_path / name}: {len(topics)} topics\n"
    back = ["--input", tmp_path / name, "--output", tmp_path / "back.tsv", "--topics"]
    assert run_stage("convert", *back).code == 0
    assert read_encoded_topics(str(tmp_path / "back.tsv")) == topics
    assert (tmp_path / "back.tsv").read_bytes() == (tmp_path / "in.tsv").read_bytes()


@pytest.mark.parametrize(
    ("output", "more", "fragment"),
    [
        ("t.ciff", [], "CIFF defines no queries"),
        ("t.out", [], "in what format"),
        ("t.tsv", ["--to", "ciff"], "not defined for queries"),
        ("t.bmp.txt", [], "holds a colon"),
        ("t.npz", ["--max-impact", "255"], "--max-impact is for documents"),
        ("in.tsv", [], "are one file"),
    ],
)
def test_topics_that_cannot_be_written_are_refused(tmp_path: Path, output: str, more: list[str], fragment: str) -> None:
    write_encoded_topics(tmp_path / "in.tsv", TOPICS)
    done = run_stage("convert", "--input", tmp_path / "in.tsv", "--output", tmp_path / output, "--topics", *more)
    assert done.code == 2
    assert fragment in done.err
    assert [path.name for path in tmp_path.iterdir()] == ["in.tsv"]


@pytest.mark.parametrize(
    ("text", "fragment"),
    [("q1 cat", "line 1: no colon"), ("q1: cat\nq1: dog", "line 2: the query id 'q1' occurs again"), ("q1: ", "empty")],
)
def test_bad_queries_of_bmp_are_refused(tmp_path: Path, text: str, fragment: str) -> None:
    (tmp_path / "t.bmp.txt").write_text(text)
    done = run_stage("convert", "--input", tmp_path / "t.bmp.txt", "--output", tmp_path / "t.tsv", "--topics")
    assert done.code == 2
    assert fragment in done.err


def test_seismic_is_warned_of_before_it_rounds(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    some = [ImpactDocument("d1", {"a": 2049, "x" * 31: 2048})]
    with caplog.at_level(logging.WARNING):
        write_converted(source_of(some), tmp_path / "a.jsonl", FORMATS["seismic"])
    assert "Impacts above 2048, which Seismic rounds: 1" in caplog.text
    assert "longer than 30" in caplog.text


@pytest.mark.slow
@pytest.mark.skipif(not VECTORS.exists(), reason=f"{VECTORS} is not there")
@pytest.mark.parametrize("name", ["csr", "parquet", "ciff", "seismic"])
def test_a_real_collection_comes_back_with_the_same_vectors(tmp_path: Path, name: str) -> None:
    docs = VECTORS / "docs.jsonl.gz"
    out = run_stage("convert", "--input", docs, "--output", tmp_path / FILES[name])
    assert out.code == 0
    counted = out.out.partition(": ")[2]
    back = run_stage(
        "convert", "--input", tmp_path / FILES[name], "--output", tmp_path / "back", "--docs-per-shard", 999
    )
    assert back.out.partition(": ")[2] == counted
    assert len(list((tmp_path / "back").iterdir())) == 4
    for one, other in zip(read_impacts(docs), read_directory(tmp_path / "back"), strict=True):
        assert (one.id, one.vector) == (other.id, other.vector)


def test_the_archive_has_no_times(tmp_path: Path) -> None:
    write_converted(source_of(pseudo.documents(pseudo.ANIMALS)), tmp_path / "a.npz", FORMATS["csr"])
    with zipfile.ZipFile(tmp_path / "a.npz") as archive:
        assert {entry.date_time[0] for entry in archive.infolist()} == {1980}


@pytest.mark.parametrize("module", [spooling, sorting])
def test_a_full_disk_of_temporary_files_is_not_blamed_on_the_output(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, module: ModuleType
) -> None:
    if not Path("/dev/full").exists():
        pytest.skip("this system has no /dev/full")
    # A device that is always full: the real error of a real write.
    monkeypatch.setattr(module, "TemporaryFile", partial(Path("/dev/full").open, "wb+", 1 << 16))
    with pytest.raises(OutputError, match=f"The disk is full: {gettempdir()} "):
        write_converted(source_of(pseudo.documents(pseudo.ANIMALS)), tmp_path / "a.ciff", FORMATS["ciff"])
    assert not list(tmp_path.iterdir())
