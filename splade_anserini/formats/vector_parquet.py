"""Parquet files of vectors: columns by their names, with lists, structs or maps of tokens and weights."""

from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any

from splade_anserini.errors import InputError
from splade_anserini.formats.parsing.arrow import batch_records, import_pyarrow, present, require_unique_names
from splade_anserini.formats.parsing.json_records import Record
from splade_anserini.formats.parsing.lines import Location

if TYPE_CHECKING:
    from splade_anserini.formats.vectors import VectorReader

EXTRA = "convert"
"""The extra of this package that reads and writes vectors in Parquet."""

BATCH = 1024
"""Documents read at a time."""


def parquet_records(path: Path, reader: "VectorReader | None" = None) -> Iterator[tuple[Location, Record]]:
    """Yield each row as a record, of the columns that `reader` may need; absent fields of structs are left out.

    Raises `InputError` for a damaged file, or a column that is there twice.
    """
    pyarrow, _ = import_pyarrow(EXTRA)
    with open_parquet(path) as file:
        row, names = 0, require_unique_names(path, list(file.schema_arrow.names))
        try:
            columns = reader.columns(names) if reader else names
            for batch in file.iter_batches(BATCH, columns=columns):
                for record in batch_records(batch, path):
                    row += 1
                    yield Location(path, row, "row"), {name: present(value) for name, value in record.items()}
        except (pyarrow.ArrowException, OSError, UnicodeDecodeError) as error:
            raise damaged_parquet(path, error) from error
        # When the pages of a column are missing, pyarrow reads no rows and raises no error.
        if row != file.metadata.num_rows:
            raise damaged_parquet(path, EOFError(f"it has {row:,} of {file.metadata.num_rows:,} rows"))


def parquet_names(path: Path) -> list[str]:
    """Return the names of the columns of a file, none for a damaged one."""
    with suppress(InputError), open_parquet(path) as file:
        return list(file.schema_arrow.names)
    return []


def open_parquet(path: Path) -> Any:
    """Open a file. Raises `InputError` when it is damaged, `DependencyError` without pyarrow."""
    pyarrow, parquet = import_pyarrow(EXTRA)
    if not path.is_file():
        raise InputError(f"{path} does not exist.", do="Check the spelling of the path.")
    try:
        return parquet.ParquetFile(path, page_checksum_verification=True)
    except (pyarrow.ArrowException, OSError, UnicodeDecodeError) as error:
        raise damaged_parquet(path, error) from error


def damaged_parquet(path: Path, error: Exception) -> InputError:
    """Return the error for a file that cannot be read."""
    return InputError(
        f"{path} cannot be read as Parquet: {str(error).splitlines()[0].removesuffix('.')}.",
        expected="a complete Parquet file",
        do="Create or download the file again.",
    )
