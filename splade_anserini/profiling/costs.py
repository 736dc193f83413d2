"""What can be counted of an index and its queries."""

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
    """Counts, which are the same on every machine."""

    documents: int
    """Those in the index, which holds none without tokens."""
    queries: int
    """All of them, empty ones too."""
    empty_queries: int
    tokens: int
    """Different ones in the index."""
    postings: int
    flops: float
    """Σ_j p_j^q p_j^d over these queries and documents."""
    entries_document: Distribution
    entries_query: Distribution
    postings_query: Distribution
    """The postings of all of a query's tokens."""
    costliest: list[TokenCost]
    parts: dict[str, int]
    """Bytes of the index."""

    @property
    def bytes(self) -> int:
        """What the index takes on disk."""
        return sum(self.parts.values())

    @property
    def bytes_posting(self) -> float:
        """Bytes of a posting in the files of postings."""
        return self.parts["postings"] / self.postings if self.postings else 0.0


def costs(index: Path, queries: Mapping[str, ImpactVector], tokens: int) -> Costs:
    """Count; `tokens` is how many of the costliest are named. Raises `InputError` when `index` is no Lucene index."""
    held = index_statistics(index)
    documents, asked = Occurrences(held.documents, held.frequencies), occurrences(queries.values())
    return Costs(
        documents=held.documents,
        queries=asked.texts,
        empty_queries=sum(not vector for vector in queries.values()),
        tokens=len(held.frequencies),
        postings=held.postings,
        flops=flops(asked, documents),
        entries_document=distribution(held.lengths),
        entries_query=distribution([len(vector) for vector in queries.values()]),
        postings_query=distribution(np.array([postings_of(vector, documents) for vector in queries.values()])),
        costliest=costliest(asked, documents, tokens),
        parts=index_parts(index),
    )
