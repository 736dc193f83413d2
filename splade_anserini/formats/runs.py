"""Runs: rankings per query, in the formats of TREC and of MS MARCO."""

from collections.abc import Iterable, Iterator, Sequence
from itertools import groupby
from pathlib import Path
from typing import TYPE_CHECKING, Literal, Protocol

from splade_anserini.errors import InputError
from splade_anserini.formats._scores import decimals, strictly_decreasing
from splade_anserini.formats.parsing.fields import checked_id, finite_score
from splade_anserini.formats.parsing.lines import Place, byte_lines, columns_of, decoded
from splade_anserini.formats.parsing.writing import open_whole

if TYPE_CHECKING:
    from ir_measures import ScoredDoc

__all__ = ["RankedDoc", "RunFormat", "as_written", "read_rankings", "read_run", "strictly_decreasing", "write_run"]

_LONGEST_RANK = 15
"""Digits: such numbers float64 holds as they are."""

type RunFormat = Literal["trec", "msmarco"]


class RankedDoc(Protocol):
    """A document with its score; `ir_measures.ScoredDoc` is one."""

    @property
    def doc_id(self) -> str:
        """As the collection has it."""
        ...

    @property
    def score(self) -> float:
        """Greater is better."""
        ...


def write_run(
    path: Path,
    rankings: Iterable[tuple[str, Sequence[RankedDoc]]],
    format: RunFormat = "trec",  # noqa: A002  # the field's word, and the option's
    tag: str = "splade-anserini",
) -> None:
    """Write rankings, best document first, as they come; the file appears whole, gzipped when its name ends in .gz.

    TREC scores decrease strictly (see `strictly_decreasing`). Raises `InputError` for an unusable tag, `RecordError`
    for an id that a run cannot hold, `OutputError` when the file cannot be written.
    """
    if tag.split() != [tag] or not tag.isprintable():
        raise InputError(f"The tag {tag!r} cannot stand in a run.", expected="a word without white space")
    line = 0
    with open_whole(path) as file:
        for query_id, ranking in rankings:
            ids = [doc.doc_id for doc in ranking]
            _check(query_id, ids, path, line)
            if format == "trec":
                scores = decimals(strictly_decreasing([doc.score for doc in ranking]))
                start, end = f"{query_id} Q0 ", f" {tag}\n"
                lines = [
                    f"{start}{id_} {rank} {score}{end}"
                    for rank, (id_, score) in enumerate(zip(ids, scores, strict=True), 1)
                ]
            else:
                lines = [f"{query_id}\t{id_}\t{rank}\n" for rank, id_ in enumerate(ids, 1)]
            file.write("".join(lines).encode())
            line += len(ids)


def _check(query_id: str, ids: list[str], path: Path, line: int) -> None:
    """Raise `RecordError` for an id that a run could not hold; `line` lines stand before."""
    # All at once: an id with white space in it, or an empty one, comes back as something else.
    if " ".join((query_id, *ids)).split() != [query_id, *ids]:
        checked_id(query_id, Place(path, line + 1))
        for rank, id_ in enumerate(ids, 1):
            checked_id(id_, Place(path, line + rank))


def as_written(rankings: Iterable[tuple[str, Sequence[RankedDoc]]]) -> Iterator["ScoredDoc"]:
    """Yield what `read_run` would read of a TREC run with these rankings: equal scores no longer are.

    A ranking that is measured as it comes from a searcher measures otherwise, for trec_eval orders ties in its own way.
    """
    from ir_measures import ScoredDoc

    for query_id, ranking in rankings:
        scores = strictly_decreasing([doc.score for doc in ranking])
        for doc, score in zip(ranking, scores, strict=True):
            yield ScoredDoc(query_id, doc.doc_id, score)


def read_run(path: Path) -> Iterator["ScoredDoc"]:
    """Yield the lines of a run, TREC (6 columns) or MS MARCO (3, where −rank stands for the score).

    Raises `RecordError` for a line that is none, or a document that occurs twice for a query.
    """
    seen: dict[str, set[str]] = {}
    for place, doc in _placed(path):
        _refuse_again(doc, seen.setdefault(doc.query_id, set()), place)
        yield doc


def read_rankings(path: Path) -> Iterator[tuple[str, list["ScoredDoc"]]]:
    """Yield each query's id and documents, the greatest score first; one query is in memory at a time.

    Raises `RecordError` where `read_run` does, and where a query's lines do not stand together.
    """
    queries: set[str] = set()
    for query_id, lines in groupby(_placed(path), key=lambda line: line[1].query_id):
        seen: set[str] = set()
        ranking = []
        for place, doc in lines:
            if not seen and query_id in queries:
                raise place.error(
                    f"the query {query_id!r} comes again after others",
                    expected="the lines of a query together",
                    do="Sort the run by its queries.",
                )
            _refuse_again(doc, seen, place)
            ranking.append(doc)
        queries.add(query_id)
        yield query_id, sorted(ranking, key=lambda doc: -doc.score)


def _refuse_again(doc: "ScoredDoc", seen: set[str], place: Place) -> None:
    if doc.doc_id in seen:
        raise place.error(
            f"the document {doc.doc_id!r} occurs again for the query {doc.query_id!r}", expected="each once"
        )
    seen.add(doc.doc_id)


def _placed(path: Path) -> Iterator[tuple[Place, "ScoredDoc"]]:
    from ir_measures import ScoredDoc

    width = 0
    for place, line in byte_lines(path):
        columns = columns_of(line, place)
        if len(columns) not in ({width} if width else {3, 6}):
            raise place.error(
                f"{len(columns)} columns{f' instead of {width}' if width else ''}",
                expected="qid Q0 docid rank score tag (TREC), or qid<TAB>docid<TAB>rank (MS MARCO)",
                do="Name a run.",
            )
        width, query_id = len(columns), decoded(columns[0], place)
        if width == 6:
            yield place, ScoredDoc(query_id, decoded(columns[2], place), finite_score(columns[4], place))
        else:
            yield place, ScoredDoc(query_id, decoded(columns[1], place), -_rank(columns[2], place))


def _rank(column: bytes, place: Place) -> float:
    if not column.isdigit() or len(column) > _LONGEST_RANK or int(column) < 1:
        raise place.error(f"the rank is {decoded(column, place)}", expected="an integer from 1")
    return float(column)
