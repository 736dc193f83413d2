"""Counts of an index and its queries: FLOPS, active entries, postings and bytes."""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from splade_anserini.lucene.disk_usage import index_parts
from splade_anserini.lucene.statistics import index_statistics
from splade_anserini.profiling.flops import Occurrences, TokenCost, costliest, flops, occurrences, postings_of
from splade_anserini.profiling.percentiles import Distribution, distribution
from splade_anserini.records import ImpactVector


@dataclass(frozen=True, slots=True)
class Costs:
    """Counts that are the same on every machine."""

    documents: int
    """Documents in the index, which contains no empty ones."""
    queries: int
    """All queries, including empty ones."""
    empty_queries: int
    tokens: int
    """Distinct tokens in the index."""
    postings: int
    flops: float
    """Σ_j p_j^q p_j^d over these queries and documents (SPLADE v2, section 4)."""
    entries_document: Distribution
    entries_query: Distribution
    postings_query: Distribution
    """Postings of all tokens of a query."""
    costliest: list[TokenCost]
    parts: dict[str, int]
    """Part of the index → bytes on disk."""

    @property
    def bytes(self) -> int:
        """Bytes of the index on disk."""
        return sum(self.parts.values())

    @property
    def bytes_posting(self) -> float:
        """Bytes of the postings files per posting."""
        return self.parts["postings"] / self.postings if self.postings else 0.0


def costs(index: Path, queries: Mapping[str, ImpactVector], tokens: int) -> Costs:
    """Count the costs of searching `index` for `queries`, and list the `tokens` costliest tokens.

    Raises `InputError` when `index` is not a Lucene index.
    """
    statistics = index_statistics(index)
    in_documents = Occurrences(statistics.documents, statistics.frequencies)
    in_queries = occurrences(queries.values())
    return Costs(
        documents=statistics.documents,
        queries=in_queries.texts,
        empty_queries=sum(not vector for vector in queries.values()),
        tokens=len(statistics.frequencies),
        postings=statistics.postings,
        flops=flops(in_queries, in_documents),
        entries_document=distribution(statistics.lengths),
        entries_query=distribution([len(vector) for vector in queries.values()]),
        postings_query=distribution(np.array([postings_of(vector, in_documents) for vector in queries.values()])),
        costliest=costliest(in_queries, in_documents, tokens),
        parts=index_parts(index),
    )
