"""Rows of Parquet and Arrow files, a batch at a time."""

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

from splade_anserini.errors import DependencyError, InputError, counted
from splade_anserini.formats.parsing.compression import require_plain
from splade_anserini.formats.parsing.json_records import Record
from splade_anserini.formats.parsing.lines import Location

_ROWS = 1000
_PARQUET, _ARROW_FILE, _FEATHER_1 = b"PAR1", b"ARROW1", b"FEA1"


def is_arrow(path: Path) -> bool:
    """Return whether a file begins as Parquet and Arrow files do."""
    if not path.is_file():
        return False
    with path.open("rb") as file:
        return file.read(len(_ARROW_FILE)).startswith((_PARQUET, _ARROW_FILE))


def arrow_rows(path: Path, wanted: Callable[[str], bool]) -> Iterator[tuple[Location, Record]]:
    """Yield the columns of each row that are `wanted` by their names.

    Parquet, Arrow files and streams (Feather, Hugging Face datasets) are told apart by their content. Raises
    `InputError` for a file that is damaged or none of these, has two wanted columns of one name, or a time that Python
    cannot hold.
    """
    pyarrow, parquet = import_pyarrow()
    require_plain(path)
    row = 0
    try:
        with path.open("rb") as file:
            start = file.read(6)
        if start.startswith(_PARQUET):
            batches = _parquet_batches(parquet, path, wanted)
        elif start.startswith(_FEATHER_1):
            raise InputError(f"{path} is of version 1 of Feather.", do="Save it again: pyarrow.feather.write_feather.")
        else:
            batches = _ipc_batches(pyarrow, path, wanted, is_stream=start != _ARROW_FILE)
        for batch in batches:
            for record in batch_records(batch, path):
                row += 1
                yield Location(path, row, "row"), record
    except (pyarrow.ArrowException, OSError, UnicodeDecodeError) as error:
        raise InputError(
            f"{path} cannot be read as Parquet or Arrow: {(str(error).splitlines() or [''])[0].removesuffix('.')}.",
            expected="a complete Parquet or Arrow file, not compressed as a whole",
            do="Create or download the file again.",
        ) from error


def column_names(path: Path) -> list[str]:
    """Return the names of the columns of a Parquet or Arrow file."""
    names: list[str] = []

    def collect(name: str) -> bool:
        names.append(name)
        return True

    next(arrow_rows(path, collect), None)
    return names


def batch_records(batch: Any, path: Path) -> list[Record]:
    """Return the rows of a table or batch; times are in microseconds at most, which is what Python holds.

    Raises `InputError` for a time beyond the years 1 to 9999.
    """
    pyarrow, _ = import_pyarrow()
    fields = list(batch.schema)
    in_nanoseconds = [
        place
        for place, field in enumerate(fields)
        if pyarrow.types.is_timestamp(field.type) and field.type.unit == "ns"
    ]
    try:
        if in_nanoseconds:
            for place in in_nanoseconds:
                fields[place] = fields[place].with_type(pyarrow.timestamp("us", fields[place].type.tz))
            batch = pyarrow.Table.from_batches([batch]).cast(pyarrow.schema(fields), safe=False)
        records: list[Record] = batch.to_pylist()
    except UnicodeDecodeError:
        raise
    except (OverflowError, ValueError) as error:
        raise InputError(
            f"{path} has a time that cannot be read: {error}.",
            expected="times from the year 1 to 9999",
            do="Save the column with its right unit, or leave it out.",
        ) from error
    return records


def present(value: object) -> object:
    """Return a struct without its empty fields: Arrow gives all rows the fields of all dictionaries."""
    if isinstance(value, dict):
        return {name: present(item) for name, item in value.items() if item is not None}
    return value


def require_unique_names(path: Path, names: list[str]) -> list[str]:
    """Return the names of columns. Raises `InputError` for one that is there twice."""
    for name in names:
        if names.count(name) > 1:
            raise InputError(
                f"{path} has {counted(names.count(name), 'column')} {name!r}; its columns are {', '.join(names)}.",
                expected="each column once",
                do="Rename the columns.",
            )
    return names


def _parquet_batches(parquet: Any, path: Path, wanted: Callable[[str], bool]) -> Iterator[Any]:
    with parquet.ParquetFile(path, buffer_size=1 << 20, pre_buffer=False) as file:
        names = require_unique_names(path, [name for name in file.schema_arrow.names if wanted(name)])
        yield from file.iter_batches(_ROWS, columns=names)


def _ipc_batches(pyarrow: Any, path: Path, wanted: Callable[[str], bool], *, is_stream: bool) -> Iterator[Any]:
    with pyarrow.memory_map(str(path)) as source:
        reader = pyarrow.ipc.open_stream(source) if is_stream else pyarrow.ipc.open_file(source)
        names = require_unique_names(path, [name for name in reader.schema.names if wanted(name)])
        batches = reader if is_stream else map(reader.get_batch, range(reader.num_record_batches))
        for batch in batches:
            selected = batch.select(names)
            for start in range(0, selected.num_rows, _ROWS):
                yield selected.slice(start, _ROWS)


def import_pyarrow(extra: str = "parquet") -> tuple[Any, Any]:
    """Return pyarrow and its module for Parquet. Raises `DependencyError` where `extra` is not installed."""
    try:
        import pyarrow as pa
        import pyarrow.ipc
        from pyarrow import parquet
    except ImportError as error:
        raise DependencyError.missing("pyarrow", extra) from error
    return pa, parquet
