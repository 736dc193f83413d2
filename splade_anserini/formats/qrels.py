"""Relevance judgements (qrels), in the formats of TREC and of BEIR."""

import os
from collections.abc import Iterable, Iterator
from itertools import chain
from pathlib import Path
from typing import TYPE_CHECKING

from splade_anserini.errors import InputError
from splade_anserini.formats.beir import BeirDirectory
from splade_anserini.formats.irds import irds_items, is_irds
from splade_anserini.formats.parsing.lines import Location, byte_lines, decode_utf8, split_columns
from splade_anserini.records import StrPath

if TYPE_CHECKING:
    from ir_measures import Qrel

GREATEST_RELEVANCE = 1_000_000
"""trec_eval allocates a counter for each relevance up to the greatest, and crashes when memory runs out."""

_HEADER = b"query-id"
_EXPECTED = "qid 0 docid relevance (TREC), or query-id<TAB>corpus-id<TAB>score under such a header (BEIR)"


def read_qrels(source: StrPath, default_split: str = "test") -> list["Qrel"]:
    """Return the judgements of a file, of a BEIR directory, or of `irds:<name>`.

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
    return _read_file(Path(source))


def _read_irds(source: str) -> Iterator[tuple[Location, "Qrel"]]:
    from ir_measures import Qrel

    for index, item in enumerate(irds_items(source, "qrels"), 1):
        yield Location(source, index), Qrel(item.query_id, item.doc_id, item.relevance)


def _read_file(path: Path) -> Iterator[tuple[Location, "Qrel"]]:
    from ir_measures import Qrel

    for location, line in byte_lines(path):
        columns = split_columns(line, location)
        if location.line == 1 and columns[:1] == [_HEADER]:
            continue
        match columns:
            case [query_id, _, doc_id, relevance]:
                pass
            case [query_id, doc_id, relevance]:
                pass
            case _:
                raise location.error(f"{len(columns)} columns", expected=_EXPECTED)
        ids = decode_utf8(query_id, location), decode_utf8(doc_id, location)
        yield location, Qrel(*ids, _relevance(relevance, location))


def _relevance(column: bytes, location: Location) -> int:
    try:
        relevance = int(column)
    except ValueError:
        relevance = GREATEST_RELEVANCE + 1
    if abs(relevance) > GREATEST_RELEVANCE:
        raise location.error(
            f"the relevance is {decode_utf8(column, location)}",
            expected=f"an integer up to {GREATEST_RELEVANCE:,} as the last column",
        )
    return relevance
