"""Mean, range and percentiles of a list of numbers."""

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

PERCENTILES = (50.0, 90.0, 95.0, 99.0, 99.9)


@dataclass(frozen=True, slots=True)
class Distribution:
    """Statistics of `n` numbers; all others are None when there are none."""

    n: int
    mean: float | None
    smallest: float | None
    greatest: float | None
    percentiles: dict[str, float | None]
    """Name, such as "p99.9" → value; None when there are too few numbers to estimate it."""


def distribution(values: npt.ArrayLike) -> Distribution:
    """Compute the statistics of some numbers."""
    ascending = np.sort(np.asarray(values, dtype=np.float64).ravel())
    percentiles = {f"p{percent:g}": percentile(ascending, percent) for percent in PERCENTILES}
    if not len(ascending):
        return Distribution(0, None, None, None, percentiles)
    return Distribution(len(ascending), float(ascending.mean()), float(ascending[0]), float(ascending[-1]), percentiles)


def percentile(ascending: npt.NDArray[np.float64], percent: float) -> float | None:
    """Return the smallest of the ascending numbers that is at least as great as `percent` % of them.

    The result is one of the numbers. None when fewer than one number is expected above it: the 99.9th percentile needs
    1,000 numbers. `percent` has at most one decimal.
    """
    per_mille, n = round(10 * percent), len(ascending)
    if n * (1000 - per_mille) < 1000:
        return None
    return float(ascending[-(-n * per_mille // 1000) - 1])
