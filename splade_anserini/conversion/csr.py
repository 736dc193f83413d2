"""A SciPy matrix in CSR: rows are documents, columns are tokens, data are impacts.

`scipy.sparse.load_npz` reads the file as it is. Beside the matrix it has the arrays `ids` and `tokens`, the names of
rows and columns, and `settings`, UTF-8 of how the documents were encoded. Columns stand in the order of their tokens.
"""

from collections.abc import Callable, Iterable, Iterator
from itertools import batched
from pathlib import Path
from typing import IO
from zipfile import ZipFile

import numpy as np

from splade_anserini.artifacts.manifests import EncodeSettings
from splade_anserini.conversion.arrays import Array, ArrayFile, ArrayStream, write_array
from splade_anserini.conversion.format import Format, settings_from
from splade_anserini.conversion.spool import GREATEST_INT32, Spool
from splade_anserini.formats.parsing.fields import checked_id
from splade_anserini.formats.parsing.lines import Place
from splade_anserini.formats.tokens import VectorCheck
from splade_anserini.records import ImpactDocument

BATCH = 4096
"""Documents that are read at once."""


def write_csr(file: IO[bytes], documents: Iterable[ImpactDocument], settings: EncodeSettings | None) -> None:
    """Write the matrix. Memory: the vocabulary, 16 bytes a document; on disk besides the file 8 bytes a posting."""
    with Spool("the .npz file") as spool:
        spool.fill(documents)
        rows, columns = len(spool.lengths), len(spool.tokens)
        index = "<i4" if spool.postings <= GREATEST_INT32 else "<i8"
        starts = np.concatenate(([0], np.cumsum(np.asarray(spool.lengths, dtype=np.int64))))
        with ZipFile(file, "w") as archive:
            write_array(archive, "format", "|S3", (), [np.array(b"csr")])
            write_array(archive, "shape", "<i8", (2,), [np.array([rows, columns])])
            write_array(archive, "indptr", index, (rows + 1,), [starts])
            write_array(archive, "indices", index, (spool.postings,), (block.terms for block in spool.blocks()))
            write_array(archive, "data", "<i4", (spool.postings,), (block.impacts for block in spool.blocks()))
            _write_names(archive, "ids", rows, spool.ids, "document")
            _write_names(archive, "tokens", columns, lambda: iter(spool.tokens), "token")
            if settings:
                text = settings.model_dump_json().encode()
                write_array(archive, "settings", "|u1", (len(text),), [np.frombuffer(text, dtype=np.uint8)])


def _write_names(archive: ZipFile, name: str, count: int, names: Callable[[], Iterator[str]], unit: str) -> None:
    """Add an array of strings, as wide as the longest. NumPy fills up with NUL, so none may end in it."""
    width = 1
    for number, text in enumerate(names(), 1):
        width = max(width, len(text))
        if text.endswith("\0"):
            raise Place(name, number, unit).error(f"{text!r} ends in NUL", do="Give it another name.")
    pieces = (np.array(batch, dtype=f"<U{width}") for batch in batched(names(), BATCH))
    write_array(archive, name, f"<U{width}", (count,), pieces)


def read_csr(path: Path) -> Iterator[ImpactDocument]:
    """Yield the rows as documents. Memory: the vocabulary, and 8 bytes a document."""
    with ArrayFile(path) as file:
        starts, tokens = _frame(file)
        ids, indices, data = file.open("ids", "U"), file.open("indices", "iu"), file.open("data", "iuf")
        _compare(file, starts, {"indices": indices, "data": data})
        check, number = VectorCheck(), 0
        for first in range(0, len(starts) - 1, BATCH):
            bounds = starts[first : first + BATCH + 1]
            names = file.texts("ids", ids, len(bounds) - 1)
            count = int(bounds[-1] - bounds[0])
            columns, impacts = file.pieces("indices", indices, count), file.pieces("data", data, count).tolist()
            if count and (columns.min() < 0 or columns.max() >= len(tokens)):
                raise file.error("has a column that is none of its tokens")
            words = tokens[columns].tolist()
            for name, begin, end in zip(names, bounds[:-1] - bounds[0], bounds[1:] - bounds[0], strict=True):
                number += 1
                place = Place(path, number, "row")
                vector = dict(zip(words[begin:end], impacts[begin:end], strict=True))
                if len(vector) != end - begin:
                    raise place.error("a column stands twice", do="Make the file again: sum_duplicates() mends it.")
                yield ImpactDocument(checked_id(name, place), check(vector, place))


def _frame(file: ArrayFile) -> tuple[Array, Array]:
    """Return where rows begin, and the names of the columns; make sure that they fit each other."""
    if "format" not in file or file.take("format", "SU").ravel().tolist() not in ([b"csr"], ["csr"]):
        raise file.error("is no matrix in CSR")
    shape, starts, names = file.take("shape", "iu"), file.take("indptr", "iu"), file.open("tokens", "U")
    tokens = file.texts("tokens", names, names.size)
    rows, columns = (int(size) for size in shape) if len(shape) == 2 else (-1, -1)
    ids = file.open("ids", "U").size
    if rows != len(starts) - 1 or rows != ids or columns != len(tokens):
        raise file.error(
            f"has {rows:,} rows, {len(starts) - 1:,} beginnings of rows and {ids:,} ids; {columns:,} columns and "
            f"{len(tokens):,} tokens"
        )
    if len(set(tokens)) != len(tokens):
        raise file.error("names two columns alike")
    if starts[0] or (np.diff(starts.astype(np.int64)) < 0).any():
        raise file.error("has rows that end before they begin")
    return starts.astype(np.int64), np.array(tokens, dtype=object)


def _compare(file: ArrayFile, starts: Array, arrays: dict[str, ArrayStream]) -> None:
    for name, stream in arrays.items():
        if stream.size != starts[-1]:
            raise file.error(f"has {stream.size:,} {name}, but rows end at {starts[-1]:,}")


def csr_settings(path: Path) -> EncodeSettings | None:
    """Return how the documents were encoded, if the file says so."""
    with ArrayFile(path) as file:
        return settings_from(file.take("settings", "u").tobytes()) if "settings" in file else None


CSR = Format("csr", (".npz",), read_csr, write_csr, csr_settings)
