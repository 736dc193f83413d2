"""Paths of the files that ship with the package, in a wheel, an editable install and a bare checkout."""

from pathlib import Path

_PACKAGE = Path(__file__).parent.parent


def encoders_home() -> Path:
    """Return the directory of the encoder cards and of the encoder that ships."""
    return _home("encoders")


def indexes_home() -> Path:
    """Return the directory of the index cards."""
    return _home("indexes")


def cranfield() -> Path:
    """Return the directory of the Cranfield collection, in BEIR format."""
    return _PACKAGE / "data" / "cranfield"


def _home(name: str) -> Path:
    # An installed package contains the directory; in a checkout it is next to the package.
    installed = _PACKAGE / name
    return installed if installed.is_dir() else _PACKAGE.parent / name
