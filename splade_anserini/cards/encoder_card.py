"""A TOML card that describes an encoder."""

from typing import Self

import pydantic

from splade_anserini.artifacts.manifests import DEFAULT_SCALE, Model, Pooling, QuerySide
from splade_anserini.cards.training_recipe import TrainingRecipe

type RecipeValue = str | int | float | bool


class EncoderCard(Model):
    """Describes an encoder: where its weights are and how it is used."""

    name: str
    description: str
    license: str
    source: str
    """A directory beside the card, or a Hugging Face model id."""
    pooling: Pooling = "max"
    query_side: QuerySide | None = None
    """None: its manifest's, else `splade`."""
    scale: float = pydantic.Field(default=DEFAULT_SCALE, gt=0)
    max_length: int = pydantic.Field(default=256, gt=2)
    query_max_length: int = pydantic.Field(default=256, gt=2)
    recipe: dict[str, RecipeValue] = pydantic.Field(default_factory=dict)
    """How it was made, in words and numbers, for those who make it again."""
    training: TrainingRecipe | None = None
    """How `train` makes it."""

    @pydantic.model_validator(mode="after")
    def _one_query_side(self) -> Self:
        trained = self.training.query_side if self.training else None
        if trained and self.query_side and trained != self.query_side:
            raise ValueError(f'query_side is "{self.query_side}" for the encoder and "{trained}" in [training]')
        return self
