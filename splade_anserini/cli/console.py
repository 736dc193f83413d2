"""What all commands share at the edge: errors as sentences, exit codes, logging, progress."""

import logging
import os
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager

import typer

from splade_anserini.errors import SpladeAnseriniError
from splade_anserini.progress import Progress, silent


def stage(command: Callable[..., None]) -> typer.Typer:
    """Wrap one command function as an application: the `python -m splade_anserini.<stage>` way in."""
    app = typer.Typer(add_completion=False, rich_markup_mode=None, pretty_exceptions_enable=False)
    app.command()(command)
    return app


def run(command: Callable[..., None]) -> None:
    """Run one stage as a program."""
    with errors_as_sentences():
        stage(command)()


@contextmanager
def errors_as_sentences() -> Iterator[None]:
    """Print this package's errors without a traceback and leave with their exit code."""
    _log_to_stderr()
    try:
        yield
    except SpladeAnseriniError as error:
        sys.stderr.write(f"error: {error}\n")
        sys.exit(error.exit_code)
    except KeyboardInterrupt:
        sys.stderr.write("interrupted\n")
        sys.exit(130)
    except BrokenPipeError:
        # The reader of our output has gone (… | head): nothing is wrong.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        sys.exit(0)
    except OSError as error:
        # The last resort: a file that cannot be read or written, and no room knew more about it.
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
    level = os.environ.get("SPLADE_ANSERINI_LOG", "WARNING").upper()
    logger.setLevel(level if level in logging.getLevelNamesMapping() else "WARNING")


@contextmanager
def progress_bar(title: str, total: int | None, unit: str) -> Iterator[Progress]:
    """Show a bar on a terminal, nothing elsewhere."""
    if not sys.stderr.isatty():
        yield silent
        return
    from tqdm import tqdm

    with tqdm(total=total, desc=title, unit=f" {unit}", dynamic_ncols=True, leave=False) as bar:
        yield bar.update
