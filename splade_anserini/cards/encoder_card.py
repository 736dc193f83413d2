"""The encoder card: a TOML file that says where an encoder is and how to use it."""

from typing import Self

import pydantic

from splade_anserini.artifacts.manifests import GrowingModel
from splade_anserini.cards.training_recipe import TrainingRecipe
from splade_anserini.records import DEFAULT_SCALE, Activation, Aggregation, Pooling, QuerySide

type RecipeValue = str | int | float | bool


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
    recipe: dict[str, RecipeValue] = pydantic.Field(default_factory=dict)
    """Free-form notes on how the encoder was made, for people who want to reproduce it."""
    training: TrainingRecipe | None = None
    """The recipe by which `train` makes the encoder."""

    later_fields = frozenset({"activation"})

    @property
    def aggregation(self) -> Aggregation:
        """Pooling and activation together."""
        return Aggregation(self.pooling, self.activation)

    @pydantic.model_validator(mode="after")
    def _one_query_side(self) -> Self:
        trained = self.training.query_side if self.training else None
        if trained and self.query_side and trained != self.query_side:
            raise ValueError(f'query_side is "{self.query_side}" for the encoder and "{trained}" in [training]')
        return self
