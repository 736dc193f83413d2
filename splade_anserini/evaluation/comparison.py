"""Comparison of several runs with a baseline over the same judged queries."""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from splade_anserini.evaluation.confidence import Interval, bootstrap_interval, effect_size
from splade_anserini.evaluation.evaluation import Evaluation
from splade_anserini.evaluation.options import BootstrapOptions, RandomizationOptions
from splade_anserini.evaluation.significance import holm, randomization_test, t_test

if TYPE_CHECKING:
    import pandas as pd

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
    effect_size: float | None = None
    """The mean difference in units of the standard deviation of differences; see `confidence.effect_size`. Of several
    collections, the queries are weighted as in `aggregate`."""
    interval: Interval | None = None
    """The bootstrap interval of `aggregate`."""

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


@dataclass(frozen=True, slots=True, repr=False)
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
    bootstrap: BootstrapOptions = field(default_factory=BootstrapOptions)
    intervals: Mapping[str, Mapping[str, Interval | None]] = field(default_factory=dict)
    """Label → measure → bootstrap interval of the aggregate; None for measures that count. Empty without confidence."""

    @property
    def queries(self) -> list[str]:
        """The ids of the judged queries, in the order of the judgements."""
        return list(next(iter(self.evaluations.values())).per_query)

    def __repr__(self) -> str:
        against = f" with {self.baseline}" if self.baseline is not None else ""
        return f"<Comparison of {', '.join(self.evaluations)}{against} in {', '.join(self.measures)}>"

    def to_pandas(self) -> "pd.DataFrame":
        """Return a row for each run and measure, with the columns of `evaluate --format csv`."""
        from splade_anserini.artifacts.data_frames import data_frame
        from splade_anserini.evaluation.rendering import csv_rows

        columns, *rows = csv_rows(self, per_query=False)
        return data_frame(list(map(str, columns)), [[None if cell == "" else cell for cell in row] for row in rows])

    def _repr_html_(self) -> str:
        from splade_anserini.evaluation.rendering import comparison_html

        return comparison_html(self)


def compare(
    evaluations: Mapping[str, Evaluation],
    measures: Sequence[str],
    baseline: str | None = None,
    randomization: RandomizationOptions | None = None,
    bootstrap: BootstrapOptions | None = None,
) -> Comparison:
    """Compare every run with the baseline, if there is one; all evaluations must have the same queries and measures.

    With a confidence in `bootstrap`, aggregates and differences have intervals.
    """
    randomization, bootstrap = randomization or RandomizationOptions(), bootstrap or BootstrapOptions()
    differences: dict[str, dict[str, Difference]] = {}
    if baseline is not None:
        differences = {label: {} for label in evaluations if label != baseline}
        for measure in measures:
            for label, difference in _differences(evaluations, measure, baseline, randomization, bootstrap).items():
                differences[label][measure] = difference
    intervals = {
        label: {measure: _interval(evaluation, measure, bootstrap, randomization.seed) for measure in measures}
        for label, evaluation in evaluations.items()
        if bootstrap.confidence is not None
    }
    return Comparison(measures, evaluations, baseline, randomization, differences, bootstrap, intervals)


def _differences(
    evaluations: Mapping[str, Evaluation],
    measure: str,
    baseline: str,
    options: RandomizationOptions,
    bootstrap: BootstrapOptions,
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
    totals = {label: evaluations[label].aggregate[measure] - base.aggregate[measure] for label in others}
    tested = {label: _tested_values(by_query[label], base, totals[label]) for label in others}
    t_tests = _corrected([t_test(values) for values in tested.values()])
    randomizations = _corrected([randomization_test(values, options) for values in tested.values()])
    differences = {}
    for label, student, randomization in zip(others, t_tests, randomizations, strict=True):
        differences[label] = Difference(
            totals[label],
            by_query[label],
            student,
            randomization,
            effect_size(tested[label]),
            _interval_of(by_query[label], base, totals[label], bootstrap, options.seed),
        )
    return differences


def _interval(evaluation: Evaluation, measure: str, options: BootstrapOptions, seed: int) -> Interval | None:
    values = {query_id: query_values[measure] for query_id, query_values in evaluation.per_query.items()}
    return _interval_of(values, evaluation, evaluation.aggregate[measure], options, seed)


def _interval_of(
    values: Mapping[str, float], evaluation: Evaluation, total: float, options: BootstrapOptions, seed: int
) -> Interval | None:
    """Return the interval of the mean of these values of queries, or None if `total` is not that mean."""
    groups = _groups(values, evaluation)
    return bootstrap_interval(groups, options, seed) if _is_mean_of(groups, total) else None


def _tested_values(values: Mapping[str, float], evaluation: Evaluation, total: float) -> list[float]:
    """Return the values of queries, weighted so that their mean is `total` where that is the mean of collections.

    A query of n in one of C collections has the weight N / (C n), with N queries in all: what is tested is then the
    difference that is shown, in which each collection counts the same. The weights are 1 for a single collection.
    """
    groups = _groups(values, evaluation)
    if not _is_mean_of(groups, total):
        return [*values.values()]
    return [len(values) / (len(groups) * len(group)) * value for group in groups for value in group]


def _groups(values: Mapping[str, float], evaluation: Evaluation) -> list[list[float]]:
    """Return the values of the queries of each collection."""
    groups: dict[str, list[float]] = {}
    for query_id, value in values.items():
        groups.setdefault(query_id.partition("/")[0] if evaluation.collections else "", []).append(value)
    return [*groups.values()]


def _is_mean_of(groups: list[list[float]], total: float) -> bool:
    """Return whether `total` is the mean of the groups' means; that of a measure that counts is not."""
    mean = math.fsum(math.fsum(group) / len(group) for group in groups) / len(groups)
    return math.isclose(mean, total, rel_tol=1e-9, abs_tol=1e-9)


def _difference(value: float, other: float) -> float:
    return 0.0 if math.isclose(value, other, rel_tol=0.0, abs_tol=_ROUNDING) else value - other


def _corrected(p_values: Sequence[float]) -> list[PValue]:
    return [PValue(raw, corrected) for raw, corrected in zip(p_values, holm(p_values), strict=True)]
