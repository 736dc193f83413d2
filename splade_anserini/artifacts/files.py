"""Files and directories that appear whole or not at all, and that only one process writes at a time.

An output that is a symbolic link stays one: what is written appears where it leads.
"""

import errno
import fcntl
import logging
import os
import shutil
import tempfile
import time
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import AbstractContextManager, contextmanager, nullcontext, suppress
from contextvars import ContextVar
from pathlib import Path
from typing import IO

from splade_anserini.errors import OutputError

PARTIAL = ".partial"
"""The suffix of a file that is still being written. Nothing reads such a file."""

_ELSEWHERE = "Choose another path for the output."

BEIR_FILES = ("corpus.jsonl*", "queries.jsonl*", "qrels/*")
"""The files of a BEIR directory."""
_REPLACED = f".replaced{PARTIAL}"
"""The end of the name of a directory that is being replaced."""

_LONGEST_SUFFIX = f".manifest{PARTIAL}"
"""Of the files that are written beside an output."""

_log = logging.getLogger(__name__)

type Placement = Callable[[Path], AbstractContextManager[None]]
"""What surrounds the moment in which a finished file or directory, the argument, takes its place."""

_placements: ContextVar[Mapping[str, Placement]] = ContextVar("_placements", default={})  # noqa: B039  # never changed


def partial_path(path: Path) -> Path:
    """Return the name of `path` while it is being written."""
    if path.name in {"", ".."}:
        raise OutputError(f"{str(path)!r} cannot be written: it has no file name.", do="Choose another path.")
    return path.with_name(path.name + PARTIAL)


@contextmanager
def output_errors(path: Path) -> Iterator[None]:
    """Turn an operating system error about `path` into an `OutputError`.

    An error that names another file, or is one of a network, is raised as it is.
    """
    try:
        yield
    except (TimeoutError, ConnectionError):
        raise
    except OSError as error:
        if error.filename is None and error.errno is None:
            raise
        if error.filename is not None and not Path(os.fsdecode(error.filename)).is_relative_to(path.parent):
            raise
        raise _output_error(path, error) from error


def _output_error(path: Path, error: OSError) -> OutputError:
    if error.errno in {errno.ENOSPC, errno.EDQUOT}:
        return OutputError(
            f"The disk is full: {path} could not be written.",
            do="Free some space, or choose another path, and run the same command again.",
        )
    if error.errno in {errno.ENOTDIR, errno.EEXIST, errno.EISDIR}:
        return OutputError(
            f"{path} cannot be written: a file or directory is in the way ({error.strerror}).",
            do="Choose another path.",
        )
    return OutputError(f"{path} cannot be written: {error.strerror or error}.", do="Choose another path.")


def resolved_output(output: Path) -> Path:
    """Return where an output is written: `output`, or where it leads as a symbolic link, even if nothing is there yet.

    Raises `OutputError` for links that lead to themselves or into a directory that does not exist.
    """
    if output.exists():
        # The links in /dev/fd lead to pipes that have no path.
        target = Path(os.path.realpath(output)) if output.is_symlink() else output
        return target if target.exists() else output
    link = next((path for path in (output, *output.parents) if os.path.lexists(path)), None)
    if link is None or not link.is_symlink() or link.exists():
        return output
    target = Path(os.path.realpath(link))
    if target.is_symlink():
        raise OutputError(f"{link} is a symbolic link that leads to itself.", do="Remove the link, or correct it.")
    if not target.parent.is_dir():
        raise OutputError(
            f"{link} is a symbolic link to {target}, but the directory {target.parent} does not exist.",
            do="Make that directory (or mount its disk), correct the link, or choose another path.",
        )
    return Path(os.path.realpath(output))


