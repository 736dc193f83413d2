"""encode on Ray: the bytes of one process, whichever actor, node or driver is killed."""

import ctypes
import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from importlib.util import find_spec
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from splade_anserini.artifacts.manifests import ImpactManifest, read_manifest
from splade_anserini.encode import encode
from splade_anserini.encoding.options import EncodeOptions
from splade_anserini.encoding.workers import EncoderWorkers
from splade_anserini.errors import DependencyError, InputError, OutputError, WorkerError
from splade_anserini.formats.corpora import open_corpus
from splade_anserini.formats.impacts import count_impacts
from splade_anserini.workers import ray_backend
from splade_anserini.workers.options import WorkerOptions
from splade_anserini.workers.ray_backend import RayBackend
from splade_anserini.workers.ray_cluster import RayCluster, open_cluster, worker_count
from tests.cli_runner import heeding_interrupts, run_stage
from tests.worker_fixtures import (
    FatalRecipe,
    SlowRecipe,
    bytes_of,
    descendants,
    title_of,
    wait_until_ended,
    write_words_corpus,
    write_words_encoder,
)

needs_ray = pytest.mark.skipif(find_spec("ray") is None, reason="Ray is not installed: pip install '.[ray]'")
OPTIONS = EncodeOptions(docs_per_shard=20)
SHARDS = 30


