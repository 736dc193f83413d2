"""The files of a Lucene index: their checksums, and which indexes were checked before. Needs no Java."""

import logging
import os
import struct
import zlib
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from typing import NamedTuple

from splade_anserini.artifacts.files import whole_file
from splade_anserini.artifacts.fingerprints import fingerprint_of_bytes
from splade_anserini.errors import OutputError, first_line

_FOOTER = struct.Struct(">IIQ")
"""The last bytes of a file of Lucene: a magic number, the algorithm (0: CRC-32), the checksum of all bytes before."""

_MAGIC = 0xC02893E8
_CHUNK = 1 << 20

_REMEMBERED_BYTES = 32_000_000
"""Smaller indexes are checked within some hundredths of a second: only this process remembers that."""

_CACHE_VARIABLE = "SPLADE_ANSERINI_CACHE"

_log = logging.getLogger(__name__)


class Damage(NamedTuple):
    """A file of Lucene whose content does not have the checksum at its end."""

    file: str
    problem: str
    """Completes "the file …"."""
    expected: str


class IndexFiles:
    """The files in the directory of an index that Lucene wrote, as they were when this object was made."""

    def __init__(self, index: Path) -> None:
        self._index = index
        self._stats = dict(sorted(_stats(index)))

    @property
    def size(self) -> int:
        """Bytes of all files."""
        return sum(stat.st_size for stat in self._stats.values())

    def damages(self, *, again: bool = False) -> list[Damage]:
        """Read all files and return those that are damaged; what Lucene has not finished writing counts, too.

        A file that this process has read before, and that was not written since, is not read again, except with
        `again`: of an index that grows, those are most files.
        """
        damages = []
        for name, stat in self._stats.items():
            facts = (os.fspath(self._index.resolve()), *_facts(name, stat))
            if again or facts not in _whole_files:
                if damage := _damage(self._index / name):
                    damages.append(damage)
                else:
                    _whole_files.add(facts)
        return damages

    def is_damaged(self, name: str) -> bool:
        """Say whether a file is damaged now: one that was being written a moment ago may be whole."""
        return _damage(self._index / name) is not None

    @property
    def were_checked(self) -> bool:
        """Whether these files were checked before, and are the same by inode, size and times."""
        return self._state in _checked or self._read_memory() == self._state

    def remember(self) -> None:
        """Remember that these files were checked: in this process, and for large indexes in the user's cache."""
        _checked.add(self._state)
        if self.size < _REMEMBERED_BYTES:
            return
        try:
            with whole_file(self._memory) as file:
                file.write(self._state.encode())
        except (OSError, OutputError, RuntimeError) as error:
            _log.debug("The check of %s is not remembered: %s", self._index, first_line(error))

    @property
    def _state(self) -> str:
        """Identify the files: with the same state, they have not been written since."""
        facts = [_facts(name, stat) for name, stat in self._stats.items()]
        return fingerprint_of_bytes(os.fsencode(self._index.resolve()), repr(facts).encode())

    @property
    def _memory(self) -> Path:
        """The file that remembers the state of this index. Raises `RuntimeError` for a user without a home."""
        return cache_directory() / "checked-indexes" / fingerprint_of_bytes(os.fsencode(self._index.resolve()))

    def _read_memory(self) -> str:
        try:
            return self._memory.read_text(encoding="ascii")
        except (OSError, ValueError, RuntimeError):
            return ""


_checked: set[str] = set()
"""States of indexes that this process has checked."""

_whole_files: set[tuple[str | int, ...]] = set()
"""Directory, name, inode, size and times of files that this process has found whole."""


def _stats(index: Path) -> Iterator[tuple[str, os.stat_result]]:
    """Yield name and state of each file of Lucene; one that a writer is just removing is left out."""
    for entry in os.scandir(index):
        if entry.name.startswith(("_", "segments_")) and entry.is_file():
            with suppress(FileNotFoundError):
                yield entry.name, entry.stat()


def _facts(name: str, stat: os.stat_result) -> tuple[str, int, int, int, int]:
    """Identify a file: with the same facts, it has not been written since."""
    return name, stat.st_ino, stat.st_size, stat.st_mtime_ns, stat.st_ctime_ns


def cache_directory() -> Path:
    """Return the directory for what can be found out again: SPLADE_ANSERINI_CACHE, or one in the user's cache.

    Raises `RuntimeError` for a user without a home.
    """
    if named := os.environ.get(_CACHE_VARIABLE):
        return Path(named)
    return Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "splade-anserini"


def _damage(path: Path) -> Damage | None:
    """Compare the checksum of a file with the one at its end; a file that has just been removed is not damaged."""
    checksum, end = 0, b""
    buffer = memoryview(bytearray(_CHUNK))
    try:
        with path.open("rb", buffering=0) as file:
            remaining = os.fstat(file.fileno()).st_size - 8
            while remaining > 0 and (read := file.readinto(buffer[: min(_CHUNK, remaining)])):
                checksum = zlib.crc32(buffer[:read], checksum)
                end = (end + bytes(buffer[max(0, read - 8) : read]))[-8:]
                remaining -= read
            end += file.read(8)
    except FileNotFoundError:
        return None
    magic, algorithm, recorded = _FOOTER.unpack(end) if len(end) == _FOOTER.size else (0, 0, 0)
    if (magic, algorithm) != (_MAGIC, 0):
        return Damage(path.name, "does not end with a checksum", "one, as in every file of Lucene")
    if checksum != recorded:
        return Damage(path.name, f"has the checksum {checksum:08x}", f"{recorded:08x}, which is recorded in the file")
    return None
