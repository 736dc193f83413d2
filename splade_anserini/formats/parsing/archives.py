"""Directories and zip archives alike: a file in an archive has the path `ARCHIVE.zip/NAME`."""

import os
import zipfile
from fnmatch import fnmatchcase
from pathlib import Path
from typing import IO

from splade_anserini.errors import InputError, counted

ZIP_MAGIC = b"PK\x03\x04"
"""How a zip archive with at least one file begins."""

_SHOWN = 5


def split_archive(path: Path) -> tuple[Path, str]:
    """Return the archive that a path goes through, and the name in it; for any other path the path itself and ""."""
    if not os.path.lexists(path):
        for parent in path.parents:
            if parent.is_file() and is_zip(parent):
                return parent, path.relative_to(parent).as_posix()
    return path, ""


def is_zip(path: Path) -> bool:
    """Return whether a file is a zip archive, by its content."""
    try:
        # Opening a pipe would take its content.
        if not path.is_file():
            return False
        with path.open("rb") as file:
            return file.read(len(ZIP_MAGIC)) == ZIP_MAGIC
    except OSError:
        return False


def is_file(path: Path) -> bool:
    """Return whether there is a regular file, which can be read more than once, also in an archive."""
    archive, member = split_archive(path)
    return member in _members(archive) if member else path.is_file()


def size_of(path: Path) -> int:
    """Return the bytes of a file, of one in an archive those that it takes there."""
    archive, member = split_archive(path)
    if not member:
        return path.stat().st_size
    try:
        with zipfile.ZipFile(archive) as content:
            return content.getinfo(member).compress_size
    except KeyError as error:
        raise InputError(f"{archive} has no file {member}.", do="Check the spelling of the path.") from error
    except (zipfile.BadZipFile, OSError) as error:
        raise _unreadable(archive, error) from error


def as_directory(path: Path) -> Path | None:
    """Return the directory that a path names; of an archive the folder in it that has more than one entry.

    None for a path that is not a directory, and for an archive of a single file, which is read as that file.
    """
    if path.is_dir():
        return path
    archive, folder = split_archive(path)
    if not is_zip(archive):
        return None
    files = [name for name in _members(archive) if not folder or name.startswith(f"{folder}/")]
    if not files or (len(files) == 1 and not folder):
        return None
    if folder:
        return path
    return archive / os.path.commonpath([Path(name).parent.as_posix() for name in files])


def files_below(directory: Path) -> list[Path]:
    """Return all files in and below a directory or a folder of an archive, sorted by path, but not hidden ones.

    Links are followed. A name that begins with a dot is hidden, and so is what is below such a directory.
    """
    archive, folder = split_archive(directory)
    if folder or archive.is_file():
        start = f"{folder}/" if folder and folder != "." else ""
        return sorted(archive / name for name in _members(archive) if name.startswith(start))
    files: list[Path] = []
    seen: set[tuple[int, int]] = set()
    for root, folders, names in os.walk(directory, followlinks=True):
        status = Path(root).stat()
        # A link to a directory above would be followed for ever.
        if (status.st_dev, status.st_ino) in seen:
            folders.clear()
            continue
        seen.add((status.st_dev, status.st_ino))
        folders[:] = sorted(name for name in folders if not name.startswith("."))
        files += (Path(root) / name for name in names if not name.startswith("."))
    return sorted(path for path in files if path.is_file())


def glob_files(directory: Path, pattern: str) -> list[Path]:
    """Return the files in a directory or a folder of an archive whose path in it has this pattern, sorted."""
    archive, folder = split_archive(directory)
    if not folder and not archive.is_file():
        return sorted(path for path in directory.glob(pattern) if path.is_file())
    parts = pattern.split("/")
    files = ((path, path.relative_to(directory).parts) for path in files_below(directory))
    return [path for path, names in files if len(names) == len(parts) and all(map(fnmatchcase, names, parts))]


def only_member(archive: Path) -> str:
    """Return the name of the only file of an archive. Raises `InputError` when it has several, or none."""
    names = _members(archive)
    if len(names) == 1:
        return names[0]
    shown = ", ".join(names[:_SHOWN]) + (", …" if len(names) > _SHOWN else "")
    raise InputError(
        f"{archive} is a zip archive of {counted(len(names), 'file')}{': ' * bool(names)}{shown}.",
        expected="an archive of one file, or the name of a file in it",
        do=f"Name a file in it, for example {archive / names[0]}" if names else "",
    )


def member_of(file: IO[bytes], archive: Path, member: str) -> IO[bytes]:
    """Open a file of an archive, which is open as `file`. Raises `InputError` when that is not possible."""
    try:
        content: IO[bytes] = zipfile.ZipFile(file).open(member)  # noqa: SIM115  # the caller closes the file
    except KeyError as error:
        raise InputError(f"{archive} has no file {member}.", do="Check the spelling of the path.") from error
    except (zipfile.BadZipFile, NotImplementedError, RuntimeError, OSError) as error:
        raise _unreadable(archive, error) from error
    return content


def _members(archive: Path) -> list[str]:
    """Return the names of the files of an archive, but not hidden ones and not those that macOS adds."""
    try:
        with zipfile.ZipFile(archive) as content:
            names = sorted(name for name in content.namelist() if not name.endswith("/"))
    except (zipfile.BadZipFile, OSError) as error:
        raise _unreadable(archive, error) from error
    hidden = ("__MACOSX",)
    return [name for name in names if not any(part.startswith(".") or part in hidden for part in name.split("/"))]


def _unreadable(archive: Path, error: Exception) -> InputError:
    return InputError(
        f"The zip archive {archive} is truncated, damaged or encrypted ({error}).",
        expected="a complete archive",
        do="Download or create it again, or unpack it first.",
    )
