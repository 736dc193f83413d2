"""From weights to impacts: impact = round(weight × scale)."""

import numpy as np
import numpy.typing as npt

from splade_anserini.errors import InputError
from splade_anserini.records import ImpactVector, SparseVector


def rounded(weights: npt.ArrayLike, scale: float) -> npt.NDArray[np.float64]:
    """Return weights × scale, rounded half up as Java's Math.round does, in double precision."""
    product: npt.NDArray[np.float64] = np.floor(np.asarray(weights, dtype=np.float64) * scale + 0.5)
    return product


def impacts(weights: npt.ArrayLike, scale: float) -> npt.NDArray[np.int64]:
    """Return the impacts of weights. Raises `InputError` for weights that are not finite."""
    values = rounded(weights, scale)
    if not np.isfinite(values).all():
        raise InputError(
            "A weight is not finite.",
            expected="numbers, from a model whose weights are numbers",
            do="Check the model: one that diverged in training, or that overflows in fp16, gives NaN or infinity.",
        )
    return values.astype(np.int64)


def impact(weight: float, scale: float) -> int:
    """Return the impact of one weight."""
    return int(impacts(weight, scale))


def quantize(vector: SparseVector, scale: float) -> ImpactVector:
    """Quantize every weight, without the entries whose impact is below 1, which Lucene cannot store."""
    values = impacts(list(vector.values()), scale).tolist()
    return {token: value for token, value in zip(vector, values, strict=True) if value > 0}
