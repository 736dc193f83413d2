"""A TOML card that describes an index: its sources, how it is built and searched, and the scores to expect of it."""

from typing import Annotated, Self

import pydantic

from splade_anserini.artifacts.manifests import Model

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


class IndexCard(Contractual):
    """Describes an index: what it is built from, how, and the scores to expect of it.

    Paths are relative to the card; `{data}` in them stands for a directory that the user names, `{package}` for the
    collections that ship.
    """

    name: str = pydantic.Field(pattern=NAME)
    description: str
    corpus: str = ""
    impacts: str = ""
    """Instead of encoding the corpus: a file or directory of impact pseudo-documents."""
    encoder: str = ""
    """As on the command line. Not needed where documents and topics are encoded already."""
    data: str = ""
    """Where to get what is not named irds:, for those who lack it."""
    words: float | None = pydantic.Field(default=None, gt=0)
    """Words of an average document, for estimates."""
    encode: Encoding = Encoding()
    index: Indexing = Indexing()
    search: Searching = Searching()
    evaluation: tuple[Expectation, ...] = pydantic.Field(min_length=1)

    @pydantic.model_validator(mode="after")
    def _complete(self) -> Self:
        if not self.corpus and not self.impacts:
            raise ValueError("it names neither a corpus nor impacts")
        if self.corpus and self.impacts:
            raise ValueError("it names a corpus and impacts, which stand for it")
        needs = [f'the evaluation "{one.name}"' for one in self.evaluation if not one.encoded]
        needs += [] if self.impacts else ["the corpus"]
        if needs and not self.encoder:
            raise ValueError(f"{needs[0]} needs an encoder")
        names = [one.name for one in self.evaluation]
        if again := next((name for name in names if names.count(name) > 1), None):
            raise ValueError(f'two evaluations are called "{again}"')
        return self
