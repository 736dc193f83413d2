"""Searches a sharded index on Ray: an actor for each shard, and the best documents of all shards merged here."""

import math
from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack, closing, contextmanager
from dataclasses import dataclass
from heapq import merge, nsmallest
from itertools import batched, islice, repeat
from pathlib import Path
from threading import Lock
from typing import TYPE_CHECKING, NamedTuple

import numpy as np
import numpy.typing as npt

from splade_anserini._version import __version__
from splade_anserini.artifacts.sharded_index import fingerprint_of_index, require_recorded_shards, shard_directories
from splade_anserini.errors import counted
from splade_anserini.lucene.filters import Filters
from splade_anserini.lucene.impact_searcher import ImpactSearcher
from splade_anserini.lucene.parallel_writer import take_heap
from splade_anserini.lucene.ranking import Ranking
from splade_anserini.lucene.searcher import Closeable
from splade_anserini.lucene.two_step import Steps
from splade_anserini.ordering import rank_key
from splade_anserini.parallel import cpu_count, prefetch
from splade_anserini.progress import Progress
from splade_anserini.records import ImpactVector, StrPath
from splade_anserini.vectors.pruning import prune_top_k
from splade_anserini.workers.options import WorkerOptions
from splade_anserini.workers.protocol import Backend
from splade_anserini.workers.task_queue import TaskQueue

if TYPE_CHECKING:
    from ir_measures import ScoredDoc

BATCH = 32
"""Queries that an actor gets at once: asking one costs some milliseconds."""


GROUP = 8 * BATCH
"""Queries that are searched before the hits of the first of them are returned; others can be encoded meanwhile."""


class SearchTask(NamedTuple):
    """Queries to search for, in two steps or in one."""

    queries: tuple[ImpactVector, ...]
    hits: int
    steps: Steps | None = None


class ShardHits(NamedTuple):
    """The best documents of a shard for a query, best first; in a search in two steps its best candidates."""

    ids: list[str]
    scores: npt.NDArray[np.float32]
    first_scores: npt.NDArray[np.float32] | None = None
    """The scores of the first step, where there are two."""


class ShardSearcher:
    """A worker that searches one shard."""

    def __init__(self, path: Path, threads: int, filters: Filters = ()) -> None:
        self._searcher = ImpactSearcher(path, threads).filtered(filters)
        self._info = f"{__version__} {fingerprint_of_index(path)}"

    @property
    def info(self) -> str:
        """The version of this package, and the fingerprint of the shard."""
        return self._info

    def run(self, task: SearchTask, progress: Progress) -> list[ShardHits]:
        """Search for the queries."""
        queries, steps = task.queries, task.steps
        first = queries if steps is None else [prune_top_k(query, steps.terms) for query in queries]
        named = ((str(number), query) for number, query in enumerate(first))
        count = task.hits if steps is None else steps.candidates
        rankings = self._searcher.rankings(named, count, self._searcher.threads)
        results = [self._hits(query, ranking, steps) for query, (_, ranking) in zip(queries, rankings, strict=True)]
        progress(len(results))
        return results

    def _hits(self, query: ImpactVector, ranking: Ranking, steps: Steps | None) -> ShardHits:
        scores = np.array(ranking.scores, np.float32)
        if steps is None or len(query) <= steps.terms:
            return ShardHits(ranking.ids, scores, None if steps is None else scores)
        first_scores = dict(zip(ranking.docs, ranking.scores, strict=True))
        rescored = self._searcher.rescored(query, ranking)
        by_first_step = np.array([first_scores[doc] for doc in rescored.docs], np.float32)
        return ShardHits(rescored.ids, np.array(rescored.scores, np.float32), by_first_step)


@dataclass(frozen=True, slots=True)
class ShardRecipe:
    """Makes a `ShardSearcher`."""

    path: Path
    cpus: float = 1.0
    filters: Filters = ()

    def __call__(self) -> ShardSearcher:
        """Open the shard."""
        take_heap(min(1.0, self.cpus / cpu_count()))
        return ShardSearcher(self.path, max(1, int(self.cpus)), self.filters)


