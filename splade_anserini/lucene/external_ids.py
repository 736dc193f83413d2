"""The collection's ids of documents, by Lucene's document numbers."""

from typing import Any

import numpy as np
import numpy.typing as npt

from splade_anserini.errors import IntegrityError
from splade_anserini.lucene.query_executor import QueryExecutor

_CACHE_LIMIT = 1 << 20
"""The ids of an index with at most this many documents may be cached: about 80 MB."""

_CHUNK = 1 << 16

_CALL_COST = 128
"""A call to Java takes about as long as looking up this many ids."""


class ExternalIds:
    """Looks up ids in the doc values, until that has cost as much as reading all of them; then it caches all.

    A single query does not have to wait until all ids are read, and many queries do not look up the same ids again.
    """

    def __init__(self, documents: int) -> None:
        self.documents = documents
        self._looked_up = 0
        self._cache: npt.NDArray[Any] | None = None

    def of(self, docs: npt.NDArray[np.int32], executor: QueryExecutor) -> list[str]:
        """Return the ids of documents, in the same order; `executor` reads those that are not cached.

        Raises `IntegrityError` for a number that no document has.
        """
        if self._cache is None:
            self._looked_up += len(docs) + _CALL_COST
            if not self._looked_up > self.documents <= _CACHE_LIMIT:
                return _look_up(docs, executor)
            self._cache = np.concatenate(
                [_read_chunk(start, self.documents, executor) for start in range(0, self.documents, _CHUNK)]
            )
        try:
            ids: list[str] = self._cache[docs].tolist()
        except IndexError as error:
            raise IntegrityError(
                f"The index is damaged: a search returned document {docs.max():,} of {self.documents:,}.",
                do="Rebuild it, or search with --verify, which says which file is damaged.",
            ) from error
        return ids


def _look_up(docs: npt.NDArray[np.int32], executor: QueryExecutor) -> list[str]:
    """Look up ids in ascending order of the document numbers: doc values can be read in no other order."""
    order = np.argsort(docs)
    ids = np.empty(len(docs), dtype=object)
    ids[order] = executor.external_ids(docs[order].tolist())
    id_list: list[str] = ids.tolist()
    return id_list


def _read_chunk(start: int, documents: int, executor: QueryExecutor) -> npt.NDArray[Any]:
    return np.array(executor.external_ids(range(start, min(start + _CHUNK, documents))), dtype=object)
