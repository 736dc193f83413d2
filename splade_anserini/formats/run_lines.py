"""The lines of a run: TREC, MS MARCO, ColBERT, CSV with a header, JSON, and files without one of the columns."""

import logging
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

from splade_anserini.errors import NOTE
from splade_anserini.formats.parsing.archives import is_file
from splade_anserini.formats.parsing.columns import DOCUMENT, QUERY, RANK, SCORE, Row, header, names_of_scores, rows
from splade_anserini.formats.parsing.fields import checked_id, document_id, finite_score
from splade_anserini.formats.parsing.json_records import json_type
from splade_anserini.formats.parsing.json_tables import is_json, json_cells
from splade_anserini.formats.parsing.lines import Location, decode_utf8
from splade_anserini.formats.parsing.numbers import number_of, parse_integer, parse_number

if TYPE_CHECKING:
    from ir_measures import ScoredDoc

_EXPECTED = (
    "qid Q0 docid rank score tag (TREC), qid docid rank (MS MARCO), qid docid score, qid docid rank score, "
    "a header with such names, or JSON"
)
_Q0 = {b"Q0", b"q0"}

_log = logging.getLogger(__name__)


class RunLine(NamedTuple):
    """A document of a ranking, its location, and its rank in the file if it has one beside a score."""

    location: Location
    doc: "ScoredDoc"
    rank: int | None = None


@dataclass(frozen=True, slots=True)
class _Layout:
    """Indices of the columns; a run without scores is ranked by its ranks."""

    width: int
    doc: int
    score: int | None
    rank: int | None
    description: str = ""
    """How a reader would say it, where the file leaves a choice."""
    query: int = 0
    has_header: bool = False
    is_doubtful: bool = False


_TREC = _Layout(6, doc=2, rank=3, score=4)


def run_lines(path: Path) -> Iterator[RunLine]:
    """Yield the lines of a run; a rank without a score becomes its negative. A note says how columns are taken.

    Raises `RecordError` for a line that has another form than the first one.
    """
    if is_json(path):
        yield from _json_lines(path)
        return
    # A pipe cannot be read twice.
    lines: Callable[[], Iterator[Row]] = partial(rows, path) if is_file(path) else list(rows(path)).__iter__
    first = next(lines(), None)
    if first is None:
        return
    layout = _layout(*first, lines)
    if layout.description:
        level = logging.WARNING if layout.is_doubtful else NOTE
        _log.log(level, "%s: the columns are taken for %s.", path, layout.description)
    reader = lines()
    if layout.has_header:
        next(reader)
    yield from _column_lines(reader, layout)


def _column_lines(lines: Iterator[Row], layout: _Layout) -> Iterator[RunLine]:
    from ir_measures import ScoredDoc

    for location, columns in lines:
        if len(columns) != layout.width:
            _check_width(columns, layout, location)
        query_id, doc_id = decode_utf8(columns[layout.query], location), decode_utf8(columns[layout.doc], location)
        if layout is not _TREC:
            checked_id(query_id, location)
            document_id(doc_id, location)
        rank = None if layout.rank is None else parse_integer(columns[layout.rank])
        if layout.score is None:
            yield RunLine(location, ScoredDoc(query_id, doc_id, -_checked_rank(rank, columns, layout, location)))
        else:
            yield RunLine(location, ScoredDoc(query_id, doc_id, finite_score(columns[layout.score], location)), rank)


def _check_width(columns: list[bytes], layout: _Layout, location: Location) -> None:
    """Raise `RecordError` unless the only columns too many belong to a tag with spaces."""
    width = len(columns)
    if layout is not _TREC or width < layout.width:
        instead = f" instead of {layout.width}" if width != layout.width else ""
        raise location.error(f"{width} columns{instead}", expected=_EXPECTED, do="Check that the file is a run.")
    # Where an id has a space, the rank is not an integer, or the tag begins with the score.
    if parse_integer(columns[3]) is None or parse_number(columns[5]) is not None:
        raise location.error(
            f"{width} columns instead of 6",
            expected="qid Q0 docid rank score tag, with spaces in the tag only",
            do="Change ids that have spaces, or a tag that begins with a number.",
        )


def _checked_rank(rank: int | None, columns: list[bytes], layout: _Layout, location: Location) -> float:
    if rank is None or rank < 1:
        column = decode_utf8(columns[layout.rank or 0], location)
        raise location.error(f"the rank is {column}", expected="a positive integer")
    return float(rank)


# What the columns are.


