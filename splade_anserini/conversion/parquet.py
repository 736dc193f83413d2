"""Parquet: one row per document, with the columns `id`, `contents`, `tokens` (strings) and `impacts` (32-bit integers).

Tokens and impacts are two lists of the same length rather than a map, because every Parquet reader supports lists. The
metadata of the schema contain the encoding settings.
"""

from collections.abc import Iterable, Iterator
from itertools import batched
from pathlib import Path
from typing import IO, TYPE_CHECKING

from splade_anserini.artifacts.manifests import EncodeSettings
from splade_anserini.conversion.format import FileFormat, settings_from_json
from splade_anserini.formats.parsing.arrow import import_pyarrow
from splade_anserini.formats.parsing.fields import document_id
from splade_anserini.formats.parsing.lines import Location
from splade_anserini.formats.tokens import VectorCheck
from splade_anserini.formats.vector_files import LocatedDocument
from splade_anserini.formats.vector_parquet import EXTRA, open_parquet, parquet_records
from splade_anserini.formats.vectors import VectorReader
from splade_anserini.records import ImpactDocument, StrPath

if TYPE_CHECKING:
    from pyarrow import Schema

SETTINGS_KEY = b"splade_anserini.settings"

ROW_GROUP_SIZE = 8192
"""Documents per row group. Writing keeps one row group in memory."""


class Parquet(FileFormat):
    """Parquet files with one row per document."""

    name = "parquet"
    suffixes = topic_suffixes = (".parquet",)
    input_suffixes = (".pq",)
    keeps_contents = True

    def located(self, path: Path, reader: VectorReader) -> Iterator[LocatedDocument]:
        """Yield the documents; columns are recognized by their names, and others are not read."""
        for location, record in parquet_records(path, reader):
            yield location, reader.document(record, location)

    def read_settings(self, path: StrPath) -> EncodeSettings | None:
        """Return the encoding settings, or None when the file does not contain them."""
        with open_parquet(Path(path)) as file:
            text = (file.schema_arrow.metadata or {}).get(SETTINGS_KEY)
            return settings_from_json(text) if text else None

    def write(self, file: IO[bytes], documents: Iterable[ImpactDocument], settings: EncodeSettings | None) -> None:
        """Write row groups of `ROW_GROUP_SIZE` documents."""
        pyarrow, parquet = import_pyarrow(EXTRA)
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
        yield ImpactDocument(document_id(document.id, location), vector, document.contents)


def _schema(settings: EncodeSettings | None) -> "Schema":
    pyarrow, _ = import_pyarrow(EXTRA)
    texts, integers = pyarrow.list_(pyarrow.string()), pyarrow.list_(pyarrow.int32())
    fields = [("id", pyarrow.string()), ("contents", pyarrow.string()), ("tokens", texts), ("impacts", integers)]
    metadata = {SETTINGS_KEY: settings.model_dump_json().encode()} if settings else None
    return pyarrow.schema(fields, metadata=metadata)
