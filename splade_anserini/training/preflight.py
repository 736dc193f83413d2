"""What can be known of a run before anything is read or loaded."""

from importlib.util import find_spec
from pathlib import Path

from splade_anserini.artifacts.files import require_free
from splade_anserini.cards.encoder_card import EncoderCard
from splade_anserini.cards.training_recipe import TrainingRecipe
from splade_anserini.errors import DependencyError, InputError

_PACKAGES = ("accelerate", "matplotlib")
"""The one that training begins with, and the one that draws its course at the end."""


def require_ready(card: EncoderCard, output: Path) -> TrainingRecipe:
    """Return the card's recipe.

    Raises `InputError` when it has none, `OutputError` when there is something at `output`, and `DependencyError` when
    a package of the extra is missing: now, and not after the hours of training.
    """
    if card.training is None:
        raise InputError(
            f"The card {card.name} has no [training].",
            expected="a table that describes the run, see docs/cards.md",
            do="Name a card that has one, such as splade-v2-max, or write it.",
        )
    require_free(output)
    for package in _PACKAGES:
        if find_spec(package) is None:
            raise DependencyError.missing(package, "train")
    return card.training
