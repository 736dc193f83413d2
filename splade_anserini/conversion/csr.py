"""SciPy CSR matrices: rows are documents, columns are tokens, values are impacts.

`scipy.sparse.load_npz` reads the file. Besides the matrix it contains the arrays `ids` and `tokens`, the names of the
rows and columns, and `settings`, the encoding settings as JSON in UTF-8. Columns are in the order of their tokens.
"""

from collections.abc import Callable, Iterable, Iterator
from itertools import batched
from pathlib import Path
from typing import IO
from zipfile import ZipFile

import numpy as np

from splade_anserini.artifacts.manifests import EncodeSettings
from splade_anserini.conversion.arrays import Array, ArrayFile, ArrayStream, write_array
from splade_anserini.conversion.format import FileFormat, settings_from_json
from splade_anserini.conversion.spool import GREATEST_INT32, Spool
from splade_anserini.errors import counted
from splade_anserini.formats.parsing.fields import document_id
from splade_anserini.formats.parsing.lines import Location
from splade_anserini.formats.vector_files import LocatedDocument
from splade_anserini.formats.vectors import VectorReader
from splade_anserini.records import ImpactDocument, StrPath

BATCH = 4096
"""Documents read at a time."""


class Csr(FileFormat):
    """SciPy CSR matrices with the names of rows and columns."""

    name = "csr"
    suffixes = topic_suffixes = (".npz",)

    def located(self, path: Path, reader: VectorReader) -> Iterator[LocatedDocument]:
        """Yield the rows as documents. Needs memory for the vocabulary, and 8 bytes per document."""
        with ArrayFile(path) as file:
            row_starts, tokens = _rows_and_columns(file)
            row = 0
            for names, bounds, columns, impacts in _batches(file, row_starts, len(tokens)):
                words = tokens[columns].tolist()
                for name, start, end in zip(names, bounds[:-1], bounds[1:], strict=True):
                    row += 1
                    location = Location(path, row, "row")
                    vector = dict(zip(words[start:end], impacts[start:end], strict=True))
                    if len(vector) != end - start:
                        raise location.error("duplicate column", do="Call sum_duplicates() on the matrix and save it.")
                    yield location, ImpactDocument(document_id(name, location), reader(vector, location))

    def read_settings(self, path: StrPath) -> EncodeSettings | None:
        """Return the encoding settings, or None when the file does not contain them."""
        with ArrayFile(Path(path)) as file:
            return settings_from_json(file.read("settings", "u").tobytes()) if "settings" in file else None

    def write(self, file: IO[bytes], documents: Iterable[ImpactDocument], settings: EncodeSettings | None) -> None:
        """Write the matrix. Needs memory for the vocabulary and 16 bytes per document, 8 bytes of disk per posting."""
        with Spool("the .npz file") as spool:
            spool.fill(documents)
            rows, columns = len(spool.lengths), len(spool.tokens)
            index_type = "<i4" if spool.postings <= GREATEST_INT32 else "<i8"
            row_starts = np.concatenate(([0], np.cumsum(np.asarray(spool.lengths, dtype=np.int64))))
            with ZipFile(file, "w") as archive:
                write_array(archive, "format", "|S3", (), [np.array(b"csr")])
                write_array(archive, "shape", "<i8", (2,), [np.array([rows, columns])])
                write_array(archive, "indptr", index_type, (rows + 1,), [row_starts])
                write_array(
                    archive, "indices", index_type, (spool.postings,), (block.terms for block in spool.blocks())
                )
                write_array(archive, "data", "<i4", (spool.postings,), (block.impacts for block in spool.blocks()))
                _write_names(archive, "ids", rows, spool.ids, "document")
                _write_names(archive, "tokens", columns, lambda: iter(spool.tokens), "token")
                if settings:
                    text = settings.model_dump_json().encode()
                    write_array(archive, "settings", "|u1", (len(text),), [np.frombuffer(text, dtype=np.uint8)])


def _write_names(archive: ZipFile, name: str, count: int, texts: Callable[[], Iterator[str]], unit: str) -> None:
    """Write an array of strings as wide as the longest one. NumPy pads with NUL, so no string may end in NUL."""
    width = 1
    for position, text in enumerate(texts(), 1):
        width = max(width, len(text))
        if text.endswith("\0"):
            raise Location(name, position, unit).error(f"{text!r} ends in NUL", do="Rename it.")
    pieces = (np.array(batch, dtype=f"<U{width}") for batch in batched(texts(), BATCH))
    write_array(archive, name, f"<U{width}", (count,), pieces)


def _rows_and_columns(file: ArrayFile) -> tuple[Array, Array]:
    """Return where each row starts, and the tokens of the columns, after checking that all sizes agree."""
    if "format" not in file or file.read("format", "SU").ravel().tolist() not in ([b"csr"], ["csr"]):
        raise file.error("is not a CSR matrix")
    shape, row_starts, names = file.read("shape", "iu"), file.read("indptr", "iu"), file.open("tokens", "U")
    tokens = file.texts("tokens", names, names.size)
    rows, columns = (int(size) for size in shape) if len(shape) == 2 else (-1, -1)
    ids = file.open("ids", "U").size
    if rows != len(row_starts) - 1 or rows != ids or columns != len(tokens):
        raise file.error(
            f"has {counted(rows, 'row')}, {counted(len(row_starts) - 1, 'row start')} and {counted(ids, 'id')}; "
            f"{counted(columns, 'column')} and {counted(len(tokens), 'token')}"
        )
    if len(set(tokens)) != len(tokens):
        raise file.error("has two columns of the same token")
    if row_starts[0] or (np.diff(row_starts.astype(np.int64)) < 0).any():
        raise file.error("has rows that end before they start")
    return row_starts.astype(np.int64), np.array(tokens, dtype=object)


def _batches(
    file: ArrayFile, row_starts: Array, column_count: int
) -> Iterator[tuple[list[str], Array, Array, list[object]]]:
    """Yield the ids of `BATCH` rows, where each row starts and ends in the batch, its columns and its impacts."""
    ids, indices, data = file.open("ids", "U"), file.open("indices", "iu"), file.open("data", "iuf")
    _check_sizes(file, row_starts, {"indices": indices, "data": data})
    for first in range(0, len(row_starts) - 1, BATCH):
        bounds = row_starts[first : first + BATCH + 1]
        names = file.texts("ids", ids, len(bounds) - 1)
        count = int(bounds[-1] - bounds[0])
        columns, impacts = file.pieces("indices", indices, count), file.pieces("data", data, count).tolist()
        if count and (columns.min() < 0 or columns.max() >= column_count):
            raise file.error("has an index outside its columns")
        yield names, bounds - bounds[0], columns, impacts


def _check_sizes(file: ArrayFile, row_starts: Array, streams: dict[str, ArrayStream]) -> None:
    for name, stream in streams.items():
        if stream.size != row_starts[-1]:
            raise file.error(f"has {stream.size:,} {name}, but its rows end at {row_starts[-1]:,}")
