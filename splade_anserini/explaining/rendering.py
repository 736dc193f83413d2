"""Explanations as text with bars."""

from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from splade_anserini.explaining.expansion import ExpandedToken, Expansion
    from splade_anserini.explaining.match import Comparison, Match
    from splade_anserini.records import ImpactVector

_WIDTH = 30
"""Characters of the longest bar."""

_TEXT = 60
"""Characters of a text that are shown."""


def expansion_text(expansion: "Expansion", top: int = 20) -> str:
    """Return the `top` greatest entries of a text as bars: its own tokens, then the added ones with their origins."""
    own = [entry for entry in expansion.entries if entry.own]
    added = [entry for entry in expansion.entries if not entry.own]
    greatest = max((entry.weight for entry in expansion.entries), default=1.0)
    lines = [f"{expansion.text}", f"{len(expansion.entries)} entries: {len(own)} of its own tokens, {len(added)} added"]
    sections = [(title, entries) for title, entries in (("Own tokens", own), ("Added tokens", added)) if entries]
    # As one table, so that their columns are aligned.
    titles = [[title, "weight", "impact", "from", ""] for title, _ in sections]
    rows = [_rows(entries[:top], greatest) for _, entries in sections]
    table = iter(_table([""] * 5, [row for pair in zip(titles, rows, strict=True) for row in [pair[0], *pair[1]]])[1:])
    for _, entries in sections:
        lines += ["", *(next(table) for _ in range(min(top, len(entries)) + 1)), *_more(len(entries) - top)]
    return "\n".join(lines) + "\n"


def _rows(entries: "Iterable[ExpandedToken]", greatest: float) -> list[list[str]]:
    return [
        [entry.token, f"{entry.weight:.2f}", str(entry.impact), entry.origin or "", bar(entry.weight, greatest)]
        for entry in entries
    ]


def match_text(match: "Match", top: int = 20) -> str:
    """Return the `top` terms of a score as bars, and what each side has alone."""
    weighted = any(term.query != term.unweighted for term in match.terms)
    header = ["term", *(["encoded"] if weighted else []), "query", "document", "product", "share", ""]
    greatest = match.terms[0].product if match.terms else 1
    rows = [
        [
            term.token,
            *([str(term.unweighted)] if weighted else []),
            str(term.query),
            str(term.document),
            f"{term.product:,}",
            f"{term.share:.1%}",
            bar(term.product, greatest),
        ]
        for term in match.terms[:top]
    ]
    lines = [f"{shortened(match.document)}: score {match.score:,}, of {len(match.terms)} shared terms", ""]
    lines += [*_table(header, rows), *_more(len(match.terms) - top)] if rows else ["No term is in both."]
    if weighted:
        lines += ["", "encoded is the impact of the query before it was multiplied by idf."]
    lines += ["", f"Only in the query:    {_listed(match.query_only)}"]
    lines += [f"Only in the document: {_listed(match.document_only)}"]
    return "\n".join(lines) + "\n"


def comparison_text(comparison: "Comparison", top: int = 20) -> str:
    """Return the `top` terms that make the difference between two scores."""
    first, second = comparison.first, comparison.second
    names = [shortened(match.document) for match in (first, second)]
    greatest = abs(comparison.terms[0].difference) if comparison.terms else 1
    rows = [
        [
            term.token,
            f"{term.first:,}",
            f"{term.second:,}",
            f"{term.difference:+,}",
            bar(abs(term.difference), greatest),
        ]
        for term in comparison.terms[:top]
    ]
    scores = f"{names[0]}: score {first.score:,}; {names[1]}: score {second.score:,}; {first.score - second.score:+,}"
    columns = ["term", *(name[:12] for name in names), "difference", ""]
    return "\n".join([scores, "", *_table(columns, rows), *_more(len(comparison.terms) - top)]) + "\n"


def bar(value: float, greatest: float) -> str:
    """Return a bar in proportion to a value, at least half a character wide."""
    halves = max(1, round(2 * _WIDTH * value / greatest)) if value else 0
    return "█" * (halves // 2) + "▌" * (halves % 2)


def shortened(text: str) -> str:
    """Return the beginning of a text, on one line."""
    line = " ".join(text.split())
    return line if len(line) <= _TEXT else f"{line[: _TEXT - 1]}…"


def _listed(impacts: "ImpactVector", top: int = 12) -> str:
    first = "  ".join(f"{token} {impact}" for token, impact in list(impacts.items())[:top])
    more = f"  … ({len(impacts)} in all)" if len(impacts) > top else ""
    return f"{first}{more}" if impacts else "nothing"


def _more(count: int) -> list[str]:
    return [f"… and {count} more"] if count > 0 else []


def _table(header: Sequence[str], rows: Sequence[Sequence[str]]) -> list[str]:
    """Return aligned lines: the first column and the last to the left, numbers to the right."""
    widths = [max(len(row[column]) for row in [header, *rows]) for column in range(len(header))]
    words = {0, len(header) - 1} | {
        column for row in [header, *rows] for column, cell in enumerate(row) if cell == "from"
    }
    return [
        "  ".join(
            cell.ljust(width) if column in words else cell.rjust(width)
            for column, (cell, width) in enumerate(zip(row, widths, strict=True))
        ).rstrip()
        for row in [header, *rows]
    ]