class WorkersSearcher(Closeable):
    """A `Searcher` over a sharded index whose shards are searched by workers, one for each.

    Every worker gets the same batches of queries, and works on the next while the hits of one are merged. One that dies
    is replaced, and gets its batch again.
    """

    def __init__(self, backends: Sequence[Backend]) -> None:
        self._queues = [TaskQueue[str, SearchTask, list[ShardHits]](backend, noun="batch") for backend in backends]

        self._lock = Lock()

    def search(self, queries: Mapping[str, ImpactVector], hits: int) -> "Iterator[tuple[str, list[ScoredDoc]]]":
        """Yield each query's id and its best `hits` documents, as `Searcher.search` defines them."""
        return self.rankings(queries, hits)

    def in_two_steps(self, terms: int, candidates: int | None = None) -> "TwoStepWorkersSearcher":
        """Return a searcher that finds what `TwoStepSearcher` does in one index of all documents."""
        return TwoStepWorkersSearcher(self, terms, candidates)

    def rankings(
        self, queries: Mapping[str, ImpactVector], hits: int, steps: Steps | None = None
    ) -> "Iterator[tuple[str, list[ScoredDoc]]]":
        """Yield each query's id and its best documents, which are searched for in the two `steps` if there are any."""
        from ir_measures import ScoredDoc

        # No search is under way when something is yielded: who draws from here may search, too.
        for group in batched(queries.items(), GROUP):
            with self._lock:
                rankings = list(self._merged_hits([vector for _, vector in group], hits, steps))
            for (query_id, _), ranking in zip(group, rankings, strict=True):
                yield query_id, [ScoredDoc(query_id, id_, score) for score, id_ in ranking]

    def _merged_hits(
        self, queries: Sequence[ImpactVector], hits: int, steps: Steps | None
    ) -> Iterator[list[tuple[float, str]]]:
        batches = list(batched(queries, BATCH))
        tasks = [
            (f"a batch of {counted(len(batch), 'query', 'queries')}", SearchTask(batch, hits, steps))
            for batch in batches
        ]
        with ExitStack() as stack:
            streams = [stack.enter_context(closing(prefetch(queue.run(tasks)))) for queue in self._queues]
            for batch, shards in zip(batches, zip(*streams, strict=True), strict=True):
                for number in range(len(batch)):
                    yield _merged([shard[number] for shard in shards], hits, steps)

    def close(self) -> None:
        """End the workers."""
        for queue in self._queues:
            queue.close()


class TwoStepWorkersSearcher:
    """A `Searcher` over the shards of a `WorkersSearcher` that does what `TwoStepSearcher` does."""

    def __init__(self, searcher: WorkersSearcher, terms: int, candidates: int | None = None) -> None:
        self._searcher, self._terms, self._candidates = searcher, terms, candidates

    def search(self, queries: Mapping[str, ImpactVector], hits: int) -> "Iterator[tuple[str, list[ScoredDoc]]]":
        """Yield each query's id and at most `hits` documents, in the order of `queries`."""
        return self._searcher.rankings(queries, hits, Steps.of(self._terms, self._candidates, hits))

    def close(self) -> None:
        """End the workers."""
        self._searcher.close()


def _merged(shards: Sequence[ShardHits], hits: int, steps: Steps | None) -> list[tuple[float, str]]:
    """Return scores and ids of the best documents of all shards, in the order of a run."""
    if steps is not None:
        return _best_candidates(shards, hits, steps.candidates)
    pairs = [zip(shard.scores.tolist(), shard.ids, strict=True) for shard in shards]
    return list(islice(merge(*pairs, key=lambda pair: rank_key(*pair)), hits))


def _best_candidates(shards: Sequence[ShardHits], hits: int, candidates: int) -> list[tuple[float, str]]:
    """Return the best documents by their scores among the best `candidates` of all shards by the first step.

    These are among the shards' own candidates, which were scored where they are: one round of messages is enough.
    """
    rows = [
        row
        for shard in shards
        if shard.first_scores is not None
        for row in zip(shard.first_scores.tolist(), shard.ids, shard.scores.tolist(), strict=True)
    ]
    rows = nsmallest(candidates, rows, key=lambda row: rank_key(row[0], row[1]))
    return nsmallest(hits, ((score, id_) for _, id_, score in rows), key=lambda pair: rank_key(*pair))


@contextmanager
def open_on_ray(index: StrPath, options: WorkerOptions, filters: Filters = ()) -> Iterator[WorkersSearcher]:
    """Open an index in actors of Ray, one for each shard; their nodes need the same file system.

    With `filters` only documents that fulfil them are found, see `LuceneSearcher.filtered`. An actor has
    `options.cpus_per_worker` processors, by default its share of all that the cluster has, at most 1. Raises
    `DependencyError` and `WorkerError` for Ray that is missing or cannot be reached, `MismatchError` when a shard was
    changed.
    """
    from splade_anserini.workers.ray_backend import RayBackend
    from splade_anserini.workers.ray_cluster import open_cluster

    index = Path(index).absolute()
    require_recorded_shards(index)
    shards = shard_directories(index)
    with open_cluster(options) as cluster:
        fair = math.floor(100 * cluster.total("CPU") / len(shards)) / 100
        cpus = options.cpus_per_worker or min(1.0, max(0.01, fair))
        recipes = map(ShardRecipe, shards, repeat(cpus), repeat(filters))
        with WorkersSearcher([RayBackend(cluster, recipe, 1, cpus) for recipe in recipes]) as searcher:
            yield searcher