def require_writable(output: Path, *, in_place: bool = False) -> None:
    """Raise `OutputError` when `output` cannot be written, before any work is done for it.

    A few bytes are written where its temporary files will be: in the directory that holds the output or, for a
    directory that is filled `in_place`, in that one.
    """
    partial_path(output)
    path = resolved_output(output)
    if path.exists() and not path.is_file() and not path.is_dir():
        raise _not_a_file(output)
    if path.is_dir() and not in_place and _is_mount_point(path):
        raise OutputError(
            f"{output} is a mount point, which cannot be replaced.", do=f"Name a directory in it: {output / 'NAME'}."
        )
    directory = path if in_place else path.parent
    while not os.path.lexists(directory):
        directory = directory.parent
    try:
        _require_short_name(path)
        with tempfile.TemporaryFile(dir=directory, prefix=".", suffix=PARTIAL) as file:
            file.write(bytes(4096))
    except OSError as error:
        raise _output_error(output, error) from error


def _require_short_name(path: Path) -> None:
    """Raise `OSError` when the name is too long for the files beside it."""
    with suppress(FileNotFoundError, NotADirectoryError):
        path.with_name(f"{path.name}{_LONGEST_SUFFIX}").lstat()


def _is_mount_point(directory: Path) -> bool:
    if os.path.ismount(directory):
        return True
    # A directory of the same file system that is mounted, as containers do, is found by its name only.
    try:
        mounts = Path("/proc/self/mountinfo").read_text(encoding="utf-8", errors="surrogateescape").splitlines()
    except OSError:
        return False
    name = os.path.realpath(directory)
    return any(line.split(" ")[4].replace(r"\040", " ") == name for line in mounts)


@contextmanager
def around_placement(output: Path, placement: Placement) -> Iterator[None]:
    """Let `placement` surround the moment in which `output` takes its place, if that is in the block."""
    token = _placements.set({**_placements.get(), os.path.realpath(output): placement})
    try:
        yield
    finally:
        _placements.reset(token)


def _placing(path: Path, partial: Path) -> AbstractContextManager[None]:
    placement = _placements.get().get(os.path.realpath(path))
    return placement(partial) if placement else nullcontext()


@contextmanager
def whole_file(path: Path) -> Iterator[IO[bytes]]:
    """Open `path` for binary writing; it appears, whole and on disk, when the block ends without an error.

    Raises `OutputError` when the disk is full, the path cannot be written or is something other than a file,
    or another process is writing it.
    """
    partial_path(path)
    path = resolved_output(path)
    partial = partial_path(path)
    with output_errors(path):
        # A device or a pipe would be replaced as well.
        if path.exists() and not path.is_file():
            raise _not_a_file(path)
        path.parent.mkdir(parents=True, exist_ok=True)
        with _locked(partial, f"Another process is writing {path}.") as file:
            try:
                if os.fstat(file.fileno()).st_size:
                    # What a killed process left.
                    file.truncate()
                yield file
                file.flush()
                os.fsync(file.fileno())
                with _placing(path, partial):
                    partial.replace(path)
                    sync_directory(path.parent)
            except BaseException:
                partial.unlink(missing_ok=True)
                raise


def require_disjoint(
    outputs: Iterable[Path | None], inputs: Iterable[Path | str | None], *, nested: bool = False
) -> None:
    """Raise `OutputError` when an output cannot be written, or is an input, contains one, or is another output.

    So is one whose unfinished state has the name of an input. Links are followed. With `nested` an output may not be
    inside an input either: for inputs that are read as whole directories. Inputs may have a kind before their path, or
    a split after it; those that are not paths pass.
    """
    resolved = _resolved_outputs(output for output in outputs if output is not None)
    for name in inputs:
        for source in _input_paths(name):
            for path, output in resolved.items():
                if path == source or (output.exists() and output.samefile(source)):
                    raise OutputError(f"Output {output} and input {name} are the same path.", do=_ELSEWHERE)
                if source.is_relative_to(path):
                    raise OutputError(f"Output {output} contains input {name}.", do=_ELSEWHERE)
                if any(source.is_relative_to(unfinished) for unfinished in _unfinished(path)):
                    raise OutputError(f"Output {output} is written to {name} until it is whole.", do=_ELSEWHERE)
                if nested and path.is_relative_to(source):
                    raise OutputError(f"Output {output} is inside input {name}.", do=_ELSEWHERE)
    for output in resolved.values():
        # Who writes into a directory that exists tries it there.
        if not output.is_dir():
            require_writable(output)


