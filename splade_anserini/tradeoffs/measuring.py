"""Settings that share an index, measured: what they find, what they cost, how long they take."""

from collections import deque
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import chain
from pathlib import Path
from typing import TYPE_CHECKING

from splade_anserini.evaluation.evaluation import evaluate
from splade_anserini.formats.runs import without_ties
from splade_anserini.lucene import ImpactSearcher, Searcher, TwoStepSearcher
from splade_anserini.lucene.disk_usage import index_parts
from splade_anserini.lucene.statistics import index_statistics
from splade_anserini.profiling.flops import Occurrences, flops, occurrences
from splade_anserini.profiling.latency import Timing, combined, rounds, sample, time_calls
from splade_anserini.profiling.percentiles import distribution
from splade_anserini.records import ImpactVector
from splade_anserini.tradeoffs.documents import impacts_of
from splade_anserini.tradeoffs.rows import Row
from splade_anserini.tradeoffs.settings import Setting
from splade_anserini.vectors.pruning import prune_top_k

if TYPE_CHECKING:
    from ir_measures import Measure, Qrel


@dataclass(frozen=True, slots=True)
class QueryWorkload:
    """What every setting is asked."""

    queries: Mapping[str, ImpactVector]
    qrels: "Sequence[Qrel]"
    measures: "Sequence[Measure]"
    hits: int = 1000
    candidates: int | None = None
    """Of a first phase; None for those that `TwoStepSearcher` looks at."""
    samples: int = 500
    """Timed queries of each setting. Topics that are fewer come again."""
    seed: int = 0
    """Of the order of the timed queries."""


def measure(index: Path, settings: Sequence[Setting], asked: QueryWorkload, documents: int) -> dict[str, Row]:
    """Measure settings that search `index`, by their names. Of the collection's `documents` it may hold fewer.

    A query is timed from its vector to its hits in Python's hands, on one thread.
    """
    statistics, size = index_statistics(index), sum(index_parts(index).values())
    held = Occurrences(documents, statistics.frequencies)
    with ImpactSearcher(index) as searcher:
        ways = [_Configuration(setting, searcher, asked) for setting in settings]
        found = [way.found(held) for way in ways]
        timings = _timed(ways, asked)
    rows = {}
    for way, (cost, measures), timing in zip(ways, found, timings, strict=True):
        milliseconds = distribution(timing.nanoseconds * 1e-6)
        rows[str(way.setting)] = Row(
            entries_document=statistics.postings / documents,
            entries_query=sum(map(len, way.queries.values())) / max(len(way.queries), 1),
            postings=statistics.postings,
            bytes=size,
            flops=cost,
            milliseconds=milliseconds.mean or 0.0,
            milliseconds_p95=milliseconds.percentiles["p95"],
            measures=measures,
        )
    return rows


class _Configuration:
    """One setting over its index."""

    def __init__(self, setting: Setting, searcher: ImpactSearcher, asked: QueryWorkload) -> None:
        self.setting, self._asked = setting, asked
        self.queries = _pruned(setting, asked.queries)
        self._phases = TwoStepSearcher(searcher, setting.two_phase, asked.candidates) if setting.two_phase else None
        self._searcher: Searcher = self._phases or searcher

    def found(self, held: Occurrences) -> tuple[float, dict[str, float]]:
        """Search all queries once; return the FLOPS and the measures."""
        rankings = self._searcher.search(self.queries, self._asked.hits)
        docs = without_ties(rankings)
        names = [str(measure) for measure in self._asked.measures]
        measures = dict.fromkeys(names, 0.0)
        # Who finds nothing has 0.
        if first := next(docs, None):
            run = chain([first], docs)
            evaluation = evaluate(run, self._asked.qrels, self._asked.measures, label=str(self.setting))
            measures = {name: evaluation.aggregate[name] for name in names}
        return self._flops(held), measures

    def _flops(self, held: Occurrences) -> float:
        asked = (prune_top_k(vector, self.setting.two_phase) for vector in self.queries.values())
        pairs = len(self.queries) * held.texts
        return flops(occurrences(asked), held) + (self._phases.look_ups / pairs if self._phases else 0.0)

    def search(self, query: tuple[str, ImpactVector]) -> None:
        """Search for one query, and take its hits."""
        deque(self._searcher.search(dict([query]), self._asked.hits), maxlen=0)


def _pruned(setting: Setting, queries: Mapping[str, ImpactVector]) -> Mapping[str, ImpactVector]:
    if setting.queries is None:
        return queries
    prune = setting.queries.function(impacts_of(queries.values()))
    return {query_id: prune(vector) for query_id, vector in queries.items()}


def _timed(ways: Sequence[_Configuration], asked: QueryWorkload) -> list[Timing]:
    """Time the same queries in all ways, by turns."""
    parts: list[list[Timing]] = [[] for _ in ways]
    for ids in rounds(sample(list(asked.queries), asked.samples, asked.seed)):
        for way, timings in zip(ways, parts, strict=True):
            timings.append(time_calls(way.search, [(query_id, way.queries[query_id]) for query_id in ids]))
    return [combined(timings) for timings in parts]
