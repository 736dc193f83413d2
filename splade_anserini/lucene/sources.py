"""Directories of impact pseudo-documents: their manifests, files and counts are checked before they are indexed."""

import logging
from dataclasses import dataclass
from pathlib import Path

from splade_anserini.artifacts.fingerprints import fingerprint_of_bytes
from splade_anserini.artifacts.manifests import MANIFEST, Counts, EncodeSettings, ImpactManifest, read_manifest
from splade_anserini.errors import InputError, MismatchError
from splade_anserini.formats.impacts import count_impacts, impact_files
from splade_anserini.progress import Progress, silent
from splade_anserini.records import StrPath

_logger = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class ImpactSource:
    """A complete directory of impact pseudo-documents."""

    directory: Path
    counts: Counts
    settings: EncodeSettings | None = None
    """How it was encoded; None when it has no manifest."""

    @property
    def fingerprint(self) -> str:
        """The SHA-256 of what decides the content: settings and counts, and names and sizes of the files."""
        files = [f"{path.relative_to(self.directory)} {path.stat().st_size}" for path in impact_files(self.directory)]
        settings = self.settings.model_dump_json() if self.settings else ""
        parts = [settings, self.counts.model_dump_json(), *files]
        return fingerprint_of_bytes(*(part.encode() for part in parts))


def open_impacts(directory: StrPath, progress: Progress = silent) -> ImpactSource:
    """Check a directory of impact pseudo-documents by its manifest; without one, read and check all records.

    The directory may also hold sub-directories, each with a manifest: the parts of a corpus that several processes
    encoded. Raises `InputError` when a file is missing or not listed in a manifest, `MismatchError` when the parts do
    not belong together.
    """
    directory = Path(directory)
    if not directory.is_dir():
        problem = "is a file" if directory.exists() else "does not exist"
        raise InputError(f"The input {directory} {problem}.", expected="a directory that encode wrote")
    manifests = _read_manifests(directory)
    if manifests:
        _check_files(directory, manifests)
        settings = _common_settings(manifests)
        counts = sum((manifest.counts for manifest in manifests.values()), Counts())
        source = ImpactSource(directory, counts, settings)
    else:
        counts, _ = count_impacts(directory, progress)
        source = ImpactSource(directory, counts)
    if not source.counts.documents:
        raise InputError(f"{directory} has nothing to index: all document vectors are empty.", do="Encode it again.")
    return source


def _read_manifests(directory: Path) -> dict[Path, ImpactManifest]:
    """Return the manifests of a directory and of its sub-directories, by directory."""
    directories = [directory, *sorted(path for path in directory.iterdir() if path.is_dir())]
    manifests = {path: manifest for path in directories if (manifest := read_manifest(path, ImpactManifest))}
    for path, manifest in manifests.items():
        if not manifest.complete:
            raise InputError(
                f"{path} is incomplete: encoding was interrupted.", do="Run the same encode command again."
            )
    return manifests


def _check_files(directory: Path, manifests: dict[Path, ImpactManifest]) -> None:
    """Raise `InputError` unless the manifests list exactly the files that Anserini would read."""
    listed = {path / shard.file: path for path, manifest in manifests.items() for shard in manifest.shards}
    present = set(impact_files(directory))
    for file, path in listed.items():
        if file not in present:
            raise InputError(
                f"{file} is missing, but {path / MANIFEST} lists it.", do="Run the same encode command again."
            )
    for file in sorted(present - set(listed)):
        raise InputError(
            f"{file} is not listed in any {MANIFEST}.", do="Move it elsewhere; Anserini would index it as well."
        )


def _common_settings(manifests: dict[Path, ImpactManifest]) -> EncodeSettings:
    """Return the settings of the first part.

    Raises `MismatchError` unless the manifests are of all parts of one corpus, encoded with the same settings.
    """
    (first_path, first), *others = manifests.items()
    for path, manifest in others:
        _check_same_settings(first_path, first.settings, path, manifest.settings)
    _check_parts(manifests, first.settings.shard_num)
    return first.settings


def _check_same_settings(first_path: Path, first: EncodeSettings, path: Path, other: EncodeSettings) -> None:
    expected = _shared_settings(first)
    for name, value in _shared_settings(other).items():
        if value != expected[name]:
            raise MismatchError(
                f"{path} and {first_path} were encoded with different settings ({name}: {value} and {expected[name]}).",
                do="Encode both with the same settings, or build two indexes.",
            )


def _check_parts(manifests: dict[Path, ImpactManifest], shard_num: int) -> None:
    """Raise `MismatchError` unless each part is there once; a single part of several only causes a warning."""
    parts: dict[int, Path] = {}
    for path, manifest in manifests.items():
        shard_id = manifest.settings.shard_id
        if shard_id in parts:
            raise MismatchError(f"{path} and {parts[shard_id]} are both part {shard_id} of {shard_num}.")
        parts[shard_id] = path
    missing = sorted(set(range(shard_num)) - set(parts))
    if not missing:
        return
    first_path = next(iter(manifests))
    if len(manifests) == 1:
        _logger.warning("%s is part %d of %d; the index contains no other part", first_path, *parts, shard_num)
        return
    raise MismatchError(
        f"Part{'s' * (len(missing) > 1)} {', '.join(map(str, missing))} of {shard_num} "
        f"{'is' if len(missing) == 1 else 'are'} missing in {first_path.parent}.",
        do=f"Encode with --shard-id {missing[0]} --shard-num {shard_num} into a sub-directory of it.",
    )


def _shared_settings(settings: EncodeSettings) -> dict[str, object]:
    """Return the settings that all parts of an index share; names and paths may differ between machines."""
    encoder = settings.encoder.model_dump(exclude={"name"})
    return {
        **{f"encoder ({name})": value for name, value in encoder.items()},
        "scale": settings.scale,
        "maximum length": settings.max_length,
        "top-k": settings.top_k,
        "number of parts": settings.shard_num,
    }
