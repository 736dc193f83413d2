"""What options such as --steps change in the recipe of a card, as lines of TOML."""

import json
import logging
from collections.abc import Sequence

from splade_anserini.cards.encoder_card import EncoderCard
from splade_anserini.cards.finding import find_encoder_card
from splade_anserini.cards.training_recipe import TrainingRecipe
from splade_anserini.errors import NOTE, InputError
from splade_anserini.training.options import RecipeOptions

_log = logging.getLogger(__name__)


def changed_card(name: str, options: RecipeOptions, changes: Sequence[str]) -> EncoderCard:
    """Return the card of a name, changed by `changes`, lines of TOML, and by `options`.

    With other steps, `warmup_steps` and `regularizer.until` are changed in proportion, unless `changes` has them.
    Raises `InputError` when an option and a line change the same, or the backbone of a card that has a head for its
    own.
    """
    card = find_encoder_card(name, changes)
    recipe, fields = card.training, {change.partition("=")[0].strip() for change in changes}
    if recipe is None:
        return card
    lines = []
    for field in ("backbone", "steps", "batch_size", "learning_rate"):
        value = getattr(options, field)
        if value is None:
            continue
        if f"training.{field}" in fields:
            flag = f"--{field.replace('_', '-')}"
            raise InputError(f"{flag} and --set training.{field} exclude each other.", do="Leave one of them out.")
        lines.append(f"training.{field}={json.dumps(value, ensure_ascii=False)}")
    if options.backbone is not None and recipe.head is not None:
        raise InputError(
            f"The card {card.name} has a head that was computed for its backbone, {recipe.backbone}.",
            expected="a card without [training.head], such as splade-v2-max, for another --backbone",
        )
    if options.steps is not None:
        lines += _in_proportion(recipe, options.steps, fields)
    return find_encoder_card(name, [*changes, *lines]) if lines else card


def _in_proportion(recipe: TrainingRecipe, steps: int, fields: set[str]) -> list[str]:
    """Return the lines that keep warm-up and the growth of λ at the same shares of the run."""
    before = {"training.warmup_steps": recipe.warmup_steps, "training.regularizer.until": recipe.regularizer.until}
    after = {
        field: max(1, round(value * steps / recipe.steps))
        for field, value in before.items()
        if value and field not in fields
    }
    if after and steps != recipe.steps:
        changed = ", ".join(f"{field} {before[field]:,} → {value:,}" for field, value in after.items())
        _log.log(NOTE, "--steps %d instead of %d: %s.", steps, recipe.steps, changed)
    return [f"{field}={value}" for field, value in after.items()]
