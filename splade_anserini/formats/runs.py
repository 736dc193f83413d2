"""Runs, which are one ranking per query: written in the formats of TREC and of MS MARCO, read in more."""

import logging
from collections.abc import Iterable, Iterator, Sequence
from itertools import groupby, islice
from pathlib import Path
from typing import TYPE_CHECKING, Literal, Protocol

import numpy as np

from splade_anserini.errors import InputError, counted
from splade_anserini.formats.parsing.compression import open_output
from splade_anserini.formats.parsing.fields import checked_id, document_id
from splade_anserini.formats.parsing.lines import Location
from splade_anserini.formats.run_lines import RunLine, run_lines
from splade_anserini.records import StrPath

if TYPE_CHECKING:
    from ir_measures import ScoredDoc

_EXACT_INTEGERS = 2.0**24
"""Below this, all integers are exact in float32."""

_log = logging.getLogger(__name__)

type RunFormat = Literal["trec", "msmarco"]


class RankedDoc(Protocol):
    """A document id with a score, such as `ir_measures.ScoredDoc`."""

    @property
    def doc_id(self) -> str:
        """The document's id in the collection."""
        ...

    @property
    def score(self) -> float:
        """The document's score; greater is better."""
        ...


def write_run(
    path: StrPath,
    rankings: Iterable[tuple[str, Sequence[RankedDoc]]],
    format: RunFormat = "trec",  # noqa: A002  # the field's word, and the option's
    tag: str = "splade-anserini",
) -> None:
    """Write pairs of query id and ranking, best document first; gzipped if the name ends in .gz.

    The scores of a TREC run are made `strictly_decreasing`. The file appears as a whole when `rankings` is exhausted.
    Raises `InputError` for an invalid tag, `RecordError` for an id that a run cannot represent, `OutputError` when
    the file cannot be written.
    """
    path = Path(path)
    if tag.split() != [tag] or not tag.isprintable():
        raise InputError(f"The tag {tag!r} cannot be used in a run.", expected="a word without white space")
    lines_written = 0
    with open_output(path) as file:
        for query_id, ranking in rankings:
            ids = [doc.doc_id for doc in ranking]
            _check_ids(query_id, ids, path, lines_written, format)
            lines = _trec_lines(query_id, ids, ranking, tag) if format == "trec" else _msmarco_lines(query_id, ids)
            file.write("".join(lines).encode())
            lines_written += len(ids)


def read_run(path: StrPath) -> Iterator["ScoredDoc"]:
    """Yield the lines of a run, of any form that `run_lines` reads. Without scores, a rank's negative is the score.

    Logs a warning when ranks contradict scores. Raises `RecordError` for a malformed line, or a document that occurs
    twice for a query.
    """
    seen: dict[str, set[str]] = {}
    for location, doc, _ in _read_lines(Path(path)):
        _refuse_duplicate(doc, seen.setdefault(doc.query_id, set()), location)
        yield doc


def read_rankings(path: StrPath) -> Iterator[tuple[str, list["ScoredDoc"]]]:
    """Yield the id of each query and its documents by descending score; one query at a time is in memory.

    Raises `RecordError` where `read_run` does, and where the lines of a query are not contiguous.
    """
    finished: set[str] = set()
    for query_id, lines in groupby(_read_lines(Path(path)), key=lambda line: line.doc.query_id):
        seen: set[str] = set()
        docs = []
        for location, doc, _ in lines:
            if not seen and query_id in finished:
                raise location.error(
                    f"the lines of the query {query_id!r} are not contiguous",
                    expected="all lines of a query together",
                    do="Sort the run by query.",
                )
            _refuse_duplicate(doc, seen, location)
            docs.append(doc)
        finished.add(query_id)
        yield query_id, sort_by_score(docs)


def sort_by_score(docs: Iterable["ScoredDoc"]) -> list["ScoredDoc"]:
    """Return documents by descending score; documents with equal scores keep their order, as in the run."""
    return sorted(docs, key=lambda doc: -doc.score)


def without_ties(rankings: Iterable[tuple[str, Sequence[RankedDoc]]]) -> Iterator["ScoredDoc"]:
    """Yield the lines that `read_run` would read from a TREC run of these rankings, with strictly decreasing scores.

    Rankings that are evaluated without a file need this: trec_eval orders documents with equal scores by id.
    """
    from ir_measures import ScoredDoc

    for query_id, ranking in rankings:
        scores = strictly_decreasing([doc.score for doc in ranking])
        for doc, score in zip(ranking, scores, strict=True):
            yield ScoredDoc(query_id, doc.doc_id, score)


def as_in_a_run(ranking: "Sequence[ScoredDoc]") -> "list[ScoredDoc]":
    """Return a ranking with the scores that it has after it was written as a TREC run and read again."""
    scores = decimals(strictly_decreasing([doc.score for doc in ranking]))
    return [doc._replace(score=float(score)) for doc, score in zip(ranking, scores, strict=True)]