def _input_paths(name: Path | str | None) -> list[Path]:
    """Return the paths that an input such as `titles:corpus.jsonl` or `nfcorpus@test` leads to, as far as they exist.

    Of a BEIR directory these are the files that are read, too.
    """
    text = os.fspath(name) if name is not None else ""
    if not text or "\0" in text:
        return []
    candidates = [text, text.partition(":")[2], text.rpartition("@")[0], text.partition(":")[2].rpartition("@")[0]]
    found = next((Path(candidate) for candidate in candidates if candidate and Path(candidate).exists()), None)
    if found is None:
        return []
    read = [path for pattern in BEIR_FILES for path in found.glob(pattern)] if found.is_dir() else []
    return [path.resolve() for path in (found, *read)]


def _unfinished(path: Path) -> tuple[Path, Path]:
    """Return the names of an output that is being written, and of one that is being replaced."""
    return partial_path(path), path.with_name(f".{path.name}{_REPLACED}")


def _resolved_outputs(outputs: Iterable[Path]) -> dict[Path, Path]:
    """Return resolved path → output. Raises `OutputError` when two are the same."""
    resolved: dict[Path, Path] = {}
    for output in outputs:
        path = resolved_output(output).resolve()
        if path in resolved:
            raise OutputError(f"Outputs {resolved[path]} and {output} are the same path.", do=_ELSEWHERE)
        resolved[path] = output
    return resolved


def _not_a_file(path: Path) -> OutputError:
    return OutputError(f"{path} is {'a directory' if path.is_dir() else 'not a regular file'}.", do="Name a file.")


@contextmanager
def whole_directory(path: Path, *, replace: bool = False) -> Iterator[Path]:
    """Yield a new directory beside `path`, which takes its place when the block ends without an error.

    With `replace` an existing directory is replaced; without it, one that is not empty is an `OutputError`.
    """
    require_writable(path)
    path = resolved_output(path)
    partial, replaced = _unfinished(path)
    with output_errors(path):
        if path.exists() and not path.is_dir():
            raise OutputError(f"{path} is a file.", do="Name a directory.")
        if not replace:
            require_free(path)
        path.parent.mkdir(parents=True, exist_ok=True)
        with directory_lock(path.parent, name=f".{path.name}.lock", of=path):
            shutil.rmtree(partial, ignore_errors=True)
            partial.mkdir()
            try:
                yield partial
                with _placing(path, partial):
                    for file in partial.rglob("*"):
                        if file.is_file():
                            _sync(file)
                    _exchange(path, partial, replaced)
                    sync_directory(path.parent)
            except BaseException:
                shutil.rmtree(partial, ignore_errors=True)
                raise


def _exchange(path: Path, partial: Path, replaced: Path) -> None:
    """Put a finished directory at `path`; what is there is moved to `replaced` first, and removed last."""
    shutil.rmtree(replaced, ignore_errors=True)
    if path.is_dir():
        path.replace(replaced)
    try:
        partial.replace(path)
    except OSError:
        if replaced.exists():
            replaced.replace(path)
        raise
    shutil.rmtree(replaced, ignore_errors=True)
    if replaced.exists():
        _log.warning("The directory that was replaced could not be removed: %s", replaced)


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
    waited = False
    while True:
        with open(path, "wb", opener=_without_truncating) as file:  # Path.open takes no opener
            try:
                fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError as error:
                if not waited:
                    # `status` holds a lock for a moment to see whether it is free.
                    waited = True
                    time.sleep(0.05)
                    continue
                raise OutputError(taken, do="Wait for it, or choose another path.") from error
            # The last holder removes or renames its file: what was locked must still be what the name says.
            if path.exists() and path.stat().st_ino == os.fstat(file.fileno()).st_ino:
                yield file
                return


def _without_truncating(path: str, flags: int) -> int:
    """Open without emptying: another process may be writing."""
    return os.open(path, flags & ~os.O_TRUNC, 0o666)


def sync_directory(directory: Path) -> None:
    """Make the names in `directory` survive a power cut."""
    _sync(directory)


def _sync(path: Path) -> None:
    handle = os.open(path, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)
