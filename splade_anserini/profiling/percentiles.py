"""How numbers are distributed: their mean and their percentiles."""

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

PERCENTILES = (50.0, 90.0, 95.0, 99.0, 99.9)


@dataclass(frozen=True, slots=True)
class Distribution:
    """Of `n` numbers; all else is None when there are none."""

    n: int
    mean: float | None
    smallest: float | None
    greatest: float | None
    percentiles: dict[str, float | None]
    """By name, "p99.9"; None where there are too few numbers to tell."""


def distribution(values: npt.ArrayLike) -> Distribution:
    """Describe numbers."""
    ordered = np.sort(np.asarray(values, dtype=np.float64).ravel())
    named = {f"p{which:g}": percentile(ordered, which) for which in PERCENTILES}
    if not len(ordered):
        return Distribution(0, None, None, None, named)
    return Distribution(len(ordered), float(ordered.mean()), float(ordered[0]), float(ordered[-1]), named)


def percentile(ordered: npt.NDArray[np.float64], which: float) -> float | None:
    """Return the least of the ascending numbers that is no less than `which` % of them: one that was there.

    None when fewer than one number is expected above it: the 99.9th needs 1,000 numbers. `which` has one decimal.
    """
    tenths, n = round(10 * which), len(ordered)
    if n * (1000 - tenths) < 1000:
        return None
    return float(ordered[-(-n * tenths // 1000) - 1])
