"""Hard negatives: drawn at random from what a searcher ranks high and nobody judged relevant."""

import hashlib
from collections.abc import Callable, Collection, Sequence
from dataclasses import dataclass, field

import numpy as np

from splade_anserini.errors import InputError

type PairScores = Callable[[Sequence[tuple[str, str]]], Sequence[float | None]]
"""Ids of query and document → a teacher's score; None where it has none."""


def no_scores(pairs: Sequence[tuple[str, str]]) -> list[None]:
    """Know no score."""
    return [None] * len(pairs)


@dataclass(frozen=True, slots=True)
class MiningOptions:
    """Where negatives come from, and how many. Ranks count from 1."""

    depth: int = 200
    """The last rank that is drawn from."""
    skip: int = 0
    """How many of the first ranks are not."""
    negatives: int = 8
    """For each positive."""
    seed: int = 42
    margin: float = 0.0
    """How far below the positive's a negative's score must at least be, where a teacher gives both."""

    def __post_init__(self) -> None:
        if not 0 <= self.skip < self.depth or self.negatives < 1 or self.seed < 0:
            raise InputError(
                f"Ranks {self.skip} + 1 to {self.depth}, {self.negatives} negatives, seed {self.seed}.",
                expected="0 ≤ --skip < --depth, --negatives of 1 or more, and a --seed of 0 or more",
            )


def candidates(ranking: Sequence[str], relevant: Collection[str], options: MiningOptions) -> list[str]:
    """Return the documents at ranks skip + 1 to depth of `ranking`, without those judged relevant."""
    return [document for document in ranking[options.skip : options.depth] if document not in relevant]


def is_false_negative(positive: float | None, score: float | None, margin: float) -> bool:
    """Say whether a teacher takes the document for about as good as the positive (RocketQA, Qu et al. 2021).

    It is when its score is above the positive's less `margin`; where a score is missing, it is not.
    """
    return positive is not None and score is not None and score > positive - margin


@dataclass(slots=True)
class Draw:
    """The negatives of one query for one of its positives, in the order in which they were drawn."""

    query_id: str
    positive_id: str
    candidates: Sequence[str]
    """In drawing order: which one that is, the seed and the ids of query and positive decide."""
    positive_score: float | None = None
    negatives: list[str] = field(default_factory=list)
    scores: list[float | None] = field(default_factory=list)
    """Of the negatives."""
    looked_at: int = 0
    """Of the candidates; those that are no negatives were dropped as false ones."""

    @property
    def dropped(self) -> int:
        """How many candidates were taken for false negatives."""
        return self.looked_at - len(self.negatives)

    def next(self, count: int) -> Sequence[str]:
        """Return the candidates to look at next, if `count` negatives are wanted: as many as are missing."""
        return self.candidates[self.looked_at : self.looked_at + count - len(self.negatives)]

    def look(self, document: str, score: float | None, margin: float) -> None:
        """Take or drop the next candidate."""
        self.looked_at += 1
        if not is_false_negative(self.positive_score, score, margin):
            self.negatives.append(document)
            self.scores.append(score)


def draw(query_id: str, positive_id: str, documents: Sequence[str], seed: int) -> Draw:
    """Shuffle the candidates; the same ids, candidates and seed give the same order, whatever is drawn besides."""
    digest = hashlib.blake2b(f"{query_id}\t{positive_id}".encode(), digest_size=16).digest()
    dice = np.random.default_rng((seed, int.from_bytes(digest, "little")))
    return Draw(query_id, positive_id, [documents[number] for number in dice.permutation(len(documents))])


def fill(draws: Sequence[Draw], options: MiningOptions, scores: PairScores) -> None:
    """Look at candidates until every draw has its negatives or no candidates are left.

    Only as many are scored as that takes, for all draws at once; the result is as if all had been, and those that are
    no false negatives drawn from.
    """
    positives = scores([(each.query_id, each.positive_id) for each in draws])
    for each, score in zip(draws, positives, strict=True):
        each.positive_score = score
    while wanted := [(each, document) for each in draws for document in each.next(options.negatives)]:
        found = scores([(each.query_id, document) for each, document in wanted])
        for (each, document), score in zip(wanted, found, strict=True):
            each.look(document, score, options.margin)
