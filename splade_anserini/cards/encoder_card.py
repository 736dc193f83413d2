"""The encoder card: a TOML file that says where an encoder is and how to use it."""

from typing import Self

import pydantic

from splade_anserini.artifacts.model import GrowingModel, Model, QueryIdf
from splade_anserini.cards.training_recipe import TrainingRecipe
from splade_anserini.records import DEFAULT_SCALE, Activation, Aggregation, Pooling, QuerySide, Side

type RecipeValue = str | int | float | bool


class PublishedScore(Model):
    """A table `[[published]]`: what somebody reports of an encoder."""

    collection: str
    """Such as "MS MARCO v1 passages, dev" or "BEIR, mean of 13 collections"."""
    measure: str
    value: float
    source: str
    """Who says so: a paper with its table, a model card."""


class ReferenceTable(Model):
    """A table `[[reference]]`: a text, and the entries of greatest weight of its vector."""

    model_config = pydantic.ConfigDict(allow_inf_nan=False)

    text: str
    side: Side
    entries: dict[str, float] = pydantic.Field(min_length=1)
    """Token → weight; every other entry of the vector weighs less."""
    tolerance: float = pydantic.Field(default=1e-3, gt=0)
    """The greatest difference of a weight, relative to the weight if that is above 1."""


class EncoderCard(GrowingModel):
    """An encoder: where its weights are and how it is used."""

    name: str
    description: str
    license: str
    source: str
    """A directory next to the card, or a Hugging Face model id."""
    pooling: Pooling = "max"
    activation: Activation = "relu"
    query_side: QuerySide | None = None
    """None: the value of the encoder's manifest, else `splade`."""
    scale: float = pydantic.Field(default=DEFAULT_SCALE, gt=0)
    max_length: int = pydantic.Field(default=256, gt=2)
    query_max_length: int = pydantic.Field(default=256, gt=2)
    query_idf: QueryIdf = 0.0
    """The power of the collection's idf by which impacts of queries are multiplied (--query-idf); 0: none."""
    earlier_query_max_length: int | None = pydantic.Field(default=None, gt=2)
    """Tokens of a query for indexes that do not record it, which version 0.1 built. None: `query_max_length`."""
    prompt: str = ""
    """Text that is put before every document."""
    query_prompt: str = ""
    """Text that is put before every query."""
    recipe: dict[str, RecipeValue] = pydantic.Field(default_factory=dict)
    """Free-form notes on how the encoder was made, for people who want to reproduce it."""
    published: tuple[PublishedScore, ...] = ()
    """Scores that others report of the encoder."""
    verified: bool = False
    """Whether somebody has run the encoder with this card and compared its vectors with those of its authors."""
    reference: tuple[ReferenceTable, ...] = ()
    """Vectors of a few texts, with which the encoder is compared when it is first used."""
    training: TrainingRecipe | None = None
    """The recipe by which `train` makes the encoder."""

    later_fields = frozenset(
        {"activation", "prompt", "query_prompt", "published", "verified", "reference"}
        | {"query_idf", "earlier_query_max_length"}
    )

    @property
    def aggregation(self) -> Aggregation:
        """Pooling and activation together."""
        return Aggregation(self.pooling, self.activation)

    @pydantic.model_validator(mode="after")
    def _one_query(self) -> Self:
        trained = self.training.query_side if self.training else None
        if trained and self.query_side and trained != self.query_side:
            raise ValueError(f'query_side is "{self.query_side}" for the encoder and "{trained}" in [training]')
        power = self.training.query_idf if self.training else 0.0
        if power and power != self.query_idf:
            raise ValueError(f"query_idf is {self.query_idf:g} for the encoder and {power:g} in [training]")
        return self
