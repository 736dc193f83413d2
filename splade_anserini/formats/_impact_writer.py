"""Writing impact pseudo-documents: the same documents are always the same bytes."""

from contextlib import ExitStack
from operator import itemgetter
from pathlib import Path
from types import TracebackType
from typing import Self

import orjson

from splade_anserini.formats.parsing.fields import checked_id
from splade_anserini.formats.parsing.lines import Place
from splade_anserini.formats.parsing.writing import COMPRESSION, open_whole
from splade_anserini.formats.tokens import VectorCheck
from splade_anserini.records import ImpactDocument


def impact_line(document: ImpactDocument) -> bytes:
    """Return the document as one line of JSON, the strongest tokens first, equal ones by name."""
    by_name = sorted(document.vector.items())
    strongest_first = sorted(by_name, key=itemgetter(1), reverse=True)  # which leaves equal ones in their order
    record = {"id": document.id, "contents": document.contents, "vector": dict(strongest_first)}
    return orjson.dumps(record, option=orjson.OPT_APPEND_NEWLINE)


class ImpactWriter:
    """Writes one file of impact pseudo-documents, gzipped when its name ends in .gz; as a context manager.

    The file appears when the block ends without an error. Raises `RecordError` for what could not be read again as
    it is, `OutputError` when the file cannot be written.
    """

    def __init__(self, path: Path, level: int = COMPRESSION) -> None:
        self._path = path
        self._level = level
        self._stack = ExitStack()
        self._check = VectorCheck()
        self._lines = 0

    def __enter__(self) -> Self:
        self._file = self._stack.enter_context(open_whole(self._path, self._level))
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._stack.__exit__(kind, error, trace)

    def write(self, document: ImpactDocument) -> None:
        """Add one document."""
        self._lines += 1
        place = Place(self._path, self._lines)
        vector = self._check(dict(document.vector), place)
        self._file.write(impact_line(ImpactDocument(checked_id(document.id, place), vector, document.contents)))
