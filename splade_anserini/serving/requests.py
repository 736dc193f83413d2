"""What requests may say, as OpenAPI describes it."""

from typing import Annotated, Literal

import pydantic

type Engine = Literal["impacts", "bm25", "hybrid"]
"""hybrid: scores of both, each divided by the greatest, BM25's times 0.5."""

Impact = Annotated[int, pydantic.Field(ge=1, le=1 << 20)]
Weight = Annotated[float, pydantic.Field(ge=0, le=1000, allow_inf_nan=False)]


class StrictModel(pydantic.BaseModel):
    """A body without unknown keys: a misspelled one would have no effect."""

    model_config = pydantic.ConfigDict(extra="forbid", frozen=True)


class SearchRequest(StrictModel):
    """A search for a text, or for a vector of impacts."""

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
        examples=[{"pain": 1.2, "wicket": 0}],
    )
    k: int = pydantic.Field(default=10, ge=1, description="How many hits.")
    index: str | None = pydantic.Field(default=None, description="The name of an index; the first one by default.")
    engine: Engine = pydantic.Field(
        "impacts", description="impacts, or bm25 and hybrid where the index has a text index."
    )
    query_idf: float | None = pydantic.Field(
        default=None, ge=0, le=10, description="The power of idf by which impacts of the query are multiplied."
    )
    documents: bool = pydantic.Field(default=True, description="Whether hits have their stored documents.")

    @pydantic.model_validator(mode="after")
    def _check(self) -> "SearchRequest":
        if (self.query is None) == (self.vector is None):
            raise ValueError("either query or vector is needed")
        if self.weights is not None and self.query is None:
            raise ValueError("weights change the expansion of a query; change the vector itself")
        if self.engine != "impacts" and self.query is None:
            raise ValueError(f"engine {self.engine} needs a query")
        return self


class Hit(pydantic.BaseModel):
    """A document that was found."""

    rank: int
    id: str
    score: float = pydantic.Field(description="An integer with the engine impacts: the dot product of the impacts.")
    document: dict[str, object] | None = pydantic.Field(
        description="The stored document; null when none is stored, or documents is false."
    )


class SearchAnswer(pydantic.BaseModel):
    """The hits of a search, best first."""

    query: str | None
    weights: dict[str, int] = pydantic.Field(description="Token → impact, as it was searched; empty for bm25.")
    hits: list[Hit]


class IndexDescription(pydantic.BaseModel):
    """An index that is served."""

    name: str
    documents: int
    engines: list[Engine]
    encoder: str | None = pydantic.Field(description="The encoder of the documents.")
    query_idf: float
    generation: int = pydantic.Field(description="How often it was opened since the service started.")


class Problem(pydantic.BaseModel):
    """Why a request was not answered."""

    type: str
    message: str


class ErrorAnswer(pydantic.BaseModel):
    """An error."""

    error: Problem
