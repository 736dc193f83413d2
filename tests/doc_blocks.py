"""Blocks of code in Markdown pages, and the examples of commands, with the marks of those that are not run."""

import inspect
import re
import textwrap
from dataclasses import dataclass
from importlib import import_module
from pathlib import Path

from splade_anserini.__main__ import COMMANDS

ROOT = Path(__file__).parent.parent
PAGES = [
    ROOT / "README.md",
    *sorted((ROOT / "docs").glob("*.md")),
    *(ROOT / name / "README.md" for name in ("encoders", "encoders/splade-mini", "encoders/splade-mini-v2", "indexes")),
]

_FENCE = re.compile(r"( *)```(\w*)$")
_MARK = re.compile(r" *<!-- not run: (.+) -->$")
_PROGRAMS = ("splade-anserini ", "python ", "pip ")
"""How the first line of an indented block of commands begins."""


@dataclass(frozen=True)
class Block:
    """A block of code: the line before its first, its language, and why it is not run, or ""."""

    page: str
    line: int
    language: str
    text: str
    reason: str = ""

    def __str__(self) -> str:
        return f"{self.page}, line {self.line}"

    @property
    def commands(self) -> list[str]:
        """The lines of a block of shell, without comments and with continued lines joined."""
        lines = self.text.replace("\\\n", " ").splitlines()
        return [line for line in lines if line.strip() and not line.startswith("#")]


def blocks_of(path: Path) -> list[Block]:
    """Return the fenced and the indented blocks of a page."""
    return parse(path.read_text(encoding="utf-8"), path.relative_to(ROOT).as_posix())


def parse(text: str, page: str = "page") -> list[Block]:
    """Return the blocks of Markdown. A mark is the last line before a block that is not blank."""
    blocks, lines, index, reason = [], text.splitlines(), 0, ""
    while index < len(lines):
        start = index
        if fence := _FENCE.match(lines[index]):
            index = next(end for end in range(index + 1, len(lines)) if lines[end] == f"{fence[1]}```")
            content = lines[start + 1 : index]
        elif re.match(r" {4,}\S", lines[index]) and not (index and lines[index - 1].strip()):
            while index + 1 < len(lines) and (lines[index + 1].startswith("    ") or not lines[index + 1].strip()):
                index += 1
            content = lines[start : index + 1]
        else:
            mark = _MARK.match(lines[index])
            reason = mark[1] if mark else reason if not lines[index].strip() else ""
            index += 1
            continue
        body = textwrap.dedent("\n".join(content)).strip("\n") + "\n"
        language = fence[2] if fence else "sh" if body.startswith(_PROGRAMS) else ""
        blocks.append(Block(page, start + 1, language, body, reason))
        reason = ""
        index += 1
    return blocks


def example_of(command: str) -> Block:
    """Return the examples in the help of a command as a block."""
    module = import_module(f"splade_anserini.{command.replace('-', '_')}")
    _, _, examples = re.split(r"^(Examples?):\n", inspect.cleandoc(module.command.__doc__), flags=re.MULTILINE)
    return Block(f"splade-anserini {command} --help", 0, "sh", textwrap.dedent(examples))


EXAMPLES = {command: example_of(command) for command in COMMANDS}