@pytest.fixture(scope="module")
def corpus(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_words_corpus(tmp_path_factory.mktemp("corpus") / "corpus.jsonl", 20 * SHARDS)


@pytest.fixture(scope="module")
def encoder(tmp_path_factory: pytest.TempPathFactory) -> str:
    return write_words_encoder(tmp_path_factory.mktemp("encoder") / "words")


@pytest.fixture(scope="module")
def expected(tmp_path_factory: pytest.TempPathFactory, corpus: Path, encoder: str) -> dict[str, str]:
    """What one process writes."""
    output = tmp_path_factory.mktemp("one-process") / "out"
    done = run_stage("encode", *arguments(corpus, encoder, output))
    assert done.code == 0, done.err
    return bytes_of(output)


@pytest.fixture(scope="module")
def cluster() -> Iterator[RayCluster]:
    before = handler_of_segv()
    with open_cluster(WorkerOptions(ray=True)) as opened:
        assert handler_of_segv() == before, "Java in this process would crash"
        yield opened
    assert handler_of_segv() == before, "Java in this process would crash"


def handler_of_segv() -> bytes:
    """Return the address of the function that is called when memory is accessed that is not there."""
    action = ctypes.create_string_buffer(256)
    assert ctypes.CDLL(None).sigaction(signal.SIGSEGV, None, action) == 0
    return action.raw[: ctypes.sizeof(ctypes.c_void_p)]


def arguments(corpus: Path, encoder: str, output: Path) -> list[str]:
    return ["--corpus", str(corpus), "--encoder", encoder, "--output", str(output), "--docs-per-shard", "20"]


def processes_of_actors(driver: int) -> list[int]:
    """Return the processes of our actors in the cluster that a process has started."""
    return [pid for pid in descendants(driver) if title_of(pid).startswith(b"ray::RemoteWorker")]


class Disturbance(threading.Thread):
    """Does something once the third shard is there."""

    def __init__(self, output: Path, action: Any) -> None:
        super().__init__(daemon=True)
        self._output, self._action = output, action
        self.start()

    def run(self) -> None:
        while len(list(self._output.glob("shard-*.gz"))) < 3:
            time.sleep(0.01)
        self._action()


@needs_ray
@pytest.mark.slow
def test_the_command_writes_the_bytes_of_one_process(
    tmp_path: Path, corpus: Path, encoder: str, expected: dict[str, str], cluster: RayCluster
) -> None:
    done = run_stage("encode", *arguments(corpus, encoder, tmp_path / "out"), "--ray", "--workers", "1")
    assert done.code == 0, done.err
    assert "documents in 30 shards" in done.out
    assert bytes_of(tmp_path / "out") == expected


@needs_ray
@pytest.mark.slow
def test_an_actor_that_is_killed_changes_nothing(
    tmp_path: Path,
    corpus: Path,
    encoder: str,
    expected: dict[str, str],
    cluster: RayCluster,
    caplog: pytest.LogCaptureFixture,
) -> None:
    killed: list[int] = []

    def kill() -> None:
        killed.append(processes_of_actors(os.getpid())[0])
        os.kill(killed[0], signal.SIGKILL)

    done: list[int] = []
    with EncoderWorkers(RayBackend(cluster, SlowRecipe(encoder, 0.1), 2)) as workers:
        Disturbance(tmp_path / "out", kill)
        encode(open_corpus(corpus), workers, tmp_path / "out", OPTIONS)
        done += processes_of_actors(os.getpid())
    assert killed
    assert any("A worker was lost (Actor" in message for message in caplog.messages)
    assert bytes_of(tmp_path / "out") == expected
    assert len(done) == 2
    wait_until_ended(done)


@needs_ray
@pytest.mark.slow
def test_a_shard_that_ends_every_actor_is_an_error(
    tmp_path: Path, corpus: Path, encoder: str, cluster: RayCluster
) -> None:
    backend = RayBackend(cluster, FatalRecipe(encoder, "w77 w80"), 2, attempts=2)
    with (
        EncoderWorkers(backend) as workers,
        pytest.raises(WorkerError, match=r"during shard-00000\.jsonl\.gz"),
    ):
        encode(open_corpus(corpus), workers, tmp_path / "out", OPTIONS)


@needs_ray
@pytest.mark.slow
def test_an_encoder_that_is_not_there_is_reported(
    tmp_path: Path, corpus: Path, encoder: str, cluster: RayCluster
) -> None:
    done = run_stage("encode", *arguments(corpus, encoder, tmp_path / "out"), "--ray", "--pooling", "sum")
    assert done.code == 2
    assert "was exported with pooling max" in done.err
    assert "That is on the node " in done.err
    assert not (tmp_path / "out").exists()


@needs_ray
@pytest.mark.slow
def test_actors_for_which_there_is_no_room_are_reported(
    encoder: str, cluster: RayCluster, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(ray_backend, "PATIENCE", 0.5)
    monkeypatch.setattr(ray_backend, "GIVE_UP", 1.0)
    message = (
        r"1 worker of 3 waits for room since \d+ s: each needs 1000 CPU; the Ray cluster has \d+ CPUs \(\d+ free\)"
    )
    with (
        EncoderWorkers(RayBackend(cluster, SlowRecipe(encoder, 0), 3, cpus=1000)) as workers,
        pytest.raises(WorkerError, match=message),
    ):
        assert workers.identity


class Resources:
    """A cluster that only says what it has."""

    def __init__(self, **resources: float) -> None:
        self._resources = resources

    def cluster_resources(self) -> dict[str, float]:
        return self._resources

    available_resources = cluster_resources

    def nodes(self) -> list[dict[str, bool]]:
        return [{"Alive": True}]


@pytest.mark.parametrize(
    ("options", "count"),
    [
        ({}, 8),
        ({"cpus_per_worker": 3.0}, 2),
        ({"gpus_per_worker": 1.0}, 2),
        ({"gpus_per_worker": 0.25, "cpus_per_worker": 2.0}, 4),
        ({"workers": 3}, 3),
    ],
)
def test_there_are_as_many_workers_as_the_cluster_has_room_for(options: dict[str, Any], count: int) -> None:
    cluster = RayCluster(Resources(CPU=8.0, GPU=2.0), is_local=True)
    assert worker_count(cluster, WorkerOptions(ray=True, **options)) == count


def test_more_workers_than_fit_are_refused_unless_the_cluster_may_grow() -> None:
    resources = Resources(CPU=2.0)
    options = WorkerOptions(ray=True, workers=3)
    with pytest.raises(InputError, match=r"--workers \(3\) is more .*it has 2 CPUs \(2 free\) and 0 GPUs.*1 node"):
        worker_count(RayCluster(resources, is_local=True), options)
    assert worker_count(RayCluster(resources, is_local=False), options) == 3
    with pytest.raises(InputError, match="no room for a worker: it has 2 CPUs"):
        worker_count(RayCluster(resources, is_local=False), WorkerOptions(ray=True, gpus_per_worker=1.0))


def test_without_ray_the_message_says_what_to_install(
    tmp_path: Path, corpus: Path, encoder: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "ray", None)
    done = run_stage("encode", *arguments(corpus, encoder, tmp_path / "out"), "--ray")
    assert done.code == DependencyError.exit_code
    assert done.err == "error: Ray is not installed.\nRun: pip install 'splade-anserini[ray]'\n"


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (["--ray", "--threads", "2"], "--threads is not for --ray.\nUse --cpus-per-worker"),
        (["--ray", "--device", "cuda"], "--device cuda is not for --ray"),
        (["--ray", "--device", "cuda:0,cuda:1", "--gpus-per-worker", "1"], "--device cuda:0,cuda:1 is not for --ray"),
        (["--gpus-per-worker", "1"], "--gpus-per-worker needs --ray or --ray-address"),
        pytest.param(
            ["--ray-address", "127.0.0.1:9"],
            "There is no Ray cluster at 127.0.0.1:9: Connection refused",
            marks=needs_ray,
        ),
    ],
)
def test_options_that_do_not_go_together_are_refused(
    tmp_path: Path, corpus: Path, encoder: str, options: list[str], message: str
) -> None:
    done = run_stage("encode", *arguments(corpus, encoder, tmp_path / "out"), *options)
    assert done.code in {1, 2}
    assert f"error: {message}" in done.err


