"""Option dataclasses: each option has its name, type, default, range and help in one place.

A command shows the fields of such a class as its options (see `cli.flattening`), and the Python functions take the
class itself, so both have the same defaults and the same messages.
"""

import dataclasses
import operator
from collections.abc import Callable, Iterator
from dataclasses import MISSING, dataclass
from functools import cache
from typing import Any, Literal, dataclass_transform, get_args, get_origin, get_type_hints

from splade_anserini.errors import InputError

_KEY = "option"


@dataclass(frozen=True, slots=True, kw_only=True)
class OptionInfo:
    """What a field of an option dataclass says of its option, beside name, type and default."""

    help: str
    least: float | None = None
    greatest: float | None = None
    above: float | None = None
    below: float | None = None
    """As `least` and `greatest`, but these values themselves are out of range."""
    flags: tuple[str, ...] = ()
    """How it is spelled on the command line, where that is not the field's name with hyphens."""
    metavar: str | None = None
    parser: Callable[[str], Any] | None = None
    """Turns its text on the command line into the value, where the type alone does not say how."""
    unset: str = ""
    """What None stands for, as help shows it in place of a default."""
    python_only: bool = False
    """Whether commands do not show it; it needs a default then."""
    recorded: bool | Literal["set"] = True
    """Whether it decides the content of an output, so that manifests record it; "set": only where it has another value
    than its default, as options do that earlier versions lack."""


def option(*, default: Any = MISSING, help: str, **info: Any) -> Any:  # noqa: A002  # the word of typer and argparse
    """Declare a field of an option dataclass; `info` holds the fields of `OptionInfo`."""
    return dataclasses.field(default=default, metadata={_KEY: OptionInfo(help=help, **info)})


def option_info(field: "dataclasses.Field[Any]") -> OptionInfo:
    """Return what a field of an option dataclass says of its option."""
    info: OptionInfo = field.metadata[_KEY]
    return info


def option_name(field: "dataclasses.Field[Any]") -> str:
    """Return an option as a user types it, such as --docs-per-shard."""
    return next(iter(option_info(field).flags), f"--{field.name.replace('_', '-')}").partition("/")[0]


@dataclass_transform(frozen_default=True, kw_only_default=True, field_specifiers=(option,))
def options[C](cls: type[C]) -> type[C]:
    """Make a class an option dataclass: frozen, with keywords only; ranges are checked when one is made."""
    check = cls.__dict__.get("__post_init__")

    def __post_init__(self: Any) -> None:  # noqa: N807  # dataclasses' name
        for message in _out_of_range(self):
            raise InputError(message)
        if check:
            check(self)

    cls.__post_init__ = __post_init__  # type: ignore[attr-defined]
    return dataclass(frozen=True, kw_only=True)(cls)


def _out_of_range(group: Any) -> Iterator[str]:
    cls: Any = type(group)
    choices = option_choices(cls)
    for field in dataclasses.fields(group):
        info, value = option_info(field), getattr(group, field.name)
        if field.name in choices and value is not None and value not in choices[field.name]:
            yield f"{option_name(field)} must be {_one_of(choices[field.name])}, got {value!r}."
        for number in value if isinstance(value, list | tuple) else [value]:
            if isinstance(number, int | float) and (expected := _range_missed(info, number)):
                yield f"{option_name(field)} must be {expected}, got {_shown(number)}."


def _range_missed(info: OptionInfo, number: float) -> str:
    """Return what a number must be that is out of range, "" for others. NaN is out of any range."""
    for passes, words, limit in (
        (operator.ge, "at least", info.least),
        (operator.le, "at most", info.greatest),
        (operator.gt, "above", info.above),
        (operator.lt, "below", info.below),
    ):
        if limit is not None and not passes(number, limit):
            return f"{words} {_shown(limit)}"
    return ""


def _shown(number: float) -> str:
    return f"{number:,}" if isinstance(number, int) else f"{number:g}"


def _one_of(values: tuple[str, ...]) -> str:
    return f"{', '.join(values[:-1])} or {values[-1]}" if len(values) > 1 else values[0]


@cache
def option_choices(cls: Any) -> dict[str, tuple[str, ...]]:
    """Return the values of each field whose type is a Literal, or a Literal or None."""
    choices = {}
    for name, hint in get_type_hints(cls).items():
        for part in (hint, *get_args(hint)):
            literal = getattr(part, "__value__", part)
            if get_origin(literal) is Literal:
                choices[name] = get_args(literal)
    return choices


def recorded_options(*groups: Any) -> dict[str, Any]:
    """Return the values of all options that decide the content of an output, by the fields' names."""
    return {
        field.name: list(value) if isinstance(value := getattr(group, field.name), tuple) else value
        for group in groups
        for field in dataclasses.fields(group)
        if (recorded := option_info(field).recorded)
        and (recorded != "set" or getattr(group, field.name) != field.default)
    }


def changed_options(group: Any) -> list[str]:
    """Return the options, as a user types them, whose values are not their defaults."""
    return [option_name(field) for field in dataclasses.fields(group) if getattr(group, field.name) != field.default]
