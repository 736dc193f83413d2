"""Commands from option dataclasses: each field becomes an option of the command."""

import dataclasses
import inspect
from collections.abc import Callable, Iterator
from functools import wraps
from types import UnionType
from typing import Annotated, Any, Union, get_args, get_origin, get_type_hints

import typer

from splade_anserini.options import option_choices, option_info


def flattened(command: Callable[..., None]) -> Callable[..., None]:
    """Return a function with one parameter for each option, where `command` takes option dataclasses.

    Typer reads its signature. Two groups may have a field of the same name and meaning: it is one option, and both
    get its value.
    """
    hints = get_type_hints(command, include_extras=True)
    groups: dict[str, Any] = {name: hint for name, hint in hints.items() if dataclasses.is_dataclass(hint)}
    signature = inspect.signature(command)
    parameters: dict[str, inspect.Parameter] = {}
    for name, parameter in signature.parameters.items():
        parts = _parameters(groups[name]) if name in groups else [parameter.replace(annotation=hints[name])]
        for part in parts:
            parameters.setdefault(part.name, part.replace(kind=inspect.Parameter.KEYWORD_ONLY))

    @wraps(command)
    def call(**values: Any) -> None:
        arguments = {name: values[name] for name in signature.parameters if name not in groups}
        arguments |= {name: _group(group, values) for name, group in groups.items()}
        command(**arguments)

    # Typer follows __wrapped__ otherwise.
    del call.__wrapped__
    call.__signature__ = inspect.Signature(list(parameters.values()))  # type: ignore[attr-defined]
    call.__annotations__ = {name: parameter.annotation for name, parameter in parameters.items()}
    return call


def _group(group: Any, values: dict[str, Any]) -> Any:
    """Make an option dataclass of the values of its fields."""
    shown = (field.name for field in dataclasses.fields(group) if not option_info(field).python_only)
    fields = {name: values[name] for name in shown}
    return group(**{name: tuple(value) if isinstance(value, list) else value for name, value in fields.items()})


def _parameters(group: Any) -> Iterator[inspect.Parameter]:
    """Yield the parameters of a group: those of its own fields, then those that it inherits."""
    hints, choices, own = get_type_hints(group), option_choices(group), inspect.get_annotations(group)
    for field in sorted(dataclasses.fields(group), key=lambda field: field.name not in own):
        info = option_info(field)
        if info.python_only:
            continue
        type_ = _without_aliases(hints[field.name])
        flags = info.flags or _flags(field, type_)
        metavar = info.metavar
        if get_origin(type_) is tuple:
            # Typer knows lists, and no tuples of any length.
            item = get_args(type_)[0]
            type_, metavar = list[item], metavar or f"<{item.__name__}>"  # type: ignore[valid-type]
        elif values := choices.get(field.name):
            # The dataclass checks the choice, with the same message as in Python.
            type_ = str if type(None) not in get_args(type_) else str | None
            metavar = metavar or f"<{'|'.join(values)}>"
        hidden = _is_unset(field.default)
        declared = typer.Option(
            *flags,
            help=_help(info.help, info.unset, field.default),
            metavar=metavar,
            parser=info.parser,
            show_default=not hidden,
        )
        default = inspect.Parameter.empty if field.default is dataclasses.MISSING else field.default
        yield inspect.Parameter(
            field.name, inspect.Parameter.KEYWORD_ONLY, default=default, annotation=Annotated[type_, declared]
        )


def _without_aliases(type_: Any) -> Any:
    """Return what an alias of a type stands for, also in a union: Typer does not know aliases."""
    if get_origin(type_) in {Union, UnionType}:
        return Union[tuple(_without_aliases(part) for part in get_args(type_))]  # noqa: UP007  # of any number
    return getattr(type_, "__value__", type_)


def _flags(field: "dataclasses.Field[Any]", type_: Any) -> tuple[str, ...]:
    name = field.name.replace("_", "-")
    return (f"--{name}/--no-{name}",) if type_ is bool and field.default is True else (f"--{name}",)


def _help(text: str, unset: str, default: Any) -> str:
    return f"{text} [default: {unset}]" if unset and _is_unset(default) else text


def _is_unset(default: Any) -> bool:
    """Return whether a default is not worth showing; 0 is, although it equals False."""
    return default is None or default is False or default == ()
