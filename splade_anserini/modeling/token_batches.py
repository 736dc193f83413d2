"""Batches of token ids: texts of similar length together, padded to the longest of them."""

from collections.abc import Iterator, Sequence
from typing import NamedTuple

import numpy as np
import numpy.typing as npt


class TokenBatch(NamedTuple):
    """Texts as token ids, padded to the longest of them."""

    positions: Sequence[int]
    """The position of each text among those that were passed in."""
    ids: npt.NDArray[np.int64]
    """[batch, length]; padding has id 0."""
    mask: npt.NDArray[np.int64]
    """[batch, length]; 1 at tokens, 0 at padding."""


def padded(rows: Sequence[Sequence[int]], length: int) -> tuple[npt.NDArray[np.int64], npt.NDArray[np.int64]]:
    """Return token ids and attention mask, each [rows, length]; padding has id 0 and mask 0."""
    ids = np.zeros((len(rows), length), dtype=np.int64)
    mask = np.zeros_like(ids)
    for row_index, row in enumerate(rows):
        ids[row_index, : len(row)] = row
        mask[row_index, : len(row)] = 1
    return ids, mask


SIMILAR = 0.9
"""A text that is shorter than this share of the longest one leaves much padding."""


def positions_by_length(
    lengths: Sequence[int], max_texts: int, max_tokens: int | None = None, enough_tokens: int | None = None
) -> Iterator[list[int]]:
    """Yield every position once, in groups of at most `max_texts` texts and `max_tokens` tokens, padding included.

    The longest texts come first, so that running out of memory happens at once and not at the end. Texts of length 0
    have groups of their own, and a text longer than `max_tokens` is alone in its group. A group that has
    `enough_tokens` ends where texts are shorter than nine tenths of its longest.
    """
    order = sorted(range(len(lengths)), key=lambda position: -lengths[position])
    start = 0
    while start < len(order):
        longest = lengths[order[start]]
        size = max_texts if max_tokens is None or not longest else max(1, min(max_texts, max_tokens // longest))
        group = [position for position in order[start : start + size] if lengths[position] or not longest]
        if enough_tokens is not None and longest:
            enough = -(-enough_tokens // longest)
            similar = (rank for rank in range(enough, len(group)) if lengths[group[rank]] < SIMILAR * longest)
            group = group[: next(similar, None)]
        yield group
        start += len(group)
