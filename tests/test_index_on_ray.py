"""Indexes that are built and searched on Ray: those of one process, whichever actor is killed."""

import json
import os
import signal
from collections.abc import Iterator
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import pytest

from splade_anserini.artifacts.manifests import IndexManifest, read_manifest
from splade_anserini.artifacts.sharded_index import shard_directories
from splade_anserini.formats.topics import write_encoded_topics
from splade_anserini.index import index
from splade_anserini.lucene import ImpactSearcher, IndexOptions, TwoStepSearcher
from splade_anserini.lucene.parallel_writer import PartRecipe, PartWriter, split_source
from splade_anserini.lucene.shard_workers import BATCH, ShardRecipe, WorkersSearcher, open_on_ray
from splade_anserini.lucene.sources import find_impacts
from splade_anserini.lucene.worker_options import IndexWorkerOptions
from splade_anserini.merge import merge
from splade_anserini.workers.options import WorkerOptions
from splade_anserini.workers.processes import ProcessBackend
from tests.cli_runner import run_stage
from tests.impact_fixtures import random_vectors, write_encoded
from tests.worker_fixtures import descendants, title_of

needs_ray = pytest.mark.skipif(find_spec("ray") is None, reason="Ray is not installed: pip install '.[ray]'")
VECTORS = random_vectors(21, 120)
QUERIES = {f"q{n}": vector for n, vector in enumerate(random_vectors(22, 2 * BATCH + 5).values())} | {"empty": {}}
OPTIONS = IndexOptions(threads=1)


