import gzip
import json
import os
import re
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any, Literal

import pytest

from splade_anserini.artifacts.manifests import MANIFEST, Counts, IndexManifest, read_manifest
from splade_anserini.errors import InputError, IntegrityError, JavaError, MismatchError, OutputError, RecordError
from splade_anserini.index import index
from splade_anserini.lucene import IndexOptions, count_index
from tests.cli_runner import heeding_interrupts, run_stage
from tests.impact_fixtures import ANIMALS, IDENTITY, documents, random_vectors, write_documents, write_encoded


def rewrite(path: Path, change: object) -> None:
    """Change the lines of a gzipped shard, but not its manifest."""
    lines = gzip.decompress(path.read_bytes()).splitlines()
    path.write_bytes(gzip.compress(b"\n".join(change(lines)) + b"\n"))  # type: ignore[operator]


@pytest.fixture
def impacts(tmp_path: Path) -> Path:
    write_encoded(tmp_path / "impacts")
    return tmp_path / "impacts"


@pytest.fixture
def output(tmp_path: Path) -> Path:
    return tmp_path / "index"


def nothing_is_left_at(output: Path) -> bool:
    return not any(path.name.startswith((output.name, f".{output.name}")) for path in output.parent.iterdir())


def test_the_index_holds_what_the_manifest_says_and_says_how_it_was_encoded(impacts: Path, output: Path) -> None:
    manifest = index(impacts, output, IndexOptions(threads=2, memory=64))
    assert manifest == read_manifest(output, IndexManifest)
    assert count_index(output) == manifest.counts == Counts(documents=4, postings=7, impacts=23)
    assert (manifest.encoder, manifest.scale, manifest.max_length) == (IDENTITY, 100.0, 256)
    assert re.fullmatch(r"splade-anserini \S+ on Lucene 10\.\d+\.\d+", manifest.writer)
    assert manifest.options["memory"] == 64


def test_pseudo_documents_without_a_manifest_are_counted_and_indexed(tmp_path: Path, output: Path) -> None:
    write_documents(tmp_path / "impacts" / "deep" / "a.jsonl", documents(ANIMALS))
    manifest = index(tmp_path / "impacts", output)
    assert manifest.counts == Counts(documents=4, postings=7, impacts=23)
    assert (manifest.encoder, manifest.scale) == (None, None)


def test_documents_with_an_empty_vector_are_not_indexed(tmp_path: Path, output: Path) -> None:
    write_encoded(tmp_path / "impacts", ANIMALS | {"empty": {}})
    assert index(tmp_path / "impacts", output).counts.documents == 4


def test_the_index_is_one_segment(impacts: Path, output: Path) -> None:
    index(impacts, output, IndexOptions(threads=2))
    assert len(list(output.glob("*.si"))) == 1


@pytest.mark.slow
def test_records_and_document_vectors_are_stored_on_request(impacts: Path, output: Path) -> None:
    from splade_anserini.lucene import LuceneImpactSearcher

    index(impacts, output, IndexOptions(store_text=True, store_docvectors=True))
    searcher = LuceneImpactSearcher(str(output), object(), min_idf=-1)
    assert json.loads(searcher.doc("d2").raw())["contents"] == "text of d2"
    assert searcher.object.reader.termVectors().get(0) is not None


def test_the_parts_of_a_corpus_become_one_index(tmp_path: Path, output: Path) -> None:
    write_encoded(tmp_path / "impacts" / "a", ANIMALS, shard_id=1, shard_num=2)
    write_encoded(tmp_path / "impacts" / "b", {"e1": {"cat": 1}}, shard_id=0, shard_num=2)
    assert index(tmp_path / "impacts", output).counts == Counts(documents=5, postings=8, impacts=24)


def test_missing_parts_are_refused_and_named(tmp_path: Path, output: Path) -> None:
    for part in (0, 2):
        write_encoded(tmp_path / "impacts" / str(part), ANIMALS, shard_id=part, shard_num=4)
    with pytest.raises(MismatchError, match="Parts 1, 3 of 4 are missing"):
        index(tmp_path / "impacts", output)


def test_a_duplicate_part_is_refused(tmp_path: Path, output: Path) -> None:
    for name in ("a", "b"):
        write_encoded(tmp_path / "impacts" / name, ANIMALS, shard_id=0, shard_num=2)
    with pytest.raises(MismatchError, match="are both part 0 of 2"):
        index(tmp_path / "impacts", output)


