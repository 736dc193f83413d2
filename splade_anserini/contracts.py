"""What an index card says beyond its sources: how the index is built and searched, and the scores to expect of it."""

from typing import Annotated

import pydantic

from splade_anserini.manifests import Model

DEFAULT_TOLERANCE = 0.001

NAME = r"^[A-Za-z0-9][A-Za-z0-9._-]*$"
"""Names become those of files."""


class Contractual(Model):
    """Numbers are finite: TOML knows inf and nan, with which nothing can be built or compared."""

    model_config = pydantic.ConfigDict(allow_inf_nan=False)


class Encoding(Contractual):
    """The table `[encode]`: what decides the impacts, for documents and queries alike."""

    max_length: int | None = pydantic.Field(default=None, gt=2)
    """Tokens of a document that are read. None: the encoder's."""
    query_max_length: int | None = pydantic.Field(default=None, gt=2)
    scale: float | None = pydantic.Field(default=None, gt=0)
    """None: the encoder's."""
    top_k: int | None = pydantic.Field(default=None, gt=0)
    contents: bool = False
    docs_per_shard: int = pydantic.Field(default=10_000, gt=0)


class Indexing(Contractual):
    """The table `[index]`."""

    optimize: bool = True
    store_text: bool = False
    store_docvectors: bool = False


class Searching(Contractual):
    """The table `[search]`."""

    hits: int = pydantic.Field(default=1000, gt=0)
    remove_query: bool = False
    """Where queries are documents of the corpus: never the one with the query's id."""


class Expectation(Contractual):
    """A table `[[evaluation]]`: topics, judgements, and what the measures should come to."""

    name: str = pydantic.Field(pattern=NAME)
    """Short, for reports and for the run's file."""
    topics: str
    encoded: bool = False
    """Whether the topics are impact vectors already."""
    qrels: str
    expected: dict[str, Annotated[float, pydantic.Field(ge=0)]] = pydantic.Field(default_factory=dict)
    """Measure → value."""
    measures: tuple[str, ...] = ()
    """What is measured besides, for which no value is known."""
    tolerance: float = pydantic.Field(default=DEFAULT_TOLERANCE, ge=0)
    source: str = ""
    """Who says so: a paper's table, another program's regression."""
    verified: bool = False
    """Whether somebody has run this card and found it so."""

    @pydantic.model_validator(mode="after")
    def _measured(self) -> "Expectation":
        if not self.expected and not self.measures:
            raise ValueError(f'the evaluation "{self.name}" names no measure')
        if self.expected and not self.source:
            raise ValueError(f'the evaluation "{self.name}" expects scores, but does not say from which source')
        if self.verified and not self.expected:
            raise ValueError(f'the evaluation "{self.name}" is verified, but expects nothing')
        return self