def strictly_decreasing(scores: Sequence[float]) -> list[float]:
    """Return the scores of a ranking as float32 values, each at least one float32 step below the one before.

    A score that is already lower than the one before is unchanged. trec_eval reads scores as float32 and orders equal
    scores by descending document id; without ties, it ranks as the run does. Raises `ValueError` for scores that are
    not finite or not in descending order.
    """
    values = np.asarray(scores, dtype=np.float32)
    if not np.isfinite(values).all() or (values[1:] > values[:-1]).any():
        raise ValueError("scores must be finite and in descending order")
    # Adjacent float32 values are adjacent as (sign-adjusted) integers k: k'[i] = min(k[i], k'[i - 1] - 1).
    bits = values.view(np.int32).astype(np.int64)
    keys = np.where(bits >= 0, bits, -(bits & 0x7FFFFFFF))
    ranks = np.arange(len(keys))
    keys = np.minimum.accumulate(keys + ranks) - ranks
    bits = np.where(keys >= 0, keys, -keys | 0x80000000).astype(np.uint32)
    decreasing: list[float] = bits.view(np.float32).tolist()
    return decreasing


def decimals(scores: Sequence[float]) -> list[str]:
    """Return each score as the shortest decimal without an exponent that reads back as the same float32."""
    values = np.asarray(scores, dtype=np.float32)
    # Most impact scores are integers, and a run has millions of them: they take a shortcut.
    is_integer = (values == np.trunc(values)) & (np.abs(values) < _EXACT_INTEGERS)
    is_integer &= ~((values == 0) & np.signbit(values))
    texts = [f"{integer}.0" for integer in np.where(is_integer, values, 0).astype(np.int64).tolist()]
    for index in np.flatnonzero(~is_integer).tolist():
        texts[index] = _decimal(scores[index])
    return texts


def _decimal(score: float) -> str:
    text = str(np.float32(score))
    return text if "e" not in text else np.format_float_positional(np.float32(score), unique=True, trim="0")


def _trec_lines(query_id: str, ids: list[str], ranking: Sequence[RankedDoc], tag: str) -> list[str]:
    scores = decimals(strictly_decreasing([doc.score for doc in ranking]))
    start, end = f"{query_id} Q0 ", f" {tag}\n"
    return [f"{start}{id_} {rank} {score}{end}" for rank, (id_, score) in enumerate(zip(ids, scores, strict=True), 1)]


def _msmarco_lines(query_id: str, ids: list[str]) -> list[str]:
    return [f"{query_id}\t{id_}\t{rank}\n" for rank, id_ in enumerate(ids, 1)]


def _check_ids(query_id: str, ids: list[str], path: Path, lines_before: int, format_: RunFormat) -> None:
    """Raise `RecordError` for an id that is empty or contains white space, which separates the columns of a run.

    Tabs separate those of MS MARCO's format, in which ids of documents may contain spaces.
    """
    check_document = document_id if format_ == "msmarco" else checked_id
    # All ids are checked at once, because a run may have millions: an invalid id changes what `split` returns.
    if " ".join((query_id, *ids)).split() != [query_id, *ids]:
        checked_id(query_id, Location(path, lines_before + 1))
        for rank, id_ in enumerate(ids, 1):
            check_document(id_, Location(path, lines_before + rank))


def _read_lines(path: Path) -> Iterator[RunLine]:
    """Yield the lines of a run; warn at the end of queries whose ranks contradict their scores."""
    contradicting: dict[str, None] = {}
    for query_id, group in groupby(run_lines(path), key=lambda line: line.doc.query_id):
        ranks, scores = [], []
        for line in group:
            if line.rank is not None:
                ranks.append(line.rank)
                scores.append(line.doc.score)
            yield line
        if contradicts(ranks, scores):
            contradicting[query_id] = None
    if contradicting:
        first = ", ".join(islice(contradicting, 3)) + (", …" if len(contradicting) > 3 else "")
        queries = counted(len(contradicting), "query", "queries")
        _log.warning("%s: ranks contradict scores in %s: %s. The scores count.", path, queries, first)


def contradicts(ranks: Sequence[int], scores: Sequence[float]) -> bool:
    """Return whether a document has a better rank than another with a greater score, as float32."""
    places = np.asarray(ranks, np.int64)
    order = np.argsort(places, kind="stable")
    values, places = np.asarray(scores, np.float32)[order], places[order]
    # The least score of all better ranks; documents with the same rank are not compared.
    starts = np.searchsorted(places, places, side="left")
    least = np.minimum.accumulate(np.concatenate([np.array([np.inf], np.float32), values]))
    return bool((values > least[starts]).any())


def _refuse_duplicate(doc: "ScoredDoc", seen: set[str], location: Location) -> None:
    if doc.doc_id in seen:
        raise location.error(
            f"duplicate document id {doc.doc_id!r} for the query {doc.query_id!r}",
            expected="each document once for each query",
        )
    seen.add(doc.doc_id)