# Ray Data.


@needs_ray
@pytest.mark.slow
def test_a_batch_is_encoded_to_columns(encoder: str) -> None:
    import numpy as np

    from splade_anserini.ray_data import SpladeBatchEncoder

    batch = {
        "doc_id": np.array([7, 8]),
        "passage": np.array(["w1 w2", "nothing"], dtype=object),
        "row": np.array([1, 2]),
        "url": np.array(["a", "b"]),
    }
    table = SpladeBatchEncoder(encoder, columns=["row"], scale=10)(batch)
    assert table.to_pylist() == [
        {"id": "7", "contents": "w1 w2", "tokens": ["w1", "w2", "w3"], "impacts": [10, 10, 5], "row": 1},
        {"id": "8", "contents": "nothing", "tokens": [], "impacts": [], "row": 2},
    ]
    with pytest.raises(InputError, match="has no column 'rows'; it has doc_id, passage, row, url"):
        SpladeBatchEncoder(encoder, columns=["rows"])(batch)
    with pytest.raises(InputError, match="A batch is a Table"):
        SpladeBatchEncoder(encoder)(table)


@needs_ray
@pytest.mark.slow
def test_parts_in_any_order_become_the_shards_of_encode(
    tmp_path: Path, corpus: Path, encoder: str, expected: dict[str, str]
) -> None:
    from splade_anserini.ray_data import ImpactDatasink, SpladeBatchEncoder

    encode_batch = SpladeBatchEncoder(encoder, columns=["row"])
    documents = list(open_corpus(corpus))
    sink = ImpactDatasink(tmp_path / "out", encoder=encoder, encode=OPTIONS, corpus=str(corpus), order_by="row")
    sink.on_write_start(None)
    parts = []
    for start in (3, 0, 2, 1):
        rows = [row for row in range(len(documents)) if part_of(row) == start][::-1]
        columns: dict[str, Any] = {
            "id": [documents[row].id for row in rows],
            "title": [documents[row].title for row in rows],
        }
        columns |= {"text": [documents[row].text for row in rows], "row": rows}
        parts.append(sink.write([encode_batch(columns)], None))
    sink.on_write_complete(SimpleNamespace(write_returns=[*parts, sink.write([], None)]))
    assert shards_of(bytes_of(tmp_path / "out")) == shards_of(expected)
    manifest = read_manifest(tmp_path / "out", ImpactManifest)
    assert manifest is not None
    assert manifest.complete
    assert manifest.settings.corpus == str(corpus)
    assert [path.name for path in tmp_path.iterdir()] == ["out"]
    with pytest.raises(OutputError, match="out already exists"):
        sink.on_write_start(None)
    with pytest.raises(OutputError, match="is not there on the node"):
        sink.write([], None)


