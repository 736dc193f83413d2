"""The documents of a conversion, counted and checked while they are read."""

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from types import TracebackType
from typing import Self

from splade_anserini.artifacts.manifests import Counts, EncodeSettings
from splade_anserini.errors import InputError, IntegrityError
from splade_anserini.formats.impacts import DocumentCounter
from splade_anserini.formats.parsing.duplicates import DuplicateFinder, refuse_duplicates
from splade_anserini.formats.parsing.lines import Location
from splade_anserini.progress import Progress
from splade_anserini.records import ImpactDocument


@dataclass(slots=True)
class LeftOut:
    """What the last reading of a source left out."""

    zeros: int = 0
    """Entries with an impact of 0."""
    rounded_to_zero: int = 0
    """Entries that idf made 0."""
    emptied: int = 0
    """Documents whose vector idf made empty."""
    tokens_are_numbers: bool = False
    """Whether all tokens are numbers, which may be the ids of a vocabulary."""


@dataclass(frozen=True, slots=True)
class Source:
    """Documents that can be read several times."""

    path: Path
    read: Callable[[], Iterator[ImpactDocument]]
    settings: EncodeSettings | None = None
    counts: Counts | None = None
    """The counts in the manifest; None when there is no manifest."""
    left_out: LeftOut = field(default_factory=LeftOut)


class CountedSource:
    """Reads a source, counts its documents and checks that their ids are unique; use it as a context manager."""

    def __init__(self, source: Source, progress: Progress) -> None:
        self._source = source
        self._progress = progress
        self._ids = DuplicateFinder()
        self.counts = Counts()
        self.empty = 0
        """Documents with an empty vector."""
        self.with_contents = 0
        """Documents that have contents."""

    def __enter__(self) -> Self:
        self._ids.__enter__()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._ids.__exit__(kind, error, trace)

    def documents(self) -> Iterator[ImpactDocument]:
        """Yield all documents once; then check the counts of the manifest and that ids are unique.

        Raises `InputError` for no documents or a duplicate id, `IntegrityError` for counts that differ.
        """
        counter = DocumentCounter()
        for document in self._source.read():
            counter.add(document)
            self._ids.add(document.id)
            self.with_contents += bool(document.contents)
            self._progress(1)
            yield document
        self.counts, self.empty = counter.counts, counter.empty
        self._check()

    def _check(self) -> None:
        path = self._source.path
        if not self.counts.documents + self.empty:
            raise InputError(f"{path} contains no documents.", expected="at least one document")
        differences = self.counts.differences(self._source.counts) if self._source.counts else []
        if differences:
            raise IntegrityError(
                f"{path} does not match its manifest: {'; '.join(differences)}.", do="Encode the corpus again."
            )
        refuse_duplicates(self._ids, self._numbered_ids, "document id")

    def _numbered_ids(self) -> Iterator[tuple[Location, str]]:
        for position, document in enumerate(self._source.read(), 1):
            yield Location(self._source.path, position, "document"), document.id

    def check_written(self, written: Iterable[ImpactDocument], output: Path) -> None:
        """Raise `IntegrityError` unless the documents read again from the output have the counts of the source."""
        counter = DocumentCounter()
        for document in written:
            counter.add(document)
        differences = counter.counts.differences(self.counts)
        if counter.empty != self.empty:
            differences.append(f"empty vectors: {counter.empty:,} instead of {self.empty:,}")
        if differences:
            raise IntegrityError(f"{output} does not match what was written to it: {'; '.join(differences)}.")
