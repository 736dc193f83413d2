"""Files and directories that appear whole or not at all, and that only one process writes at a time."""

import errno
import fcntl
import os
import shutil
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import IO

from splade_anserini.errors import OutputError

PARTIAL = ".partial"
"""The suffix of a file that is still being written. Nothing reads such a file."""

_ELSEWHERE = "Choose another path for the output."


@contextmanager
def output_errors(path: Path) -> Iterator[None]:
    """Turn an operating system error about `path` into an `OutputError`.

    An error that names another file is raised as it is.
    """
    try:
        yield
    except OSError as error:
        if error.filename is not None and not Path(os.fsdecode(error.filename)).is_relative_to(path.parent):
            raise
        if error.errno in {errno.ENOSPC, errno.EDQUOT}:
            raise OutputError(
                f"The disk is full: {path} could not be written.",
                do="Free some space, or choose another path, and run the same command again.",
            ) from error
        if error.errno in {errno.ENOTDIR, errno.EEXIST, errno.EISDIR}:
            raise OutputError(
                f"{path} cannot be written: a file or directory is in the way ({error.strerror}).",
                do="Choose another path.",
            ) from error
        raise OutputError(f"{path} cannot be written: {error.strerror or error}.", do="Choose another path.") from error


@contextmanager
def whole_file(path: Path) -> Iterator[IO[bytes]]:
    """Open `path` for binary writing; it appears, whole and on disk, when the block ends without an error.

    Raises `OutputError` when the disk is full, the path cannot be written or is something other than a file,
    or another process is writing it.
    """
    partial = _partial(path)
    with output_errors(path):
        # A device or a pipe would be replaced as well.
        if path.exists() and not path.is_file():
            raise OutputError(
                f"{path} is {'a directory' if path.is_dir() else 'not a regular file'}.", do="Name a file."
            )
        path.parent.mkdir(parents=True, exist_ok=True)
        with _locked(partial, f"Another process is writing {path}.") as file:
            try:
                if os.fstat(file.fileno()).st_size:
                    # What a killed process left.
                    file.truncate()
                yield file
                file.flush()
                os.fsync(file.fileno())
                partial.replace(path)
                sync_directory(path.parent)
            except BaseException:
                partial.unlink(missing_ok=True)
                raise


def require_disjoint(
    outputs: Iterable[Path | None], inputs: Iterable[Path | str | None], *, nested: bool = False
) -> None:
    """Raise `OutputError` when an output is an input, contains one, or is another output, through links too.

    With `nested` an output may not be inside an input either: for inputs that are read as whole directories. Inputs
    that are not paths pass.
    """
    resolved: dict[Path, Path] = {}
    for output in outputs:
        if output is None:
            continue
        path = output.resolve()
        if path in resolved:
            raise OutputError(f"Outputs {resolved[path]} and {output} are the same path.", do=_ELSEWHERE)
        resolved[path] = output
    for name in inputs:
        if name is None or "\0" in str(name) or not Path(name).exists():
            continue
        source = Path(name).resolve()
        for path, output in resolved.items():
            if path == source or (output.exists() and output.samefile(source)):
                raise OutputError(f"Output {output} and input {name} are the same path.", do=_ELSEWHERE)
            if source.is_relative_to(path):
                raise OutputError(f"Output {output} contains input {name}.", do=_ELSEWHERE)
            if nested and path.is_relative_to(source):
                raise OutputError(f"Output {output} is inside input {name}.", do=_ELSEWHERE)


@contextmanager
def whole_directory(path: Path, *, replace: bool = False) -> Iterator[Path]:
    """Yield a new directory beside `path`, which takes its place when the block ends without an error.

    With `replace` an existing directory is replaced; without it, one that is not empty is an `OutputError`.
    """
    partial = _partial(path)
    with output_errors(path):
        if not replace:
            require_free(path)
        path.parent.mkdir(parents=True, exist_ok=True)
        with directory_lock(path.parent, name=f".{path.name}.lock", of=path):
            shutil.rmtree(partial, ignore_errors=True)
            partial.mkdir()
            try:
                yield partial
                for file in partial.rglob("*"):
                    if file.is_file():
                        _sync(file)
                if path.exists():
                    shutil.rmtree(path)
                partial.replace(path)
                sync_directory(path.parent)
            except BaseException:
                shutil.rmtree(partial, ignore_errors=True)
                raise


def require_free(path: Path) -> None:
    """Raise `OutputError` when `path` exists and is not an empty directory."""
    if path.exists() and (not path.is_dir() or any(path.iterdir())):
        raise OutputError(f"{path} already exists.", do="Choose another path, or remove it first.")


@contextmanager
def directory_lock(directory: Path, *, name: str = ".lock", of: Path | None = None) -> Iterator[None]:
    """Hold a lock on `directory`, or on `of`; it ends with the process, even a killed one.

    Raises `OutputError` when another process holds it.
    """
    lock = directory / name
    held = _locked(lock, f"Another process is writing to {of or directory}.")
    with output_errors(lock), held:
        try:
            yield
        finally:
            lock.unlink(missing_ok=True)


@contextmanager
def _locked(path: Path, taken: str) -> Iterator[IO[bytes]]:
    """Open a file for writing without truncating it, and lock it; `taken` is the message when another process has."""
    while True:
        with open(path, "wb", opener=_without_truncating) as file:  # Path.open takes no opener
            try:
                fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError as error:
                raise OutputError(taken, do="Wait for it, or choose another path.") from error
            # The last holder removes or renames its file: what was locked must still be what the name says.
            if path.exists() and path.stat().st_ino == os.fstat(file.fileno()).st_ino:
                yield file
                return


def _without_truncating(path: str, flags: int) -> int:
    """Open without emptying: another process may be writing."""
    return os.open(path, flags & ~os.O_TRUNC, 0o666)


def _partial(path: Path) -> Path:
    """Return the name of `path` while it is being written."""
    if path.name in {"", ".."}:
        raise OutputError(f"{str(path)!r} cannot be written: it has no file name.", do="Choose another path.")
    return path.with_name(path.name + PARTIAL)


def sync_directory(directory: Path) -> None:
    """Make the names in `directory` survive a power cut."""
    _sync(directory)


def _sync(path: Path) -> None:
    handle = os.open(path, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)