@pytest.mark.parametrize(
    ("change", "named"),
    [
        ({"scale": 51.2}, r"different settings \(scale: 51.2 and 100.0\)"),
        ({"top_k": 5}, r"different settings \(top-k"),
        ({"max_length": 512}, r"different settings \(maximum length"),
        ({"encoder": IDENTITY.model_copy(update={"weights": "x"})}, r"different settings \(encoder \(weights\)"),
        ({"shard_num": 3}, r"different settings \(number of parts"),
    ],
)
def test_parts_that_were_encoded_with_different_settings_are_refused(
    tmp_path: Path, output: Path, change: dict[str, object], named: str
) -> None:
    write_encoded(tmp_path / "impacts" / "a", ANIMALS, shard_id=0, shard_num=2)
    write_encoded(tmp_path / "impacts" / "b", {"e": {"cat": 1}}, **({"shard_id": 1, "shard_num": 2} | change))
    with pytest.raises(MismatchError, match=named):
        index(tmp_path / "impacts", output)


def test_parts_may_have_different_corpus_and_encoder_paths(tmp_path: Path, output: Path) -> None:
    elsewhere = {"corpus": "/mnt/x", "encoder": IDENTITY.model_copy(update={"name": "/mnt/words"})}
    write_encoded(tmp_path / "impacts" / "a", ANIMALS, shard_id=0, shard_num=2)
    write_encoded(tmp_path / "impacts" / "b", {"e": {"cat": 1}}, shard_id=1, shard_num=2, **elsewhere)
    assert index(tmp_path / "impacts", output).counts.documents == 5


@pytest.mark.parametrize(
    ("change", "error", "difference"),
    [
        pytest.param(
            lambda lines: [b'{"id": "d1"}', *lines[1:]],
            RecordError,
            "shard-00000.jsonl.gz, line 1: no vector",
            id="a record without a vector",
        ),
        pytest.param(
            lambda lines: [lines[0], b"{nonsense"], RecordError, "line 2: not valid JSON", id="a malformed line"
        ),
        pytest.param(lambda lines: [*lines, lines[0]], RecordError, "duplicate document id 'd1'", id="a record twice"),
        pytest.param(lambda lines: lines[:1], IntegrityError, "documents: 3 instead of 4", id="a lost record"),
        pytest.param(
            lambda lines: [lines[0].replace(b":3", b":4"), *lines[1:]],
            IntegrityError,
            "impacts: 24 instead of 23",
            id="an impact",
        ),
    ],
)
def test_documents_that_anserini_loses_or_adds_are_an_error(
    impacts: Path, output: Path, change: object, error: type[Exception], difference: str
) -> None:
    rewrite(impacts / "shard-00000.jsonl.gz", change)
    with pytest.raises(error, match=difference):
        index(impacts, output, IndexOptions(writer="anserini"))
    assert nothing_is_left_at(output)


@pytest.mark.parametrize("threads", [1, 2])
@pytest.mark.parametrize(
    ("change", "error", "found"),
    [
        pytest.param(
            lambda lines: [lines[0], b'{"id": "d2"}'],
            RecordError,
            "shard-00000.jsonl.gz, line 2: no vector",
            id="a record without a vector",
        ),
        pytest.param(
            lambda lines: [lines[0], b"{nonsense"], RecordError, "line 2: not valid JSON", id="a malformed line"
        ),
        pytest.param(lambda lines: [*lines, lines[0]], RecordError, "duplicate document id 'd1'", id="a record twice"),
        pytest.param(lambda lines: lines[:1], IntegrityError, "3 instead of 4", id="a lost record"),
        pytest.param(
            lambda lines: [lines[0].replace(b":3", b":4"), *lines[1:]], IntegrityError, "impacts: 24", id="an impact"
        ),
        pytest.param(
            lambda lines: [lines[0].replace(b"cat", b"c t"), *lines[1:]], IntegrityError, "postings", id="white space"
        ),
        pytest.param(
            lambda lines: [lines[0].replace(b":3", b":3.5"), *lines[1:]], JavaError, "NumberFormat", id="a fraction"
        ),
    ],
)
def test_shards_that_were_changed_are_noticed(
    impacts: Path, output: Path, change: object, error: type[Exception], found: str, threads: int
) -> None:
    rewrite(impacts / "shard-00000.jsonl.gz", change)
    with pytest.raises(error, match=found):
        index(impacts, output, IndexOptions(threads=threads))
    assert nothing_is_left_at(output)


