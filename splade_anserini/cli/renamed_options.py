"""Former spellings of options and of their values, which still work, with a warning."""

import sys
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial


@dataclass(frozen=True, slots=True)
class Renamed:
    """What takes the place of an old spelling."""

    new: str
    """The new option, for the warning."""
    values: int = 1
    """How many values the old option takes: 0 or 1."""
    rewrite: "Callable[[str, Sequence[str]], list[str]] | None" = None
    """Returns the new arguments for the old value and all arguments. None: the new option with the same value."""


def _picture(name: str, value: str, arguments: Sequence[str]) -> list[str]:
    """Return --plot for --picture KIND, which named the kind of a plot in --output."""
    output = _value_of("--output", arguments)
    if value == "none":
        # sweep draws unless told otherwise, profile only when told.
        return ["--plot", "none"] if name == "sweep" else []
    return [] if output is None else ["--plot", f"{output}/{name}.{value}"]


def _value_of(option: str, arguments: Sequence[str]) -> str | None:
    for argument, value in zip(arguments, [*arguments[1:], ""], strict=True):
        if argument == option:
            return value
        if argument.startswith(f"{option}="):
            return argument.partition("=")[2]
    return None


def _feedback_weight(value: str, arguments: Sequence[str]) -> list[str]:
    """Return the weight of what is fed back, in Anserini's terms."""
    if _value_of("--feedback", arguments) == "rm3":
        try:
            return ["--original-query-weight", f"{1 - float(value):.9g}"]
        except ValueError:
            return ["--original-query-weight", value]
    return ["--rocchio-beta", value]


_TWO_STEP = {"--two-phase": Renamed("--two-step")}
_RUN_FORMAT = {"--output-format": Renamed("--format")}

RENAMED: dict[str, dict[str, Renamed]] = {
    "search": _TWO_STEP
    | _RUN_FORMAT
    | {"--feedback-weight": Renamed("--rocchio-beta or --original-query-weight", rewrite=_feedback_weight)},
    "fuse": _RUN_FORMAT,
    "rescore": _RUN_FORMAT,
    # Its --force also accepted an encoder that differs, which --force still does.
    "sweep": _TWO_STEP
    | {
        "--picture": Renamed("--plot", rewrite=partial(_picture, "sweep")),
    },
    "reproduce": {"--force": Renamed("--overwrite", values=0)},
    "profile": {"--picture": Renamed("--plot", rewrite=partial(_picture, "profile"))},
}
"""Command → old option → what takes its place."""

RENAMED_VALUES = {("profile", "--format", "text"): "table"}
"""Command, option and old value → the value that takes its place."""


def current_spelling(command: str, arguments: Sequence[str]) -> list[str]:
    """Return the arguments with old spellings replaced, and warn on stderr about each."""
    renamed = RENAMED.get(command, {})
    result: list[str] = []
    rest = list(arguments)
    while rest:
        argument = rest.pop(0)
        name, equals, value = argument.partition("=")
        if name not in renamed:
            result += _current_value(command, argument, rest)
            continue
        change = renamed[name]
        if change.values and not equals and rest:
            value = rest.pop(0)
        sys.stderr.write(f"WARNING: {name} is deprecated and will be removed; use {change.new}.\n")
        if change.rewrite:
            result += change.rewrite(value, arguments)
        else:
            result += [change.new, value] if change.values else [change.new]
    return result


def _current_value(command: str, argument: str, rest: list[str]) -> list[str]:
    """Return an argument, and its value where that has another spelling now."""
    name, equals, value = argument.partition("=")
    old = value if equals else next(iter(rest), "")
    new = RENAMED_VALUES.get((command, name, old))
    if new is None:
        return [argument]
    if not equals:
        rest.pop(0)
    sys.stderr.write(f"WARNING: {name} {old} is deprecated and will be removed; use {name} {new}.\n")
    return [name, new]
