"""A collection of impact vectors made smaller: pruned, with fewer bits, and indexed."""

import shutil
from collections import Counter
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from splade_anserini.artifacts.files import PARTIAL, output_errors
from splade_anserini.conversion.directory import read_directory, write_directory
from splade_anserini.errors import InputError
from splade_anserini.index import index_source
from splade_anserini.lucene import IndexOptions
from splade_anserini.lucene.sources import ImpactSource, open_impacts
from splade_anserini.records import ImpactDocument, ImpactVector
from splade_anserini.tradeoffs.settings import Pruning, Setting
from splade_anserini.vectors.pruning import requantize


@dataclass(frozen=True, slots=True)
class Collection:
    """Documents that can be read as often as one likes."""

    source: ImpactSource
    impacts: Counter[int]
    """How many entries have each impact."""

    @property
    def greatest(self) -> int:
        """The greatest impact."""
        return max(self.impacts)


def open_collection(source: ImpactSource) -> Collection:
    """Read all documents once, and count their impacts."""
    return Collection(source, impacts_of(document.vector for document in read_directory(source.directory)))


def impacts_of(vectors: Iterable[ImpactVector]) -> Counter[int]:
    """Count how many entries have each impact."""
    counts = Counter[int]()
    for vector in vectors:
        counts.update(vector.values())
    return counts


def refuse_empty(pruning: Pruning | None, impacts: Counter[int], what: str) -> None:
    """Raise `InputError` when pruning leaves no entry of `what`."""
    if pruning and pruning.kind == "min-impact" and pruning.value > max(impacts, default=0):
        raise InputError(
            f"Pruning of {what} by {pruning} leaves nothing: the greatest impact is {max(impacts, default=0)}.",
            expected="some entries",
        )


def build_index(collection: Collection, setting: Setting, index: Path, threads: int) -> None:
    """Index the collection as the setting wants its documents, in place of the index that may stand there.

    The index's manifest says so among its options, and keeps the scale of what was not scaled down: queries are
    encoded as they are for the others.
    """
    options, source = IndexOptions(threads=threads), collection.source
    if not setting.documents and not setting.bits:
        index_source(source, index, options)
        return
    with output_errors(index), _scratch(index.parent / f"impacts{PARTIAL}") as place:
        write_directory(place, _smaller(collection, setting), source.settings)
        index_source(open_impacts(place), index, options, provenance=setting.of_index.parts)


@contextmanager
def _scratch(place: Path) -> Iterator[Path]:
    """Yield a new directory, and remove it; what a killed process left there goes first."""
    shutil.rmtree(place, ignore_errors=True)
    place.mkdir()
    try:
        yield place
    finally:
        shutil.rmtree(place)


def _smaller(collection: Collection, setting: Setting) -> Iterator[ImpactDocument]:
    """Prune first: how many bits there are does not change which entries are the strongest."""
    prune = setting.documents.function(collection.impacts) if setting.documents else None
    for document in read_directory(collection.source.directory):
        vector = prune(document.vector) if prune else document.vector
        if setting.bits:
            vector = requantize(vector, setting.bits, collection.greatest)
        yield ImpactDocument(document.id, vector)
