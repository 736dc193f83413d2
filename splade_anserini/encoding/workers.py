"""Encoding shards in other processes: each worker has an encoder, the driver reads the corpus and writes the files."""

import io
import os
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from types import TracebackType
from typing import NamedTuple, Self

from splade_anserini import free_memory
from splade_anserini._version import __version__
from splade_anserini.artifacts.files import whole_file
from splade_anserini.artifacts.manifests import EncoderIdentity, Shard
from splade_anserini.cards.finding import find_encoder
from splade_anserini.encoding.devices import worker_devices
from splade_anserini.encoding.opening import open_encoder
from splade_anserini.encoding.options import EncodeOptions, EncoderOptions
from splade_anserini.encoding.protocol import Encoder
from splade_anserini.encoding.shard_files import InProcess, PendingShard, document_encoder, write_shard
from splade_anserini.errors import InputError
from splade_anserini.parallel import cpu_count
from splade_anserini.progress import Progress
from splade_anserini.records import Document
from splade_anserini.workers.options import WorkerOptions
from splade_anserini.workers.processes import ProcessBackend
from splade_anserini.workers.protocol import Backend
from splade_anserini.workers.task_queue import TaskQueue

_FEW_ARENAS = {"MALLOC_ARENA_MAX": "2"}
"""Each shard is encoded by new threads. With an arena of glibc's allocator for each, of which little is given back, a
worker took up to 2.5 GB after 50 shards instead of 1.2."""


class EncoderInfo(NamedTuple):
    """What the driver needs to know of the encoders, which it does not open itself."""

    identity: EncoderIdentity
    max_length: int
    version: str
    """That of this package."""


class ShardTask(NamedTuple):
    """A shard to encode."""

    path: Path
    """Where its file will be; its name decides about compression."""
    documents: tuple[tuple[str, str, str], ...]
    """Id, title and text of each."""
    options: EncodeOptions


class ShardResult(NamedTuple):
    """An encoded shard."""

    shard: Shard
    content: bytes
    """The bytes of its file, compressed."""


class ShardWorker:
    """A worker that encodes shards."""

    def __init__(self, encoder: Encoder) -> None:
        self._encoder = encoder

    @property
    def info(self) -> EncoderInfo:
        """The encoder's identity and length."""
        return EncoderInfo(self._encoder.identity, self._encoder.max_length, __version__)

    def run(self, task: ShardTask, progress: Progress) -> ShardResult:
        """Encode a shard."""
        encoder, content = document_encoder(self._encoder, task.options), io.BytesIO()
        documents = (Document(*fields) for fields in task.documents)
        shard = write_shard(task.path, encoder, documents, progress, into=content)
        return ShardResult(shard, content.getvalue())


@dataclass(frozen=True)
class ShardRecipe:
    """Makes a `ShardWorker`."""

    name: str
    options: EncoderOptions
    processes: int = 1
    """How many such workers there are."""
    cpus: float | None = None
    """Processors of a worker, where not all workers need be on this machine."""

    def __call__(self) -> ShardWorker:
        """Open the encoder."""
        threads = max(1, self.options.threads)
        # The tokenizer would start a thread for each processor.
        os.environ.setdefault("RAYON_NUM_THREADS", str(threads))
        here = self.processes if self.cpus is None else min(self.processes, max(1, int(cpu_count() / self.cpus)))
        free_memory.divide(here)
        return ShardWorker(open_encoder(self.name, self.options))


class EncoderWorkers:
    """A context manager: encoders in other processes, which `encode` takes instead of an encoder.

    Shards and manifest are those of one process, byte for byte: a worker takes whole shards, and batches never cross
    them. Only this process writes files. The texts of a shard for each worker, one more, and up to two compressed
    shards for each worker are in memory. A worker that is killed is replaced, and its shard is encoded again.
    """

    def __init__(self, backend: Backend) -> None:
        self._queue: TaskQueue[EncoderInfo, ShardTask, ShardResult] = TaskQueue(backend, noun="shard")

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._queue.close()

    @property
    def workers(self) -> int:
        """How many workers there are at most."""
        return self._queue.workers

    @property
    def identity(self) -> EncoderIdentity:
        """The encoder's identity; the first worker is started for it. Raises what opening the encoder raises there."""
        return self._queue.info.identity

    @property
    def max_length(self) -> int:
        """Tokens of a text that are read."""
        return self._queue.info.max_length

    @property
    def reuses_documents(self) -> bool:
        """No: workers encode whole shards."""
        return False

    def write(self, shards: Iterable[PendingShard], options: EncodeOptions, progress: Progress) -> Iterator[Shard]:
        """Let workers encode shards, and write their files in order."""
        paths: list[Path] = []

        def tasks() -> Iterator[tuple[str, ShardTask]]:
            for shard in shards:
                paths.append(shard.path)
                documents = tuple((document.id, document.title, document.text) for document in shard.documents)
                yield shard.path.name, ShardTask(shard.path, documents, options)

        for index, result in enumerate(self._queue.run(tasks(), progress)):
            with whole_file(paths[index]) as file:
                file.write(result.content)
            yield result.shard


@contextmanager
def open_for_shards(
    name: str, options: EncoderOptions, workers: WorkerOptions
) -> Iterator["InProcess | EncoderWorkers"]:
    """Open an encoder as the options of workers ask: in this process, or in several.

    `name` and errors are those of `open_encoder`. Raises `InputError` also for devices and numbers of workers that do
    not go together, `DependencyError` and `WorkerError` for Ray that is missing or cannot be reached.
    """
    if workers.on_ray:
        with _open_on_ray(name, options, workers) as encoders:
            yield encoders
        return
    devices = worker_devices(options.device, workers.workers)
    if len(devices) == 1:
        yield InProcess(open_encoder(name, replace(options, device=devices[0])))
        return
    with EncoderWorkers(_processes(name, options, devices)) as encoders:
        yield encoders


def _processes(name: str, options: EncoderOptions, devices: list[str]) -> ProcessBackend:
    """Return a process for each device; threads and memory are divided among them."""
    threads = max(1, (options.threads or cpu_count()) // len(devices))
    recipes = [ShardRecipe(name, replace(options, device=device, threads=threads), len(devices)) for device in devices]
    # OpenMP would start a thread for each processor.
    return ProcessBackend(recipes, {"OMP_NUM_THREADS": str(threads), **_FEW_ARENAS})


@contextmanager
def _open_on_ray(name: str, options: EncoderOptions, workers: WorkerOptions) -> Iterator[EncoderWorkers]:
    """Open encoders in actors of Ray. Their GPU, if they have one, is the only one they see."""
    from splade_anserini.workers.ray_backend import RayBackend
    from splade_anserini.workers.ray_cluster import open_cluster, worker_count

    cpus, gpus = workers.cpus_per_worker or 1.0, workers.gpus_per_worker or 0.0
    if options.threads:
        raise InputError("--threads is not for --ray.", do="Use --cpus-per-worker: a worker has as many threads.")
    if options.device not in ({"auto", "cuda"} if gpus else {"auto", "cpu"}):
        raise InputError(
            f"--device {options.device} is not for --ray.", do="Leave it out; --gpus-per-worker 1 gives each a GPU."
        )
    find_encoder(name)
    device = "cuda" if gpus else "cpu"
    with open_cluster(workers) as cluster:
        count = worker_count(cluster, workers)
        recipe = ShardRecipe(name, replace(options, device=device, threads=max(1, int(cpus))), count, cpus)
        with EncoderWorkers(RayBackend(cluster, recipe, count, cpus, gpus, _FEW_ARENAS)) as encoders:
            yield encoders
