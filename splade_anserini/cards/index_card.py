"""The index card: a TOML file with an index's sources, how to build and search it, and the scores to expect."""

from typing import Annotated, Self

import pydantic

from splade_anserini.artifacts.model import Model

DEFAULT_TOLERANCE = 0.001

NAME = r"^[A-Za-z0-9][A-Za-z0-9._-]*$"
"""Pattern of a name, which is also used as a file name."""


class Table(Model):
    """A table of an index card. Its numbers are finite, although TOML also has inf and nan."""

    model_config = pydantic.ConfigDict(allow_inf_nan=False)


class EncodeTable(Table):
    """The table `[encode]`: the settings that decide the impacts of documents and queries."""

    max_length: int | None = pydantic.Field(default=None, gt=2)
    """Tokens of a document that are encoded. None: the encoder's default."""
    query_max_length: int | None = pydantic.Field(default=None, gt=2)
    scale: float | None = pydantic.Field(default=None, gt=0)
    """impact = round(weight × scale). None: the encoder's default."""
    top_k: int | None = pydantic.Field(default=None, gt=0)
    contents: bool = False
    docs_per_shard: int = pydantic.Field(default=10_000, gt=0)


class IndexTable(Table):
    """The table `[index]`: the options of the index writer."""

    optimize: bool = True
    store_text: bool = False
    store_docvectors: bool = False


class SearchTable(Table):
    """The table `[search]`: the options of the search."""

    hits: int = pydantic.Field(default=1000, gt=0)
    remove_query: bool = False
    """Whether the document with the query's id is left out, for queries that are documents of the corpus."""
    query_idf: float | None = pydantic.Field(default=None, ge=0, le=10)
    """The power of idf by which impacts of queries are multiplied. None: the encoder's."""


class Expectation(Table):
    """A table `[[evaluation]]`: topics, judgements, and the expected values of measures."""

    name: str = pydantic.Field(pattern=NAME)
    """A short name, used in reports and in the file name of the run."""
    topics: str
    encoded: bool = False
    """Whether the topics are impact vectors."""
    qrels: str
    expected: dict[str, Annotated[float, pydantic.Field(ge=0)]] = pydantic.Field(default_factory=dict)
    """Measure → value."""
    measures: tuple[str, ...] = ()
    """Further measures to report, without an expected value."""
    tolerance: float = pydantic.Field(default=DEFAULT_TOLERANCE, ge=0)
    """The largest difference from an expected value that counts as equal."""
    source: str = ""
    """Where the expected values are from: a table of a paper, a regression test of another program."""
    verified: bool = False
    """Whether somebody has run this card and got the expected values."""

    @pydantic.model_validator(mode="after")
    def _has_measures_and_source(self) -> "Expectation":
        if not self.expected and not self.measures:
            raise ValueError(f'the evaluation "{self.name}" has neither expected scores nor measures')
        if self.expected and not self.source:
            raise ValueError(f'the evaluation "{self.name}" has expected scores, but no source')
        if self.verified and not self.expected:
            raise ValueError(f'the evaluation "{self.name}" is verified, but has no expected scores')
        return self


class IndexCard(Table):
    """An index: its sources, how it is built and searched, and the scores to expect of it.

    Paths are relative to the card; `{data}` in them stands for the directory given by --data, `{package}` for the
    directory of the collections that ship.
    """

    name: str = pydantic.Field(pattern=NAME)
    description: str
    corpus: str = ""
    impacts: str = ""
    """Instead of `corpus`: a file or directory of impact pseudo-documents."""
    encoder: str = ""
    """The value of --encoder. Not needed when documents and topics are impact vectors."""
    data: str = ""
    """Where to download the data, unless all sources begin with irds:."""
    encode: EncodeTable = EncodeTable()
    index: IndexTable = IndexTable()
    search: SearchTable = SearchTable()
    evaluation: tuple[Expectation, ...] = pydantic.Field(min_length=1)

    @pydantic.model_validator(mode="before")
    @classmethod
    def _ignore_words(cls, fields: object) -> object:
        """Ignore `words`, a field of older cards."""
        if isinstance(fields, dict):
            return {name: value for name, value in fields.items() if name != "words"}
        return fields

    @pydantic.model_validator(mode="after")
    def _has_sources_and_encoder(self) -> Self:
        if not self.corpus and not self.impacts:
            raise ValueError("the card has neither a corpus nor impacts")
        if self.corpus and self.impacts:
            raise ValueError("the card has both a corpus and impacts")
        to_encode = [f'the evaluation "{table.name}"' for table in self.evaluation if not table.encoded]
        to_encode += [] if self.impacts else ["the corpus"]
        if to_encode and not self.encoder:
            raise ValueError(f"{to_encode[0]} needs an encoder")
        names = [table.name for table in self.evaluation]
        if duplicate := next((name for name in names if names.count(name) > 1), None):
            raise ValueError(f'two evaluations are named "{duplicate}"')
        return self