def part_of(row: int) -> int:
    """Divide rows into parts that overlap, as Ray's blocks may."""
    return (row // 150) if row < 300 else 2 + row % 2


def shards_of(files: dict[str, str]) -> dict[str, str]:
    return {name: digest for name, digest in files.items() if name.endswith(".gz")}


@needs_ray
@pytest.mark.full
def test_a_pipeline_of_ray_data_writes_the_shards_of_encode(
    tmp_path: Path, corpus: Path, encoder: str, expected: dict[str, str], cluster: RayCluster
) -> None:
    import ray.data

    from splade_anserini.ray_data import ImpactDatasink, SpladeBatchEncoder

    rows = [{"id": each.id, "title": each.title, "text": each.text} for each in open_corpus(corpus)]
    numbered = [{"row": number, **row} for number, row in enumerate(rows)]
    dataset = ray.data.from_items(numbered[::-1][::2] + numbered[::2], override_num_blocks=7)
    encoded = dataset.map_batches(
        SpladeBatchEncoder,
        fn_constructor_kwargs={"encoder": encoder, "columns": ["row"]},
        batch_size=50,
        num_cpus=0.5,
        compute=ray.data.ActorPoolStrategy(size=1),
    )
    output = tmp_path / "out"
    encoded.write_datasink(ImpactDatasink(output, encoder=encoder, encode=OPTIONS, order_by="row"))
    written = bytes_of(output)
    manifest = read_manifest(output, ImpactManifest)
    assert manifest is not None
    assert manifest.complete
    assert manifest.counts.documents + manifest.empty == len(rows)
    assert shards_of(written) == shards_of(expected)
    assert [path.name for path in tmp_path.iterdir()] == ["out"]
    assert count_impacts(output)[0] == manifest.counts


# Nodes and drivers that are killed.


@needs_ray
@pytest.mark.full
def test_a_node_that_is_lost_changes_nothing(
    tmp_path: Path, corpus: Path, encoder: str, expected: dict[str, str]
) -> None:
    # In a process of its own: this one may be connected to another cluster.
    code = """
import os, sys
from pathlib import Path
os.environ |= {"RAY_AUTH_MODE": "disabled", "RAY_USAGE_STATS_ENABLED": "0"}
import logging
logging.basicConfig(level=logging.WARNING)
from ray.cluster_utils import Cluster
from tests.test_ray import Disturbance, OPTIONS
from tests.worker_fixtures import SlowRecipe
from splade_anserini.encode import encode
from splade_anserini.encoding.workers import EncoderWorkers
from splade_anserini.formats.corpora import open_corpus
from splade_anserini.workers.options import WorkerOptions
from splade_anserini.workers.ray_backend import RayBackend
from splade_anserini.workers.ray_cluster import open_cluster

corpus, encoder, output = sys.argv[1:]
nodes = Cluster(initialize_head=True, head_node_args={"num_cpus": 1})
second = nodes.add_node(num_cpus=1)
try:
    with open_cluster(WorkerOptions(ray_address=nodes.address)) as cluster:
        with EncoderWorkers(RayBackend(cluster, SlowRecipe(encoder, 0.5), 2)) as workers:
            Disturbance(Path(output), lambda: nodes.remove_node(second, allow_graceful=False))
            encode(open_corpus(corpus), workers, output, OPTIONS)
            print(cluster.describe())
finally:
    nodes.shutdown()
"""
    command = [sys.executable, "-c", code, str(corpus), encoder, str(tmp_path / "out")]
    done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=500)
    assert done.returncode == 0, done.stderr
    assert "on 1 node" in done.stdout
    assert "A worker was lost" in done.stderr
    assert bytes_of(tmp_path / "out") == expected


@needs_ray
@pytest.mark.full
@pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGTERM, signal.SIGINT], ids=lambda number: number.name)
def test_actors_end_with_the_driver_and_it_resumes(
    tmp_path: Path, corpus: Path, encoder: str, number: signal.Signals
) -> None:
    output, options = tmp_path / "out", ["--docs-per-shard", "5", "--ray", "--workers", "2"]
    command = [sys.executable, "-m", "splade_anserini.encode", *arguments(corpus, encoder, output), *options]
    with heeding_interrupts():
        driver = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    while len(list(output.glob("shard-*.gz"))) < 3:
        assert driver.poll() is None, "it ended before it could be disturbed"
        time.sleep(0.001)
    actors = processes_of_actors(driver.pid)
    driver.send_signal(number)
    driver.wait(timeout=100)
    manifest = read_manifest(output, ImpactManifest)
    assert manifest is not None
    assert not manifest.complete
    assert actors
    wait_until_ended(actors, seconds=120)
    done = run_stage("encode", *arguments(corpus, encoder, output), "--docs-per-shard", "5")
    assert done.code == 0, done.err
    once = tmp_path / "once"
    assert run_stage("encode", *arguments(corpus, encoder, once), "--docs-per-shard", "5").code == 0
    assert bytes_of(output) == bytes_of(once)
