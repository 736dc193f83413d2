"""What can be verified, and what a name stands for."""

import json
from pathlib import Path

from splade_anserini.artifacts.manifests import MANIFEST
from splade_anserini.errors import InputError

_UNSUPPORTED = {"impacts": "impact pseudo-documents", "index": "an impact index"}
"""Kinds of manifests of other directories."""


def require_encoder(name: str) -> None:
    """Raise `InputError` for a directory that holds something else than an encoder, which cannot be verified yet."""
    directory = Path(name)
    kind = _kind(directory) or ("index" if any(directory.glob("segments_*")) else "")
    if kind in _UNSUPPORTED:
        raise InputError(
            f"{name} holds {_UNSUPPORTED[kind]}; only encoders can be verified.", expected="the name of an encoder"
        )
    if directory.is_file() and directory.suffix != ".toml":
        raise InputError(f"{name} is a file; only encoders can be verified.", expected="the name of an encoder")


def _kind(directory: Path) -> str:
    try:
        return str(json.loads((directory / MANIFEST).read_bytes()).get("kind", ""))
    except (OSError, ValueError, AttributeError):
        # What reads the manifest as an encoder's says what is wrong with it.
        return ""
