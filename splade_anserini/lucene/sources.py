"""What an index of a directory of impact pseudo-documents must hold: by its manifests, or by counting."""

import logging
from dataclasses import dataclass
from pathlib import Path

from splade_anserini.artifacts.manifests import MANIFEST, Counts, EncodeSettings, ImpactManifest, read_manifest
from splade_anserini.errors import InputError, MismatchError
from splade_anserini.formats.impacts import count_impacts, impact_files
from splade_anserini.progress import Progress, silent

_logger = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class ImpactSource:
    """A directory of impact pseudo-documents whose files are all there."""

    directory: Path
    counts: Counts
    settings: EncodeSettings | None = None
    """How it was encoded; None when it came without a manifest."""


def open_impacts(directory: Path, progress: Progress = silent) -> ImpactSource:
    """Read the manifest of `directory`, or those of its parts in sub-directories; without any, check all records.

    Raises `InputError` when something is missing or foreign, `MismatchError` when parts do not belong together.
    """
    if not directory.is_dir():
        found = "is a file" if directory.exists() else "does not exist"
        raise InputError(f"The input {directory} {found}.", expected="a directory that encode wrote")
    manifests = _manifests(directory)
    if manifests:
        _check_files(directory, manifests)
        settings = _common_settings(manifests)
        counts = sum((manifest.counts for manifest in manifests.values()), Counts())
        source = ImpactSource(directory, counts, settings)
    else:
        counts, _ = count_impacts(directory, progress)
        source = ImpactSource(directory, counts)
    if not source.counts.documents:
        raise InputError(f"No document in {directory} has an entry: all vectors are empty.", do="Encode it again.")
    return source


def _manifests(directory: Path) -> dict[Path, ImpactManifest]:
    places = [directory, *sorted(path for path in directory.iterdir() if path.is_dir())]
    found = {place: manifest for place in places if (manifest := read_manifest(place, ImpactManifest))}
    for place, manifest in found.items():
        if not manifest.complete:
            raise InputError(
                f"{place} is not complete: encoding was interrupted.", do="Run the same encode command again."
            )
    return found


def _check_files(directory: Path, manifests: dict[Path, ImpactManifest]) -> None:
    """Make sure that the manifests list exactly what Anserini would read."""
    listed = {place / shard.file: place for place, manifest in manifests.items() for shard in manifest.shards}
    present = set(impact_files(directory))
    for file, place in listed.items():
        if file not in present:
            raise InputError(
                f"{file} is missing, though {place / MANIFEST} lists it.", do="Run the same encode command again."
            )
    for file in sorted(present - set(listed)):
        raise InputError(f"{file} is foreign: no {MANIFEST} lists it.", do="Move it elsewhere, or Anserini reads it.")


def _common_settings(manifests: dict[Path, ImpactManifest]) -> EncodeSettings:
    """Return what all parts share. Raises `MismatchError` unless they are all parts of one corpus, encoded alike."""
    (first_place, first), *others = manifests.items()
    reference = first.settings
    for place, manifest in others:
        for name, theirs in _decisive(manifest.settings).items():
            ours = _decisive(reference)[name]
            if ours != theirs:
                raise MismatchError(
                    f"{place} was encoded with another {name} than {first_place}: {theirs} instead of {ours}.",
                    do="Encode both with the same settings, or index them apart.",
                )
    parts: dict[int, Path] = {}
    for place, manifest in manifests.items():
        part = manifest.settings.shard_id
        if part in parts:
            raise MismatchError(f"{place} and {parts[part]} are both part {part} of {reference.shard_num}.")
        parts[part] = place
    missing = sorted(set(range(reference.shard_num)) - set(parts))
    if missing and others:
        raise MismatchError(
            f"Of {reference.shard_num} parts, {', '.join(map(str, missing))} "
            f"{'is' if len(missing) == 1 else 'are'} missing below {first_place.parent}.",
            do=f"Encode with --shard-id {missing[0]} --shard-num {reference.shard_num} into a directory beside them.",
        )
    if missing:
        _logger.warning("%s is part %d of %d: the index holds no other", first_place, *parts, reference.shard_num)
    return reference


def _decisive(settings: EncodeSettings) -> dict[str, object]:
    """Return what parts of one index must share; names and paths may differ from machine to machine."""
    encoder = settings.encoder.model_dump(exclude={"name"})
    return {
        **{f"encoder ({name})": value for name, value in encoder.items()},
        "scale": settings.scale,
        "maximum length": settings.max_length,
        "top-k": settings.top_k,
        "number of parts": settings.shard_num,
    }
