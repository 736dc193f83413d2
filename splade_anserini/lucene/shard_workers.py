"""Searches a sharded index on Ray: an actor for each shard, and the best documents of all shards merged here."""

import math
from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack, closing, contextmanager
from dataclasses import dataclass
from heapq import merge
from itertools import batched, islice, repeat
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

import numpy as np
import numpy.typing as npt

from splade_anserini._version import __version__
from splade_anserini.artifacts.sharded_index import fingerprint_of_index, require_recorded_shards, shard_directories
from splade_anserini.errors import counted
from splade_anserini.lucene.impact_searcher import ImpactSearcher
from splade_anserini.lucene.parallel_writer import take_heap
from splade_anserini.lucene.searcher import Closeable
from splade_anserini.ordering import rank_key
from splade_anserini.parallel import cpu_count, prefetch
from splade_anserini.progress import Progress
from splade_anserini.records import ImpactVector, StrPath
from splade_anserini.workers.options import WorkerOptions
from splade_anserini.workers.protocol import Backend
from splade_anserini.workers.task_queue import TaskQueue

if TYPE_CHECKING:
    from ir_measures import ScoredDoc

BATCH = 32
"""Queries that an actor gets at once: asking one costs some milliseconds."""


class SearchTask(NamedTuple):
    """Queries to search for."""

    queries: tuple[ImpactVector, ...]
    hits: int


class ShardHits(NamedTuple):
    """The best documents of a shard for a query, best first."""

    ids: list[str]
    scores: npt.NDArray[np.float32]


class ShardSearcher:
    """A worker that searches one shard."""

    def __init__(self, path: Path, threads: int) -> None:
        self._searcher = ImpactSearcher(path, threads)
        self._info = f"{__version__} {fingerprint_of_index(path)}"

    @property
    def info(self) -> str:
        """The version of this package, and the fingerprint of the shard."""
        return self._info

    def run(self, task: SearchTask, progress: Progress) -> list[ShardHits]:
        """Search for the queries."""
        named = ((str(number), query) for number, query in enumerate(task.queries))
        rankings = self._searcher.rankings(named, task.hits, self._searcher.threads)
        results = [ShardHits(ranking.ids, np.array(ranking.scores, np.float32)) for _, ranking in rankings]
        progress(len(results))
        return results


@dataclass(frozen=True, slots=True)
class ShardRecipe:
    """Makes a `ShardSearcher`."""

    path: Path
    cpus: float = 1.0

    def __call__(self) -> ShardSearcher:
        """Open the shard."""
        take_heap(min(1.0, self.cpus / cpu_count()))
        return ShardSearcher(self.path, max(1, int(self.cpus)))


class WorkersSearcher(Closeable):
    """A `Searcher` over a sharded index whose shards are searched by workers, one for each.

    Every worker gets the same batches of queries, and works on the next while the hits of one are merged. One that dies
    is replaced, and gets its batch again.
    """

    def __init__(self, backends: Sequence[Backend]) -> None:
        self._queues = [TaskQueue[str, SearchTask, list[ShardHits]](backend, noun="batch") for backend in backends]

    def search(self, queries: Mapping[str, ImpactVector], hits: int) -> "Iterator[tuple[str, list[ScoredDoc]]]":
        """Yield each query's id and its best `hits` documents, as `Searcher.search` defines them."""
        from ir_measures import ScoredDoc

        batches = list(batched(queries.items(), BATCH))
        tasks = [
            (f"a batch of {counted(len(batch), 'query', 'queries')}", SearchTask(tuple(v for _, v in batch), hits))
            for batch in batches
        ]
        with ExitStack() as stack:
            streams = [stack.enter_context(closing(prefetch(queue.run(tasks)))) for queue in self._queues]
            for batch, shards in zip(batches, zip(*streams, strict=True), strict=True):
                for number, (query_id, _) in enumerate(batch):
                    best = _merged([shard[number] for shard in shards], hits)
                    yield query_id, [ScoredDoc(query_id, id_, score) for score, id_ in best]

    def close(self) -> None:
        """End the workers."""
        for queue in self._queues:
            queue.close()


def _merged(shards: Sequence[ShardHits], hits: int) -> list[tuple[float, str]]:
    """Return scores and ids of the best documents of all shards, in the order of a run."""
    pairs = [zip(shard.scores.tolist(), shard.ids, strict=True) for shard in shards]
    return list(islice(merge(*pairs, key=lambda pair: rank_key(*pair)), hits))


@contextmanager
def open_on_ray(index: StrPath, options: WorkerOptions) -> Iterator[WorkersSearcher]:
    """Open an index in actors of Ray, one for each shard; their nodes need the same file system.

    An actor has `options.cpus_per_worker` processors, by default its share of all that the cluster has, at most 1.
    Raises `DependencyError` and `WorkerError` for Ray that is missing or cannot be reached, `MismatchError` when a
    shard was changed.
    """
    from splade_anserini.workers.ray_backend import RayBackend
    from splade_anserini.workers.ray_cluster import open_cluster

    index = Path(index).absolute()
    require_recorded_shards(index)
    shards = shard_directories(index)
    with open_cluster(options) as cluster:
        fair = math.floor(100 * cluster.total("CPU") / len(shards)) / 100
        cpus = options.cpus_per_worker or min(1.0, max(0.01, fair))
        recipes = map(ShardRecipe, shards, repeat(cpus))
        with WorkersSearcher([RayBackend(cluster, recipe, 1, cpus) for recipe in recipes]) as searcher:
            yield searcher
