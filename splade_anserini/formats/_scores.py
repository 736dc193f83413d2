"""Scores of a run: float32, strictly decreasing, in decimal digits that lose nothing."""

from collections.abc import Sequence

import numpy as np

_EXACT = 2.0**24
"""Below it, whole numbers are float32 values, and their neighbours are at most 1 away."""


def strictly_decreasing(scores: Sequence[float]) -> list[float]:
    """Return the scores of a ranking as float32 values, each at least one float32 step below the one before.

    A score that is below already stays as it is. trec_eval reads scores as float32 and breaks ties by document id,
    descending; without ties it ranks as the run does. Raises `ValueError` for scores that are not ranked or finite.
    """
    values = np.asarray(scores, dtype=np.float32)
    if not np.isfinite(values).all() or (values[1:] > values[:-1]).any():
        raise ValueError("scores must be finite, and ranked from the greatest to the least")
    # As integers, neighbouring floats are neighbours: the law is k'[i] = min(k[i], k'[i - 1] - 1).
    bits = values.view(np.int32).astype(np.int64)
    steps = np.where(bits >= 0, bits, -(bits & 0x7FFFFFFF))
    ranks = np.arange(len(steps))
    steps = np.minimum.accumulate(steps + ranks) - ranks
    bits = np.where(steps >= 0, steps, -steps | 0x80000000).astype(np.uint32)
    decreasing: list[float] = bits.view(np.float32).tolist()
    return decreasing


def decimals(scores: Sequence[float]) -> list[str]:
    """Return `decimal` of each score."""
    values = np.asarray(scores, dtype=np.float32)
    # Most impact scores are whole numbers that float32 holds as they are, and a run has millions of them.
    plain = (values == np.trunc(values)) & (np.abs(values) < _EXACT) & ~((values == 0) & np.signbit(values))
    texts = [f"{number}.0" for number in np.where(plain, values, 0).astype(np.int64).tolist()]
    for place in np.flatnonzero(~plain).tolist():
        texts[place] = decimal(scores[place])
    return texts


def decimal(score: float) -> str:
    """Return the shortest decimal without an exponent that reads back as the same float32."""
    text = str(np.float32(score))
    return text if "e" not in text else np.format_float_positional(np.float32(score), unique=True, trim="0")
