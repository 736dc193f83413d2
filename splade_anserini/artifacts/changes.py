"""How two outputs differ in their settings and inputs, in words."""

import re
from collections.abc import Mapping


def changes(before: Mapping[str, object], now: Mapping[str, object]) -> str:
    """Return the differences as a phrase, such as "hits was 10, is 100; scale was 100, is 51.2"."""
    names = [name for name in {**before, **now} if before.get(name) != now.get(name)]
    return "; ".join(f"{name} was {_shortened(before.get(name))}, is {_shortened(now.get(name))}" for name in names)


def _shortened(value: object) -> str:
    """Return a value for a message; of a fingerprint the beginning tells it from others."""
    text = str(value)
    return f"{text[:12]}…" if re.fullmatch(r"[0-9a-f]{64}", text) else text
