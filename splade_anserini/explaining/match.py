"""A score term by term: impact of the query × impact of the document."""

from collections.abc import Mapping
from dataclasses import astuple, dataclass, field
from typing import TYPE_CHECKING

from splade_anserini.errors import counted
from splade_anserini.explaining.rendering import section_text
from splade_anserini.explaining.sections import comparison_section, match_section, shortened
from splade_anserini.records import ImpactVector

if TYPE_CHECKING:
    import pandas as pd


@dataclass(frozen=True, slots=True)
class MatchedTerm:
    """A token that query and document share."""

    token: str
    query: int
    """Impact in the query, times idf if it is multiplied."""
    document: int
    product: int
    share: float
    """Of the score, from 0 to 1."""
    unweighted: int
    """Impact in the query before it was multiplied by idf."""

    def values(self) -> dict[str, object]:
        """Return the term as JSON values."""
        return {
            "token": self.token,
            "query": self.query,
            "document": self.document,
            "product": self.product,
            "share": round(self.share, 6),
            "unweighted": self.unweighted,
        }


@dataclass(frozen=True, slots=True, repr=False)
class Match:
    """A score and the terms that it is the sum of."""

    document: str
    """The id of the document, or its text."""
    score: int
    """That of the searcher: the sum of the products. In a run in TREC format it may be a tie step lower."""
    terms: tuple[MatchedTerm, ...]
    """The greatest product first, equal ones by token."""
    query_only: ImpactVector
    """Tokens of the query that the document lacks, the greatest impact first."""
    document_only: ImpactVector
    """Tokens of the document that the query lacks, the greatest impact first."""
    left_out_by_idf: ImpactVector = field(default_factory=dict)
    """Tokens of the query whose impact times idf is 0, as no document or nearly all have them: the impact before."""

    def values(self) -> dict[str, object]:
        """Return the match as JSON values."""
        return {
            "document": self.document,
            "score": self.score,
            "terms": [term.values() for term in self.terms],
            "query_only": dict(self.query_only),
            "document_only": dict(self.document_only),
            "left_out_by_idf": dict(self.left_out_by_idf),
        }

    def to_pandas(self) -> "pd.DataFrame":
        """Return a row for each term."""
        from splade_anserini.artifacts.data_frames import data_frame

        columns = ["token", "query", "document", "product", "share", "unweighted"]
        return data_frame(columns, [astuple(term) for term in self.terms])

    def __repr__(self) -> str:
        return f"<Match of {shortened(self.document)!r}: score {self.score:,}, {counted(len(self.terms), 'term')}>"

    def __str__(self) -> str:
        """Return the terms as bars."""
        return section_text(match_section(self))

    def _repr_html_(self) -> str:
        from splade_anserini.explaining.html import section_html

        return section_html(match_section(self))


@dataclass(frozen=True, slots=True)
class Difference:
    """What a token contributes to two scores."""

    token: str
    first: int
    second: int

    @property
    def difference(self) -> int:
        """What it adds to the first score more than to the second."""
        return self.first - self.second


@dataclass(frozen=True, slots=True, repr=False)
class Comparison:
    """Two documents for one query, by the terms that make the difference."""

    first: Match
    second: Match
    terms: tuple[Difference, ...]
    """The greatest absolute difference first, equal ones by token. Their differences add up to that of the scores."""

    def values(self) -> dict[str, object]:
        """Return the comparison as JSON values."""
        return {
            "first": self.first.values(),
            "second": self.second.values(),
            "difference": self.first.score - self.second.score,
            "terms": [
                {"token": term.token, "first": term.first, "second": term.second, "difference": term.difference}
                for term in self.terms
            ],
        }

    def to_pandas(self) -> "pd.DataFrame":
        """Return a row for each term with what it contributes to both scores."""
        from splade_anserini.artifacts.data_frames import data_frame

        rows = [(term.token, term.first, term.second, term.difference) for term in self.terms]
        return data_frame(["token", "first", "second", "difference"], rows)

    def __repr__(self) -> str:
        return f"<Comparison of {self.first!r} and {self.second!r}>"

    def __str__(self) -> str:
        """Return the differences as bars."""
        return section_text(comparison_section(self))

    def _repr_html_(self) -> str:
        from splade_anserini.explaining.html import section_html

        return section_html(comparison_section(self))


def explain_match(
    query: ImpactVector, document: ImpactVector, name: str = "", unweighted: ImpactVector | None = None
) -> Match:
    """Return the score of a document, called `name`, term by term.

    `unweighted` is the query before its impacts were multiplied by idf, if they were.
    """
    terms = matched_terms(query, document, unweighted)
    return Match(
        name,
        sum(term.product for term in terms),
        terms,
        descending({token: impact for token, impact in query.items() if token not in document}),
        descending({token: impact for token, impact in document.items() if token not in query}),
        descending({token: impact for token, impact in (unweighted or {}).items() if token not in query}),
    )


def matched_terms(
    query: ImpactVector, document: ImpactVector, unweighted: ImpactVector | None = None
) -> tuple[MatchedTerm, ...]:
    """Return the tokens that two vectors share, the greatest product first, equal ones by token."""
    products = {token: impact * document[token] for token, impact in query.items() if token in document}
    score = sum(products.values())
    before = query if unweighted is None else unweighted
    return tuple(
        MatchedTerm(token, query[token], document[token], product, product / score, before.get(token, query[token]))
        for token, product in descending(products).items()
    )


def compare(first: Match, second: Match) -> Comparison:
    """Return why a document is above another one, by the difference that each token makes."""
    products = [{term.token: term.product for term in match.terms} for match in (first, second)]
    terms = [Difference(token, *(side.get(token, 0) for side in products)) for token in {**products[0], **products[1]}]
    ordered = sorted(terms, key=lambda term: (-abs(term.difference), term.token))
    return Comparison(first, second, tuple(ordered))


def descending(impacts: Mapping[str, int]) -> dict[str, int]:
    """Return a vector with the greatest impact first, equal ones by token."""
    return dict(sorted(impacts.items(), key=lambda item: (-item[1], item[0])))
