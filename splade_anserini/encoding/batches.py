"""Batches of token ids: texts of similar length together, and no more tokens than a processor takes well at once."""

from collections.abc import Iterator, Sequence
from typing import NamedTuple

import numpy as np
import numpy.typing as npt


class Batch(NamedTuple):
    """Texts as token ids, padded to the longest of them."""

    positions: Sequence[int]
    """Where each text stands among those that were given."""
    ids: npt.NDArray[np.int64]
    """[batch, length]; padding has id 0."""
    mask: npt.NDArray[np.int64]
    """[batch, length]; 1 at tokens, 0 at padding."""


def positions_by_length(lengths: Sequence[int], texts: int, tokens: int | None = None) -> Iterator[list[int]]:
    """Yield every position once, in groups of at most `texts` and, padded to their longest, at most `tokens`.

    The longest come first: what does not fit into memory fails at once, and not at the end. Texts of length 0 stand
    in groups of their own. A text longer than `tokens` stands alone.
    """
    order = sorted(range(len(lengths)), key=lambda position: -lengths[position])
    start = 0
    while start < len(order):
        longest = lengths[order[start]]
        size = texts if tokens is None or not longest else max(1, min(texts, tokens // longest))
        group = [position for position in order[start : start + size] if lengths[position] or not longest]
        yield group
        start += len(group)