@pytest.mark.parametrize("writer", ["lucene", "anserini"])
def test_a_cut_off_shard_is_an_error(impacts: Path, output: Path, writer: Literal["lucene", "anserini"]) -> None:
    shard = impacts / "shard-00001.jsonl.gz"
    shard.write_bytes(shard.read_bytes()[:40])
    with pytest.raises(RecordError, match="truncated or damaged"):
        index(impacts, output, IndexOptions(writer=writer))
    assert nothing_is_left_at(output)


def test_an_index_that_the_same_call_made_is_up_to_date(impacts: Path, output: Path) -> None:
    manifest = index(impacts, output)
    (segments,) = output.glob("segments_*")
    before = segments.read_bytes()
    assert index(impacts, output) == manifest
    assert index(impacts, output, IndexOptions(threads=1, memory=64)) == manifest
    assert segments.read_bytes() == before
    index(impacts, output, overwrite=True)
    assert next(output.glob("segments_*")).read_bytes() != before


def test_another_index_is_kept_without_overwrite(impacts: Path, output: Path) -> None:
    index(impacts, output)
    with pytest.raises(OutputError, match="store_text was False, is True"):
        index(impacts, output, IndexOptions(store_text=True))
    (impacts / "shard-00001.jsonl.gz").unlink()
    write_encoded(impacts, {"e": {"cat": 1}})
    with pytest.raises(OutputError, match=r"pseudo-documents was(.|\n)*--overwrite"):
        index(impacts, output)
    assert count_index(output).documents == 4
    assert index(impacts, output, overwrite=True).counts.documents == 1


def test_an_index_survives_a_failure_to_replace_it(impacts: Path, output: Path) -> None:
    index(impacts, output)
    rewrite(impacts / "shard-00000.jsonl.gz", lambda lines: lines[:1])
    with pytest.raises(IntegrityError):
        index(impacts, output, overwrite=True)
    assert count_index(output).documents == 4


def test_only_an_index_is_ever_replaced(impacts: Path, tmp_path: Path) -> None:
    (tmp_path / "precious").mkdir()
    (tmp_path / "precious" / "thesis.tex").touch()
    with pytest.raises(OutputError, match="is not an index"):
        index(impacts, tmp_path / "precious", overwrite=True)
    with pytest.raises(OutputError, match="are the same path"):
        index(impacts, impacts, overwrite=True)
    with pytest.raises(OutputError, match="contains input"):
        index(impacts, tmp_path, overwrite=True)


