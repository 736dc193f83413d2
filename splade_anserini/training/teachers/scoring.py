"""Teachers' scores of examples: of every positive and negative, and the mean of several teachers."""

import math
from collections.abc import Iterable, Iterator, Sequence
from itertools import batched

import orjson

from splade_anserini.errors import InputError
from splade_anserini.formats.examples import Examples
from splade_anserini.formats.parsing.random_lines import IndexedLines
from splade_anserini.formats.texts import Texts
from splade_anserini.progress import Progress, silent
from splade_anserini.training.teachers.dense import Teacher

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


class ScoreTable:
    """What a teacher says of a whole file of examples, on disk, with mean and standard deviation over all scores."""

    def __init__(self, name: str, rows: Iterable[Sequence[float]]) -> None:
        self._count, self._sum, self._squares = 0, 0.0, 0.0
        self._rows = IndexedLines.spooled(name, self._added(rows))
        self.mean = self._sum / max(1, self._count)
        self.deviation = math.sqrt(max(0.0, self._squares / max(1, self._count) - self.mean**2))

    def __len__(self) -> int:
        return len(self._rows)

    def __getitem__(self, number: int) -> list[float]:
        row: list[float] = orjson.loads(self._rows[number])
        return row

    def standardized(self, number: int) -> list[float]:
        """Return an example's scores less the mean, in standard deviations; 0 when all scores are the same."""
        return [(score - self.mean) / (self.deviation or 1.0) for score in self[number]]

    def _added(self, rows: Iterable[Sequence[float]]) -> Iterator[bytes]:
        for row in rows:
            self._count += len(row)
            self._sum += sum(row)
            self._squares += sum(score * score for score in row)
            yield orjson.dumps(row)


def mean_scores(tables: Sequence[ScoreTable], number: int) -> tuple[float, ...]:
    """Return an example's mean scores over teachers of different scales, in the units of the first.

    Each teacher's scores are standardized over the file; their mean gets the first one's deviation and mean. A single
    teacher's scores stay as they are.
    """
    first, *others = tables
    if not others:
        return tuple(first[number])
    rows = zip(*(table.standardized(number) for table in tables), strict=True)
    return tuple(sum(row) / len(tables) * first.deviation + first.mean for row in rows)
