"""Fusion of several rankings of a query, by ranks or by scores, and rankings of documents by their best passages.

A ranking is a sequence of documents, best first, without duplicates.
"""

import math
from collections import defaultdict
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Literal

from splade_anserini.errors import InputError
from splade_anserini.options import changed_options, option, options
from splade_anserini.ordering import best

if TYPE_CHECKING:
    from ir_measures import ScoredDoc

    from splade_anserini.formats.runs import RankedDoc

type Ranking = Sequence["RankedDoc"]
type Method = Literal["rrf", "interpolation"]
type Normalization = Literal["minmax", "max", "zscore", "sum", "none"]

RRF_K = 60
"""The value that Cormack, Clarke & Büttcher fixed in a pilot study (SIGIR 2009, section 2)."""


@options
class FusionOptions:
    """How rankings are fused. Raises `InputError` for values out of range, and for options of the other method."""

    method: Method = option(default="rrf", help="Reciprocal rank fusion, or weighted means of normalized scores.")
    rrf_k: int = option(default=RRF_K, least=0, help="With rrf: the k of Σ 1 / (k + rank).")
    normalization: Normalization = option(
        default="minmax", flags=("--normalize",), help="With interpolation: normalization of each query's scores."
    )
    weights: tuple[float, ...] = option(
        default=(),
        flags=("--weight",),
        python_only=True,
        help="With interpolation: one weight for each ranking. Only their proportions count; empty: all equal.",
    )
    depth: int = option(default=1000, least=1, help="Last rank of each run that is used.")
    hits: int = option(default=1000, least=1, help="Documents for each query.")

    def __post_init__(self) -> None:
        are_valid = all(math.isfinite(weight) and weight >= 0 for weight in self.weights)
        if not are_valid or (self.weights and not any(self.weights)):
            raise InputError(
                f"--weight is not valid: {', '.join(f'{weight:g}' for weight in self.weights)}.",
                expected="finite numbers of at least 0, not all of them 0",
            )
        unused = {"rrf": {"--weight", "--normalize"}, "interpolation": {"--rrf-k"}}[self.method]
        if names := sorted(unused.intersection(changed_options(self))):
            other = "interpolation" if self.method == "rrf" else "rrf"
            raise InputError(
                f"{names[0]} has no effect with --method {self.method}.",
                do=f"Leave it out, or add --method {other}.",
            )


def fuse_rankings(query_id: str, rankings: Sequence[Ranking], options: FusionOptions) -> "list[ScoredDoc]":
    """Return the ranking that the best `options.depth` documents of each ranking give together."""
    cut = [ranking[: options.depth] for ranking in rankings]
    if options.method == "rrf":
        return best_documents(query_id, reciprocal_rank_fusion(cut, options.rrf_k), options.hits)
    weights = options.weights or [1.0] * len(cut)
    return best_documents(query_id, interpolate(cut, weights, options.normalization), options.hits)


def reciprocal_rank_fusion(rankings: Sequence[Ranking], k: int = RRF_K) -> dict[str, float]:
    """Return each document's Σ 1 / (k + rank) over the rankings (Cormack, Clarke & Büttcher, SIGIR 2009, section 2).

    Ranks count from 1; scores have no effect. A ranking adds nothing for a document that it lacks.
    """
    terms: defaultdict[str, list[float]] = defaultdict(list)
    for ranking in rankings:
        for rank, doc in enumerate(ranking, 1):
            terms[doc.doc_id].append(1 / (k + rank))
    # fsum rounds once, so that sums and ties do not depend on the order of the rankings.
    return {doc_id: math.fsum(values) for doc_id, values in terms.items()}


def interpolate(
    rankings: Sequence[Ranking], weights: Sequence[float], normalization: Normalization = "minmax"
) -> dict[str, float]:
    """Return each document's weighted mean of its normalized scores in the rankings.

    In a ranking that lacks it, a document gets the score of the last one there, or 0 if that is less: the document
    would rank below the last one.
    """
    greatest = max(weights)
    # Weights are divided by the greatest, so that their sum does not overflow.
    total = math.fsum(weight / greatest for weight in weights)
    columns = []
    for ranking, weight in zip(rankings, weights, strict=True):
        scores = normalize_scores([doc.score for doc in ranking], normalization)
        by_id = dict(zip((doc.doc_id for doc in ranking), scores, strict=True))
        columns.append((weight / greatest / total, by_id, min(0.0, *scores) if scores else 0.0))
    doc_ids = dict.fromkeys(doc_id for _, by_id, _ in columns for doc_id in by_id)
    return {
        doc_id: math.fsum(share * by_id.get(doc_id, missing) for share, by_id, missing in columns) for doc_id in doc_ids
    }


def normalize_scores(scores: Sequence[float], normalization: Normalization) -> list[float]:
    """Normalize the scores of one ranking (Montague & Aslam, CIKM 2001).

    After `minmax` the least score is 0 and the greatest 1; after `sum` the least is 0 and the sum 1; after `zscore` the
    mean is 0 and the variance 1; `none` leaves the scores unchanged. If all n scores are equal they become 1, 1 / n
    and 0. `max` divides by the greatest absolute score, if it is not 0. Scores must be in the range of float32.
    """
    if normalization == "none" or not scores:
        return list(scores)
    least, greatest, n = min(scores), max(scores), len(scores)
    if normalization == "max":
        divisor = max(abs(least), abs(greatest)) or 1.0
        return [score / divisor for score in scores]
    if least == greatest:
        return [{"minmax": 1.0, "sum": 1 / n, "zscore": 0.0}[normalization]] * n
    if normalization == "minmax":
        return [(score - least) / (greatest - least) for score in scores]
    if normalization == "sum":
        total = math.fsum(score - least for score in scores)
        return [(score - least) / total for score in scores]
    mean = math.fsum(scores) / n
    # Deviations are divided by the range, so that no square underflows.
    deviations = [(score - mean) / (greatest - least) for score in scores]
    standard_deviation = math.sqrt(math.fsum(deviation * deviation for deviation in deviations) / n)
    return [deviation / standard_deviation for deviation in deviations]


def best_documents(query_id: str, scores: Mapping[str, float], hits: int) -> "list[ScoredDoc]":
    """Return the best `hits` documents, in the order of `ordering.best`."""
    from ir_measures import ScoredDoc

    return [ScoredDoc(query_id, doc_id, score) for doc_id, score in best(scores.items(), hits)]


def rank_by_best_passage(ranking: "Sequence[ScoredDoc]", separator: str, source: str) -> "list[ScoredDoc]":
    """Rank documents by their best passages (MaxP: Dai & Callan, SIGIR 2019).

    The part of a passage's id before the last `separator` is the id of its document. Raises `InputError`, which names
    `source`, for an id without such a part.
    """
    best_passages: dict[str, ScoredDoc] = {}
    for passage in ranking:
        doc_id, _, _ = passage.doc_id.rpartition(separator)
        if not doc_id:
            raise InputError(
                f"{source}: {passage.doc_id!r} of query {passage.query_id!r} is not the id of a passage.",
                expected=f"the id of a document, then {separator!r}, then the passage, as in doc3{separator}2",
                do="Pass the separator that the ids have. To fuse a run of passages with a run of documents, first use "
                "--max-passage with the run of passages alone.",
            )
        # The first passage of a document is its best, because passages are ranked.
        best_passages.setdefault(doc_id, passage._replace(doc_id=doc_id))
    return list(best_passages.values())
