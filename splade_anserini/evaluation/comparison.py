"""Several runs over the same judged queries, and how they differ from one of them."""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from splade_anserini.evaluation.evaluation import Evaluation
from splade_anserini.evaluation.sampling import Sampling
from splade_anserini.evaluation.significance import holm, randomization_test, t_test

SIGNIFICANT = 0.05
_EQUAL = 1e-12
"""Values that differ by less differ by rounding."""


@dataclass(frozen=True, slots=True)
class PValue:
    """Of a two-sided test."""

    raw: float
    holm: float
    """Corrected over all runs that are compared in the measure."""


@dataclass(frozen=True, slots=True)
class Difference:
    """A run less the baseline, in one measure."""

    aggregate: float
    per_query: Mapping[str, float]
    t_test: PValue
    randomization: PValue

    @property
    def wins(self) -> int:
        """How many queries have a greater value than in the baseline."""
        return sum(value > 0 for value in self.per_query.values())

    @property
    def losses(self) -> int:
        """How many queries have a lesser value than in the baseline."""
        return sum(value < 0 for value in self.per_query.values())

    @property
    def ties(self) -> int:
        """How many queries have the same value in both."""
        return len(self.per_query) - self.wins - self.losses

    @property
    def significant(self) -> bool:
        """Whether both tests say so, corrected."""
        return max(self.t_test.holm, self.randomization.holm) < SIGNIFICANT


@dataclass(frozen=True, slots=True)
class Comparison:
    """Runs by their labels, in order."""

    measures: Sequence[str]
    """What is compared; the evaluations may hold more."""
    evaluations: Mapping[str, Evaluation]
    baseline: str | None
    sampling: Sampling
    differences: Mapping[str, Mapping[str, Difference]]
    """Label → measure → difference, of all runs but the baseline; empty without one."""

    @property
    def queries(self) -> list[str]:
        """The judged queries, in their order."""
        return list(next(iter(self.evaluations.values())).per_query)


def compare(
    evaluations: Mapping[str, Evaluation],
    measures: Sequence[str],
    baseline: str | None = None,
    sampling: Sampling | None = None,
) -> Comparison:
    """Test every run against the baseline, if there is one. All evaluations are of the same queries and measures."""
    sampling = sampling or Sampling()
    differences: dict[str, dict[str, Difference]] = {}
    if baseline is not None:
        differences = {label: {} for label in evaluations if label != baseline}
        for measure in measures:
            for label, difference in _differences(evaluations, measure, baseline, sampling).items():
                differences[label][measure] = difference
    return Comparison(measures, evaluations, baseline, sampling, differences)


def _differences(
    evaluations: Mapping[str, Evaluation], measure: str, baseline: str, sampling: Sampling
) -> dict[str, Difference]:
    """Return the difference of each run but the baseline, corrected over these runs."""
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
    randomizations = _corrected(
        [randomization_test([*by_query[label].values()], sampling.permutations, sampling.seed) for label in others]
    )
    return {
        label: Difference(
            evaluations[label].aggregate[measure] - base.aggregate[measure], by_query[label], student, randomization
        )
        for label, student, randomization in zip(others, t_tests, randomizations, strict=True)
    }


def _difference(value: float, other: float) -> float:
    return 0.0 if math.isclose(value, other, rel_tol=0.0, abs_tol=_EQUAL) else value - other


def _corrected(p_values: Sequence[float]) -> list[PValue]:
    return [PValue(raw, corrected) for raw, corrected in zip(p_values, holm(p_values), strict=True)]
