"""What a format of impact vectors is: how it is read and written, and what it can hold."""

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import IO

import pydantic

from splade_anserini.artifacts.manifests import EncodeSettings
from splade_anserini.records import ImpactDocument

type Reader = Callable[[Path], Iterator[ImpactDocument]]
"""Yields the documents of a file in their order. Raises `InputError` for a file that is damaged or of another kind."""

type Writer = Callable[[IO[bytes], Iterable[ImpactDocument], EncodeSettings | None], None]
"""Writes the documents. Raises `InputError` for one that could not be read again as it is."""


@dataclass(frozen=True, slots=True)
class Format:
    """One file format."""

    name: str
    suffixes: tuple[str, ...]
    """Of the names of its files; the first is the usual one."""
    read: Reader
    write: Writer
    settings: Callable[[Path], EncodeSettings | None]
    """How the documents of a file were encoded, or None when it does not say."""
    keeps_contents: bool = False
    keeps_settings: bool = True
    greatest_impact: int | None = None


def settings_from(text: str | bytes) -> EncodeSettings | None:
    """Return the settings in a note of ours; None when they are of a version that this one does not know."""
    try:
        return EncodeSettings.model_validate_json(text)
    except pydantic.ValidationError:
        return None


def no_settings(_: Path) -> None:
    """Say that a format has no place for settings."""
