"""Paired significance tests for two runs, and a correction for multiple comparisons.

Which tests suit rankings, and why: Smucker, Allan and Carterette, "A Comparison of Statistical Significance Tests for
Information Retrieval Evaluation", CIKM 2007.
"""

import math
from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np

from splade_anserini.evaluation.options import RandomizationOptions

if TYPE_CHECKING:
    from numpy.typing import NDArray

EXACT = 16
"""The largest number of differences whose signs are all tried, in 65,536 ways."""
BLOCK = 1 << 22
"""Number of signs that are in memory at once, 8 bytes each."""
_ROUNDING = 1e-10
"""Sums that differ by less, relative to the sum of all magnitudes, count as equal."""


def t_test(differences: Sequence[float]) -> float:
    """Return the two-sided p-value of Student's paired t-test, given the difference for each query.

    t = d̄ √n / s has the t distribution with f = n − 1 degrees of freedom if the true mean is 0 (Student 1908), and
    P(|T| ≥ |t|) = I_x(f/2, 1/2) with x = f / (f + t²), which is Σ (d − d̄)² / Σ d² (DLMF 8.17). The p-value
    is 1 for equal runs and for a single query.
    """
    from scipy.special import betainc

    values = _scaled(differences)
    freedom = len(values) - 1
    if freedom < 1 or not values.any():
        return 1.0
    mean = math.fsum(values) / len(values)
    x = math.fsum((values - mean) ** 2) / math.fsum(values**2)
    return float(betainc(freedom / 2, 1 / 2, min(x, 1.0)))


def randomization_test(differences: Sequence[float], options: RandomizationOptions | None = None) -> float:
    """Return the two-sided p-value of the paired randomization test, given the difference for each query.

    Under the null hypothesis the values of a query may be swapped between the runs: all signs are equally likely, and
    p = P(|Σ ±d| ≥ |Σ d|) (Fisher 1935; Smucker et al. 2007). Differences of 0 have no effect. All signs are tried for
    up to `EXACT` other differences; for more, as many random samples as `options.permutations`.
    """
    values = _scaled(differences)
    # Sorted, so that the samples do not depend on the order of the queries.
    magnitudes = np.sort(np.abs(values[values != 0]))
    least = abs(math.fsum(values)) - _ROUNDING * math.fsum(magnitudes)
    if len(magnitudes) <= EXACT:
        return share_of_all_signs(magnitudes, least)
    options = options or RandomizationOptions()
    return share_of_samples(magnitudes, least, options.permutations, options.seed)


def share_of_all_signs(magnitudes: "NDArray[np.float64]", least: float) -> float:
    """Return P(|Σ ±m| ≥ least) over all signs."""
    sums = np.zeros(1)
    for magnitude in magnitudes:
        sums = np.concatenate([sums + magnitude, sums - magnitude])
    return float(np.mean(np.abs(sums) >= least))


def share_of_samples(magnitudes: "NDArray[np.float64]", least: float, samples: int, seed: int) -> float:
    """Estimate P(|Σ ±m| ≥ least) by (b + 1) / (n + 1), where b of n random samples of the signs reach `least`.

    The observed signs count as one more sample, so that the test keeps its level and no p-value is 0 (Phipson and
    Smyth 2010).
    """
    random = np.random.default_rng(seed)
    rows = max(1, BLOCK // len(magnitudes))
    total, reached = magnitudes.sum(), 0
    for start in range(0, samples, rows):
        shape = (min(rows, samples - start), len(magnitudes))
        bits = np.frombuffer(random.bytes(-(-shape[0] * shape[1] // 8)), dtype=np.uint8)
        positive = np.unpackbits(bits, count=shape[0] * shape[1]).reshape(shape)
        # Σ ±m = 2 Σ (m with a plus) − Σ m
        reached += int(np.sum(np.abs(2 * (positive.astype(np.float64) @ magnitudes) - total) >= least))
    return (reached + 1) / (samples + 1)


def holm(p_values: Sequence[float]) -> list[float]:
    """Return the p-values corrected for multiple comparisons.

    The i-th smallest of k becomes max over j ≤ i of min(1, (k − j + 1) p_j) (Holm, "A Simple Sequentially Rejective
    Multiple Test Procedure", 1979). With a level of 0.05, the probability of any false rejection is at most 0.05.
    """
    corrected, highest = [0.0] * len(p_values), 0.0
    for rank, index in enumerate(sorted(range(len(p_values)), key=p_values.__getitem__)):
        highest = max(highest, min(1.0, (len(p_values) - rank) * p_values[index]))
        corrected[index] = highest
    return corrected


def _scaled(differences: Sequence[float]) -> "NDArray[np.float64]":
    """Return the differences divided by the greatest magnitude, which changes no p-value and prevents underflow."""
    values = np.asarray(differences, dtype=np.float64)
    greatest = np.abs(values).max(initial=0.0)
    return values / greatest if greatest else values
