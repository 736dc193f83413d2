"""Whom to tell that something was read: nobody, unless the caller says so."""

from collections.abc import Callable

type Progress = Callable[[int], object]
"""Called with the number of records that were just read."""


def silent(_: int) -> None:
    """Tell nobody."""
