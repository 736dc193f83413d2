"""Console behaviour that all commands share: errors as sentences, exit codes, logging, progress."""

import logging
import os
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager

import typer

from splade_anserini.cli.flattening import flattened
from splade_anserini.cli.renamed_options import current_spelling
from splade_anserini.errors import NOTE, SpladeAnseriniError
from splade_anserini.progress import Progress

INTERVAL = 60.0
"""Seconds between two lines of progress where there is no terminal."""

RESUMABLE = {"encode", "quickstart", "reproduce", "sweep", "train"}
"""Commands that continue where they were interrupted."""


def application(command: Callable[..., None]) -> typer.Typer:
    """Wrap the function of a command, whose parameters may be option dataclasses, as an application."""
    app = typer.Typer(
        add_completion=False,
        rich_markup_mode=None,
        pretty_exceptions_enable=False,
        context_settings={"help_option_names": ["-h", "--help"]},
    )
    app.command()(flattened(command))
    return app


def main_of(command: Callable[..., None], arguments: Sequence[str] | None = None, program: str | None = None) -> None:
    """Run a command as a program, and exit with its code: 0 done, 1 failed, 2 bad input or usage, 130 interrupted."""
    name = command.__module__.rpartition(".")[2]
    if name == "__main__":
        name = getattr(sys.modules["__main__"].__spec__, "name", "").rpartition(".")[2]
    name = name.replace("_", "-")
    with errors_as_sentences(resumable=name in RESUMABLE):
        given = list(sys.argv[1:] if arguments is None else arguments)
        # Around the command too: Typer exits by itself, without a word, when it sees Ctrl-C or a closed pipe.
        app = application(errors_as_sentences(resumable=name in RESUMABLE)(command))
        app(current_spelling(name, given), prog_name=program or f"splade-anserini {name}")


@contextmanager
def errors_as_sentences(*, resumable: bool = False) -> Iterator[None]:
    """Print this package's errors without a traceback and exit with their codes."""
    _log_to_stderr()
    try:
        yield
    except SpladeAnseriniError as error:
        sys.stderr.write(f"error: {error}\n")
        sys.exit(error.exit_code)
    except KeyboardInterrupt:
        then = "Run the same command again to resume." if resumable else "Nothing was written."
        sys.stderr.write(f"\nInterrupted. {then}\n")
        sys.exit(130)
    except BrokenPipeError:
        # The reader of our output has gone (… | head): nothing is wrong.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        sys.exit(0)
    except OSError as error:
        # The last resort: a file that cannot be read or written, and no caller knew more about it.
        sys.stderr.write(f"error: {error.filename or 'a file'}: {error.strerror or error}.\n")
        sys.exit(2)


def _log_to_stderr() -> None:
    """Show what this package logs, from SPLADE_ANSERINI_LOG up, and not what its dependencies have to say."""
    logger = logging.getLogger("splade_anserini")
    if not logger.handlers:
        handler = logging.StreamHandler()
        handler.setFormatter(logging.Formatter("%(levelname)s: %(message)s"))
        logger.addHandler(handler)
        # Without a handler at the root, Python prints the warnings of every library.
        logging.getLogger().addHandler(logging.NullHandler())
    logging.addLevelName(NOTE, "NOTE")
    level = os.environ.get("SPLADE_ANSERINI_LOG", "NOTE").upper()
    logger.setLevel(level if level in logging.getLevelNamesMapping() else "NOTE")


@contextmanager
def progress_bar(title: str, total: int | None, unit: str) -> Iterator[Progress]:
    """Show a bar on a terminal; elsewhere write a line a minute to stderr, for the log of a long job."""
    if not sys.stderr.isatty():
        yield _Lines(title, total, unit)
        return
    from tqdm import tqdm

    with tqdm(total=total, desc=title, unit=f" {unit}", dynamic_ncols=True, leave=False) as bar:
        yield bar.update


class _Lines:
    """Progress as lines of text: "Encoding: 12,000 of 100,000 documents (12 %), 3 min 20 s left"."""

    def __init__(self, title: str, total: int | None, unit: str, clock: Callable[[], float] = time.monotonic) -> None:
        self._title, self._total, self._unit, self._clock = title, total, unit, clock
        self._done = self._done_at_start = 0
        self._start = self._last = clock()

    def __call__(self, count: int) -> None:
        now = self._clock()
        if not self._done:
            # The first report may be what an interrupted run had done: it says nothing about the rate of this one.
            self._start, self._done_at_start = now, count
        self._done += count
        if now - self._last >= INTERVAL:
            self._last = now
            sys.stderr.write(f"{self._line(now - self._start)}\n")
            sys.stderr.flush()

    def _line(self, seconds: float) -> str:
        if not self._total:
            return f"{self._title}: {self._done:,} {self._unit}"
        counted = self._done - self._done_at_start
        share = self._done / self._total
        line = f"{self._title}: {self._done:,} of {self._total:,} {self._unit} ({share:.0%})"
        if not counted:
            return line
        left = seconds / counted * max(0, self._total - self._done)
        return f"{line}, {duration(left)} left"


def duration(seconds: float) -> str:
    """Return a time for people to read: "45 s", "3 min 20 s", "2 h 5 min"."""
    whole = round(seconds)
    if whole < 60:
        return f"{whole} s"
    if whole < 3600:
        return f"{whole // 60} min {whole % 60} s"
    return f"{whole // 3600} h {whole % 3600 // 60} min"
