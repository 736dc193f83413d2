"""What requests may say, as OpenAPI describes it."""

from typing import Annotated, ClassVar, Literal

import pydantic

type Engine = Literal["impacts", "bm25", "hybrid"]
"""hybrid: scores of both, each divided by the greatest, BM25's times 0.5."""

Impact = Annotated[int, pydantic.Field(ge=1, le=1 << 20)]
Boost = Annotated[float, pydantic.Field(gt=0, le=1000, allow_inf_nan=False)]
Weight = Annotated[float, pydantic.Field(ge=0, le=1000, allow_inf_nan=False)]


class StrictModel(pydantic.BaseModel):
    """A body without unknown keys, or parameters without unknown names: a misspelled one would have no effect."""

    model_config = pydantic.ConfigDict(extra="forbid", frozen=True)


class QueryRequest(StrictModel):
    """A text or a vector of impacts, and what changes it."""

    query: str | None = pydantic.Field(
        default=None, description="The text of the query.", examples=["pain in the head"]
    )
    vector: dict[str, Impact] | None = pydantic.Field(
        default=None, description="Token → impact, instead of a text; multiplied by idf as those of texts are."
    )
    weights: dict[str, Weight] | None = pydantic.Field(
        default=None,
        description="Token → weight: other weights of some tokens of the text's expansion. 0 drops a token, one that "
        "is not there is added.",
        examples=[{"pain": 1.2, "mission": 0}],
    )
    index: str | None = pydantic.Field(default=None, description="The name of an index; the first one by default.")
    query_idf: float | None = pydantic.Field(
        default=None, ge=0, le=10, description="The power of idf by which impacts of the query are multiplied."
    )

    @pydantic.model_validator(mode="after")
    def _check(self) -> "QueryRequest":
        if (self.query is None) == (self.vector is None):
            raise ValueError(
                "there are both query and vector; only one of them can be searched for"
                if self.query is not None
                else "either query or vector is needed"
            )
        if self.weights is not None and self.query is None:
            raise ValueError("weights change the expansion of a query; change the vector itself")
        return self


class SearchRequest(QueryRequest):
    """A search for a text, or for a vector of impacts."""

    k: int = pydantic.Field(default=10, ge=1, description="How many hits.")
    engine: Engine = pydantic.Field(
        default="impacts", description="impacts, or bm25 and hybrid where the index has a text index."
    )
    documents: bool = pydantic.Field(default=True, description="Whether hits have their stored documents.")
    fields: tuple[str, ...] | None = pydantic.Field(
        default=None,
        description="Fields of the stored documents that hits have, beside the id; all by default. A field that a "
        "document lacks is left out.",
        examples=[["title", "price"]],
    )
    search_fields: dict[str, Boost] | None = pydantic.Field(
        default=None,
        min_length=1,
        description="Fields of the index that are searched, each with its boost: a score is the sum of boost × dot "
        "product. By default contents, where splade-anserini indexes vectors; indexes of Anserini may have others.",
        examples=[{"contents": 1, "title": 2.5}],
    )
    terms: bool = pydantic.Field(default=False, description="Whether hits have the terms of their scores.")
    filters: tuple[str, ...] = pydantic.Field(
        default=(),
        description="Conditions on fields of documents that hits fulfil all of, such as year>=1990.",
        examples=[["year>=1990", "category=sport"]],
    )
    snippets: bool = pydantic.Field(
        default=False,
        description="Whether hits have their title and best passage, with the words that match.",
    )

    @pydantic.model_validator(mode="after")
    def _check_engine(self) -> "SearchRequest":
        if self.engine != "impacts" and self.query is None:
            raise ValueError(f"engine {self.engine} needs a query")
        if self.engine != "impacts" and self.filters:
            raise ValueError(
                f"engine {self.engine} has no filters: text indexes have no fields for them; use engine impacts"
            )
        if self.search_fields and self.engine != "impacts":
            raise ValueError(f"engine {self.engine} has no search_fields; use engine impacts")
        if self.search_fields and (self.terms or self.snippets):
            raise ValueError("search_fields has no terms and no snippets, which are those of contents")
        return self


class IndexParameters(StrictModel):
    """Which index is asked, in the URL."""

    index: str | None = pydantic.Field(default=None, description="The name of an index; the first one by default.")


