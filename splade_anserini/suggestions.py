"""Suggestions for a mistyped name, for the last part of an error message."""

from collections.abc import Iterable, Sequence
from difflib import get_close_matches

_SHORTEST_PART = 3
"""Characters that a name must have before longer names that contain it are suggested."""


def nearest(name: str, names: Iterable[str], most: int = 3) -> list[str]:
    """Return up to `most` of the names that `name` may stand for, most likely first; case is ignored.

    These are the names that begin with it, those that contain it, and those that are spelled similarly.
    """
    typed = name.casefold()
    by_folded = {candidate.casefold(): candidate for candidate in names}
    containing = [folded for folded in by_folded if len(typed) >= _SHORTEST_PART and typed in folded]
    similar = get_close_matches(typed, by_folded, n=most)
    containing.sort(key=lambda folded: (not folded.startswith(typed), folded))
    return [by_folded[folded] for folded in dict.fromkeys([*containing, *similar])][:most]


def did_you_mean(names: Sequence[str]) -> str:
    """Return "Did you mean a, b or c?" for an error message; an empty text for no names."""
    if len(names) < 2:
        return f"Did you mean {names[0]}?" if names else ""
    return f"Did you mean {', '.join(names[:-1])} or {names[-1]}?"
