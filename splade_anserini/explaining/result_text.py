"""The result of one query as text: hits with a passage of their texts and the terms that bring their scores."""

import textwrap
from collections.abc import Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING

from splade_anserini.explaining.snippets import MARK, MARK_END, on_one_line

if TYPE_CHECKING:
    from splade_anserini.explaining.search_result import ResultHit, SearchResult

TERMS = 3
"""Terms that are shown of a hit."""

_TOKENS = 8
"""Tokens that are shown of a query."""


@dataclass(frozen=True, slots=True)
class TextStyle:
    """How a result is written."""

    before: str = "*"
    after: str = "*"
    """What stands around words that match."""
    columns: int | None = None
    """Where lines are broken; None: nowhere."""


BOLD = "\x1b[1m", "\x1b[0m"
"""What stands around words that match on a terminal with colours."""


def result_text(result: "SearchResult", style: TextStyle | None = None) -> str:
    """Return the query with its tokens, then rank, id, score, title, snippet and terms of each hit."""
    style = style or TextStyle()
    lines = [on_one_line(result.query or ""), query_line(result), ""]
    for hit in result.hits:
        lines += [*_hit_lines(hit, style, len(str(len(result.hits)))), ""]
    if not result.weights and not result.unweighted:
        lines += ["The query has no tokens with a weight, and so no hits.", ""]
    elif not result.weights:
        lines += ["No document has a token of the query, or all were pruned.", ""]
    elif not result.hits:
        lines += ["No document has a token of the query.", ""]
    return "\n".join(lines[0 if result.query else 1 : -1]) + "\n"


def query_line(result: "SearchResult") -> str:
    """Return the tokens of a query with their impacts, and the factor of idf of each if there is one.

    Where no token is left, because no document has one or they were pruned, it has those that were there.
    """
    weights = result.weights or result.unweighted or {}
    tokens = [_token(result, token, impact) for token, impact in list(weights.items())[:_TOKENS]]
    more = len(weights) - len(tokens)
    factor = f"impacts × idf^{result.query_idf:g}: " if result.weights and result.unweighted is not None else ""
    return f"{factor}{', '.join(tokens)}{f', … and {more} more' if more else ''}"


def _token(result: "SearchResult", token: str, impact: int) -> str:
    before = result.unweighted.get(token) if result.weights and result.unweighted is not None else None
    return f"{token} {impact}" if not before else f"{token} {before} × {impact / before:.2f}"


def terms_line(hit: "ResultHit", count: int = TERMS) -> str:
    """Return the terms that bring most of a score, with their shares."""
    shares = [f"{term.token} {term.share:.0%}" for term in hit.terms[:count]]
    rest = sum(term.share for term in hit.terms[count:])
    return ", ".join([*shares, *([f"{len(hit.terms) - count} more {rest:.0%}"] if len(hit.terms) > count else [])])


def _hit_lines(hit: "ResultHit", style: TextStyle, width: int) -> Iterator[str]:
    from splade_anserini.explaining.search_result import score_text

    title, passage = hit.title(), hit.snippet()
    titled = f"  {title.marked(MARK, MARK_END)}" if title else ""
    yield _styled(f"{hit.rank:>{width}}  {hit.id}  score {score_text(hit.score)}{titled}", style)
    indent = " " * (width + 2)
    if passage:
        text = passage.marked(MARK, MARK_END)
        # A line that is not broken has room for any text.
        columns = style.columns or len(text) + len(indent) + 1
        for line in textwrap.wrap(text, max(20, columns), initial_indent=indent, subsequent_indent=indent):
            yield _styled(line, style)
    yield f"{indent}{terms_line(hit)}"


def _styled(line: str, style: TextStyle) -> str:
    return line.replace(MARK, style.before).replace(MARK_END, style.after)
