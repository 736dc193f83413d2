"""Builds an index in parts: each is an index of some of the files, which one process writes.

The parts are then joined by `index_merging`, or stay the shards of a sharded index.
"""

import os
import shutil
import uuid
from collections import deque
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import NamedTuple

from splade_anserini._version import __version__
from splade_anserini.errors import InputError, counted
from splade_anserini.formats.parsing.archives import size_of
from splade_anserini.lucene.batches import ReadCounts
from splade_anserini.lucene.index_merging import refuse_shared_documents
from splade_anserini.lucene.index_options import IndexOptions
from splade_anserini.lucene.index_writer import write_with_lucene
from splade_anserini.lucene.java.heap import HEAP, heap_size
from splade_anserini.lucene.sources import ImpactSource
from splade_anserini.lucene.worker_options import IndexWorkerOptions
from splade_anserini.parallel import cpu_count
from splade_anserini.progress import Progress, silent
from splade_anserini.workers.processes import ProcessBackend
from splade_anserini.workers.protocol import Backend
from splade_anserini.workers.task_queue import TaskQueue

_SMALLEST_HEAP = 256 * 2**20

_PARTS_FOR_EACH_WORKER = 2
"""Two, so that a worker that is done early takes work from another."""

_PARTS_ON_RAY = 64
"""Parts for a cluster whose number of workers is not known before."""


class PartTask(NamedTuple):
    """A part to index."""

    source: ImpactSource
    directory: Path
    """The index is written into a new directory in this one: what a lost worker still writes is in another."""
    options: IndexOptions


class IndexedPart(NamedTuple):
    """A part that was indexed."""

    source: ImpactSource
    path: Path
    read: ReadCounts | None
    """What was counted of files without a manifest."""


class PartWorker:
    """A worker that indexes parts."""

    @property
    def info(self) -> str:
        """The version of this package."""
        return __version__

    def run(self, task: PartTask, progress: Progress) -> IndexedPart:
        """Index a part, which may turn out to have no documents."""
        path = task.directory / uuid.uuid4().hex
        path.mkdir(parents=True)
        read = write_with_lucene(task.source, path, task.options, progress, may_be_empty=True)
        return IndexedPart(task.source, path, read)


@dataclass(frozen=True, slots=True)
class PartWriter:
    """Indexes the parts of a source, on the workers of a backend or, without one, in this process."""

    options: IndexOptions
    backend: Backend | None = None

    def write(self, parts: Sequence[ImpactSource], directory: Path, progress: Progress = silent) -> list[IndexedPart]:
        """Index each part into a new directory in `directory`.

        Raises `InputError` for an id in two parts, and what `write_with_lucene` raises.
        """
        written = list(self._written(parts, directory, progress))
        refuse_shared_documents([part.path for part in written], [_files(part.source) for part in written])
        return written

    def _written(self, parts: Sequence[ImpactSource], directory: Path, progress: Progress) -> Iterator[IndexedPart]:
        tasks = [PartTask(part, directory.absolute(), self.options) for part in parts]
        if self.backend is None:
            worker = PartWorker()
            yield from (worker.run(task, progress) for task in tasks)
            return
        with TaskQueue[str, PartTask, IndexedPart](self.backend, noun="part") as queue:
            yield from queue.run([(_files(task.source), task) for task in tasks], progress)


@dataclass(frozen=True, slots=True)
class PartRecipe:
    """Makes a `PartWorker`."""

    share: float | None = None
    """The share of this machine that it gets."""
    cpus: float = 1.0
    """Instead of a share: processors that it gets."""

    def __call__(self) -> PartWorker:
        """Take a share of the memory for Java, unless the environment says how much."""
        share = self.share or min(1.0, self.cpus / cpu_count())
        take_heap(share)
        return PartWorker()


def take_heap(share: float) -> None:
    """Let Java, which has not started yet, take this share of the heap that a process would have alone."""
    heap = max(int(heap_size(os.environ) * share), _SMALLEST_HEAP)
    os.environ.setdefault(HEAP, f"{heap // 2**20}m")


def processes(count: int, options: IndexOptions) -> PartWriter:
    """Return what writes in so many processes: threads and memory are divided among them."""
    backend = ProcessBackend([PartRecipe(1 / count)] * count)
    return PartWriter(replace(options, threads=max(1, options.workers // count)), backend)


@contextmanager
def open_part_writer(options: IndexOptions, workers: IndexWorkerOptions, parts: int) -> Iterator[PartWriter]:
    """Yield what writes so many parts as `workers` asks: in this process, in several, or on Ray.

    Raises `DependencyError` and `WorkerError` for Ray that is missing or cannot be reached.
    """
    if ray_options := workers.on_ray:
        from splade_anserini.workers.ray_backend import RayBackend
        from splade_anserini.workers.ray_cluster import open_cluster, worker_count

        cpus = ray_options.cpus_per_worker or 1.0
        with open_cluster(ray_options) as cluster:
            count = min(worker_count(cluster, ray_options), parts)
            backend = RayBackend(cluster, PartRecipe(cpus=cpus), count, cpus)
            yield PartWriter(replace(options, threads=max(1, int(cpus))), backend)
        return
    count = min(workers.workers or 1, parts)
    yield processes(count, options) if count > 1 else PartWriter(options)


def part_count(workers: IndexWorkerOptions) -> int:
    """Return in how many parts an index is built that will be one."""
    if workers.workers is None:
        return _PARTS_ON_RAY if workers.on_ray else 1
    return _PARTS_FOR_EACH_WORKER * workers.workers if workers.workers > 1 or workers.on_ray else 1


def split_source(source: ImpactSource, count: int) -> list[ImpactSource]:
    """Divide the files of a source, in their order, into `count` parts of about the same size in bytes.

    Of fewer files there are as many parts as files.
    """
    files = deque((path, size_of(path)) for path in source.files.files)
    count, left = min(count, len(files)), sum(size for _, size in files)
    parts = []
    for following in range(count - 1, -1, -1):
        group, taken, share = list[Path](), 0.0, left / (following + 1)
        while files and len(files) > following and (not group or taken + files[0][1] / 2 <= share or not following):
            path, size = files.popleft()
            group.append(path)
            taken += size
        left -= int(taken)
        parts.append(source.part(group))
    return parts


def split_into_shards(source: ImpactSource, count: int) -> list[ImpactSource]:
    """Divide a source as `split_source` does. Raises `InputError` when there are fewer parts."""
    parts = split_source(source, count)
    if len(parts) < count:
        files = len(source.files.files)
        raise InputError(
            f"{source.path} has {counted(files, 'file')}, which cannot be divided into {counted(count, 'shard')}.",
            expected="a file or more for each shard",
            do="Use fewer --shards, or encode with a smaller --docs-per-shard.",
        )
    return parts


def total_read(parts: Sequence[IndexedPart], source: ImpactSource) -> ReadCounts | None:
    """Return the counts of all parts of a source; None for files with a manifest, without idf.

    Raises what `ReadCounts.check_products` raises.
    """
    reads = [part.read for part in parts if part.read]
    total = sum(reads[1:], reads[0]) if reads else None
    if total:
        total.check_products(source)
    return total


def remove_parts(directory: Path) -> None:
    """Remove what `PartWriter` wrote."""
    shutil.rmtree(directory, ignore_errors=True)


def _files(source: ImpactSource) -> str:
    """Name the files of a part."""
    first, last = source.files.files[0], source.files.files[-1]
    return str(first) if first == last else f"{first} … {last.name}"
