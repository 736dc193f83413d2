"""From Lucene's numbers to the collection's ids."""

from typing import Any

import numpy as np
import numpy.typing as npt

from splade_anserini.lucene.query_executor import Lane

_MOST_KEPT = 1 << 20
"""Ids of an index that is no larger are kept, once they are wanted: at most some 80 MB."""

_CHUNK = 1 << 16

_CALL = 128
"""As many ids could be looked up in the time that Java takes to be called at all."""


class ExternalIds:
    """Looks ids up in the doc values, until that has cost as much as reading all of them; then it keeps all.

    So a single query does not wait for a whole column to be read, and thousands do not look the same ids up again.
    """

    def __init__(self, documents: int) -> None:
        self.documents = documents
        self._looked_up = 0
        self._all: npt.NDArray[Any] | None = None

    def of(self, docs: npt.NDArray[np.int32], lane: Lane) -> list[str]:
        """Return the ids of documents, in their order; `lane` reads the index where that is needed."""
        if self._all is None:
            self._looked_up += len(docs) + _CALL
            if not self._looked_up > self.documents <= _MOST_KEPT:
                return _looked_up(docs, lane)
            self._all = np.concatenate(
                [_column(start, self.documents, lane) for start in range(0, self.documents, _CHUNK)]
            )
        ids: list[str] = self._all[docs].tolist()
        return ids


def _looked_up(docs: npt.NDArray[np.int32], lane: Lane) -> list[str]:
    """Ask in ascending order, which is the only one that doc values can be read in."""
    order = np.argsort(docs)
    ids = np.empty(len(docs), dtype=object)
    ids[order] = lane.external_ids(docs[order].tolist())
    found: list[str] = ids.tolist()
    return found


def _column(start: int, documents: int, lane: Lane) -> npt.NDArray[Any]:
    return np.array(lane.external_ids(range(start, min(start + _CHUNK, documents))), dtype=object)
