"""Where a conversion takes its documents from, and how their impacts are scaled down on the way."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from pathlib import Path

from splade_anserini.artifacts.manifests import Counts, EncodeSettings
from splade_anserini.errors import InputError
from splade_anserini.records import ImpactDocument
from splade_anserini.vectors.pruning import scaled


@dataclass(frozen=True, slots=True)
class Source:
    """Documents that can be read as often as one likes."""

    path: Path
    read: Callable[[], Iterator[ImpactDocument]]
    settings: EncodeSettings | None = None
    counts: Counts | None = None
    """What must be in it, where a manifest says."""


@dataclass(slots=True)
class ClampedImpacts:
    """How many impacts came out below one half, and were made 1."""

    entries: int = 0


def scaled_down(source: Source, most: int, raised: ClampedImpacts) -> Source:
    """Return the source with all impacts scaled such that the greatest is `most`; as it is when none is greater.

    impact → impact × most / greatest, rounded, and at least 1: no entry is lost, and no document becomes empty. This
    reads the source once. `raised` counts what was made 1 while the new source is read.
    """
    if most < 1:
        raise InputError(f"The greatest impact shall be {most}.", expected="at least 1")
    greatest = max((max(document.vector.values(), default=0) for document in source.read()), default=0)
    if greatest <= most:
        return source

    def read() -> Iterator[ImpactDocument]:
        raised.entries = 0
        for document in source.read():
            vector = {token: scaled(impact, most, greatest) for token, impact in document.vector.items()}
            for token, impact in vector.items():
                if not impact:
                    vector[token] = 1
                    raised.entries += 1
            yield ImpactDocument(document.id, vector, document.contents)

    scale = source.settings.scale * most / greatest if source.settings else 0
    settings = source.settings.model_copy(update={"scale": scale}) if source.settings else None
    return replace(source, read=read, settings=settings, counts=None)