def _layout(location: Location, columns: list[bytes], lines: Callable[[], Iterator[Row]]) -> _Layout:
    if names := header(columns, of_run=True):
        return _named_layout(names, columns, location)
    has_q0 = len(columns) > 1 and columns[1] in _Q0
    layout = _with_q0(columns, lines) if has_q0 else _without_q0(columns, lines)
    if layout is None and len(columns) >= _TREC.width and parse_number(columns[3]) is not None:
        layout = _TREC
        if parse_integer(columns[4]) is not None and parse_integer(columns[3]) is None:
            message = "%s: the column of ranks has %s and that of scores %s; trec_eval ranks by the latter, too."
            _log.warning(message, location.path, decode_utf8(columns[3], location), decode_utf8(columns[4], location))
    if layout is None:
        as_judgements = ", as judgements have" if len(columns) == 4 and columns[1] == b"0" else ""
        problem = f"{len(columns)} columns{as_judgements}"
        raise location.error(problem, expected=_EXPECTED, do="Check that the file is a run.")
    return layout


def _with_q0(columns: list[bytes], lines: Callable[[], Iterator[Row]]) -> _Layout | None:
    match len(columns), [parse_number(column) is not None for column in columns[3:]]:
        case 4, [True]:
            return _rank_or_score("qid Q0 docid {}", 3, lines)
        case 5, [True, True]:
            return _Layout(5, doc=2, rank=3, score=4, description="qid Q0 docid rank score, without a tag")
        case 5, [True, False]:
            return _rank_or_score("qid Q0 docid {} tag", 3, lines)
    return None


def _without_q0(columns: list[bytes], lines: Callable[[], Iterator[Row]]) -> _Layout | None:
    match len(columns), [parse_number(column) is not None for column in columns[2:]]:
        case 3, _:
            return _rank_or_score("qid docid {}", 2, lines)
        case 4, [True, False]:
            return _rank_or_score("qid docid {} tag", 2, lines)
        case 4, [True, True] if columns[1] != b"0":
            if parse_integer(columns[3]) is not None and parse_integer(columns[2]) is None:
                return _Layout(4, doc=1, rank=3, score=2, description="qid docid score rank")
            return _Layout(4, doc=1, rank=2, score=3, description="qid docid rank score")
        case 5, [True, True, False]:
            return _Layout(5, doc=1, rank=2, score=3, description="qid docid rank score tag")
    return None


def _named_layout(names: dict[str, int], columns: list[bytes], location: Location) -> _Layout:
    if not {SCORE, RANK} & names.keys():
        raise location.error("the header names neither a score nor a rank", expected=_EXPECTED)
    texts = [decode_utf8(column, location) for column in columns]
    if len(scores := names_of_scores(texts)) > 1:
        found, taken = " and ".join(scores), texts[names[SCORE]]
        _log.log(NOTE, "%s: of the columns %s, %s has the scores.", location.path, found, taken)
    return _Layout(
        len(columns),
        doc=names[DOCUMENT],
        rank=names.get(RANK),
        score=names.get(SCORE),
        query=names[QUERY],
        has_header=True,
    )


def _rank_or_score(columns: str, index: int, lines: Callable[[], Iterator[Row]]) -> _Layout:
    """Return the layout of a file with one number, which is a rank if it is 1, 2, 3, … for every query, else a score.

    `columns` are their names, with {} for the number, which is in column `index`, after the document.
    """
    width, doc, which = len(columns.split()), index - 1, {2: "third", 3: "fourth"}[index]
    if _counts_up(lines(), index, from_one=True):
        description = f"{columns.format('rank')}: the {which} is 1, 2, 3, … for every query"
        return _Layout(width, doc=doc, rank=index, score=None, description=description)
    ascend = _counts_up(lines(), index, from_one=False)
    why = (
        "scores although they ascend; if they are ranks, let them be 1, 2, 3, … for every query"
        if ascend
        else f"scores, as the {which} is not 1, 2, 3, … for every query"
    )
    description = f"{columns.format('score')}: {why}"
    return _Layout(width, doc=doc, rank=None, score=index, description=description, is_doubtful=ascend)


def _counts_up(lines: Iterator[Row], index: int, *, from_one: bool) -> bool:
    """Return whether a column is 1, 2, 3, … for every query, or at least ascending numbers from 0."""
    last: dict[bytes, float] = {}
    count = 0
    parse = parse_integer if from_one else parse_number
    for _, columns in lines:
        rank = parse(columns[index]) if len(columns) > index else None
        before = last.get(columns[0], 0 if from_one else -1)
        if rank is None or (rank != before + 1 if from_one else rank <= before):
            return False
        last[columns[0]] = rank
        count += 1
    return count > len(last) or from_one


def _json_lines(path: Path) -> Iterator[RunLine]:
    from ir_measures import ScoredDoc

    for location, query_id, doc_id, value, place, _ in json_cells(path, of_run=True):
        score = number_of(value)
        if score is None and value is not None:
            raise location.error(
                f"the score of {doc_id!r} is {json_type(value)}", expected="a number in the range of 32-bit floats"
            )
        rank = place if type(place) is int else None
        if score is None and (rank is None or rank < 1):
            raise location.error(f"{doc_id!r} has no score", expected="a score, or a rank that is a positive integer")
        yield RunLine(location, ScoredDoc(query_id, doc_id, -float(rank or 0) if score is None else score), rank)
