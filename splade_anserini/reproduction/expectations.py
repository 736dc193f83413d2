"""Measured scores compared with the expected scores of a card."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Literal

from splade_anserini.artifacts.model import Model
from splade_anserini.cards.index_card import Expectation
from splade_anserini.errors import InputError

if TYPE_CHECKING:
    from ir_measures import Measure

type Verdict = Literal["pass", "fail", "open"]
"""`open`: the card expects no value."""

_ROUNDING = 1e-9
"""Makes 0.3633 lie within 0.0001 of 0.3632, which it does not in binary fractions."""


class Check(Model):
    """The value of one measure of one evaluation, and the value that the card expects."""

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
        """The measured value minus the expected one."""
        return None if self.expected is None else self.value - self.expected


def verdict(value: float, expected: float | None, tolerance: float) -> Verdict:
    """Return whether |value − expected| ≤ tolerance."""
    if expected is None:
        return "open"
    return "pass" if abs(value - expected) <= tolerance + _ROUNDING else "fail"


def checks_of(expectation: Expectation, values: Mapping[str, float], path: Path) -> list[Check]:
    """Return a check for each measure of an evaluation of the card at `path`; the keys of `values` are canonical."""
    return [
        Check(
            evaluation=expectation.name,
            measure=str(measure),
            value=values[str(measure)],
            expected=(expected := expectation.expected.get(name)),
            tolerance=expectation.tolerance,
            source=expectation.source if expected is not None else "",
            verified=expectation.verified and expected is not None,
            verdict=verdict(values[str(measure)], expected, expectation.tolerance),
        )
        for name, measure in card_measures(expectation, path).items()
    ]


def all_passed(checks: Sequence[Check]) -> bool:
    """Return whether no check fails."""
    return all(check.verdict != "fail" for check in checks)


def card_measures(expectation: Expectation, path: Path) -> "dict[str, Measure]":
    """Return the measures of an evaluation by their names in the card at `path`, those with expected values first.

    Raises `InputError` for an unknown measure, and for one that is named twice.
    """
    from splade_anserini.evaluation.measures import parse_measures

    measures: dict[str, Measure] = {}
    for name in [*expectation.expected, *expectation.measures]:
        try:
            parsed = parse_measures([name])
        except InputError as error:
            raise InputError(f"{path}, evaluation {expectation.name}: {error}") from error
        if len(parsed) != 1 or parsed[0] in measures.values() or name in measures:
            raise InputError(f"{path}, evaluation {expectation.name}: {name!r} is several measures, or is named twice.")
        measures[name] = parsed[0]
    return measures
