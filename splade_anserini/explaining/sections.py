"""Explanations as titles, tables and notes, which text, HTML and figures show alike."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from splade_anserini.errors import counted

if TYPE_CHECKING:
    from splade_anserini.explaining.bm25 import Bm25Comparison
    from splade_anserini.explaining.encoders import EncoderComparison
    from splade_anserini.explaining.expansion import ExpandedToken, Expansion
    from splade_anserini.explaining.match import Comparison, Match
    from splade_anserini.explaining.vector import Vector
    from splade_anserini.records import ImpactVector

TOP = 20
"""Rows of a table, unless another number is given."""

_TEXT = 60
"""Characters of a text that are shown in a title."""


@dataclass(frozen=True, slots=True)
class Column:
    """A column of a table."""

    title: str
    is_text: bool = False
    """Whether its cells are words, aligned to the left, and not numbers."""


@dataclass(frozen=True, slots=True)
class Table:
    """The rows of an explanation, with bars."""

    columns: tuple[Column, ...]
    """The first one names the rows."""
    rows: tuple[tuple[str, ...], ...]
    values: tuple[tuple[float, ...], ...]
    """What the bars of each row show, one for each of `series`; differences may be negative."""
    series: tuple[str, ...]
    """What the bars are, such as weight."""
    more: int = 0
    """Rows that are not shown."""


@dataclass(frozen=True, slots=True)
class Section:
    """One explanation."""

    title: str
    summary: str
    tables: tuple[Table, ...]
    notes: tuple[str, ...] = ()
    heading: str = ""
    """What the title of a page's section is, where that is not `title`."""

    @property
    def greatest(self) -> float:
        """The greatest absolute value of all tables, which has the longest bar."""
        return max((abs(value) for table in self.tables for row in table.values for value in row), default=0) or 1


def expansion_section(expansion: "Expansion", top: int = TOP) -> Section:
    """Return the `top` greatest entries of a text: its own tokens, then the added ones with their origins."""
    own = [entry for entry in expansion.entries if entry.own]
    added = [entry for entry in expansion.entries if not entry.own]
    tables = [
        _entries(title, entries, top) for title, entries in (("Own tokens", own), ("Added tokens", added)) if entries
    ]
    summary = f"{len(expansion.entries)} entries: {len(own)} of its own tokens, {len(added)} added"
    return Section(expansion.text, summary, tuple(tables), heading="Expansion")


def _entries(title: str, entries: "Sequence[ExpandedToken]", top: int) -> Table:
    shown = entries[:top]
    return Table(
        (Column(title, is_text=True), Column("weight"), Column("impact"), Column("from", is_text=True)),
        tuple((entry.token, f"{entry.weight:.2f}", str(entry.impact), entry.origin or "") for entry in shown),
        tuple((entry.weight,) for entry in shown),
        ("weight",),
        len(entries) - len(shown),
    )


def vector_section(vector: "Vector", top: int = TOP) -> Section:
    """Return the `top` greatest entries of the vector of a document."""
    shown = list(vector.items())[:top]
    table = Table(
        _columns(["token", "impact"]),
        tuple((token, str(impact)) for token, impact in shown),
        tuple((impact,) for _, impact in shown),
        ("impact",),
        len(vector) - len(shown),
    )
    entries = counted(len(vector), "entry", "entries")
    return Section(f"{shortened(vector.name)}: {entries}", "", (table,) if shown else ())


def match_section(match: "Match", top: int = TOP) -> Section:
    """Return the `top` terms of a score, and what each side has alone."""
    weighted = any(term.query != term.unweighted for term in match.terms)
    titles = ["term", *(["encoded"] if weighted else []), "query", "document", "product", "share"]
    shown = match.terms[:top]
    rows = tuple(
        (
            term.token,
            *([str(term.unweighted)] if weighted else []),
            str(term.query),
            str(term.document),
            f"{term.product:,}",
            f"{term.share:.1%}",
        )
        for term in shown
    )
    values = tuple((term.product,) for term in shown)
    table = Table(_columns(titles), rows, values, ("product",), len(match.terms) - len(shown))
    notes = [] if rows else ["No term is in both."]
    if weighted:
        notes.append("encoded is the impact of the query before it was multiplied by idf.")
    notes.append(
        f"Only in the query:    {_listed(match.query_only)}\nOnly in the document: {_listed(match.document_only)}"
    )
    if match.left_out_by_idf:
        notes.append(f"Left out by idf, as no document or nearly all have them: {_listed(match.left_out_by_idf)}")
    title = f"{shortened(match.document)}: score {match.score:,}, of {len(match.terms)} shared terms"
    return Section(title, "", (table,) if rows else (), tuple(notes))


