"""Parquet: one row per document, with the columns `id`, `contents`, `tokens` (strings) and `impacts` (32-bit integers).

Tokens and impacts are two lists of the same length rather than a map, because every Parquet reader supports lists. The
metadata of the schema contain the encoding settings.
"""

from collections.abc import Iterable, Iterator
from itertools import batched
from pathlib import Path
from typing import IO, TYPE_CHECKING, Any

from splade_anserini.artifacts.manifests import EncodeSettings
from splade_anserini.conversion.format import FileFormat, settings_from_json
from splade_anserini.errors import DependencyError, InputError, counted
from splade_anserini.formats.parsing.fields import checked_id
from splade_anserini.formats.parsing.lines import Location
from splade_anserini.formats.tokens import VectorCheck
from splade_anserini.records import ImpactDocument, StrPath

if TYPE_CHECKING:
    from pyarrow import Schema

SETTINGS_KEY = b"splade_anserini.settings"

ROW_GROUP_SIZE = 8192
"""Documents per row group. Writing keeps one row group in memory."""

BATCH = 1024
"""Documents read at a time."""


class Parquet(FileFormat):
    """Parquet files with one row per document."""

    name = "parquet"
    suffixes = topic_suffixes = (".parquet",)
    keeps_contents = True

    def read(self, path: StrPath) -> Iterator[ImpactDocument]:
        """Yield the documents. The column `contents` is optional; other columns are not read."""
        pyarrow, _ = _import_pyarrow()
        path = Path(path)
        with _open(path) as file:
            check, row = VectorCheck(), 0
            try:
                columns = _columns(path, file.schema_arrow)
                for batch in file.iter_batches(BATCH, columns=columns):
                    for record in batch.to_pylist():
                        row += 1
                        yield _document(record, Location(path, row, "row"), check)
            except (pyarrow.ArrowException, OSError, UnicodeDecodeError) as error:
                raise _damaged(path, error) from error
            # When the pages of a column are missing, pyarrow reads no rows and raises no error.
            if row != file.metadata.num_rows:
                raise _damaged(path, EOFError(f"it has {row:,} of {file.metadata.num_rows:,} rows"))

    def read_settings(self, path: StrPath) -> EncodeSettings | None:
        """Return the encoding settings, or None when the file does not contain them."""
        with _open(Path(path)) as file:
            text = (file.schema_arrow.metadata or {}).get(SETTINGS_KEY)
            return settings_from_json(text) if text else None

    def write(self, file: IO[bytes], documents: Iterable[ImpactDocument], settings: EncodeSettings | None) -> None:
        """Write row groups of `ROW_GROUP_SIZE` documents."""
        pyarrow, parquet = _import_pyarrow()
        schema = _schema(settings)
        with parquet.ParquetWriter(file, schema, compression="zstd", write_page_checksum=True) as writer:
            for batch in batched(_checked(documents), ROW_GROUP_SIZE):
                columns = {
                    "id": [document.id for document in batch],
                    "contents": [document.contents for document in batch],
                    "tokens": [list(document.vector) for document in batch],
                    "impacts": [list(document.vector.values()) for document in batch],
                }
                writer.write_table(pyarrow.table(columns, schema=schema))


def _checked(documents: Iterable[ImpactDocument]) -> Iterator[ImpactDocument]:
    check = VectorCheck()
    for row, document in enumerate(documents, 1):
        location = Location("the Parquet file", row, "row")
        vector = check(dict(sorted(document.vector.items())), location)
        yield ImpactDocument(checked_id(document.id, location), vector, document.contents)


def _schema(settings: EncodeSettings | None) -> "Schema":
    pyarrow, _ = _import_pyarrow()
    texts, integers = pyarrow.list_(pyarrow.string()), pyarrow.list_(pyarrow.int32())
    fields = [("id", pyarrow.string()), ("contents", pyarrow.string()), ("tokens", texts), ("impacts", integers)]
    metadata = {SETTINGS_KEY: settings.model_dump_json().encode()} if settings else None
    return pyarrow.schema(fields, metadata=metadata)


def _columns(path: Path, schema: "Schema") -> list[str]:
    """Return the names of the columns to read, after checking that each exists once; `contents` may be missing."""
    for name in ("id", "tokens", "impacts", "contents"):
        count = schema.names.count(name)
        if count > 1 or (count < 1 and name != "contents"):
            raise InputError(
                f"{path} has {f'{count} columns' if count else 'no column'} {name!r}; its columns are "
                f"{', '.join(schema.names)}.",
                expected="the columns id, tokens, impacts, and optionally contents",
                do="Rename the columns.",
            )
    return [name for name in ("id", "contents", "tokens", "impacts") if name in schema.names]


def _document(record: dict[str, Any], location: Location, check: VectorCheck) -> ImpactDocument:
    id_, tokens, impacts = record["id"], record["tokens"], record["impacts"]
    if type(id_) not in {str, int}:
        raise location.error("no id", expected="a string or an integer")
    if not isinstance(tokens, list) or not isinstance(impacts, list):
        raise location.error("tokens and impacts are not lists", expected="two lists")
    if len(tokens) != len(impacts):
        raise location.error(
            f"{counted(len(tokens), 'token')} and {counted(len(impacts), 'impact')}", expected="one impact per token"
        )
    vector = dict(zip(tokens, impacts, strict=True))
    if len(vector) != len(tokens):
        raise location.error("duplicate token", expected="each token once")
    if any(not isinstance(token, str) for token in vector):
        raise location.error("a token is not a string", expected="a list of strings")
    contents = record.get("contents")
    if contents is not None and not isinstance(contents, str):
        raise location.error("the contents are not a string", expected="a string or null")
    return ImpactDocument(checked_id(str(id_), location), check(vector, location), contents or "")


def _open(path: Path) -> Any:
    pyarrow, parquet = _import_pyarrow()
    if not path.is_file():
        raise InputError(f"{path} does not exist.", do="Check the spelling of the path.")
    try:
        return parquet.ParquetFile(path, page_checksum_verification=True)
    except (pyarrow.ArrowException, OSError, UnicodeDecodeError) as error:
        raise _damaged(path, error) from error


def _damaged(path: Path, error: Exception) -> InputError:
    return InputError(
        f"{path} cannot be read as Parquet: {str(error).splitlines()[0].removesuffix('.')}.",
        expected="a complete Parquet file",
        do="Create or download the file again.",
    )


def _import_pyarrow() -> tuple[Any, Any]:
    try:
        import pyarrow as pa
        from pyarrow import parquet
    except ImportError as error:
        raise DependencyError.missing("pyarrow", "convert") from error
    return pa, parquet
