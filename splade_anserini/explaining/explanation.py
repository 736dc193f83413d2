"""All that explain shows of a query, as text, JSON, a page or sections for a figure."""

import dataclasses
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

import orjson

from splade_anserini._version import __version__
from splade_anserini.explaining.bm25 import Bm25Comparison
from splade_anserini.explaining.encoders import EncoderComparison
from splade_anserini.explaining.expansion import Expansion
from splade_anserini.explaining.html import sections_page
from splade_anserini.explaining.match import Match, compare
from splade_anserini.explaining.rendering import section_text
from splade_anserini.explaining.sections import (
    Section,
    bm25_section,
    comparison_section,
    encoders_section,
    expansion_section,
    match_section,
    vector_section,
)
from splade_anserini.explaining.vector import Vector
from splade_anserini.records import ImpactVector

type Format = Literal["table", "json", "html"]


@dataclass(frozen=True, slots=True)
class ExplainedQuery:
    """A query as it is searched in an index."""

    encoder: str
    """Its name."""
    expansion: Expansion
    impacts: ImpactVector
    """Times idf, if the index or an option says so."""
    query_idf: float


@dataclass(frozen=True, slots=True)
class Explanation:
    """All that was asked for of a text."""

    query: ExplainedQuery
    matches: list[Match]
    """With a document, or two."""
    encoders: EncoderComparison | None = None
    bm25: Sequence[Bm25Comparison] = ()
    """A score of each of `matches` beside BM25's, if a text index was named."""

    def sections(self, top: int) -> list[Section]:
        """Return the parts of the explanation, with `top` rows of each table."""
        expansion = expansion_section(self.query.expansion, top)
        if self.query.query_idf:
            note = f"Impacts of the query are multiplied by idf^{self.query.query_idf:g} of this index."
            expansion = dataclasses.replace(expansion, notes=(note,))
        sections = [expansion, *(match_section(match, top) for match in self.matches)]
        if len(self.matches) > 1:
            sections.append(comparison_section(compare(*self.matches), top))
        if self.encoders:
            sections.append(encoders_section(self.encoders, top))
        sections += [bm25_section(comparison, top) for comparison in self.bm25]
        return sections

    def values(self) -> dict[str, object]:
        """Return the query, and score and terms of the match, or both matches and their difference."""
        query = self.query.expansion.values()
        values: dict[str, object] = {"query": query | {"query_idf": self.query.query_idf}}
        if len(self.matches) == 1:
            values |= self.matches[0].values()
        elif self.matches:
            values["comparison"] = compare(*self.matches).values()
        if self.encoders:
            values["encoders"] = self.encoders.values()
        if self.bm25:
            values["bm25"] = [comparison.values() for comparison in self.bm25]
        return values

    def rendered(self, format: Format, top: int) -> str:  # noqa: A002  # as --format
        """Return the explanation as text, JSON or a page."""
        title = f"Explanation of “{self.query.expansion.text}”"
        return rendered(self.values(), self.sections(top), format, title, f"encoder {self.query.encoder}")


@dataclass(frozen=True, slots=True)
class ExplainedVector:
    """The vector of a document."""

    vector: Vector

    def sections(self, top: int) -> list[Section]:
        """Return the part of the explanation, with `top` rows."""
        return [vector_section(self.vector, top)]

    def values(self) -> dict[str, object]:
        """Return the id of the document and its entries."""
        return {"document": self.vector.name, "entries": dict(self.vector)}

    def rendered(self, format: Format, top: int) -> str:  # noqa: A002  # as --format
        """Return the vector as text, JSON or a page."""
        title = f"The vector of {self.vector.name}"
        return rendered(self.values(), self.sections(top), format, title)


def rendered(
    values: dict[str, object],
    sections: Sequence[Section],
    format: Format,  # noqa: A002  # as --format
    title: str,
    detail: str = "",
) -> str:
    """Return an explanation as text, JSON or a page; `detail` says more of how it was made."""
    match format:
        case "json":
            return orjson.dumps(values, option=orjson.OPT_INDENT_2 | orjson.OPT_APPEND_NEWLINE).decode()
        case "html":
            return sections_page(title, sections, ", ".join(filter(None, [__version__, detail])))
        case "table":
            return "\n".join(map(section_text, sections))
