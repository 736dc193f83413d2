"""Mine hard negatives: sample them from highly ranked documents that are not judged relevant."""

import hashlib
from collections.abc import Callable, Collection, Sequence
from dataclasses import dataclass, field

import numpy as np

from splade_anserini.training.options import MiningOptions

type PairScores = Callable[[Sequence[tuple[str, str]]], Sequence[float | None]]
"""Pairs of query id and document id → a teacher's scores; None for a pair without a score."""


def no_scores(pairs: Sequence[tuple[str, str]]) -> list[None]:
    """Return None for every pair: the `PairScores` without a teacher."""
    return [None] * len(pairs)


def candidates(ranking: Sequence[str], relevant: Collection[str], options: MiningOptions) -> list[str]:
    """Return the documents at ranks skip + 1 to depth of `ranking` that are not judged relevant."""
    return [document for document in ranking[options.skip : options.depth] if document not in relevant]


def is_false_negative(positive: float | None, score: float | None, margin: float) -> bool:
    """Return whether a teacher scores a document about as high as the positive (RocketQA, Qu et al. 2021).

    That is when its score is above the positive's score less `margin`; never when one of the scores is missing.
    """
    return positive is not None and score is not None and score > positive - margin


@dataclass(slots=True)
class Draw:
    """The negatives of one query for one of its positives, in the order in which they were drawn."""

    query_id: str
    positive_id: str
    candidates: Sequence[str]
    """All candidates in drawing order, which depends on the seed and on the ids of query and positive."""
    positive_score: float | None = None
    negatives: list[str] = field(default_factory=list)
    scores: list[float | None] = field(default_factory=list)
    """The teacher's score of each negative."""
    considered: int = 0
    """How many of the candidates became a negative or were dropped as a false negative."""

    @property
    def dropped(self) -> int:
        """The number of candidates that were dropped as false negatives."""
        return self.considered - len(self.negatives)

    def next_candidates(self, count: int) -> Sequence[str]:
        """Return the next candidates to consider, as many as are missing to `count` negatives."""
        return self.candidates[self.considered : self.considered + count - len(self.negatives)]

    def consider(self, document: str, score: float | None, margin: float) -> None:
        """Keep the next candidate as a negative, or drop it as a false negative."""
        self.considered += 1
        if not is_false_negative(self.positive_score, score, margin):
            self.negatives.append(document)
            self.scores.append(score)


def draw(query_id: str, positive_id: str, documents: Sequence[str], seed: int) -> Draw:
    """Return the candidates in random order; it depends on the arguments only, not on other draws."""
    digest = hashlib.blake2b(f"{query_id}\t{positive_id}".encode(), digest_size=16).digest()
    generator = np.random.default_rng((seed, int.from_bytes(digest, "little")))
    return Draw(query_id, positive_id, [documents[index] for index in generator.permutation(len(documents))])


def fill(draws: Sequence[Draw], options: MiningOptions, scores: PairScores) -> None:
    """Consider candidates until every draw has its negatives or no candidates are left.

    Only as many candidates are scored as are needed, those of all draws together.
    """
    positive_scores = scores([(each.query_id, each.positive_id) for each in draws])
    for each, score in zip(draws, positive_scores, strict=True):
        each.positive_score = score
    while pending := [(each, document) for each in draws for document in each.next_candidates(options.negatives)]:
        candidate_scores = scores([(each.query_id, document) for each, document in pending])
        for (each, document), score in zip(pending, candidate_scores, strict=True):
            each.consider(document, score, options.margin)
