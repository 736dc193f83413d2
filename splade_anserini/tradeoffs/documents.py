"""Documents pruned and requantized as a setting says, and their index."""

import shutil
from collections import Counter
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import pydantic

from splade_anserini.artifacts.files import PARTIAL, output_errors
from splade_anserini.artifacts.fingerprints import fingerprint_of_bytes
from splade_anserini.artifacts.manifests import Counts
from splade_anserini.artifacts.sharded_index import fingerprint_of_index
from splade_anserini.conversion.directory import write_directory
from splade_anserini.errors import InputError
from splade_anserini.indexing.building import index_source
from splade_anserini.lucene import IndexOptions, count_index
from splade_anserini.lucene.sources import ImpactSource, open_impacts
from splade_anserini.records import ImpactDocument, ImpactVector, StrPath
from splade_anserini.tradeoffs.settings import Pruning, Setting
from splade_anserini.vectors.pruning import requantize


@dataclass(frozen=True, slots=True)
class Collection:
    """A directory of impact pseudo-documents, and its impacts."""

    source: ImpactSource
    impacts: Counter[int]
    """Impact → number of entries."""

    @property
    def greatest_impact(self) -> int:
        """The greatest impact of all documents."""
        return max(self.impacts)

    @property
    def documents(self) -> int:
        """Number of documents."""
        return (self.source.counts or Counts()).documents

    @property
    def inputs(self) -> dict[str, pydantic.JsonValue]:
        """Everything about the documents that decides the counts and measures of a setting."""
        counts, settings = self.source.counts or Counts(), self.source.settings
        return {
            "encoder": settings.encoder.weights if settings and settings.encoder else None,
            "scale": settings.scale if settings else None,
            "documents": counts.documents,
            "postings": counts.postings,
            "impacts": fingerprint_of_bytes(repr(sorted(self.impacts.items())).encode()),
        }

    def check(self, setting: Setting) -> None:
        """Raise `InputError` when a setting removes all entries of all documents."""
        check_pruning(setting.documents, self.impacts, "documents")


@dataclass(frozen=True, slots=True)
class FinishedIndex:
    """An index as it is: settings vary how it is searched."""

    path: Path
    documents: int

    @property
    def inputs(self) -> dict[str, pydantic.JsonValue]:
        """The index, which decides the counts and measures of a setting."""
        return {"index": fingerprint_of_index(self.path), "documents": self.documents}

    def check(self, setting: Setting) -> None:
        """Raise `InputError` for a setting that needs another index."""
        if setting.index_setting != Setting():
            raise InputError(f"{setting.index_setting} needs the vectors of the documents, got the index {self.path}.")


def open_index(index: StrPath) -> FinishedIndex:
    """Return an impact index. Raises `InputError` when it is not a Lucene index."""
    path = Path(index)
    return FinishedIndex(path, count_index(path).documents)


def open_collection(source: ImpactSource) -> Collection:
    """Read all documents once to count their impacts."""
    return Collection(source, count_impacts(document.vector for document in source.documents()))


def count_impacts(vectors: Iterable[ImpactVector]) -> Counter[int]:
    """Count the entries of each impact."""
    counts = Counter[int]()
    for vector in vectors:
        counts.update(vector.values())
    return counts


def check_pruning(pruning: Pruning | None, impacts: Counter[int], pruned: str) -> None:
    """Raise `InputError` when pruning removes all entries; `pruned` is "documents" or "queries"."""
    greatest = max(impacts, default=0)
    if pruning and pruning.kind == "min-impact" and pruning.value > greatest:
        raise InputError(
            f"Pruning {pruned} by {pruning} removes all entries.", expected=f"a min-impact of at most {greatest}"
        )


def build_index(collection: Collection, setting: Setting, index: Path, threads: int) -> None:
    """Build the index of the setting's documents, replacing one at the same path.

    The manifest of the index records pruning and bits as options. Its scale is that of the original documents, so that
    queries are encoded alike for all settings.
    """
    options, source = IndexOptions(threads=threads), collection.source
    if not setting.documents and not setting.bits:
        index_source(source, index, options)
        return
    with output_errors(index), _temporary_directory(index.parent / f"impacts{PARTIAL}") as directory:
        write_directory(directory, _pruned_documents(collection, setting), source.settings)
        index_source(open_impacts(directory), index, options, provenance=setting.index_setting.variations)


@contextmanager
def _temporary_directory(path: Path) -> Iterator[Path]:
    """Create a directory and remove it afterwards; one that a killed process left is removed first."""
    shutil.rmtree(path, ignore_errors=True)
    path.mkdir()
    try:
        yield path
    finally:
        shutil.rmtree(path)


def _pruned_documents(collection: Collection, setting: Setting) -> Iterator[ImpactDocument]:
    """Prune documents, then requantize them, because pruning should see the original impacts."""
    prune = setting.documents.function(collection.impacts) if setting.documents else None
    for document in collection.source.documents():
        vector = prune(document.vector) if prune else document.vector
        if setting.bits:
            vector = requantize(vector, setting.bits, collection.greatest_impact)
        yield ImpactDocument(document.id, vector)
