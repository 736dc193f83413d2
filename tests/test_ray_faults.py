"""index and search on Ray when a whole node, or the driver, is killed: the indexes and runs of one process."""

import signal
import subprocess
import sys
import time
from collections.abc import Callable
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import pytest

from splade_anserini.formats.topics import write_encoded_topics
from splade_anserini.index import index
from splade_anserini.lucene import ImpactSearcher, IndexOptions
from splade_anserini.lucene.worker_options import IndexWorkerOptions
from tests.cli_runner import heeding_interrupts, run_stage
from tests.impact_fixtures import random_vectors, write_encoded
from tests.worker_fixtures import descendants, title_of, wait_until_ended

pytestmark = [
    pytest.mark.full,
    pytest.mark.skipif(find_spec("ray") is None, reason="Ray is not installed: pip install '.[ray]'"),
]
OPTIONS = IndexOptions(threads=1)
QUERIES = {f"q{number}": vector for number, vector in enumerate(random_vectors(32, 700).values())}

TWO_NODES = """
import logging, os, sys
from pathlib import Path
os.environ |= {"RAY_AUTH_MODE": "disabled", "RAY_USAGE_STATS_ENABLED": "0"}
logging.basicConfig(level=logging.WARNING)
from ray.cluster_utils import Cluster
from splade_anserini.workers.options import WorkerOptions
from splade_anserini.workers.ray_backend import RayBackend
from splade_anserini.workers.ray_cluster import open_cluster

home, output = map(Path, sys.argv[1:])
nodes = Cluster(initialize_head=True, head_node_args={"num_cpus": HEAD})
second = nodes.add_node(num_cpus=1)
removed = []

def remove_node(_=None):
    if not removed:
        removed.append(True)
        nodes.remove_node(second, allow_graceful=False)

try:
    BODY
    assert removed
finally:
    nodes.shutdown()
"""

INDEXING = """
    from splade_anserini.lucene import IndexOptions
    from splade_anserini.lucene.parallel_writer import PartRecipe, PartWriter, split_source
    from splade_anserini.lucene.sources import find_impacts
    from splade_anserini.merge import merge

    with open_cluster(WorkerOptions(ray_address=nodes.address)) as cluster:
        writer = PartWriter(IndexOptions(threads=1), RayBackend(cluster, PartRecipe(cpus=1), 2, 1))
        parts = writer.write(split_source(find_impacts(home / "encoded"), 12), output / "parts", remove_node)
    merge([part.path for part in parts], output / "index")
"""

SEARCHING = """
    import time
    from itertools import islice
    from splade_anserini.formats.topics import read_encoded_topics
    from splade_anserini.formats.runs import write_run
    from splade_anserini.lucene.shard_workers import open_on_ray
    from threading import Timer

    queries = read_encoded_topics(home / "topics.tsv")
    with open_on_ray(home / "sharded", WorkerOptions(ray_address=nodes.address, cpus_per_worker=1)) as searcher:
        first = list(islice(searcher.search(queries, 100), 1))
        timer = Timer(0.2, remove_node)
        timer.start()
        write_run(output / "run.txt", searcher.search(queries, 100))
        timer.join()
        write_run(output / "again.txt", searcher.search(queries, 100))
"""


@pytest.fixture(scope="module")
def home(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Vectors, the index `single` and the sharded index `sharded` of them, topics and their run."""
    home = tmp_path_factory.mktemp("faults")
    write_encoded(home / "encoded", random_vectors(31, 6000), shard_size=200)
    index(home / "encoded", home / "single", OPTIONS)
    index(home / "encoded", home / "sharded", OPTIONS, workers=IndexWorkerOptions(shards=2))
    write_encoded_topics(home / "topics.tsv", {id_: vector for id_, vector in QUERIES.items() if vector})
    done = run_stage(*searching(home, "single", home / "expected.txt"))
    assert done.code == 0, done.err
    return home


def searching(home: Path, name: str, output: Path) -> list[str]:
    command = ["search", "--index", home / name, "--topics", home / "topics.tsv", "--output", output, "--hits", 100]
    return list(map(str, command))


def rankings(path: Path) -> Any:
    with ImpactSearcher(path) as searcher:
        return list(searcher.search(QUERIES, 10))


def on_two_nodes(body: str, home: Path, output: Path, head_cpus: int) -> str:
    """Run code in a process of its own, as this one may be connected to another cluster; return its log."""
    code = TWO_NODES.replace("    BODY", body).replace("HEAD", str(head_cpus))
    command = [sys.executable, "-c", code, str(home), str(output)]
    done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=500)
    assert done.returncode == 0, done.stderr
    return done.stderr


def test_a_node_that_is_lost_while_parts_are_indexed_changes_nothing(home: Path, tmp_path: Path) -> None:
    assert "A worker was lost" in on_two_nodes(INDEXING, home, tmp_path, 1)
    assert rankings(tmp_path / "index") == rankings(home / "single")


def test_a_node_that_is_lost_while_its_shard_is_searched_changes_nothing(home: Path, tmp_path: Path) -> None:
    # The head has room for both actors, which Ray spreads over the nodes.
    assert "A worker was lost" in on_two_nodes(SEARCHING, home, tmp_path, 2)
    expected = (home / "expected.txt").read_bytes()
    assert (tmp_path / "run.txt").read_bytes() == expected
    assert (tmp_path / "again.txt").read_bytes() == expected


def kill_driver(arguments: list[str], number: signal.Signals, ready: Callable[[], bool]) -> list[int]:
    """Start a command, send it a signal once it has actors and is `ready`; return its actors when they have ended."""
    with heeding_interrupts():
        driver = subprocess.Popen(
            [sys.executable, "-m", "splade_anserini", *arguments], stdout=subprocess.PIPE, stderr=subprocess.PIPE
        )
    actors: list[int] = []
    while not (actors and ready()):
        assert driver.poll() is None, "it ended before it could be disturbed"
        actors = [pid for pid in descendants(driver.pid) if title_of(pid).startswith(b"ray::RemoteWorker")]
        time.sleep(0.01)
    driver.send_signal(number)
    driver.communicate(timeout=100)
    assert driver.returncode
    wait_until_ended(actors, seconds=120)
    return actors


@pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGTERM, signal.SIGINT], ids=lambda number: number.name)
def test_a_killed_driver_leaves_no_index_and_no_actors(home: Path, tmp_path: Path, number: signal.Signals) -> None:
    output = tmp_path / "index"
    command = ["index", "--input", str(home / "encoded"), "--index", str(output), "--threads", "1"]
    kill_driver([*command, "--ray", "--workers", "2"], number, lambda: any(tmp_path.rglob("*.si")))
    assert not output.exists()
    done = run_stage(*command)
    assert done.code == 0, done.err
    assert rankings(output) == rankings(home / "single")
    assert [path.name for path in tmp_path.iterdir()] == ["index"]


@pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGTERM, signal.SIGINT], ids=lambda number: number.name)
def test_a_killed_driver_leaves_no_run_and_no_actors(home: Path, tmp_path: Path, number: signal.Signals) -> None:
    output = tmp_path / "run.txt"
    kill_driver([*searching(home, "sharded", output), "--ray"], number, lambda: True)
    assert not output.exists()
    done = run_stage(*searching(home, "sharded", output))
    assert done.code == 0, done.err
    assert output.read_bytes() == (home / "expected.txt").read_bytes()
