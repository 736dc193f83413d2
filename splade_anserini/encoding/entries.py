"""From a matrix of weights to the few that are active."""

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt

from splade_anserini.encoding.protocol import Entries

NONE = Entries(np.empty(0, dtype=np.int64), np.empty(0, dtype=np.float32))
"""The entries of a text without tokens."""


def rows_of(
    texts: int, numbers: npt.NDArray[np.int64], ids: npt.NDArray[np.int64], weights: npt.NDArray[np.float32]
) -> list[Entries]:
    """Cut the active entries of a batch, sorted by the number of their text, into one `Entries` for each text."""
    ends: Sequence[int] = np.searchsorted(numbers, np.arange(1, texts + 1)).tolist()
    return [Entries(ids[start:end], weights[start:end]) for start, end in zip([0, *ends[:-1]], ends, strict=True)]


def active(weights: npt.NDArray[np.float32]) -> list[Entries]:
    """Return the entries of each row of [batch, vocabulary] that are above 0."""
    numbers, ids = np.nonzero(weights > 0)
    return rows_of(len(weights), numbers, ids, weights[numbers, ids])
