"""Lucene's commits: which one an index is at, and how to tell it from others. Needs no Java."""

from pathlib import Path

from splade_anserini.artifacts.fingerprints import fingerprint_of_bytes

_NAME = "segments_"
_BASE = 36
"""Of the number in the name of a commit."""


def commit_file(index: Path) -> Path | None:
    """Return the file of the latest commit of an index, which names all its other files; None when there is none."""
    return max(index.glob(f"{_NAME}*"), key=_generation, default=None)


def fingerprint_of_commit(index: Path) -> str:
    """Return the fingerprint of the latest commit, which has a unique id in it; of no commit, that of nothing."""
    while path := commit_file(index):
        try:
            return fingerprint_of_content(path.name, path.read_bytes())
        except FileNotFoundError:
            # A writer has just removed it, and there is a later one.
            continue
    return fingerprint_of_bytes()


def time_of_commit(index: Path) -> float:
    """Return when the latest commit of an index was made, in seconds since 1970; 0 when there is none."""
    path = commit_file(index)
    try:
        return path.stat().st_mtime if path else 0
    except FileNotFoundError:
        return 0


def fingerprint_of_pending_commit(index: Path) -> str:
    """Return the fingerprint that the commit will have that Lucene has prepared: it is only renamed then."""
    path = max(index.glob(f"pending_{_NAME}*"), key=_generation)
    return fingerprint_of_content(path.name.removeprefix("pending_"), path.read_bytes())


def fingerprint_of_content(name: str, content: bytes) -> str:
    """Return the fingerprint of a commit by the name and the content of its file."""
    return fingerprint_of_bytes(name.encode(), content)


def _generation(path: Path) -> int:
    try:
        return int(path.name.rpartition("_")[2], _BASE)
    except ValueError:
        return -1
