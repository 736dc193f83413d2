"""Rows of token ids of different lengths as one matrix."""

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt


def padded(rows: Sequence[Sequence[int]], length: int) -> tuple[npt.NDArray[np.int64], npt.NDArray[np.int64]]:
    """Return token ids and attention mask, each [rows, length]; padding has id 0 and mask 0."""
    ids = np.zeros((len(rows), length), dtype=np.int64)
    mask = np.zeros_like(ids)
    for number, row in enumerate(rows):
        ids[number, : len(row)] = row
        mask[number, : len(row)] = 1
    return ids, mask
