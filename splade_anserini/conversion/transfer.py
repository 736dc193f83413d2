"""Conversion of documents from a source to a format, with their impacts scaled down if necessary."""

from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path

from splade_anserini.artifacts.manifests import Counts
from splade_anserini.conversion.format import Format
from splade_anserini.conversion.source import CountedSource, Source
from splade_anserini.errors import InputError
from splade_anserini.progress import Progress, silent
from splade_anserini.records import ImpactDocument, StrPath
from splade_anserini.vectors.pruning import scaled


@dataclass(frozen=True, slots=True)
class Converted:
    """Counts of a conversion, and what the format could not store."""

    counts: Counts
    empty: int
    """Documents with an empty vector, which are written too."""
    contents_left_out: int = 0
    """Documents whose contents were dropped."""
    settings_left_out: bool = False
    """Whether the settings that the documents were encoded with were dropped."""
    zeros: int = 0
    """Entries of the source with an impact of 0, which are not written."""


def write_converted(source: Source, output: StrPath, target: Format, *, progress: Progress = silent) -> Converted:
    """Write the documents of `source` to `output` in the format `target`.

    `output` appears after it has been read again and its counts match. Raises `InputError` for a document that the
    format cannot store, a duplicate id or no documents, `OutputError` when `output` exists, `IntegrityError` when the
    counts differ.
    """
    settings = source.settings
    if settings and not target.keeps_contents:
        settings = settings.model_copy(update={"contents": False})
    with CountedSource(source, progress) as counted:
        with target.writing(output, counted.documents(), settings) as written:
            zeros = source.left_out.zeros
            counted.check_written(target.read(written), Path(output))
        return Converted(
            counted.counts,
            counted.empty,
            contents_left_out=0 if target.keeps_contents else counted.with_contents,
            settings_left_out=settings is not None and not target.keeps_settings,
            zeros=zeros,
        )


@dataclass(slots=True)
class ClampedImpacts:
    """The number of impacts that scaling rounded to 0, and which were set to 1."""

    entries: int = 0


def scaled_down(source: Source, greatest_impact: int, clamped: ClampedImpacts) -> Source:
    """Return a source whose greatest impact is `greatest_impact`, or the same source when it has no greater one.

    Each impact becomes impact × `greatest_impact` / greatest, rounded, and at least 1, so that no entry is lost. The
    source is read once to find its greatest impact; `clamped` is counted while the new source is read.
    """
    if greatest_impact < 1:
        raise InputError(f"--max-impact must be at least 1, got {greatest_impact}.")
    greatest = max((max(document.vector.values(), default=0) for document in source.read()), default=0)
    if greatest <= greatest_impact:
        return source

    def read() -> Iterator[ImpactDocument]:
        clamped.entries = 0
        for document in source.read():
            vector = {token: scaled(impact, greatest_impact, greatest) for token, impact in document.vector.items()}
            for token, impact in vector.items():
                if not impact:
                    vector[token] = 1
                    clamped.entries += 1
            yield ImpactDocument(document.id, vector, document.contents)

    scale = source.settings.scale * greatest_impact / greatest if source.settings else 0
    settings = source.settings.model_copy(update={"scale": scale}) if source.settings else None
    return replace(source, read=read, settings=settings, counts=None)
