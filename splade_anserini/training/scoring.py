"""Teachers' scores of examples: of every positive and negative, and the mean of several teachers."""

import math
from collections.abc import Iterator, Sequence
from itertools import batched

from splade_anserini.errors import InputError
from splade_anserini.formats.examples import Examples
from splade_anserini.formats.texts import Texts
from splade_anserini.progress import Progress, silent
from splade_anserini.training.teachers import Teacher

WINDOW = 1024
"""Examples whose pairs a teacher gets at once, to sort them by length and to read a text that comes again once."""


class TeacherScores:
    """A teacher's scores of pairs of ids."""

    def __init__(self, teacher: Teacher, texts: Texts) -> None:
        self._teacher = teacher
        self._texts = texts

    def __call__(self, pairs: Sequence[tuple[str, str]]) -> list[float]:
        """Return a score for each pair; one that comes again is scored once."""
        numbers = {pair: number for number, pair in enumerate(dict.fromkeys(pairs))}
        texts = [(self._texts.query(query), self._texts.document(document)) for query, document in numbers]
        scores = checked(self._teacher.score(texts), self._teacher.name)
        return [scores[numbers[pair]] for pair in pairs]


def teacher_scores(examples: Examples, teacher: Teacher, progress: Progress = silent) -> Iterator[list[float]]:
    """Yield the scores of each example: of its positive, then of each negative."""
    for numbers in batched(range(len(examples)), WINDOW):
        window = [examples[number] for number in numbers]
        pairs = [(each.query, document) for each in window for document in (each.positive, *each.negatives)]
        scores = iter(checked(teacher.score(pairs), teacher.name))
        for each in window:
            yield [next(scores) for _ in range(1 + len(each.negatives))]
        progress(len(window))


def checked(scores: list[float], name: str) -> list[float]:
    """Return the scores. Raises `InputError` when one is no finite number."""
    if not all(map(math.isfinite, scores)):
        raise InputError(
            f"The teacher {name} gives a score that is no finite number.",
            do="Check its weights, and try it without reduced precision.",
        )
    return scores
