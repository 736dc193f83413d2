"""Parquet: a row a document, with the columns `id`, `contents`, `tokens` (strings) and `impacts` (32-bit integers).

Two lists of one length, not a map: every reader knows lists, and tokens are stored as numbers of a dictionary
either way. The schema's metadata hold how the documents were encoded.
"""

from collections.abc import Iterable, Iterator
from itertools import batched
from pathlib import Path
from typing import IO, TYPE_CHECKING, Any

from splade_anserini.artifacts.manifests import EncodeSettings
from splade_anserini.conversion.format import Format, settings_from
from splade_anserini.errors import DependencyError, InputError
from splade_anserini.formats.parsing.fields import checked_id
from splade_anserini.formats.parsing.lines import Place
from splade_anserini.formats.tokens import VectorCheck
from splade_anserini.records import ImpactDocument

if TYPE_CHECKING:
    from pyarrow import Schema

SETTINGS = b"splade_anserini.settings"

ROWS = 8192
"""Documents in a row group, which is what is held in memory."""

BATCH = 1024
"""Documents that are read at once."""


def write_parquet(file: IO[bytes], documents: Iterable[ImpactDocument], settings: EncodeSettings | None) -> None:
    """Write row groups of `ROWS` documents; one is in memory at a time."""
    pyarrow, parquet = _pyarrow()
    schema = _schema(settings)
    with parquet.ParquetWriter(file, schema, compression="zstd", write_page_checksum=True) as writer:
        for batch in batched(_checked(documents), ROWS):
            columns = {
                "id": [document.id for document in batch],
                "contents": [document.contents for document in batch],
                "tokens": [list(document.vector) for document in batch],
                "impacts": [list(document.vector.values()) for document in batch],
            }
            writer.write_table(pyarrow.table(columns, schema=schema))


def _checked(documents: Iterable[ImpactDocument]) -> Iterator[ImpactDocument]:
    check = VectorCheck()
    for number, document in enumerate(documents, 1):
        place = Place("the Parquet file", number, "row")
        vector = check(dict(sorted(document.vector.items())), place)
        yield ImpactDocument(checked_id(document.id, place), vector, document.contents)


def _schema(settings: EncodeSettings | None) -> "Schema":
    pyarrow, _ = _pyarrow()
    text, numbers = pyarrow.list_(pyarrow.string()), pyarrow.list_(pyarrow.int32())
    fields = [("id", pyarrow.string()), ("contents", pyarrow.string()), ("tokens", text), ("impacts", numbers)]
    metadata = {SETTINGS: settings.model_dump_json().encode()} if settings else None
    return pyarrow.schema(fields, metadata=metadata)


def read_parquet(path: Path) -> Iterator[ImpactDocument]:
    """Yield the documents, `BATCH` rows at a time. `contents` may be missing; other columns are left unread."""
    pyarrow, _ = _pyarrow()
    with _open(path) as file:
        check, number = VectorCheck(), 0
        try:
            names = _columns(path, file.schema_arrow)
            for batch in file.iter_batches(BATCH, columns=names):
                for row in batch.to_pylist():
                    number += 1
                    yield _document(row, Place(path, number, "row"), check)
        except (pyarrow.ArrowException, OSError, UnicodeDecodeError) as error:
            raise _damaged(path, error) from error
        # Where the pages of a column are not found, pyarrow reads no rows, and says nothing.
        if number != file.metadata.num_rows:
            raise _damaged(path, EOFError(f"{number:,} of {file.metadata.num_rows:,} rows are there."))


def _columns(path: Path, schema: "Schema") -> list[str]:
    """Return the names of the columns to read; make sure that each is there once, but for `contents`."""
    for name in ("id", "tokens", "impacts", "contents"):
        count = schema.names.count(name)
        if count > 1 or (count < 1 and name != "contents"):
            raise InputError(
                f"{path} has {'two columns' if count else 'no column'} {name}.",
                expected="the columns id, tokens, impacts, and perhaps contents",
                do=f"It has {', '.join(schema.names)}: rename them.",
            )
    return [name for name in ("id", "contents", "tokens", "impacts") if name in schema.names]


def _document(row: dict[str, Any], place: Place, check: VectorCheck) -> ImpactDocument:
    id_, tokens, impacts = row["id"], row["tokens"], row["impacts"]
    if type(id_) not in {str, int} or not isinstance(tokens, list) or not isinstance(impacts, list):
        raise place.error("no id, or tokens and impacts that are no lists", expected="a string and two lists")
    if len(tokens) != len(impacts):
        raise place.error(f"{len(tokens)} tokens and {len(impacts)} impacts", expected="an impact for each token")
    vector = dict(zip(tokens, impacts, strict=True))
    if len(vector) != len(tokens):
        raise place.error("a token stands twice", expected="each token once")
    if any(not isinstance(token, str) for token in vector):
        raise place.error("a token that is no string", expected="strings")
    contents = row.get("contents")
    if contents is not None and not isinstance(contents, str):
        raise place.error("contents that are no string", expected="a string, or nothing")
    return ImpactDocument(checked_id(str(id_), place), check(vector, place), contents or "")


def parquet_settings(path: Path) -> EncodeSettings | None:
    """Return how the documents were encoded, if the file says so."""
    with _open(path) as file:
        text = (file.schema_arrow.metadata or {}).get(SETTINGS)
        return settings_from(text) if text else None


def _open(path: Path) -> Any:
    pyarrow, parquet = _pyarrow()
    if not path.is_file():
        raise InputError(f"{path} does not exist.", do="Check the spelling of the path.")
    try:
        return parquet.ParquetFile(path, page_checksum_verification=True)
    except (pyarrow.ArrowException, OSError, UnicodeDecodeError) as error:
        raise _damaged(path, error) from error


def _damaged(path: Path, error: Exception) -> InputError:
    return InputError(
        f"{path} cannot be read as Parquet: {str(error).splitlines()[0]}",
        expected="a whole Parquet file",
        do="Make or fetch the file again.",
    )


def _pyarrow() -> tuple[Any, Any]:
    try:
        import pyarrow as pa
        from pyarrow import parquet
    except ImportError as error:
        raise DependencyError.missing("pyarrow", "convert") from error
    return pa, parquet


PARQUET = Format("parquet", (".parquet",), read_parquet, write_parquet, parquet_settings, keeps_contents=True)
