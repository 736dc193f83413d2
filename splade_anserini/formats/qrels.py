"""Relevance judgements (qrels): TREC, BEIR, CSV, JSON, pairs of ids."""

import logging
import os
from collections.abc import Iterable, Iterator
from itertools import chain
from pathlib import Path
from typing import TYPE_CHECKING

from splade_anserini.errors import NOTE, InputError, RecordError
from splade_anserini.formats.beir import SHIPPED, BeirDirectory
from splade_anserini.formats.irds import irds_items, is_irds
from splade_anserini.formats.parsing.archives import is_file
from splade_anserini.formats.parsing.columns import DOCUMENT, QUERY, SCORE, header, rows
from splade_anserini.formats.parsing.fields import checked_id, document_id
from splade_anserini.formats.parsing.json_records import json_type
from splade_anserini.formats.parsing.json_tables import is_json, json_cells
from splade_anserini.formats.parsing.lines import Location, decode_utf8
from splade_anserini.formats.parsing.numbers import number_of, parse_number, whole_number
from splade_anserini.records import StrPath

if TYPE_CHECKING:
    from ir_measures import Qrel

GREATEST_RELEVANCE = 1_000_000
"""trec_eval allocates a counter for each relevance up to the greatest, and crashes when memory runs out."""

_WITHOUT_HEADER = {
    4: {QUERY: 0, DOCUMENT: 2, SCORE: 3},
    3: {QUERY: 0, DOCUMENT: 1, SCORE: 2},
    2: {QUERY: 0, DOCUMENT: 1},
}
"""Number of columns → index of each."""
_EXPECTED = (
    "qid 0 docid relevance (TREC), query-id<TAB>corpus-id<TAB>score (BEIR), or qid docid; "
    "separated by white space or commas, with a header or without"
)
_SOURCES = f"a file of judgements, a BEIR directory (DIR or DIR@SPLIT), irds:<name>, or {SHIPPED}"

_log = logging.getLogger(__name__)


def read_qrels(source: StrPath, default_split: str = "test") -> list["Qrel"]:
    """Return the judgements of a file, of a BEIR directory, of `irds:<name>`, or of `cranfield`, which ships.

    A BEIR directory means its default split; `DIR@dev` and `DIR@dev+test` name others. Raises `RecordError` for a
    malformed line, or a document that is judged twice for a query, and `InputError` when there are no judgements.
    """
    return [qrel for _, qrel in qrels_with_locations(source, default_split)]


def qrels_with_locations(source: StrPath, default_split: str = "test") -> Iterator[tuple[Location, "Qrel"]]:
    """Yield the judgements that `read_qrels` returns, each with its location."""
    source = os.fspath(source)
    judged: set[tuple[str, str]] = set()
    for location, qrel in _open(source, default_split):
        pair = (qrel.query_id, qrel.doc_id)
        if pair in judged:
            raise location.error(
                f"the document {qrel.doc_id!r} is judged twice for the query {qrel.query_id!r}",
                expected="one judgement for each query and document",
                do="Remove one of them.",
            )
        judged.add(pair)
        yield location, qrel
    if not judged:
        raise InputError(f"The qrels {source} are empty.", expected="at least one judgement")


def _open(source: str, default_split: str) -> Iterable[tuple[Location, "Qrel"]]:
    if is_irds(source):
        return _read_irds(source)
    if directory := BeirDirectory.parse(source):
        return chain.from_iterable(map(_read_file, directory.qrels_files(default_split)))
    path = Path(source)
    if not (path.exists() or is_file(path)):
        raise InputError(f"The qrels {source} do not exist.", expected=_SOURCES, do="Check the spelling of the path.")
    return _read_file(path)


def _read_irds(source: str) -> Iterator[tuple[Location, "Qrel"]]:
    from ir_measures import Qrel

    for index, item in enumerate(irds_items(source, "qrels"), 1):
        yield Location(source, index), Qrel(item.query_id, item.doc_id, item.relevance)


def _read_file(path: Path) -> Iterator[tuple[Location, "Qrel"]]:
    if is_json(path):
        return _read_json(path)
    return _read_rows(path)


def _read_rows(path: Path) -> Iterator[tuple[Location, "Qrel"]]:
    """Yield the judgements of a file of columns, with a header or without."""
    from ir_measures import Qrel

    indices: dict[str, int] | None = None
    width = 0
    for location, columns in rows(path):
        if not width:
            width, indices = len(columns), header(columns)
            if indices:
                continue
            indices = _WITHOUT_HEADER.get(width)
            if width == 2:
                _log.log(NOTE, "%s has two columns: each line is taken for a relevant document.", path)
        if indices is None or len(columns) != width:
            raise location.error(
                f"{len(columns)} columns{f' instead of {width}' if len(columns) != width else ''}", expected=_EXPECTED
            )
        query_id, doc_id = (decode_utf8(columns[indices[name]], location) for name in (QUERY, DOCUMENT))
        grade = _relevance(columns[indices[SCORE]], location) if SCORE in indices else 1
        yield location, Qrel(checked_id(query_id, location), document_id(doc_id, location), grade)


def _read_json(path: Path) -> Iterator[tuple[Location, "Qrel"]]:
    """Yield the judgements of {query: {document: grade}}, or of records whose keys are names of columns."""
    from ir_measures import Qrel

    for cell in json_cells(path):
        if cell.score is None and not cell.is_plain:
            raise cell.location.error(
                f"document {cell.doc_id!r} of query {cell.query_id!r} has no grade",
                expected="an integer, under relevance, grade, label, score or a similar name",
                do="Name the grades so, and leave out documents that are not judged.",
            )
        # A list of documents is one of relevant documents.
        relevance = 1 if cell.score is None else whole_number(number_of(cell.score))
        if relevance is None or abs(relevance) > GREATEST_RELEVANCE:
            raise _not_a_grade(json_type(cell.score), cell.location)
        yield cell.location, Qrel(cell.query_id, cell.doc_id, relevance)


def _relevance(column: bytes, location: Location) -> int:
    relevance = whole_number(parse_number(column))
    if relevance is None or abs(relevance) > GREATEST_RELEVANCE:
        raise _not_a_grade(decode_utf8(column, location), location)
    return relevance


def _not_a_grade(text: str, location: Location) -> RecordError:
    return location.error(
        f"the relevance is {text}", expected=f"an integer up to {GREATEST_RELEVANCE:,} as the last column"
    )
