"""Worker processes: results in order, workers that die, and that nothing stays behind."""

import random
from collections.abc import Callable, Iterator, Sequence
from contextlib import nullcontext
from dataclasses import replace
from importlib.util import find_spec
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from splade_anserini.encoding.devices import worker_devices
from splade_anserini.encoding.options import EncoderOptions
from splade_anserini.encoding.workers import EncoderWorkers, ShardRecipe, open_for_shards
from splade_anserini.errors import InputError, MismatchError, RecordError, WorkerError
from splade_anserini.workers.options import WorkerOptions
from splade_anserini.workers.processes import ProcessBackend
from splade_anserini.workers.protocol import Died, Event, Failed, Finished, Progressed, Ready
from splade_anserini.workers.task_queue import WINDOW, TaskQueue
from tests.worker_fixtures import Different, Obedient, dying, wait_until_ended


class SimulatedBackend:
    """Workers that finish in any order and die at random, at most once for each task."""

    advice = "Give up."

    def __init__(self, slots: int, random_numbers: random.Random, attempts: int = 2, deaths: float = 0.3) -> None:
        self.slots, self.attempts = slots, attempts
        self._random, self._deaths = random_numbers, deaths
        self._waiting: dict[int, Any] = {}
        self._died: set[Any] = set()
        self.runs: list[Any] = []
        self.closed = False

    def start(self, slot: int) -> None:
        assert slot not in self._waiting
        self._waiting[slot] = None

    def send(self, slot: int, task: Any) -> None:
        assert slot not in self._waiting
        self._waiting[slot] = task

    def events(self, _timeout: float) -> Sequence[Event]:
        slot = self._random.choice(sorted(self._waiting))
        task = self._waiting.pop(slot)
        if task is None:
            return [Ready(slot, "info")]
        if self._random.random() < self._deaths and task not in self._died:
            self._died.add(task)
            return [Progressed(slot, 3), Died(slot, "was unlucky")]
        self.runs.append(task)
        return [Progressed(slot, 2), Progressed(slot, 3), Finished(slot, task * 10)]

    def close(self) -> None:
        self.closed = True


@given(st.randoms(use_true_random=False), st.integers(1, 5), st.integers(0, 40))
def test_results_come_in_order_and_once_whoever_dies(numbers: random.Random, slots: int, tasks: int) -> None:
    backend, done = SimulatedBackend(slots, numbers), []
    drawn = emitted = 0

    def source() -> Iterator[tuple[str, int]]:
        nonlocal drawn
        for task in range(tasks):
            drawn += 1
            # Two more are read ahead.
            assert drawn - emitted <= WINDOW * slots + 2
            yield f"task {task}", task + 1

    with TaskQueue[str, int, int](backend) as queue:
        results = []
        for result in queue.run(source(), done.append):
            results.append(result)
            emitted += 1
    assert results == [10 * (task + 1) for task in range(tasks)]
    assert sorted(backend.runs) == list(range(1, tasks + 1))
    assert sum(done) == 5 * tasks
    assert backend.closed


def test_a_task_that_ends_every_worker_is_an_error_that_names_it() -> None:
    class Fatal(SimulatedBackend):
        def events(self, _timeout: float) -> Sequence[Event]:
            slot, task = self._waiting.popitem()
            return [Died(slot, "was ended") if task == 2 else Ready(slot, "") if task is None else Finished(slot, task)]

    with TaskQueue[str, int, int](Fatal(1, random.Random(0))) as queue:
        results = queue.run([("one", 1), ("two", 2)])
        assert next(results) == 1
        with pytest.raises(WorkerError, match=r"A worker was ended during two, as did 1 other before it\.\nGive up\."):
            next(results)


def backend(tasks: int = 2, recipe: Callable[[], Obedient] = Obedient) -> ProcessBackend:
    return ProcessBackend([recipe] * tasks)


def run(tasks: Sequence[str], processes: ProcessBackend) -> list[str]:
    pids: list[int] = []
    try:
        with TaskQueue[str, str, str](processes, "line") as queue:
            results = []
            for result in queue.run((task, task) for task in tasks):
                results.append(result)
                pids += processes.pids().values()
            return results
    finally:
        wait_until_ended(pids)


