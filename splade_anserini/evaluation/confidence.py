"""Bootstrap intervals of a mean over queries, and the effect size of a difference.

Bootstrap tests and intervals in retrieval: Sakai, "Evaluating Evaluation Metrics Based on the Bootstrap", SIGIR 2006.
"""

import math
from collections.abc import Sequence
from typing import NamedTuple

import numpy as np

from splade_anserini.evaluation.options import BootstrapOptions

BLOCK = 1 << 22
"""Number of values that are drawn at once, 8 bytes each."""


class Interval(NamedTuple):
    """The bounds of a confidence interval."""

    low: float
    high: float


def bootstrap_interval(groups: Sequence[Sequence[float]], options: BootstrapOptions, seed: int) -> Interval | None:
    """Return the percentile interval of the mean of the groups' means, None if no confidence is asked for.

    Each sample draws as many values of each group as it has, with replacement; the bounds are quantiles of the samples'
    means (Efron & Tibshirani, 1993, chapter 13). One group is the usual case; several are collections, whose queries
    are drawn apart. The same seed and numbers of queries give the same draws, so intervals of runs are comparable.
    """
    if options.confidence is None:
        return None
    random = np.random.default_rng(seed)
    means = sum(_resampled_means(group, options.bootstraps, random) for group in groups) / len(groups)
    tail = (1 - options.confidence) / 2
    low, high = np.quantile(means, [tail, 1 - tail])
    return Interval(float(low), float(high))


def _resampled_means(
    values: Sequence[float], samples: int, random: np.random.Generator
) -> "np.ndarray[tuple[int], np.dtype[np.float64]]":
    array = np.asarray(values, dtype=np.float64)
    rows = max(1, BLOCK // len(array))
    sizes = [min(rows, samples - start) for start in range(0, samples, rows)]
    blocks = [array[random.integers(0, len(array), (size, len(array)))].mean(axis=1) for size in sizes]
    return np.concatenate(blocks)


def effect_size(differences: Sequence[float]) -> float | None:
    """Return the mean of paired differences in units of their standard deviation: Cohen's d for paired samples, d_z.

    The standard deviation has n − 1 in its denominator. Equal runs have an effect of 0; None if all differences are
    equal but not 0, or there is only one.
    """
    values = np.asarray(differences, dtype=np.float64)
    if not values.any():
        return 0.0
    if len(values) < 2 or np.ptp(values) <= 1e-12 * np.abs(values).max():
        return None
    return math.fsum(values) / len(values) / float(np.std(values, ddof=1))
