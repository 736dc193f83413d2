"""How two outputs differ in their settings and inputs, in words."""

import re
from collections.abc import Iterator, Mapping


def changes(before: Mapping[str, object], now: Mapping[str, object], ignored: tuple[str, ...] = ()) -> str:
    """Return the differences as a phrase, such as "hits was 10, is 100; scale was 100, is 51.2"."""
    return "; ".join(
        f"{name} was {_shortened(old)}, is {_shortened(new)}" for name, old, new in _changed(before, now, ignored)
    )


def differences(first: Mapping[str, object], other: Mapping[str, object]) -> list[str]:
    """Return in what two that should have the same settings differ, such as "scale: 100 and none"."""
    return [f"{name}: {_or_none(one)} and {_or_none(two)}" for name, one, two in _changed(first, other)]


def changed_names(before: Mapping[str, object], now: Mapping[str, object], ignored: tuple[str, ...] = ()) -> list[str]:
    """Return the names of what differs, without those that begin with one of `ignored`.

    Of a mapping in a mapping they are such as "card.training.seed". None is the same as nothing.
    """
    return [name for name, _, _ in _changed(before, now, ignored)]


def _changed(
    before: Mapping[str, object], now: Mapping[str, object], ignored: tuple[str, ...] = ()
) -> Iterator[tuple[str, object, object]]:
    old, new = _flat(before), _flat(now)
    for name in {**old, **new}:
        if old.get(name) != new.get(name) and not name.startswith(ignored):
            yield name, old.get(name), new.get(name)


def _flat(values: Mapping[str, object], prefix: str = "") -> dict[str, object]:
    flat: dict[str, object] = {}
    for name, value in values.items():
        flat |= _flat(value, f"{prefix}{name}.") if isinstance(value, Mapping) and value else {f"{prefix}{name}": value}
    return flat


def _or_none(value: object) -> str:
    return "none" if value is None else _shortened(value)


def _shortened(value: object) -> str:
    """Return a value for a message; of a fingerprint the beginning tells it from others."""
    text = str(value)
    return f"{text[:12]}…" if re.fullmatch(r"[0-9a-f]{64}", text) else text
