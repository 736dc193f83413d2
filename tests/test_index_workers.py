"""Indexes that are built in several processes, or as shards: what one process builds."""

import json
import os
import signal
from pathlib import Path
from typing import Any

import pytest

from splade_anserini.artifacts.manifests import Counts, IndexManifest, read_manifest
from splade_anserini.artifacts.sharded_index import shard_directories
from splade_anserini.errors import InputError, OutputError
from splade_anserini.index import index
from splade_anserini.lucene import ImpactSearcher, IndexOptions
from splade_anserini.lucene.parallel_writer import processes, split_source
from splade_anserini.lucene.sources import find_impacts
from splade_anserini.lucene.worker_options import IndexWorkerOptions
from splade_anserini.merge import merge
from tests.cli_runner import run_stage
from tests.impact_fixtures import documents, random_vectors, write_documents, write_encoded

VECTORS = random_vectors(11, 90)
QUERIES = {f"q{n}": vector for n, vector in enumerate(random_vectors(12, 10).values())}
OPTIONS = IndexOptions(threads=2, store_docvectors=True)
TWO = IndexWorkerOptions(workers=2)


@pytest.fixture(scope="module")
def home(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Vectors with a manifest and without, and the index `single` of them."""
    home = tmp_path_factory.mktemp("workers")
    write_encoded(home / "encoded", VECTORS, shard_size=20)
    items = documents(VECTORS)
    for number, start in enumerate(range(0, 90, 30)):
        write_documents(home / "plain" / f"{number}.jsonl", items[start : start + 30])
    index(home / "encoded", home / "single", OPTIONS)
    return home


def runs(path: Path) -> Any:
    with ImpactSearcher(path) as searcher:
        return list(searcher.search(QUERIES, 50))


@pytest.mark.parametrize("name", ["encoded", "plain"])
def test_an_index_of_several_processes_is_that_of_one(home: Path, tmp_path: Path, name: str) -> None:
    manifest = index(home / name, tmp_path / "index", OPTIONS, workers=TWO)
    alone = index(home / name, tmp_path / "alone", OPTIONS)
    assert manifest == alone
    assert runs(tmp_path / "index") == runs(home / "single")
    assert not (tmp_path / "index" / "parts").exists()
    assert len(list((tmp_path / "index").glob("*.si"))) == 1
    # The number of processes does not decide what the index holds.
    assert index(home / name, tmp_path / "index", OPTIONS) == manifest


@pytest.mark.parametrize("workers", [1, 2])
def test_shards_are_indexes_of_some_of_the_files(home: Path, tmp_path: Path, workers: int) -> None:
    output = tmp_path / "index"
    manifest = index(home / "encoded", output, OPTIONS, workers=IndexWorkerOptions(workers=workers, shards=3))
    assert manifest.kind == "sharded-index"
    assert [part.path for part in manifest.parts] == ["shard-0000", "shard-0001", "shard-0002"]
    assert [shard.name for shard in shard_directories(output)] == [part.path for part in manifest.parts]
    assert runs(output) == runs(home / "single")
    each = [read_manifest(shard, IndexManifest) for shard in shard_directories(output)]
    assert sum((shard.counts for shard in each if shard), Counts()) == manifest.counts
    verified = run_stage("verify", output, "--against", home / "encoded")
    assert verified.code == 0, verified.out
    merge([output], tmp_path / "merged")
    assert runs(tmp_path / "merged") == runs(home / "single")


def test_the_command_says_how_many_shards_there_are_and_keeps_to_them(home: Path, tmp_path: Path) -> None:
    command = ["index", "--input", home / "plain", "--index", tmp_path / "index"]
    done = run_stage(*command, "--shards", 2)
    assert (done.code, done.out.endswith("impacts in 2 shards\n")) == (0, True), done.err
    assert run_stage(*command, "--shards", 2).code == 0
    refused = run_stage(*command)
    assert (refused.code, "shards was 2, is None" in refused.err) == (2, True)
    assert run_stage(*command, "--overwrite").code == 0
    assert read_manifest(tmp_path / "index", IndexManifest) == index(home / "plain", tmp_path / "index")


def test_a_document_in_two_files_is_found(tmp_path: Path) -> None:
    for name in ("a", "b"):
        write_documents(tmp_path / "in" / f"{name}.jsonl", documents({name: {"t": 1}, "same": {"t": 2}}))
    with pytest.raises(InputError, match=r"The document 'same' is in .*a\.jsonl and in .*b\.jsonl"):
        index(tmp_path / "in", tmp_path / "index", workers=IndexWorkerOptions(shards=2))
    assert not (tmp_path / "index").exists()


def test_a_part_may_have_empty_vectors_only(tmp_path: Path) -> None:
    write_documents(tmp_path / "in" / "a.jsonl", documents({"a": {"t": 1}, "b": {"t": 2}}))
    (tmp_path / "in" / "b.jsonl").write_text(json.dumps({"id": "c", "vector": {}}) + "\n")
    manifest = index(tmp_path / "in", tmp_path / "index", workers=IndexWorkerOptions(shards=2))
    assert [part.counts.documents for part in manifest.parts] == [2, 0]
    with ImpactSearcher(tmp_path / "index") as searcher:
        assert searcher.rank({"t": 1}, 10).ids == ["b", "a"]


def test_there_is_a_file_for_each_shard(tmp_path: Path) -> None:
    write_documents(tmp_path / "one.jsonl", documents({"a": {"t": 1}}))
    with pytest.raises(InputError, match="1 file, which cannot be divided into 2 shards"):
        index(tmp_path / "one.jsonl", tmp_path / "index", workers=IndexWorkerOptions(shards=2))
    # Of one file, one process builds the index.
    index(tmp_path / "one.jsonl", tmp_path / "index", workers=TWO)


@pytest.mark.parametrize("arguments", [["--workers", 2], ["--shards", 2]], ids=str)
def test_anserinis_writer_builds_one_index_in_one_process(home: Path, tmp_path: Path, arguments: list[object]) -> None:
    done = run_stage("index", "--input", home / "plain", "--index", tmp_path / "x", "--writer", "anserini", *arguments)
    assert (done.code, "needs --writer lucene, got anserini" in done.err) == (2, True)


@pytest.mark.parametrize(
    ("count", "expected"),
    [
        (1, ["012345"]),
        (2, ["0", "12345"]),
        (3, ["0", "1234", "5"]),
        (5, ["0", "12", "3", "4", "5"]),
        (6, [*"012345"]),
        (9, [*"012345"]),
    ],
)
def test_files_are_divided_by_their_sizes(tmp_path: Path, count: int, expected: list[str]) -> None:
    for number, size in enumerate([40, 1, 1, 1, 1, 36]):
        vectors = {f"{number}-{n}": {"t": 1} for n in range(size)}
        write_documents(tmp_path / f"{number}.jsonl", documents(vectors))
    parts = split_source(find_impacts(tmp_path), count)
    assert ["".join(path.name[0] for path in part.files.files) for part in parts] == expected


def test_a_process_that_is_killed_is_replaced(home: Path, tmp_path: Path) -> None:
    source = find_impacts(home / "encoded")
    writer = processes(2, OPTIONS)
    backend: Any = writer.backend
    killed: list[int] = []

    def kill_one(_: int) -> None:
        if not killed:
            killed.append(next(iter(backend.pids().values())))
            os.kill(killed[0], signal.SIGKILL)

    written = writer.write(split_source(source, 4), tmp_path / "parts", kill_one)
    assert killed
    counts = sum((part.source.counts for part in written if part.source.counts), Counts())
    merge([part.path for part in written], tmp_path / "index")
    assert counts == source.counts
    assert runs(tmp_path / "index") == runs(home / "single")


def test_another_index_is_not_replaced_by_shards(home: Path, tmp_path: Path) -> None:
    index(home / "plain", tmp_path / "index")
    with pytest.raises(OutputError, match="shards was None, is 2"):
        index(home / "plain", tmp_path / "index", workers=IndexWorkerOptions(shards=2))
