"""How two outputs differ in their settings and inputs, in words."""

import re
from collections.abc import Mapping


def changes(before: Mapping[str, object], now: Mapping[str, object]) -> str:
    """Return the differences as a phrase, such as "hits was 10, is 100; scale was 100, is 51.2"."""
    names = _changed(before, now)
    return "; ".join(f"{name} was {_shortened(before.get(name))}, is {_shortened(now.get(name))}" for name in names)


def differences(first: Mapping[str, object], other: Mapping[str, object]) -> list[str]:
    """Return in what two that should have the same settings differ, such as "scale: 100 and none"."""
    return [f"{name}: {_or_none(first.get(name))} and {_or_none(other.get(name))}" for name in _changed(first, other)]


def _changed(before: Mapping[str, object], now: Mapping[str, object]) -> list[str]:
    return [name for name in {**before, **now} if before.get(name) != now.get(name)]


def _or_none(value: object) -> str:
    return "none" if value is None else _shortened(value)


def _shortened(value: object) -> str:
    """Return a value for a message; of a fingerprint the beginning tells it from others."""
    text = str(value)
    return f"{text[:12]}…" if re.fullmatch(r"[0-9a-f]{64}", text) else text
