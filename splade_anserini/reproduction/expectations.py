"""What was measured beside what a card promises: a verdict for each line."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Literal

from splade_anserini.artifacts.manifests import Model
from splade_anserini.cards.index_card import Expectation
from splade_anserini.errors import InputError

if TYPE_CHECKING:
    from ir_measures import Measure

type Verdict = Literal["pass", "fail", "open"]
"""`open`: the card names no value."""

_ROUNDING = 1e-9
"""So that 0.3633 is within 0.0001 of 0.3632, which binary fractions deny."""


class Line(Model):
    """One measure of one evaluation."""

    evaluation: str
    measure: str
    value: float
    expected: float | None = None
    tolerance: float
    source: str = ""
    verified: bool = False
    verdict: Verdict

    @property
    def difference(self) -> float | None:
        """How much more was measured than expected."""
        return None if self.expected is None else self.value - self.expected


def verdict(value: float, expected: float | None, tolerance: float) -> Verdict:
    """Say whether a value is what was expected: |value − expected| ≤ tolerance."""
    if expected is None:
        return "open"
    return "pass" if abs(value - expected) <= tolerance + _ROUNDING else "fail"


def compared(asked: Expectation, values: Mapping[str, float], path: Path) -> list[Line]:
    """Return a line for each measure that the evaluation names; `values` has them by their canonical names."""
    named = wanted_measures(asked, path)
    return [
        Line(
            evaluation=asked.name,
            measure=str(measure),
            value=values[str(measure)],
            expected=(expected := asked.expected.get(name)),
            tolerance=asked.tolerance,
            source=asked.source if expected is not None else "",
            verified=asked.verified and expected is not None,
            verdict=verdict(values[str(measure)], expected, asked.tolerance),
        )
        for name, measure in named.items()
    ]


def passed(lines: Sequence[Line]) -> bool:
    """Say whether no line fails."""
    return all(line.verdict != "fail" for line in lines)


def wanted_measures(asked: Expectation, path: Path) -> "dict[str, Measure]":
    """Return the measures of an evaluation by the names that the card at `path` gives them, the expected ones first.

    Raises `InputError` for a name that is none, and for a measure that is named twice.
    """
    from splade_anserini.evaluation.measures import parse_measures

    measures: dict[str, Measure] = {}
    for name in [*asked.expected, *asked.measures]:
        try:
            parsed = parse_measures([name])
        except InputError as error:
            raise InputError(f"{path}, evaluation {asked.name}: {error}") from error
        if len(parsed) != 1 or parsed[0] in measures.values() or name in measures:
            raise InputError(f"{path}, evaluation {asked.name}: {name!r} is more than one measure, or one named twice.")
        measures[name] = parsed[0]
    return measures
