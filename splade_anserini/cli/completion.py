"""Scripts with which shells complete the commands, their options, and the values of options that have a few."""

import inspect
import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum
from typing import Any, Literal, get_args, get_origin

import typer

from splade_anserini.cards.finding import available_encoders, available_indexes
from splade_anserini.cli.flattening import flattened

type Shell = Literal["bash", "zsh", "fish"]

PROGRAM = "splade-anserini"

_CHOICES = re.compile(r"<?([a-z][\w.-]*(?:\|[a-z][\w.-]*)+)>?")
"""How help shows the values of an option that has a few."""

_ENCODERS = {"--encoder", "--query-encoder", "--compare-encoder", "--card"}
"""Options that take the name of an encoder card."""


@dataclass(frozen=True, slots=True)
class CompletedOption:
    """An option as shells complete it."""

    names: tuple[str, ...]
    help: str
    takes_value: bool
    words: tuple[str, ...]
    """Values that are known; files are completed where there are none."""
    repeats: bool


@dataclass(frozen=True, slots=True)
class CompletedCommand:
    """A command as shells complete it."""

    name: str
    help: str
    options: tuple[CompletedOption, ...]
    words: tuple[str, ...]
    """What may be given without an option; files are completed where nothing is known."""


def completed_command(name: str, help: str, function: Callable[..., None]) -> CompletedCommand:  # noqa: A002
    """Return what shells complete of the command that a function is."""
    options, words = [], tuple[str, ...]()
    for parameter in inspect.signature(flattened(function)).parameters.values():
        type_, info = get_args(parameter.annotation)[:2]
        if isinstance(info, typer.models.ArgumentInfo):
            words += _words(type_, info.metavar)
        else:
            options.append(_option(parameter.name, type_, info))
    options.append(CompletedOption(("--help",), "Show the help", takes_value=False, words=(), repeats=False))
    return CompletedCommand(name, help, tuple(options), words)


def _option(name: str, type_: Any, info: Any) -> CompletedOption:
    # Beside an annotation, Typer's first argument is a spelling too, and no default.
    flags = [flag for flag in (info.default, *(info.param_decls or ())) if isinstance(flag, str)]
    declared = [part for flag in flags for part in flag.split("/") if part.startswith("--")]
    is_flag, spelled = type_ is bool, name.replace("_", "-")
    names = tuple(declared or [f"--{spelled}", *([f"--no-{spelled}"] if is_flag else [])])
    if names[0] in _ENCODERS:
        words = tuple(available_encoders())
    elif names[0] == "--index" and "card" in info.help:
        words = tuple(available_indexes())
    else:
        words = () if is_flag else _words(type_, info.metavar)
    repeats = any(get_origin(part) is list for part in (type_, *get_args(type_)))
    return CompletedOption(names, _first_sentence(info.help), not is_flag, words, repeats)


def _words(type_: Any, metavar: str | None) -> tuple[str, ...]:
    """Return the values of a type that has a few, or of the words that help shows for it."""
    if match := _CHOICES.fullmatch(metavar or ""):
        return tuple(match[1].split("|"))
    for part in (type_, *get_args(type_)):
        if get_origin(part) is Literal:
            return tuple(map(str, get_args(part)))
        if inspect.isclass(part) and issubclass(part, StrEnum):
            return tuple(member.value for member in part)
    return ()


def _first_sentence(text: str) -> str:
    return " ".join(text.split()).partition(". ")[0].rstrip(".").partition(" [default")[0]


def completion_script(shell: Shell, commands: Sequence[CompletedCommand]) -> str:
    """Return the script of a shell."""
    scripts: Mapping[Shell, Callable[[Sequence[CompletedCommand]], str]] = {"bash": _bash, "zsh": _zsh, "fish": _fish}
    return scripts[shell](commands)


