"""Score examples with a teacher, and average the scores of several teachers."""

import math
from collections.abc import Iterable, Iterator, Sequence
from itertools import batched

import orjson

from splade_anserini.artifacts.truncation import Truncation
from splade_anserini.encoding.truncation import log_truncation
from splade_anserini.errors import InputError
from splade_anserini.formats.examples import Examples
from splade_anserini.formats.parsing.random_lines import IndexedLines
from splade_anserini.formats.texts import Texts
from splade_anserini.progress import Progress, silent
from splade_anserini.training.teachers.dense import Teacher

WINDOW = 1024
"""Examples that a teacher scores in one call, in which it sorts texts by length and encodes equal texts once."""


class TeacherScores:
    """A teacher's scores of pairs of query id and document id."""

    def __init__(self, teacher: Teacher, texts: Texts) -> None:
        self.teacher = teacher
        self._texts = texts

    def __call__(self, pairs: Sequence[tuple[str, str]]) -> list[float]:
        """Return the score of each pair; equal pairs are scored once."""
        rows = {pair: row for row, pair in enumerate(dict.fromkeys(pairs))}
        texts = [(self._texts.query(query), self._texts.document(document)) for query, document in rows]
        scores = require_finite(self.teacher.score(texts), self.teacher.name)
        return [scores[rows[pair]] for pair in pairs]


def teacher_scores(
    examples: Examples, teacher: Teacher, progress: Progress = silent, *, window: int = WINDOW
) -> Iterator[list[float]]:
    """Yield the scores of each example: of its positive, then of each negative; `window` examples at a time."""
    for indices in batched(range(len(examples)), window):
        batch = [examples[index] for index in indices]
        pairs = [(each.query, document) for each in batch for document in (each.positive, *each.negatives)]
        scores = iter(require_finite(teacher.score(pairs), teacher.name))
        for each in batch:
            yield [next(scores) for _ in range(1 + len(each.negatives))]
        progress(len(batch))


def log_truncated_texts(teachers: Iterable[Teacher], max_length: int) -> dict[str, int]:
    """Log how many texts each teacher has cut, if it says so; return the counts of all of them, for a manifest.

    `max_length` is what the teachers were opened with.
    """
    counts: list[Truncation] = [teacher.truncation for teacher in teachers if hasattr(teacher, "truncation")]
    for each in counts:
        log_truncation(each, max_length, "text of the teacher", "texts of the teacher")
    return sum(counts, Truncation()).model_dump(exclude={"texts"}) if counts else {}


def require_finite(scores: list[float], teacher: str) -> list[float]:
    """Return the scores. Raises `InputError` when one is not a finite number."""
    for score in scores:
        if not math.isfinite(score):
            raise InputError(
                f"The teacher {teacher} returned the score {score}.",
                expected="finite numbers",
                do="Check its weights, or compute in fp32.",
            )
    return scores


class ScoreTable:
    """A teacher's scores of all examples in a temporary file, with the mean and standard deviation of all scores."""

    def __init__(self, teacher: str, rows: Iterable[Sequence[float]]) -> None:
        self._count, self._sum, self._squares = 0, 0.0, 0.0
        self._rows = IndexedLines.spooled(teacher, self._serialized(rows))
        self.mean = self._sum / max(1, self._count)
        self.deviation = math.sqrt(max(0.0, self._squares / max(1, self._count) - self.mean**2))

    def __len__(self) -> int:
        return len(self._rows)

    def __getitem__(self, index: int) -> list[float]:
        row: list[float] = orjson.loads(self._rows[index])
        return row

    def standardized(self, index: int) -> list[float]:
        """Return an example's scores minus the mean, in standard deviations; 0 when all scores are equal."""
        return [(score - self.mean) / (self.deviation or 1.0) for score in self[index]]

    def _serialized(self, rows: Iterable[Sequence[float]]) -> Iterator[bytes]:
        for row in rows:
            self._count += len(row)
            self._sum += sum(row)
            self._squares += sum(score * score for score in row)
            yield orjson.dumps(row)


def mean_scores(tables: Sequence[ScoreTable], index: int) -> tuple[float, ...]:
    """Return an example's mean scores over teachers of different scales, in the units of the first.

    The scores of each teacher are standardized over all examples; their mean is scaled to the standard deviation and
    mean of the first teacher. The scores of a single teacher are returned as they are.
    """
    first, *others = tables
    if not others:
        return tuple(first[index])
    rows = zip(*(table.standardized(index) for table in tables), strict=True)
    return tuple(sum(row) / len(tables) * first.deviation + first.mean for row in rows)