@pytest.fixture(scope="module")
def home(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Vectors, the index `single` and the sharded index `sharded` of them, and topics."""
    home = tmp_path_factory.mktemp("ray")
    write_encoded(home / "encoded", VECTORS, shard_size=20)
    index(home / "encoded", home / "single", OPTIONS)
    index(home / "encoded", home / "sharded", OPTIONS, workers=IndexWorkerOptions(shards=2))
    write_encoded_topics(home / "topics.tsv", {id_: vector for id_, vector in QUERIES.items() if vector})
    return home


@pytest.fixture
def cluster() -> Iterator[Any]:
    """A cluster that tests share, to which commands connect."""
    from splade_anserini.workers.ray_cluster import open_cluster

    with open_cluster(WorkerOptions(ray=True)) as opened:
        yield opened


def rankings(path: Path, hits: int = 10) -> Any:
    with ImpactSearcher(path) as searcher:
        return list(searcher.search(QUERIES, hits))


def in_two_steps(path: Path, terms: int, candidates: int | None) -> Any:
    with ImpactSearcher(path) as searcher:
        return list(TwoStepSearcher(searcher, terms, candidates).search(QUERIES, 10))


@pytest.mark.slow
def test_a_worker_for_each_shard_finds_what_one_searcher_finds(home: Path) -> None:
    backends = [ProcessBackend([ShardRecipe(shard)]) for shard in shard_directories(home / "sharded")]
    with WorkersSearcher(backends) as searcher:
        for hits in (1, 10, 1000):
            assert list(searcher.search(QUERIES, hits)) == rankings(home / "single", hits)
        for terms, candidates in ((1, None), (2, 20), (3, 10), (99, None)):
            assert list(searcher.in_two_steps(terms, candidates).search(QUERIES, 10)) == in_two_steps(
                home / "single", terms, candidates
            )
        # A search may begin while the hits of another one are read.
        nested = ((id_, hits, *searcher.search({id_: QUERIES[id_]}, 10)) for id_, hits in searcher.search(QUERIES, 10))
        assert [(id_, hits) for id_, hits, again in nested if again == (id_, hits)] == rankings(home / "single")
        pids = [backend.pids() for backend in backends]
        assert list(searcher.search({"q1": QUERIES["q1"]}, 10)) == rankings(home / "single")[1:2]
        # The workers stay; one that dies is replaced.
        assert [backend.pids() for backend in backends] == pids
        os.kill(pids[1][0], signal.SIGKILL)
        assert list(searcher.search(QUERIES, 10)) == rankings(home / "single")


@pytest.mark.slow
def test_options_that_need_one_process_are_refused(home: Path, tmp_path: Path) -> None:
    command: list[Any] = [
        "search",
        "--index",
        home / "sharded",
        "--topics",
        home / "topics.tsv",
        "--output",
        tmp_path / "x",
    ]
    for option in (["--feedback", "rm3"], ["--searcher", "lucene"]):
        done = run_stage(*command, "--ray", *option)
        assert (done.code, f"--ray and {option[0]} exclude each other" in done.err) == (2, True)


@pytest.mark.full
@needs_ray
@pytest.mark.usefixtures("cluster")
def test_commands_on_ray_write_what_one_process_writes(home: Path, tmp_path: Path) -> None:
    for name, arguments in {"one": [], "shards": ["--shards", 2]}.items():
        command = ["index", "--input", home / "encoded", "--index", tmp_path / name, "--threads", 1, *arguments]
        done = run_stage(*command, "--ray", "--workers", 2)
        assert done.code == 0, done.err
    assert read_manifest(tmp_path / "one", IndexManifest) == read_manifest(home / "single", IndexManifest)
    assert rankings(tmp_path / "one") == rankings(home / "single")
    assert rankings(tmp_path / "shards") == rankings(home / "single")
    for name, arguments in {"alone.txt": [], "ray.txt": ["--ray"]}.items():
        command = ["search", "--index", home / "sharded", "--topics", home / "topics.tsv", "--output", tmp_path / name]
        done = run_stage(*command, "--query-idf", 0.75, *arguments)
        assert done.code == 0, done.err
    assert (tmp_path / "ray.txt").read_bytes() == (tmp_path / "alone.txt").read_bytes()


@pytest.mark.full
@needs_ray
@pytest.mark.usefixtures("cluster")
def test_stored_documents_and_filters_on_ray_are_those_of_one_process(home: Path, tmp_path: Path) -> None:
    corpus = tmp_path / "corpus.jsonl"
    records = ({"id": id_, "text": f"text of {id_}", "group": number % 3} for number, id_ in enumerate(VECTORS))
    corpus.write_text("".join(json.dumps(record) + "\n" for record in records))
    stored = ["--documents", corpus, "--store-text", "--filter-fields", "group:int", "--threads", 1]
    for name, arguments in {"one": [], "shards": ["--shards", 2, "--ray", "--workers", 2]}.items():
        done = run_stage("index", "--input", home / "encoded", "--index", tmp_path / name, *stored, *arguments)
        assert done.code == 0, done.err
        search = ["search", "--index", tmp_path / name, "--topics", home / "topics.tsv", "--filter", "group>=1"]
        done = run_stage(*search, "--output", tmp_path / f"{name}.txt", *(["--ray"] if arguments else []))
        assert done.code == 0, done.err
    assert (tmp_path / "shards.txt").read_bytes() == (tmp_path / "one.txt").read_bytes()
    ids = {line.split()[2] for line in (tmp_path / "one.txt").read_text().splitlines()}
    assert ids == {id_ for number, id_ in enumerate(VECTORS) if number % 3}
    with ImpactSearcher(tmp_path / "shards") as searcher:
        documents = {id_: searcher.document(id_) for id_ in VECTORS}
    assert {id_: document and document["contents"] for id_, document in documents.items()} == {
        id_: f"text of {id_}" for id_ in VECTORS
    }


@pytest.mark.full
@needs_ray
def test_actors_that_are_killed_are_replaced(home: Path, tmp_path: Path, cluster: Any) -> None:
    from splade_anserini.workers.ray_backend import RayBackend

    killed: list[int] = []

    def kill_one(_: int) -> None:
        actors = [pid for pid in descendants(os.getpid()) if title_of(pid).startswith(b"ray::RemoteWorker")]
        if not killed and actors:
            killed.append(actors[0])
            os.kill(actors[0], signal.SIGKILL)

    source = find_impacts(home / "encoded")
    writer = PartWriter(OPTIONS, RayBackend(cluster, PartRecipe(cpus=1), 2, 1))
    written = writer.write(split_source(source, 6), tmp_path / "parts", kill_one)
    merge([part.path for part in written], tmp_path / "index")
    assert killed
    assert rankings(tmp_path / "index") == rankings(home / "single")

    killed.clear()
    with open_on_ray(home / "sharded", WorkerOptions(ray=True)) as searcher:
        results = searcher.search(QUERIES, 10)
        first = next(results)
        kill_one(1)
        assert [first, *results] == rankings(home / "single")
    assert killed
