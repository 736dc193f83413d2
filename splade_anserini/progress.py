"""Whom to tell that something was done: nobody, unless the caller says so."""

from collections.abc import Callable

type Progress = Callable[[int], object]
"""Called with the number of items that were just done."""


def silent(_: int) -> None:
    """Tell nobody."""