class SearchParameters(IndexParameters):
    """A search for a text, in the URL."""

    REPEATED: ClassVar[frozenset[str]] = frozenset({"field", "filter"})
    """Parameters that may occur several times."""

    q: str = pydantic.Field(description="The text of the query.")
    k: int = pydantic.Field(default=10, ge=1, description="How many hits.")
    engine: Engine = pydantic.Field(default="impacts", description="impacts, bm25 or hybrid.")
    documents: bool = pydantic.Field(default=True, description="Whether hits have their stored documents.")
    terms: bool = pydantic.Field(default=False, description="Whether hits have the terms of their scores.")
    filter: list[str] = pydantic.Field(
        default=[], description="A condition such as year>=1990; may be repeated, and all have to hold."
    )
    snippets: bool = pydantic.Field(default=False, description="Whether hits have their title and best passage.")
    field: list[str] = pydantic.Field(
        default=[], description="A field of the stored documents that hits have, beside the id; may be repeated."
    )

    def request(self) -> SearchRequest:
        """Return the search as a body says it. Raises pydantic's `ValidationError`."""
        return SearchRequest(
            query=self.q,
            k=self.k,
            index=self.index,
            engine=self.engine,
            documents=self.documents,
            terms=self.terms,
            snippets=self.snippets,
            filters=tuple(self.filter),
            fields=tuple(self.field) or None,
        )


class EncodeParameters(IndexParameters):
    """A text that is encoded as a query, in the URL."""

    q: str = pydantic.Field(description="The text of the query.")


class EncodeRequest(StrictModel):
    """A text that is encoded as a query."""

    text: str = pydantic.Field(examples=["pain in the head"])
    index: str | None = pydantic.Field(default=None, description="Its encoder is used; that of the first by default.")


class ExplainRequest(QueryRequest):
    """A query and a document."""

    id: str = pydantic.Field(description="The id of the document.")
    engine: Literal["impacts", "bm25"] = pydantic.Field(
        default="impacts", description="Whose score is explained; bm25 where the index has a text index."
    )
    highlights: bool = pydantic.Field(
        default=False,
        description="Whether the answer has the stored title and text, with the words that match.",
    )

    @pydantic.model_validator(mode="after")
    def _check_engine(self) -> "ExplainRequest":
        if self.engine == "bm25" and self.query is None:
            raise ValueError("engine bm25 needs a query")
        return self


class CompareRequest(QueryRequest):
    """A query and two documents."""

    first: str = pydantic.Field(description="The id of a document.")
    second: str = pydantic.Field(description="The id of another one.")


class DocumentText(StrictModel):
    """The content of a document."""

    title: str = ""
    text: str = pydantic.Field(description="What is encoded, after the title.")
    fields: dict[str, pydantic.JsonValue] = pydantic.Field(
        default_factory=dict, description="Other fields, which the index stores or filters by."
    )

    @pydantic.field_validator("fields")
    @classmethod
    def _check_names(cls, fields: dict[str, pydantic.JsonValue]) -> dict[str, pydantic.JsonValue]:
        if taken := {"id", "_id", "docid", "title", "text", "contents", "vector"} & fields.keys():
            raise ValueError(f"{', '.join(sorted(taken))} cannot be the name of another field")
        return fields

    def record(self, doc_id: str) -> dict[str, pydantic.JsonValue]:
        """Return the document with its id as one object."""
        return {"id": doc_id, "title": self.title, "text": self.text, **self.fields}


class NewDocument(DocumentText):
    """A document to add."""

    id: str = pydantic.Field(min_length=1)


class DocumentsRequest(StrictModel):
    """Documents to add."""

    documents: list[NewDocument] = pydantic.Field(min_length=1)
    replace: bool = pydantic.Field(default=False, description="Whether documents with the same ids are replaced.")
    index: str | None = pydantic.Field(default=None, description="The name of an index; the first one by default.")


class ChangeAnswer(pydantic.BaseModel):
    """What a change did; searches find it from then on."""

    added: int
    replaced: int
    deleted: int
    empty: int = pydantic.Field(description="Documents with an empty vector, which are not found.")
    documents: int = pydantic.Field(description="Documents that the index has now.")


class Term(pydantic.BaseModel):
    """A token that query and document share."""

    token: str
    query: int = pydantic.Field(
        description="Its impact in the query, as it was searched; for bm25 how often the word is in the query."
    )
    document: float = pydantic.Field(
        description="Its impact in the document, an integer; for bm25 the score of the word in the document."
    )
    product: float = pydantic.Field(description="query × document")


class Mark(pydantic.BaseModel):
    """A word that matches: text[start:stop], in characters (of Unicode)."""

    start: int
    stop: int
    tokens: list[str]
    product: float = pydantic.Field(description="What its tokens contribute to the score.")


