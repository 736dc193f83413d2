"""Run a stage's command in this process, as its own program would run."""

import contextlib
import io
import signal
from collections.abc import Iterator
from dataclasses import dataclass
from importlib import import_module

from splade_anserini.cli.console import main_of


@dataclass(frozen=True)
class Outcome:
    code: int
    out: str
    err: str

    @property
    def complaints(self) -> str:
        """What it printed to standard error, without the lines that say how inputs were read."""
        return "".join(line for line in self.err.splitlines(keepends=True) if not line.startswith("NOTE: "))


def run_stage(name: str, *arguments: object) -> Outcome:
    """Run `splade-anserini NAME ARGUMENTS…` without a new process; return its exit code and what it printed."""
    module = import_module(f"splade_anserini.{name.replace('-', '_')}")
    out, err = io.StringIO(), io.StringIO()
    code: object = 0
    with contextlib.redirect_stdout(out), contextlib.redirect_stderr(err):
        try:
            main_of(module.command, [str(argument) for argument in arguments])
        except SystemExit as leaving:
            code = leaving.code or 0
    assert isinstance(code, int)
    return Outcome(code, out.getvalue(), err.getvalue())


@contextlib.contextmanager
def heeding_interrupts() -> Iterator[None]:
    """Let processes that are started here heed Ctrl-C, also when the tests run in the background, where none does."""
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    try:
        yield
    finally:
        signal.signal(signal.SIGINT, before)