def test_a_failure_in_anserini_has_an_error_message(
    impacts: Path, output: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from splade_anserini.lucene import anserini_writer

    real = anserini_writer._index_collection
    monkeypatch.setattr(
        anserini_writer,
        "_index_collection",
        lambda settings, progress: real(settings | {"generatorClass": "Typo"}, progress),
    )
    with pytest.raises(JavaError, match=r"Java failed while indexing .*Typo"):
        index(impacts, output, IndexOptions(writer="anserini"))
    assert nothing_is_left_at(output)


@pytest.fixture(scope="module")
def invalid_inputs(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Directories that cannot be indexed."""
    home = tmp_path_factory.mktemp("invalid")
    (home / "empty").mkdir()
    (home / "file").touch()
    write_encoded(home / "interrupted", complete=False)
    write_encoded(home / "unlisted")
    write_documents(home / "unlisted" / "more" / "other.jsonl", documents({"o": {"cat": 1}}))
    write_encoded(home / "missing")
    (home / "missing" / "shard-00001.jsonl.gz").unlink()
    write_encoded(home / "all-empty", {"a": {}, "b": {}})
    write_documents(home / "duplicate" / "a.jsonl", documents({"a": {"x": 1}}))
    write_documents(home / "duplicate" / "b.jsonl", documents({"a": {"x": 1}}))
    write_encoded(home / "other-manifest")
    (home / "other-manifest" / MANIFEST).write_text('{"kind": "soup"}')
    for name, line in [
        ("no-vector", '{"id": "a"}'),
        ("no-json", "{"),
        ("space", '{"id": "a", "vector": {"a b": 1}}'),
        ("zero", '{"id": "a", "vector": {"a": 0}}'),
    ]:
        (home / name).mkdir()
        (home / name / "a.jsonl").write_text(line + "\n")
    return home


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("nowhere", "does not exist"),
        ("empty", "contains no impact pseudo-documents"),
        ("file", "Cannot infer the format"),
        ("interrupted", "Run the same encode command again"),
        ("unlisted", "other.jsonl is not listed in any"),
        ("missing", "shard-00001.jsonl.gz is missing"),
        ("all-empty", "all document vectors are empty"),
        ("duplicate", "'a'"),
        ("other-manifest", "is not a valid impact manifest"),
        ("no-vector", "a.jsonl, line 1: no vector"),
        ("no-json", "a.jsonl, line 1"),
        ("space", "white space"),
        ("zero", "all document vectors are empty"),
    ],
)
def test_invalid_input_has_an_error_message_and_exit_code_2(
    invalid_inputs: Path, output: Path, name: str, message: str
) -> None:
    outcome = run_stage("index", "--input", invalid_inputs / name, "--index", output)
    assert (outcome.code, message in outcome.err) == (2, True), outcome.err
    assert "Traceback" not in outcome.err
    assert not output.exists()


def test_the_command_says_what_it_built(impacts: Path, output: Path) -> None:
    outcome = run_stage("index", "--input", impacts, "--index", output, "--threads", 2, "--no-optimize")
    assert (outcome.code, outcome.err) == (0, "")
    assert "4 documents, 7 postings, 23 impacts" in outcome.out
    again = run_stage("index", "--input", impacts, "--index", output)
    assert (again.code, "--overwrite" in again.err) == (2, True)


@pytest.fixture(scope="module")
def many_impacts(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Enough documents to interrupt the index build."""
    home = tmp_path_factory.mktemp("many")
    write_documents(home / "a.jsonl.gz", documents(random_vectors(1, 20_000, vocabulary=200, greatest=100)))
    return home


@pytest.mark.slow
@pytest.mark.parametrize("signal_number", [signal.SIGKILL, signal.SIGINT])
def test_after_a_killed_build_there_is_no_index_and_the_next_build_succeeds(
    many_impacts: Path, output: Path, signal_number: int
) -> None:
    arguments = ["-m", "splade_anserini.index", "--input", many_impacts, "--index", output, "--threads", "1"]
    environment = os.environ | {"PYTHONPATH": os.pathsep.join(sys.path)}
    command = [sys.executable, *arguments]
    with heeding_interrupts():
        process = subprocess.Popen(command, stderr=subprocess.PIPE, env=environment)
    with process:
        partial = output.with_name("index.partial")
        while not any(partial.glob("*")):
            assert process.poll() is None
            time.sleep(0.02)
        process.send_signal(signal_number)
        _, error = process.communicate()
    assert not output.exists()
    if signal_number == signal.SIGINT:
        assert (process.returncode, b"Traceback" in error) == (130, False)
        assert not partial.exists()
    assert index(many_impacts, output).counts.documents == 20_000
    assert not partial.exists()


@pytest.mark.slow
def test_a_lack_of_memory_in_java_has_an_error_message(tmp_path: Path, output: Path) -> None:
    write_documents(tmp_path / "impacts" / "a.jsonl", documents({"d": {f"t{n}": 1_000_000 for n in range(30)}}))
    environment = os.environ | {"PYTHONPATH": os.pathsep.join(sys.path), "SPLADE_ANSERINI_HEAP": "32m"}
    arguments = [sys.executable, "-m", "splade_anserini.index", "--input", tmp_path / "impacts", "--index", output]
    done = subprocess.run(
        [*arguments, "--writer", "anserini"], capture_output=True, text=True, env=environment, check=False
    )
    assert (done.returncode, done.stdout) == (1, "")
    assert "SPLADE_ANSERINI_HEAP" in done.stderr
    assert "Traceback" not in done.stderr
    assert nothing_is_left_at(output)
    # With Lucene's IndexWriter no token is repeated, and the same heap is enough.
    subprocess.run(arguments, env=environment, check=True)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"writer": "tantivy"}, "--writer must be lucene or anserini, got 'tantivy'"),
        ({"threads": -1}, "--threads must be at least 0, got -1"),
    ],
)
def test_invalid_options_are_refused(options: dict[str, Any], message: str) -> None:
    with pytest.raises(InputError, match=message):
        IndexOptions(**options)