class Passage(pydantic.BaseModel):
    """A passage on one line."""

    text: str
    marks: list[Mark]
    cut_before: bool
    cut_after: bool


class Hit(pydantic.BaseModel):
    """A document that was found."""

    rank: int
    id: str
    score: float = pydantic.Field(
        description="An integer with the engine impacts, the dot product of the impacts, unless search_fields is there."
    )
    document: dict[str, object] | None = pydantic.Field(
        description="The stored document, or those of its fields that were asked for; null when none is stored, or "
        "documents is false."
    )
    terms: list[Term] | None = pydantic.Field(
        default=None, description="The terms of the score, the greatest product first; there if terms is true."
    )
    title: Passage | None = pydantic.Field(default=None, description="The title; there if snippets is true.")
    snippet: Passage | None = pydantic.Field(
        default=None, description="The passage that brings most of the score; there if snippets is true."
    )


class SearchAnswer(pydantic.BaseModel):
    """The hits of a search, best first."""

    query: str | None
    weights: dict[str, int] = pydantic.Field(description="Token → impact, as it was searched; empty for bm25.")
    query_idf: float | None = pydantic.Field(
        default=None, description="The power of idf by which impacts were multiplied; not there where they were not."
    )
    unweighted: dict[str, int] | None = pydantic.Field(
        default=None, description="The impacts before they were multiplied by idf; there with query_idf."
    )
    hits: list[Hit]
    missing_shards: list[str] | None = pydantic.Field(
        default=None,
        description="Shards that did not answer, whose documents are not among the hits; there with serve --ray "
        "--missing-shards report, if there are some.",
    )


class IndexDescription(pydantic.BaseModel):
    """An index that is served."""

    name: str
    documents: int
    engines: list[Engine]
    encoder: str | None = pydantic.Field(description="The encoder of the documents.")
    texts: bool = pydantic.Field(description="Whether it can be searched for texts; without an encoder for vectors.")
    query_idf: float
    filters: dict[str, str] = pydantic.Field(description="Fields by which hits can be filtered, with their types.")
    generation: int = pydantic.Field(description="How often it was opened since the service started.")


class PageAnswer(pydantic.BaseModel):
    """What is served, and what a request may ask for."""

    indexes: list[IndexDescription]
    samples: list[str] = pydantic.Field(description="Queries to begin with: those of --sample-queries.")
    max_hits: int = pydantic.Field(description="Greatest k of a request.")
    max_query: int = pydantic.Field(description="Characters of the longest query.")


class Entry(pydantic.BaseModel):
    """An entry of an expansion."""

    token: str
    weight: float
    impact: int = pydantic.Field(description="round(weight × scale)")
    own: bool = pydantic.Field(description="Whether it is a token of the text.")
    origin: str | None = pydantic.Field(description="The token of the text from which the weight comes, if known.")


class EncodeAnswer(pydantic.BaseModel):
    """What a text becomes, before idf."""

    text: str
    tokens: list[str]
    scale: float
    entries: list[Entry]


class ExplainedTerm(Term):
    """A term of a score."""

    share: float = pydantic.Field(description="Of the score, from 0 to 1.")
    unweighted: int = pydantic.Field(description="Its impact in the query before idf.")


class ExplainAnswer(pydantic.BaseModel):
    """A score, term by term."""

    document: str
    score: float = pydantic.Field(description="An integer with the engine impacts.")
    terms: list[ExplainedTerm]
    query_only: dict[str, int] = pydantic.Field(description="Tokens of the query that the document lacks.")
    document_only: dict[str, int] | None = pydantic.Field(
        description="Tokens of the document that the query lacks; null unless the index stores vectors of documents."
    )
    left_out_by_idf: dict[str, int] = pydantic.Field(
        description="Tokens of the query whose impact times idf is 0, with their impacts before idf."
    )
    title: Passage | None = pydantic.Field(default=None, description="The title; there if highlights is true.")
    text: Passage | None = pydantic.Field(
        default=None,
        description="The text as it is stored, or the best passage of a very long one; there if highlights is true.",
    )


class Difference(pydantic.BaseModel):
    """What a token contributes to two scores."""

    token: str
    first: int
    second: int
    difference: int


class CompareAnswer(pydantic.BaseModel):
    """Two documents for one query; the differences of the terms add up to that of the scores."""

    first: ExplainAnswer
    second: ExplainAnswer
    difference: int
    terms: list[Difference]


class Problem(pydantic.BaseModel):
    """Why a request was not answered."""

    type: str
    message: str


class ErrorAnswer(pydantic.BaseModel):
    """An error."""

    error: Problem
