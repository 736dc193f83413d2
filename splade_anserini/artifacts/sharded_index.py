"""Sharded indexes: a manifest that names indexes, which are searched as one. Needs no Java."""

import re
import shutil
from pathlib import Path

from splade_anserini.artifacts.commits import fingerprint_of_commit
from splade_anserini.artifacts.fingerprints import fingerprint_of_bytes
from splade_anserini.artifacts.manifests import (
    MANIFEST,
    IndexManifest,
    IndexPart,
    kind_of_manifest,
    read_manifest,
    write_manifest,
)
from splade_anserini.errors import InputError, MismatchError

SHARDED = "sharded-index"
"""The kind of its manifest."""

_WRITTEN = re.compile(rf"{re.escape(MANIFEST)}|\.lock|shard-\d+")
"""What `index --shards` writes into its output, and `merge --sharded` if its inputs are elsewhere."""


def is_sharded(index: Path) -> bool:
    """Say whether a directory is a sharded index."""
    return kind_of_manifest(index) == SHARDED


def shard_directories(index: Path) -> list[Path]:
    """Return the directories of the shards in their order; for another index its own.

    Raises `InputError` when a shard is missing or the manifest is not valid.
    """
    directories = recorded_shards(index)
    for directory in directories if is_sharded(index) else ():
        if not directory.is_dir() or not any(directory.glob("segments_*")):
            raise InputError(
                f"The sharded index {index} lacks its shard {directory}.",
                expected="a directory with a Lucene index",
                do="Put it back, or make the sharded index again with splade-anserini merge --sharded.",
            )
    return directories


def recorded_shards(index: Path) -> list[Path]:
    """Return the directories of the shards as `shard_directories` does, whether they are there or not."""
    if not is_sharded(index):
        return [index]
    return [index / part.path for part in _parts(index)]


def require_recorded_shards(index: Path) -> None:
    """Raise `MismatchError` when a shard of a sharded index is another than its manifest records."""
    if not is_sharded(index):
        return
    for directory, part in zip(shard_directories(index), _parts(index), strict=True):
        if fingerprint_of_index(directory) != part.fingerprint:
            raise MismatchError(
                f"The shard {directory} was changed after the sharded index {index} was made.",
                do="Make the sharded index again with splade-anserini merge --sharded --overwrite.",
            )


def shard_path(shard: Path, index: Path) -> str:
    """Return how the manifest of `index` names a shard: by a relative path if it is inside, else by an absolute one."""
    path, home = shard.resolve(), index.resolve()
    return path.relative_to(home).as_posix() if path.is_relative_to(home) else str(path)


def fingerprint_of_index(index: Path) -> str:
    """Return the fingerprint of a Lucene index: that of its commit, which has a unique id, or of all its shards'."""
    if is_sharded(index):
        return fingerprint_of_bytes(*(fingerprint_of_index(shard).encode() for shard in shard_directories(index)))
    return fingerprint_of_commit(index)


def copy_index(index: Path, output: Path) -> None:
    """Copy an index to a directory that exists; the shards of a sharded index are copied into it."""
    manifest = read_manifest(index, IndexManifest) if is_sharded(index) else None
    if manifest is None:
        shutil.copytree(index, output, dirs_exist_ok=True)
        return
    names = [shard_name(number) for number in range(len(manifest.parts))]
    for shard, name in zip(shard_directories(index), names, strict=True):
        shutil.copytree(shard, output / name)
    parts = [part.model_copy(update={"path": name}) for part, name in zip(manifest.parts, names, strict=True)]
    write_manifest(output, manifest.model_copy(update={"parts": tuple(parts)}))


def shard_name(number: int) -> str:
    """Return the name of the directory of a shard that is written into the sharded index."""
    return f"shard-{number:04}"


def others_beside_shards(index: Path) -> list[str]:
    """Return the names of what is in the directory of a sharded index beside the shards that are written into it."""
    return sorted(path.name for path in index.iterdir() if not _WRITTEN.fullmatch(path.name))


def _parts(index: Path) -> tuple[IndexPart, ...]:
    manifest = read_manifest(index, IndexManifest)
    return manifest.parts if manifest else ()
