"""Text files that appear whole, plain or .gz; the same content is always the same bytes."""

import gzip
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import IO, cast

from splade_anserini.artifacts.files import whole_file

COMPRESSION = 4
"""Of 1 to 9. On impact vectors it takes less than half the time of 9, for files 6 % larger."""


@contextmanager
def open_whole(path: Path, level: int = COMPRESSION) -> Iterator[IO[bytes]]:
    """Open a file for writing, through gzip when its name ends in .gz; without a time or a name in the gzip header."""
    with whole_file(path) as file:
        if not path.name.endswith(".gz"):
            yield file
            return
        with gzip.GzipFile(filename="", mode="wb", compresslevel=level, fileobj=file, mtime=0) as packed:
            yield cast("IO[bytes]", packed)
