"""Measurement of settings that search the same index: effectiveness, costs and times."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import chain
from pathlib import Path
from typing import TYPE_CHECKING

from splade_anserini.evaluation.evaluation import evaluate
from splade_anserini.formats.runs import without_ties
from splade_anserini.lucene import ImpactSearcher, Searcher, TwoStepSearcher
from splade_anserini.lucene.disk_usage import index_parts
from splade_anserini.lucene.document_idf import document_idf_in
from splade_anserini.lucene.statistics import index_statistics
from splade_anserini.profiling.flops import Occurrences, flops, occurrences
from splade_anserini.profiling.latency import Timing, combined, rounds, sample, time_calls
from splade_anserini.profiling.percentiles import distribution
from splade_anserini.records import ImpactVector
from splade_anserini.retrieval.query_idf import weighted_by_idf, with_exact_scores
from splade_anserini.tradeoffs.documents import check_pruning, count_impacts
from splade_anserini.tradeoffs.results import Result
from splade_anserini.tradeoffs.settings import Setting
from splade_anserini.tradeoffs.text_search import TextSearch
from splade_anserini.vectors.pruning import prune_top_k

if TYPE_CHECKING:
    from ir_measures import Measure, Qrel


@dataclass(frozen=True, slots=True)
class QueryWorkload:
    """The queries of every setting, how they are evaluated, and how many are timed."""

    queries: Mapping[str, ImpactVector]
    qrels: "Sequence[Qrel]"
    measures: "Sequence[Measure]"
    hits: int = 1000
    candidates: int | None = None
    """Candidates of a two-step search; None for the default of `TwoStepSearcher`."""
    samples: int = 500
    """Timed queries of each setting; fewer topics are repeated."""
    seed: int = 0
    """Seed of the order of the timed queries."""
    text_search: TextSearch | None = None
    """BM25, which hybrid settings need."""

    @property
    def measure_names(self) -> list[str]:
        """The names of the measures."""
        return [str(measure) for measure in self.measures]


def measure(index: Path, settings: Sequence[Setting], workload: QueryWorkload, documents: int) -> dict[str, Result]:
    """Measure settings that search `index`; return the results by the names of the settings.

    `documents` is the size of the unpruned collection, of which the index may contain fewer. idf is that of the index.
    Times are from a query's vector, after idf and pruning, to its hits in Python, on one thread; they include those of
    BM25 in hybrid settings.
    """
    statistics, size = index_statistics(index), sum(index_parts(index).values())
    in_documents = Occurrences(documents, statistics.frequencies)
    weighted = {
        alpha: weighted_by_idf(workload.queries, index, alpha)
        for alpha in dict.fromkeys(setting.query_idf for setting in settings)
    }
    with ImpactSearcher(index) as searcher:
        configurations = [
            _Configuration(setting, searcher, workload, weighted[setting.query_idf]) for setting in settings
        ]
        evaluations = [
            (configuration.evaluate(), configuration.flops(in_documents)) for configuration in configurations
        ]
        timings = _timings(configurations, workload)
    results = {}
    for configuration, (measures, cost), timing in zip(configurations, evaluations, timings, strict=True):
        milliseconds = distribution(timing.nanoseconds * 1e-6)
        results[str(configuration.setting)] = Result(
            entries_document=statistics.postings / documents,
            entries_query=sum(map(len, configuration.queries.values())) / max(len(configuration.queries), 1),
            postings=statistics.postings,
            bytes=size + configuration.more_bytes,
            flops=cost,
            milliseconds=milliseconds.mean or 0.0,
            milliseconds_p95=milliseconds.percentiles["p95"],
            measures=measures,
        )
    return results


class _Configuration:
    """A setting with its searcher and its pruned queries."""

    def __init__(
        self,
        setting: Setting,
        searcher: ImpactSearcher,
        workload: QueryWorkload,
        queries: Mapping[str, ImpactVector],
    ) -> None:
        self.setting, self._workload = setting, workload
        self.queries = _pruned_queries(setting, queries)
        self._has_idf = bool(setting.query_idf or document_idf_in(searcher.directory))
        self._texts = workload.text_search if setting.hybrid is not None else None
        self._weight = setting.hybrid or 0.0
        self._two_step = TwoStepSearcher(searcher, setting.two_step, workload.candidates) if setting.two_step else None
        self._searcher: Searcher = self._two_step or searcher

    def evaluate(self) -> dict[str, float]:
        """Search for all queries once and return the measures, 0 when nothing is found."""
        rankings = self._searcher.search(self.queries, self._workload.hits)
        if self._has_idf:
            rankings = with_exact_scores(rankings)
        if self._texts:
            rankings = self._texts.fused(rankings, self._weight)
        docs = without_ties(rankings)
        names = self._workload.measure_names
        first = next(docs, None)
        if first is None:
            return dict.fromkeys(names, 0.0)
        run = chain([first], docs)
        evaluation = evaluate(run, self._workload.qrels, self._workload.measures, label=str(self.setting))
        return {name: evaluation.aggregate[name] for name in names}

    @property
    def more_bytes(self) -> int:
        """The bytes of other indexes that are searched too."""
        return self._texts.bytes if self._texts else 0

    def flops(self, in_documents: Occurrences) -> float:
        """Return the FLOPS; those of a two-step search include the lookups of the search that `evaluate` did, those of
        a hybrid search BM25's.
        """
        first_step = (prune_top_k(vector, self.setting.two_step) for vector in self.queries.values())
        pairs = len(self.queries) * in_documents.texts
        second_step = self._two_step.look_ups / pairs if self._two_step else 0.0
        of_texts = self._texts.postings / pairs if self._texts else 0.0
        return flops(occurrences(first_step), in_documents) + second_step + of_texts

    def search(self, query: tuple[str, ImpactVector]) -> None:
        """Search for one query and consume its hits."""
        for query_id, ranking in self._searcher.search(dict([query]), self._workload.hits):
            if self._texts:
                self._texts.search(query_id, ranking, self._weight)


def _pruned_queries(setting: Setting, queries: Mapping[str, ImpactVector]) -> Mapping[str, ImpactVector]:
    if setting.queries is None:
        return queries
    impacts = count_impacts(queries.values())
    check_pruning(setting.queries, impacts, "queries")
    prune = setting.queries.function(impacts)
    return {query_id: prune(vector) for query_id, vector in queries.items()}


def _timings(configurations: Sequence[_Configuration], workload: QueryWorkload) -> list[Timing]:
    """Time the same queries with all configurations, in alternating rounds."""
    timings: list[list[Timing]] = [[] for _ in configurations]
    for ids in rounds(sample(list(workload.queries), workload.samples, workload.seed)):
        for configuration, parts in zip(configurations, timings, strict=True):
            queries = [(query_id, configuration.queries[query_id]) for query_id in ids]
            parts.append(time_calls(configuration.search, queries))
    return [combined(parts) for parts in timings]
