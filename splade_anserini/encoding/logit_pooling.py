"""Activation and pooling in NumPy, for graphs of other tools that end in logits; `modeling.pooling` does it in torch.

Shapes: logits [length, vocabulary] of one text, without padding; weights [vocabulary].
"""

from collections.abc import Iterator

import numpy as np
import numpy.typing as npt

from splade_anserini.records import Activation, Aggregation

type Floats = npt.NDArray[np.float32]

_TOKENS = 16
"""Tokens whose activated logits are held at a time."""


def pool_logits(logits: npt.NDArray[np.floating], aggregation: Aggregation) -> Floats:
    """Return the weights of a text. Beside the logits it needs memory for a few tokens only."""
    greatest = saturate(logits.max(axis=0), aggregation.activation)
    if aggregation.pooling == "max":
        return greatest
    total = np.zeros_like(greatest)
    if aggregation.pooling == "sum":
        for weights in _activated(logits, aggregation.activation):
            total += weights.sum(axis=0)
        return total
    # Relative to the greatest weight, fourth powers neither vanish nor overflow.
    divisor = np.where(greatest > 0, greatest, np.float32(1))
    for weights in _activated(logits, aggregation.activation):
        squares = np.square(weights / divisor)
        total += np.square(squares).sum(axis=0)
    fourth_root: Floats = np.sqrt(np.sqrt(total))
    return greatest * fourth_root


def saturate(logits: npt.NDArray[np.floating], activation: Activation) -> Floats:
    """Return log(1 + ReLU(logits)), entry by entry; with `log1p_relu`, its log(1 + …) again."""
    weights: Floats = np.log1p(np.maximum(logits, 0).astype(np.float32))
    return np.log1p(weights) if activation == "log1p_relu" else weights


def _activated(logits: npt.NDArray[np.floating], activation: Activation) -> Iterator[Floats]:
    for start in range(0, len(logits), _TOKENS):
        yield saturate(logits[start : start + _TOKENS], activation)
