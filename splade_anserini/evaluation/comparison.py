"""Comparison of several runs with a baseline over the same judged queries."""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from splade_anserini.evaluation.evaluation import Evaluation
from splade_anserini.evaluation.options import RandomizationOptions
from splade_anserini.evaluation.significance import holm, randomization_test, t_test

SIGNIFICANCE_LEVEL = 0.05

_ROUNDING = 1e-12
"""Values that differ by less count as equal."""


@dataclass(frozen=True, slots=True)
class PValue:
    """The p-value of a two-sided test."""

    raw: float
    holm: float
    """Corrected for all runs that are compared in the measure."""


@dataclass(frozen=True, slots=True)
class Difference:
    """The difference between a run and the baseline in one measure: run minus baseline."""

    aggregate: float
    per_query: Mapping[str, float]
    t_test: PValue
    randomization: PValue

    @property
    def wins(self) -> int:
        """Number of queries whose value is greater than in the baseline."""
        return sum(value > 0 for value in self.per_query.values())

    @property
    def losses(self) -> int:
        """Number of queries whose value is less than in the baseline."""
        return sum(value < 0 for value in self.per_query.values())

    @property
    def ties(self) -> int:
        """Number of queries whose value is the same as in the baseline."""
        return len(self.per_query) - self.wins - self.losses

    @property
    def significant(self) -> bool:
        """Whether the corrected p-values of both tests are below `SIGNIFICANCE_LEVEL`."""
        return max(self.t_test.holm, self.randomization.holm) < SIGNIFICANCE_LEVEL


@dataclass(frozen=True, slots=True)
class Comparison:
    """The evaluations of several runs, and their differences from the baseline if there is one."""

    measures: Sequence[str]
    """The measures that are compared; the evaluations may have more."""
    evaluations: Mapping[str, Evaluation]
    """Label of the run → evaluation, in order."""
    baseline: str | None
    randomization: RandomizationOptions
    differences: Mapping[str, Mapping[str, Difference]]
    """Label → measure → difference, for all runs but the baseline; empty without a baseline."""

    @property
    def queries(self) -> list[str]:
        """The ids of the judged queries, in the order of the judgements."""
        return list(next(iter(self.evaluations.values())).per_query)


def compare(
    evaluations: Mapping[str, Evaluation],
    measures: Sequence[str],
    baseline: str | None = None,
    randomization: RandomizationOptions | None = None,
) -> Comparison:
    """Compare every run with the baseline, if there is one; all evaluations must have the same queries and measures."""
    randomization = randomization or RandomizationOptions()
    differences: dict[str, dict[str, Difference]] = {}
    if baseline is not None:
        differences = {label: {} for label in evaluations if label != baseline}
        for measure in measures:
            for label, difference in _differences(evaluations, measure, baseline, randomization).items():
                differences[label][measure] = difference
    return Comparison(measures, evaluations, baseline, randomization, differences)


def _differences(
    evaluations: Mapping[str, Evaluation], measure: str, baseline: str, options: RandomizationOptions
) -> dict[str, Difference]:
    """Return the difference of each run from the baseline in one measure, with p-values corrected for all runs."""
    others = [label for label in evaluations if label != baseline]
    base = evaluations[baseline]
    by_query = {
        label: {
            query_id: _difference(values[measure], base.per_query[query_id][measure])
            for query_id, values in evaluations[label].per_query.items()
        }
        for label in others
    }
    t_tests = _corrected([t_test([*by_query[label].values()]) for label in others])
    randomizations = _corrected([randomization_test([*by_query[label].values()], options) for label in others])
    return {
        label: Difference(
            evaluations[label].aggregate[measure] - base.aggregate[measure], by_query[label], student, randomization
        )
        for label, student, randomization in zip(others, t_tests, randomizations, strict=True)
    }


def _difference(value: float, other: float) -> float:
    return 0.0 if math.isclose(value, other, rel_tol=0.0, abs_tol=_ROUNDING) else value - other


def _corrected(p_values: Sequence[float]) -> list[PValue]:
    return [PValue(raw, corrected) for raw, corrected in zip(p_values, holm(p_values), strict=True)]
