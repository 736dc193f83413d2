"""From weights to impacts: impact = round(weight × scale)."""

from fractions import Fraction

import numpy as np
import numpy.typing as npt

from splade_anserini.errors import InputError
from splade_anserini.records import ImpactVector, SparseVector


def impacts(weights: npt.ArrayLike, scale: float) -> npt.NDArray[np.int64]:
    """Return weights × scale, rounded half up as Java's Math.round does, in double precision.

    Raises `OverflowError` for weights that are not finite.
    """
    scaled = np.floor(np.asarray(weights, dtype=np.float64) * scale + 0.5)
    if not np.isfinite(scaled).all():
        raise OverflowError("a weight is not finite")
    return scaled.astype(np.int64)


def impact(weight: float, scale: float) -> int:
    """Return the impact of one weight."""
    return int(impacts(weight, scale))


def quantize(vector: SparseVector, scale: float) -> ImpactVector:
    """Quantize every weight; entries whose impact is below 1 leave, for Lucene cannot hold them."""
    values = impacts(list(vector.values()), scale).tolist()
    return {token: value for token, value in zip(vector, values, strict=True) if value > 0}


def parse_scale(text: str) -> float:
    """Read a scale as people write it: "100", "51.2", "256/5". Raises `InputError` unless it is a number above 0."""
    try:
        scale = float(Fraction(text.replace(" ", "")))
    except (ValueError, ZeroDivisionError) as error:
        raise InputError(f"The scale {text!r} is not a number.", expected="a number such as 100 or 256/5") from error
    if scale <= 0:
        raise InputError(f"The scale is {text}.", expected="a number above 0")
    return scale
