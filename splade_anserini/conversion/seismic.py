"""The input of Seismic (Bruch et al. 2024): one JSON line per document, `{"id": "d0", "content": "…", "vector": {…}}`.

Seismic reads one uncompressed file, so one is written. Reading also accepts `contents`, hence files of
pseudo-documents, and `.gz`. Topics are the same lines without content.
"""

import logging
from collections.abc import Iterable, Iterator
from operator import itemgetter
from pathlib import Path
from typing import IO

import orjson

from splade_anserini.artifacts.manifests import EncodeSettings
from splade_anserini.conversion.format import FileFormat
from splade_anserini.formats.parsing.fields import document_id
from splade_anserini.formats.parsing.lines import Location
from splade_anserini.formats.tokens import VectorCheck
from splade_anserini.formats.vector_files import LocatedDocument, read_vectors
from splade_anserini.formats.vectors import VectorReader
from splade_anserini.records import ImpactDocument

GREATEST_EXACT_IMPACT = 2048
"""Seismic stores impacts as 16-bit floats, which round greater integers."""

LONGEST_TOKEN = 30
"""Seismic truncates longer tokens of queries."""

_log = logging.getLogger(__name__)


class Seismic(FileFormat):
    """JSON lines with a vector, as Seismic reads them."""

    name = "seismic"
    suffixes = (".jsonl", ".json")
    input_suffixes = (".ndjson",)
    topic_suffixes = (".jsonl",)
    keeps_contents = True
    keeps_settings = False

    def located(self, path: Path, reader: VectorReader) -> Iterator[LocatedDocument]:
        """Yield the document of each line. Raises `RecordError` for one that Lucene cannot store unchanged."""
        return read_vectors(path, reader)

    def write(self, file: IO[bytes], documents: Iterable[ImpactDocument], settings: EncodeSettings | None) -> None:  # noqa: ARG002  # not stored
        """Write one line per document, greatest impacts first; warn of what Seismic rounds or truncates."""
        check, rounded, truncated = VectorCheck(), 0, 0
        for line, document in enumerate(documents, 1):
            location = Location("the JSON file", line)
            vector = check(dict(document.vector), location)
            rounded += sum(impact > GREATEST_EXACT_IMPACT for impact in vector.values())
            truncated += sum(len(token) > LONGEST_TOKEN for token in vector)
            record: dict[str, object] = {"id": document_id(document.id, location)}
            if document.contents:
                record["content"] = document.contents
            record["vector"] = dict(sorted(sorted(vector.items()), key=itemgetter(1), reverse=True))
            file.write(orjson.dumps(record, option=orjson.OPT_APPEND_NEWLINE))
        if rounded:
            _log.warning("Impacts above %d, which Seismic rounds: %d", GREATEST_EXACT_IMPACT, rounded)
        if truncated:
            _log.warning(
                "Entries with a token longer than %d characters, which Seismic cannot find: %d",
                LONGEST_TOKEN,
                truncated,
            )
