"""Several rankings of one query become one, by their ranks or their scores; passages become documents.

A ranking is a sequence of documents, best first; no document occurs twice in it.
"""

import math
from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

from splade_anserini.errors import InputError
from splade_anserini.ordering import best

if TYPE_CHECKING:
    from ir_measures import ScoredDoc

    from splade_anserini.formats.runs import RankedDoc

type Ranking = Sequence["RankedDoc"]
type Method = Literal["rrf", "interpolation"]
type Normalization = Literal["minmax", "zscore", "sum", "none"]

RRF_K = 60
"""What Cormack, Clarke & Büttcher chose in a pilot study and kept (SIGIR 2009, section 2)."""


@dataclass(frozen=True, slots=True)
class FusionOptions:
    """How rankings are fused."""

    method: Method = "rrf"
    rrf_k: int = RRF_K
    normalization: Normalization = "minmax"
    """Of scores that are interpolated."""
    weights: tuple[float, ...] = ()
    """Of the rankings, where scores are interpolated; only their proportions count. Empty: all the same."""
    depth: int = 1000
    """The last rank that is looked at."""
    hits: int = 1000
    """Documents that are kept."""

    def __post_init__(self) -> None:
        if self.rrf_k < 0 or self.depth < 1 or self.hits < 1:
            raise InputError(
                f"The constant of RRF is {self.rrf_k}, the depth {self.depth}, the hits {self.hits}.",
                expected="a constant of 0 or more, and 1 or more of the others",
            )
        fit = all(math.isfinite(weight) and weight >= 0 for weight in self.weights)
        if not fit or (self.weights and not any(self.weights)):
            raise InputError(
                f"The weights {', '.join(f'{weight:g}' for weight in self.weights)} cannot be used.",
                expected="numbers of 0 or more, and at least one above 0",
            )


def fused(query_id: str, rankings: Sequence[Ranking], options: FusionOptions) -> "list[ScoredDoc]":
    """Return the best documents of all rankings together, each cut at `depth` before."""
    cut = [ranking[: options.depth] for ranking in rankings]
    if options.method == "rrf":
        return ranked(query_id, reciprocal_ranks(cut, options.rrf_k), options.hits)
    weights = options.weights or [1.0] * len(cut)
    return ranked(query_id, interpolated(cut, weights, options.normalization), options.hits)


def reciprocal_ranks(rankings: Sequence[Ranking], k: int = RRF_K) -> dict[str, float]:
    """Return each document's Σ 1 / (k + rank) over the rankings (Cormack, Clarke & Büttcher, SIGIR 2009, section 2).

    Ranks count from 1; scores are not looked at. A ranking adds nothing to a document that it lacks.
    """
    terms: defaultdict[str, list[float]] = defaultdict(list)
    for ranking in rankings:
        for rank, doc in enumerate(ranking, 1):
            terms[doc.doc_id].append(1 / (k + rank))
    # Rounded once: the order of the rankings makes no difference to the last bit, nor to ties.
    return {document: math.fsum(some) for document, some in terms.items()}


def interpolated(
    rankings: Sequence[Ranking], weights: Sequence[float], normalization: Normalization = "minmax"
) -> dict[str, float]:
    """Return each document's mean of its normalized scores in the rankings, weighted.

    In a ranking that lacks it, a document counts as the last one there does, or as 0 if that is less: it would have
    come after the last, and where scores are not negative, after all documents that were found.
    """
    greatest = max(weights)
    # By the greatest first: so no sum of weights overflows.
    total = math.fsum(weight / greatest for weight in weights)
    columns = []
    for ranking, weight in zip(rankings, weights, strict=True):
        scores = normalized([doc.score for doc in ranking], normalization)
        by_id = dict(zip((doc.doc_id for doc in ranking), scores, strict=True))
        columns.append((weight / greatest / total, by_id, min(0.0, *scores) if scores else 0.0))
    documents = dict.fromkeys(document for _, by_id, _ in columns for document in by_id)
    return {
        document: math.fsum(share * by_id.get(document, missing) for share, by_id, missing in columns)
        for document in documents
    }


def normalized(scores: Sequence[float], normalization: Normalization) -> list[float]:
    """Bring the scores of one ranking to a scale that rankings share (Montague & Aslam, CIKM 2001).

    By `minmax` the least is 0 and the greatest 1; by `sum` the least is 0 and the sum 1; by `zscore` the mean is 0 and
    the variance 1; by `none` they stay. Scores that are all equal, or a single one, become 1, 1 / n and 0. The scores
    must be within the range of float32.
    """
    if normalization == "none" or not scores:
        return list(scores)
    least, greatest, n = min(scores), max(scores), len(scores)
    if least == greatest:
        return [{"minmax": 1.0, "sum": 1 / n, "zscore": 0.0}[normalization]] * n
    if normalization == "minmax":
        return [(score - least) / (greatest - least) for score in scores]
    if normalization == "sum":
        total = math.fsum(score - least for score in scores)
        return [(score - least) / total for score in scores]
    mean = math.fsum(scores) / n
    # By the range first: so no square vanishes.
    parts = [(score - mean) / (greatest - least) for score in scores]
    deviation = math.sqrt(math.fsum(part * part for part in parts) / n)
    return [part / deviation for part in parts]


def ranked(query_id: str, scores: Mapping[str, float], hits: int) -> "list[ScoredDoc]":
    """Return the best `hits` documents; equal scores are in ascending order of ids by code point, as Anserini does."""
    from ir_measures import ScoredDoc

    return [ScoredDoc(query_id, doc_id, score) for doc_id, score in best(scores.items(), hits)]


def max_passages(ranking: "Sequence[ScoredDoc]", separator: str, source: str) -> "list[ScoredDoc]":
    """Rank documents by their best passages (MaxP: Dai & Callan, SIGIR 2019).

    A passage's id is its document's, then `separator`, then what tells the passages apart; where the separator occurs
    again, its last place counts. Raises `InputError`, which names `source`, for an id that is not made so.
    """
    best: dict[str, ScoredDoc] = {}
    for passage in ranking:
        document, _, _ = passage.doc_id.rpartition(separator)
        if not document:
            raise InputError(
                f"{source}: the document {passage.doc_id!r} of the query {passage.query_id!r} is no passage.",
                expected=f"a document's id, then {separator!r}, then the passage, as in doc3{separator}2",
                do="Name the separator that stands in the ids. To fuse passages with documents, make a run of "
                "documents of the passages first.",
            )
        # The first is the best, for passages are ranked.
        best.setdefault(document, passage._replace(doc_id=document))
    return list(best.values())
