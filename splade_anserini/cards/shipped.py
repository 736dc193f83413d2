"""Where the things that ship with the package lie: in a wheel, an editable install and a bare checkout alike."""

from pathlib import Path

_PACKAGE = Path(__file__).parent.parent


def encoders_home() -> Path:
    """The directory of encoder cards and of the encoder that ships."""
    return _home("encoders")


def indexes_home() -> Path:
    """The directory of index cards."""
    return _home("indexes")


def cranfield() -> Path:
    """The Cranfield collection, a BEIR directory."""
    return _PACKAGE / "data" / "cranfield"


def _home(name: str) -> Path:
    # An installed package holds the directory; in a checkout it stands beside the package.
    installed = _PACKAGE / name
    return installed if installed.is_dir() else _PACKAGE.parent / name
