"""Documents set aside on disk as numbers, for formats that must know all tokens before they write the first."""

from array import array
from collections.abc import Iterable, Iterator
from contextlib import ExitStack
from tempfile import TemporaryFile
from types import TracebackType
from typing import IO, NamedTuple, Self, cast

import numpy as np
import numpy.typing as npt

from splade_anserini.conversion.buckets import temporary_errors
from splade_anserini.formats.parsing.fields import checked_id
from splade_anserini.formats.parsing.lines import Place
from splade_anserini.formats.tokens import VectorCheck
from splade_anserini.records import ImpactDocument

type Numbers = npt.NDArray[np.int32]

BLOCK = 1 << 20
"""Postings that are worked on at once."""

GREATEST_INT32 = 2**31 - 1


class Block(NamedTuple):
    """The postings of some documents that follow each other, in the order of the documents and their tokens."""

    documents: Numbers
    terms: Numbers
    """Places of tokens in `Spool.tokens`."""
    impacts: Numbers


class Spool:
    """Takes documents, then gives them back in blocks; as a context manager.

    On disk, in files without a name below TMPDIR: 8 bytes a posting, and the ids. In memory: the vocabulary, and 16
    bytes a document.
    """

    tokens: list[str]
    """The vocabulary in the order of its code points, once the spool is filled."""

    def __init__(self, name: str) -> None:
        self._name = name
        self._stack = ExitStack()
        self._numbers: dict[str, int] = {}
        self._check = VectorCheck()
        self.lengths = array("q")
        """By document: its number of postings."""
        self.sums = array("q")
        """By document: the sum of its impacts."""

    def __enter__(self) -> Self:
        self._ids, self._terms, self._impacts = (
            cast("IO[bytes]", self._stack.enter_context(TemporaryFile()))  # noqa: SIM115  # the stack closes it
            for _ in range(3)
        )
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        # Closing writes again what could not be written.
        with temporary_errors():
            self._stack.close()

    def fill(self, documents: Iterable[ImpactDocument]) -> None:
        """Take all documents. Raises `RecordError` for one that could not be read again as it is."""
        with temporary_errors():
            self._take(documents)
        self.tokens = sorted(self._numbers)
        self._ranks = np.empty(len(self.tokens), dtype=np.int32)
        self._ranks[[self._numbers[token] for token in self.tokens]] = np.arange(len(self.tokens), dtype=np.int32)

    def _take(self, documents: Iterable[ImpactDocument]) -> None:
        for number, document in enumerate(documents, 1):
            place = Place(self._name, number, "document")
            vector = self._check(dict(document.vector), place)
            self._ids.write(checked_id(document.id, place).encode() + b"\n")
            numbers = [self._numbers.setdefault(token, len(self._numbers)) for token in vector]
            self._terms.write(array("i", numbers).tobytes())
            self._impacts.write(array("i", vector.values()).tobytes())
            self.lengths.append(len(vector))
            self.sums.append(sum(vector.values()))
        for file in (self._ids, self._terms, self._impacts):
            file.flush()

    @property
    def postings(self) -> int:
        """How many there are."""
        return sum(self.lengths)

    def ids(self) -> Iterator[str]:
        """Yield the documents' ids in their order."""
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
