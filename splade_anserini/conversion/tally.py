"""What passes through a conversion, counted on its way: what is written must hold it all."""

from collections.abc import Iterable, Iterator
from pathlib import Path
from types import TracebackType
from typing import Self

from splade_anserini.artifacts.manifests import Counts
from splade_anserini.conversion.source import Source
from splade_anserini.errors import InputError, IntegrityError
from splade_anserini.formats.parsing.duplicates import DuplicateFinder, refuse_duplicates
from splade_anserini.formats.parsing.lines import Place
from splade_anserini.progress import Progress
from splade_anserini.records import ImpactDocument


class Tally:
    """Counts the documents of a source while they pass; as a context manager."""

    def __init__(self, source: Source, progress: Progress) -> None:
        self._source = source
        self._progress = progress
        self._ids = DuplicateFinder()
        self.counts, self.empty, self.contents = Counts(), 0, 0
        """`contents` counts the documents that have any."""

    def __enter__(self) -> Self:
        self._ids.__enter__()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._ids.__exit__(kind, error, trace)

    def documents(self) -> Iterator[ImpactDocument]:
        """Yield the source's documents; make sure at the end that they are all, and each once."""
        count = Count()
        for document in self._source.read():
            count.add(document)
            self._ids.add(document.id)
            self.contents += bool(document.contents)
            self._progress(1)
            yield document
        self.counts, self.empty = count.counts, count.empty
        self._check()

    def _check(self) -> None:
        path = self._source.path
        if not self.counts.documents + self.empty:
            raise InputError(f"{path} holds no documents.", expected="at least one")
        differences = self.counts.differences(self._source.counts) if self._source.counts else []
        if differences:
            raise IntegrityError(
                f"{path} does not hold what its manifest says: {'; '.join(differences)}.", do="Encode it again."
            )
        refuse_duplicates(self._ids, self._placed, "document id")

    def _placed(self) -> Iterator[tuple[Place, str]]:
        for number, document in enumerate(self._source.read(), 1):
            yield Place(self._source.path, number, "document"), document.id

    def compare(self, written: Iterable[ImpactDocument], what: Path) -> None:
        """Raise `IntegrityError` unless what was written holds what passed."""
        count = count_of(written)
        differences = count.counts.differences(self.counts)
        if count.empty != self.empty:
            differences.append(f"empty vectors: {count.empty:,} instead of {self.empty:,}")
        if differences:
            raise IntegrityError(f"{what} does not hold what was written to it: {'; '.join(differences)}.")


class Count:
    """What an index of some documents holds, and how many have an empty vector."""

    def __init__(self) -> None:
        self._documents = self._postings = self._impacts = self.empty = 0

    def add(self, document: ImpactDocument) -> None:
        """Take one document."""
        self._documents += bool(document.vector)
        self.empty += not document.vector
        self._postings += len(document.vector)
        self._impacts += sum(document.vector.values())

    @property
    def counts(self) -> Counts:
        """What an index holds."""
        return Counts(documents=self._documents, postings=self._postings, impacts=self._impacts)


def count_of(documents: Iterable[ImpactDocument]) -> Count:
    """Count documents."""
    count = Count()
    for document in documents:
        count.add(document)
    return count