def comparison_section(comparison: "Comparison", top: int = TOP) -> Section:
    """Return the `top` terms that make the difference between two scores."""
    first, second = comparison.first, comparison.second
    names = [shortened(match.document) for match in (first, second)]
    shown = comparison.terms[:top]
    rows = tuple((term.token, f"{term.first:,}", f"{term.second:,}", f"{term.difference:+,}") for term in shown)
    table = Table(
        _columns(["term", *(name[:12] for name in names), "difference"]),
        rows,
        tuple((term.difference,) for term in shown),
        ("difference",),
        len(comparison.terms) - len(shown),
    )
    title = f"{names[0]}: score {first.score:,}; {names[1]}: score {second.score:,}; {first.score - second.score:+,}"
    return Section(title, "", (table,))


def encoders_section(comparison: "EncoderComparison", top: int = TOP) -> Section:
    """Return the `top` tokens that both encoders, only the first, and only the second give to a text."""
    first, second = comparison.names
    both = comparison.shared[:top]
    tables = [
        Table(
            _columns(["Both", shortened(first)[:20], shortened(second)[:20], "difference"]),
            tuple(
                (token.token, f"{token.first:.2f}", f"{token.second:.2f}", f"{token.second - token.first:+.2f}")
                for token in both
            ),
            tuple((token.first, token.second) for token in both),
            comparison.names,
            len(comparison.shared) - len(both),
        )
    ]
    for name, alone in ((first, comparison.first_only), (second, comparison.second_only)):
        shown = alone[:top]
        tables.append(
            Table(
                _columns([f"Only {shortened(name)[:30]}", "weight", "impact"]),
                tuple((entry.token, f"{entry.weight:.2f}", str(entry.impact)) for entry in shown),
                tuple((entry.weight,) for entry in shown),
                ("weight",),
                len(alone) - len(shown),
            )
        )
    title = (
        f"{first}: {len(comparison.first.entries)} entries; {second}: {len(comparison.second.entries)}; "
        f"{len(comparison.shared)} in both"
    )
    tables = [table for table in tables if table.rows]
    return Section(title, "", tuple(tables), heading="Two encoders")


def bm25_section(comparison: "Bm25Comparison", top: int = TOP) -> Section:
    """Return the `top` terms of a score beside those of BM25."""
    shown = comparison.terms[:top]
    rows = tuple(
        (
            " ".join(term.tokens) or term.word or "",
            f"{term.product:,}" if term.tokens else "",
            f"{term.share:.1%}" if term.tokens else "",
            term.word or "",
            f"{term.bm25:.4f}" if term.word else "",
            f"{term.bm25_share:.1%}" if term.word else "",
        )
        for term in shown
    )
    columns = (
        Column("term", is_text=True),
        Column("product"),
        Column("share"),
        Column("word of BM25", is_text=True),
        Column("BM25"),
        Column("share"),
    )
    table = Table(
        columns,
        rows,
        tuple((term.share, term.bm25_share) for term in shown),
        ("share", "share of BM25"),
        len(comparison.terms) - len(shown),
    )
    title = (
        f"{shortened(comparison.document)}: score {comparison.score:,}, {_rank(comparison.rank)}; "
        f"BM25 {comparison.bm25:.4f}, {_rank(comparison.bm25_rank)}"
    )
    notes = [] if rows else ["No term counts in either."]
    if comparison.missing:
        notes.append(f"Words of the query that the document lacks: {', '.join(comparison.missing)}")
    return Section(title, "", (table,) if rows else (), tuple(notes))


def _rank(rank: int | None) -> str:
    from splade_anserini.explaining.bm25 import DEEPEST

    return f"rank {rank:,}" if rank else f"not among the best {DEEPEST:,}"


def shortened(text: str, length: int = _TEXT) -> str:
    """Return the beginning of a text, on one line."""
    line = " ".join(text.split())
    return line if len(line) <= length else f"{line[: length - 1]}…"


def _columns(titles: Sequence[str]) -> tuple[Column, ...]:
    """Return columns of numbers, after the first."""
    return tuple(Column(title, is_text=not position) for position, title in enumerate(titles))


def _listed(impacts: "ImpactVector", top: int = 12) -> str:
    first = ", ".join(f"{token} {impact}" for token, impact in list(impacts.items())[:top])
    more = f", … ({len(impacts)} in all)" if len(impacts) > top else ""
    return f"{first}{more}" if impacts else "nothing"
