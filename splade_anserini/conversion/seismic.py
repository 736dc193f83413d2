"""Seismic's input (Bruch et al. 2024): a line a document, `{"id": "d0", "content": "…", "vector": {"cat": 215}}`.

What it reads is one plain file, so that is what is written. Reading takes `contents` as well, hence a single file of
pseudo-documents, and `.gz`. Queries have no content.
"""

import logging
from collections.abc import Iterable, Iterator
from operator import itemgetter
from pathlib import Path
from typing import IO

import orjson

from splade_anserini.artifacts.manifests import EncodeSettings
from splade_anserini.conversion.format import Format, no_settings
from splade_anserini.formats.parsing.fields import checked_id, optional_text, record_id
from splade_anserini.formats.parsing.json_records import json_records
from splade_anserini.formats.parsing.lines import Place
from splade_anserini.formats.tokens import VectorCheck
from splade_anserini.records import ImpactDocument

GREATEST_EXACT = 2048
"""Seismic holds impacts as floats of 16 bits; whole numbers above this are rounded."""

LONGEST_TOKEN = 30
"""Seismic cuts longer tokens of queries."""

_log = logging.getLogger(__name__)


def write_seismic(file: IO[bytes], documents: Iterable[ImpactDocument], _: EncodeSettings | None) -> None:
    """Write the lines, the strongest tokens first; warn of what Seismic does not hold as it is."""
    check, rounded, cut = VectorCheck(), 0, 0
    for number, document in enumerate(documents, 1):
        place = Place("the JSON file", number)
        vector = check(dict(document.vector), place)
        rounded += sum(impact > GREATEST_EXACT for impact in vector.values())
        cut += sum(len(token) > LONGEST_TOKEN for token in vector)
        record: dict[str, object] = {"id": checked_id(document.id, place)}
        if document.contents:
            record["content"] = document.contents
        record["vector"] = dict(sorted(sorted(vector.items()), key=itemgetter(1), reverse=True))
        file.write(orjson.dumps(record, option=orjson.OPT_APPEND_NEWLINE))
    if rounded:
        _log.warning("Impacts above %d, which Seismic rounds: %d", GREATEST_EXACT, rounded)
    if cut:
        _log.warning("Entries whose token is longer than %d, which no query of Seismic finds: %d", LONGEST_TOKEN, cut)


def read_seismic(path: Path) -> Iterator[ImpactDocument]:
    """Yield the document in each line. Raises `RecordError` for one that Lucene could not hold as it is."""
    check = VectorCheck()
    for place, record in json_records(path):
        if "vector" not in record:
            raise place.error("no vector", expected='a record {"id": …, "content": …, "vector": {"token": impact, …}}')
        contents = optional_text(record, place, "content") or optional_text(record, place, "contents")
        yield ImpactDocument(record_id(record, place), check(record["vector"], place), contents)


SEISMIC = Format(
    "seismic", (".jsonl",), read_seismic, write_seismic, no_settings, keeps_contents=True, keeps_settings=False
)
