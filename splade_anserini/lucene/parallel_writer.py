"""Builds an index in parts: each is an index of some of the files, which one process writes.

The parts are then joined by `index_merging`, or stay the shards of a sharded index.
"""

import os
import shutil
import uuid
from collections import deque
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import NamedTuple

from splade_anserini._version import __version__
from splade_anserini.errors import InputError, counted
from splade_anserini.lucene.batches import ReadCounts
from splade_anserini.lucene.index_merging import refuse_shared_documents
from splade_anserini.lucene.index_options import IndexOptions
from splade_anserini.lucene.index_writer import write_with_lucene
from splade_anserini.lucene.java.heap import HEAP, heap_size
from splade_anserini.lucene.sources import ImpactSource
from splade_anserini.progress import Progress, silent
from splade_anserini.workers.processes import ProcessBackend
from splade_anserini.workers.protocol import Backend
from splade_anserini.workers.task_queue import TaskQueue

PARTS_FOR_EACH_WORKER = 2
"""Two, so that a worker that is done early takes work from another."""


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


def processes(count: int, options: IndexOptions) -> tuple[ProcessBackend, IndexOptions]:
    """Return so many processes, and the options of each: threads, and half of the memory, are divided among them."""
    heap = max(heap_size(os.environ) // count, 256 * 2**20)
    backend = ProcessBackend([PartWorker] * count, {HEAP: f"{heap // 2**20}m"})
    return backend, replace(options, threads=max(1, options.workers // count))


def split_source(source: ImpactSource, count: int) -> list[ImpactSource]:
    """Divide the files of a source, in their order, into `count` parts of about the same size in bytes.

    Of fewer files there are as many parts as files.
    """
    files = deque((path, path.stat().st_size) for path in source.files.files)
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