@pytest.mark.slow
def test_a_worker_that_is_killed_is_replaced(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    tasks = ["a", f"die-once {tmp_path / 'died'}", "b", "c", "d"]
    assert run(tasks, backend()) == [task.upper() for task in tasks]
    (message,) = [record.getMessage() for record in caplog.records if "A worker" in record.getMessage()]
    assert message == f"A worker was ended by signal 9 (SIGKILL) during {tasks[1]}; another one takes its line."


@pytest.mark.slow
@pytest.mark.parametrize(
    ("task", "error", "message"),
    [
        ("die", WorkerError, r"A worker was ended by signal 9 \(SIGKILL\) during die, as did 1 other.*\n.*--workers"),
        ("exit", WorkerError, "A worker ended with exit code 3 during exit"),
        ("fail", RecordError, r"corpus.jsonl, line 3: no text\.\nExpected some\."),
        ("fail-oddly", WorkerError, r"A worker failed: Traceback (?:.*\n)*.*OddError"),
    ],
)
def test_a_task_that_cannot_be_done_is_an_error(task: str, error: type[Exception], message: str) -> None:
    with pytest.raises(error, match=f"^{message}"):
        run([task], backend(1))


@pytest.mark.slow
def test_a_worker_that_dies_before_it_is_ready_is_an_error() -> None:
    with pytest.raises(WorkerError, match="before it was ready, as did 1 other before it"):
        run(["a"], backend(1, dying))


@pytest.mark.slow
def test_workers_that_differ_are_refused() -> None:
    with pytest.raises(MismatchError, match="Workers differ: process"):
        run(["sleep 1", "sleep 1", "a"], backend(2, Different))


def test_an_error_of_a_record_is_pickled_with_its_attributes() -> None:
    import pickle

    error = RecordError("corpus.jsonl", 3, "no text", expected="some")
    copy = pickle.loads(pickle.dumps(error))
    assert (str(copy), copy.path, copy.line, type(copy)) == (str(error), "corpus.jsonl", 3, RecordError)
    assert Failed(0, copy).error is copy


@pytest.mark.parametrize(
    ("device", "workers", "devices"),
    [
        ("auto", None, ["auto"]),
        ("cpu", 3, ["cpu", "cpu", "cpu"]),
        ("cuda:0,cuda:1", None, ["cuda:0", "cuda:1"]),
        ("cuda:2,cuda:0", 4, ["cuda:2", "cuda:0", "cuda:2", "cuda:0"]),
        ("cuda:1", 2, ["cuda:1", "cuda:1"]),
    ],
)
def test_each_worker_has_a_device(device: str, workers: int | None, devices: list[str]) -> None:
    assert worker_devices(device, workers) == devices


@pytest.mark.parametrize(("threads", "each"), [(8, 4), (3, 1), (1, 1)])
def test_each_gpu_has_a_process_with_its_share_of_the_threads(
    monkeypatch: pytest.MonkeyPatch, threads: int, each: int
) -> None:
    backends: list[ProcessBackend] = []

    def recorded(backend: ProcessBackend) -> EncoderWorkers:
        backends.append(backend)
        return EncoderWorkers(backend)

    monkeypatch.setattr("splade_anserini.encoding.workers.EncoderWorkers", recorded)
    options = EncoderOptions(device="cuda:0,cuda:1", threads=threads, precision="fp16")
    with open_for_shards("my-checkpoint", options, WorkerOptions()):
        pass
    ((first, second),) = (backend.recipes for backend in backends)
    assert first == ShardRecipe("my-checkpoint", replace(options, device="cuda:0", threads=each), 2)
    assert second == ShardRecipe("my-checkpoint", replace(options, device="cuda:1", threads=each), 2)
    assert backends[0].environment == {"OMP_NUM_THREADS": str(each), "MALLOC_ARENA_MAX": "2"}


@pytest.mark.skipif(find_spec("ray") is None, reason="Ray is not installed: pip install '.[ray]'")
def test_actors_with_a_gpu_use_it(monkeypatch: pytest.MonkeyPatch) -> None:
    from splade_anserini.workers.ray_backend import RayBackend
    from splade_anserini.workers.ray_cluster import RayCluster

    backends: list[RayBackend] = []

    def recorded(backend: RayBackend) -> EncoderWorkers:
        backends.append(backend)
        return EncoderWorkers(backend)

    cluster = RayCluster(SimpleNamespace(cluster_resources=lambda: {"CPU": 16.0, "GPU": 3.0}), is_local=False)
    monkeypatch.setattr("splade_anserini.workers.ray_cluster.open_cluster", lambda _: nullcontext(cluster))
    monkeypatch.setattr("splade_anserini.encoding.workers.EncoderWorkers", recorded)
    workers = WorkerOptions(ray_address="auto", gpus_per_worker=0.5, cpus_per_worker=2)
    with open_for_shards("splade-mini", EncoderOptions(), workers):
        pass
    (backend,) = backends
    assert (backend.slots, backend.cpus, backend.gpus) == (6, 2, 0.5)
    assert backend.recipe == ShardRecipe("splade-mini", EncoderOptions(device="cuda", threads=2), 6, 2)


def test_all_gpus_are_those_of_torch(monkeypatch: pytest.MonkeyPatch) -> None:
    import torch

    monkeypatch.setattr(torch.cuda, "device_count", lambda: 2)
    assert worker_devices("cuda:all", None) == ["cuda:0", "cuda:1"]
    assert worker_devices("cuda:all", 4) == ["cuda:0", "cuda:1", "cuda:0", "cuda:1"]
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 0)
    with pytest.raises(InputError, match="there is no GPU"):
        worker_devices("cuda:all", None)


@pytest.mark.parametrize(
    ("device", "workers", "message"),
    [
        ("cuda:0,cuda:1", 1, r"--workers \(1\) is less than the 2 devices of --device"),
        ("cuda:0,cuda:0", None, "--device cuda:0,cuda:0 names cuda:0 twice"),
        ("cuda:0,cpu", None, "has 'cpu' among several"),
        ("cuda:0,", None, "has '' among several"),
        ("cuda,cuda:1", None, "has 'cuda' among several"),
    ],
)
def test_devices_that_do_not_go_together_are_refused(device: str, workers: int | None, message: str) -> None:
    with pytest.raises(InputError, match=message):
        worker_devices(device, workers)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"workers": 0}, "--workers must be at least 1, got 0"),
        ({"gpus_per_worker": 1.0}, "--gpus-per-worker needs --ray"),
        ({"cpus_per_worker": 1.0}, "--cpus-per-worker needs --ray"),
    ],
)
def test_options_of_workers_are_checked(options: dict[str, Any], message: str) -> None:
    with pytest.raises(InputError, match=message):
        WorkerOptions(**options)
