"""Documents stored in temporary files, for formats that need the whole vocabulary before the first document."""

from array import array
from collections.abc import Iterable, Iterator
from contextlib import ExitStack
from tempfile import TemporaryFile
from types import TracebackType
from typing import IO, NamedTuple, Self, cast

import numpy as np
import numpy.typing as npt

from splade_anserini.conversion.buckets import temporary_errors
from splade_anserini.formats.parsing.fields import document_id
from splade_anserini.formats.parsing.lines import Location
from splade_anserini.formats.tokens import VectorCheck
from splade_anserini.records import ImpactDocument

type Integers = npt.NDArray[np.int32]

BLOCK = 1 << 20
"""Approximate postings per block."""

GREATEST_INT32 = 2**31 - 1


class Block(NamedTuple):
    """The postings of consecutive documents, sorted by document, then by token."""

    documents: Integers
    terms: Integers
    """Indices into `Spool.tokens`."""
    impacts: Integers


class Spool:
    """Takes documents once and yields their postings as often as needed; use it as a context manager.

    Unnamed files in TMPDIR take 8 bytes per posting, and the ids. Memory holds the vocabulary, and 16 bytes per
    document.
    """

    tokens: list[str]
    """The vocabulary, sorted by code points; set by `fill`."""

    def __init__(self, name: str) -> None:
        self._name = name
        self._stack = ExitStack()
        self._term_ids: dict[str, int] = {}
        self._check = VectorCheck()
        self.lengths = array("q")
        """Number of postings of each document."""
        self.sums = array("q")
        """Sum of the impacts of each document."""

    def __enter__(self) -> Self:
        self._ids, self._terms, self._impacts = (
            cast("IO[bytes]", self._stack.enter_context(TemporaryFile()))  # noqa: SIM115  # the stack closes it
            for _ in range(3)
        )
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        # Closing a file tries again to write what is buffered.
        with temporary_errors():
            self._stack.close()

    def fill(self, documents: Iterable[ImpactDocument]) -> None:
        """Store all documents. Raises `RecordError` for one that cannot be stored unchanged."""
        with temporary_errors():
            self._store(documents)
        self.tokens = sorted(self._term_ids)
        self._ranks = np.empty(len(self.tokens), dtype=np.int32)
        self._ranks[[self._term_ids[token] for token in self.tokens]] = np.arange(len(self.tokens), dtype=np.int32)

    def _store(self, documents: Iterable[ImpactDocument]) -> None:
        for position, document in enumerate(documents, 1):
            location = Location(self._name, position, "document")
            vector = self._check(dict(document.vector), location)
            self._ids.write(document_id(document.id, location).encode() + b"\n")
            term_ids = [self._term_ids.setdefault(token, len(self._term_ids)) for token in vector]
            self._terms.write(array("i", term_ids).tobytes())
            self._impacts.write(array("i", vector.values()).tobytes())
            self.lengths.append(len(vector))
            self.sums.append(sum(vector.values()))
        for file in (self._ids, self._terms, self._impacts):
            file.flush()

    @property
    def postings(self) -> int:
        """Number of postings of all documents."""
        return sum(self.lengths)

    def ids(self) -> Iterator[str]:
        """Yield the ids of the documents in order."""
        self._ids.seek(0)
        for line in self._ids:
            yield line[:-1].decode()

    def blocks(self) -> Iterator[Block]:
        """Yield the postings in blocks of whole documents."""
        self._terms.seek(0)
        self._impacts.seek(0)
        ends = np.cumsum(np.frombuffer(self.lengths, dtype=np.int64)) if self.lengths else np.empty(0, np.int64)
        first = begin = 0
        while first < len(ends):
            last = max(first + 1, int(np.searchsorted(ends, begin + BLOCK, side="right")))
            count = int(ends[last - 1]) - begin
            terms, impacts = (
                np.frombuffer(file.read(4 * count), dtype=np.int32) for file in (self._terms, self._impacts)
            )
            lengths = np.frombuffer(self.lengths, dtype=np.int64)[first:last]
            documents = np.repeat(np.arange(first, last, dtype=np.int32), lengths)
            terms = self._ranks[terms]
            order = np.lexsort((terms, documents))
            yield Block(documents, terms[order], impacts[order])
            first, begin = last, begin + count