def _bash(commands: Sequence[CompletedCommand]) -> str:
    options = "\n".join(
        f"        {command.name}) words='{' '.join(name for option in command.options for name in option.names)}' ;;"
        for command in commands
    )
    values = "\n".join(
        f"        {'|'.join(f'{command.name}:{name}' for name in option.names)}) words='{' '.join(option.words)}' ;;"
        for command in commands
        for option in command.options
        if option.takes_value and option.words
    )
    files = "|".join(
        f"{command.name}:{name}"
        for command in commands
        for option in command.options
        if option.takes_value and not option.words
        for name in option.names
    )
    arguments = "\n".join(
        f"        {command.name}) words='{' '.join(command.words)}' ;;" for command in commands if command.words
    )
    names = " ".join(command.name for command in commands)
    # Bash splits --format=json into three words.
    return f"""\
# Completion of {PROGRAM} for bash.
_splade_anserini() {{
    local current=${{COMP_WORDS[COMP_CWORD]}} previous=${{COMP_WORDS[COMP_CWORD-1]}} command=${{COMP_WORDS[1]}} words=''
    COMPREPLY=()
    if [ "$COMP_CWORD" -eq 1 ]; then
        COMPREPLY=($(compgen -W '{names} --help --version' -- "$current"))
        return
    fi
    if [ "$current" = = ]; then current=''
    elif [ "$previous" = = ]; then previous=${{COMP_WORDS[COMP_CWORD-2]}}
    fi
    case "$command:$previous" in
{values}
        {files}) return ;;
        *)
            case "$current" in
                -*)
                    case "$command" in
{_indented(options)}
                    esac ;;
                *)
                    case "$command" in
{_indented(arguments)}
                    esac ;;
            esac ;;
    esac
    COMPREPLY=($(compgen -W "$words" -- "$current"))
}}
complete -o default -F _splade_anserini {PROGRAM}
"""


def _indented(lines: str) -> str:
    return "\n".join(f"                {line}" for line in lines.splitlines())


def _zsh(commands: Sequence[CompletedCommand]) -> str:
    described = "\n".join(f"            {_quoted(f'{command.name}:{command.help}')}" for command in commands)
    cases = "\n".join(
        f"        {command.name})\n            _arguments \\\n"
        + "".join(f"                {_quoted(spec)} \\\n" for spec in _zsh_specifications(command))
        + "            ;;"
        for command in commands
    )
    return f"""\
#compdef {PROGRAM}
# Completion of {PROGRAM} for zsh.
_splade_anserini() {{
    if (( CURRENT == 2 )); then
        local -a commands
        commands=(
{described}
        )
        _describe command commands
        return
    fi
    shift words
    (( CURRENT-- ))
    case $words[1] in
{cases}
    esac
}}
if [ "$funcstack[1]" = _splade_anserini ]; then
    _splade_anserini "$@"
else
    compdef _splade_anserini {PROGRAM}
fi
"""


def _zsh_specifications(command: CompletedCommand) -> list[str]:
    specifications = []
    for option in command.options:
        value = f":value:({' '.join(option.words)})" if option.words else ":file:_files"
        for name in option.names:
            text = re.sub(r"([\[\]:\\])", r"\\\1", option.help)
            star = "*" if option.repeats else ""
            specifications.append(f"{star}{name}[{text}]{value if option.takes_value else ''}")
    return [*specifications, f"*:argument:({' '.join(command.words)})" if command.words else "*:file:_files"]


def _fish(commands: Sequence[CompletedCommand]) -> str:
    lines = [f"# Completion of {PROGRAM} for fish."]
    lines += [
        f"complete -c {PROGRAM} -n __fish_use_subcommand -f -a {command.name} -d {_fish_quoted(command.help)}"
        for command in commands
    ]
    for command in commands:
        here = f"complete -c {PROGRAM} -n '__fish_seen_subcommand_from {command.name}'"
        if command.words:
            lines.append(f"{here} -f -a {_fish_quoted(' '.join(command.words))}")
        for option in command.options:
            value = (
                f" -x -a {_fish_quoted(' '.join(option.words))}"
                if option.words
                else " -r -F"
                if option.takes_value
                else ""
            )
            flags = (name.removeprefix("--") for name in option.names)
            lines += [f"{here} -l {flag}{value} -d {_fish_quoted(option.help)}" for flag in flags]
    return "\n".join(lines) + "\n"


def _quoted(text: str) -> str:
    """Return a text in single quotes, as all three shells understand it: they escape such a quote differently."""
    return "'" + text.replace("'", "`") + "'"


def _fish_quoted(text: str) -> str:
    """Return a text in single quotes, in which fish lets a backslash escape."""
    return _quoted(text.replace("\\", "\\\\"))
