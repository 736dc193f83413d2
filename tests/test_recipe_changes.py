"""The options of `train` that change a card: --backbone, --steps, --batch-size, --learning-rate."""

import logging

import pytest

from splade_anserini.cards.finding import find_encoder_card
from splade_anserini.errors import NOTE, InputError
from splade_anserini.training.options import RecipeOptions
from splade_anserini.training.recipe_changes import changed_card
from tests.cli_runner import run_stage


def test_options_change_a_card_as_lines_of_it_do() -> None:
    options = RecipeOptions(backbone='a "b"', batch_size=8, learning_rate=1e-3)
    lines = ["training.backbone='a \"b\"'", "training.batch_size=8", "training.learning_rate=1e-3"]
    assert changed_card("splade-v2-max", options, []) == find_encoder_card("splade-v2-max", lines)
    assert changed_card("splade-v2-max", RecipeOptions(), ["training.seed=1"]) == find_encoder_card(
        "splade-v2-max", ["training.seed=1"]
    )


def test_with_other_steps_warm_up_and_the_growth_of_lambda_keep_their_shares(
    caplog: pytest.LogCaptureFixture,
) -> None:
    caplog.set_level(NOTE, logger="splade_anserini")
    recipe = changed_card("splade-v2-max", RecipeOptions(steps=1500), []).training
    assert recipe
    assert (recipe.steps, recipe.warmup_steps, recipe.regularizer.until) == (1500, 60, 500)
    assert "training.warmup_steps 6,000 → 60, training.regularizer.until 50,000 → 500" in caplog.text
    assert caplog.records[0].levelno == NOTE > logging.INFO


def test_a_line_of_the_card_comes_before_the_share() -> None:
    recipe = changed_card("splade-v2-max", RecipeOptions(steps=1500), ["training.warmup_steps = 7"]).training
    assert recipe
    assert (recipe.steps, recipe.warmup_steps, recipe.regularizer.until) == (1500, 7, 500)


def test_what_a_card_does_not_have_stays_so() -> None:
    recipe = changed_card("splade-v2-max", RecipeOptions(steps=10), ["training.regularizer.until=0"]).training
    assert recipe
    assert (recipe.warmup_steps, recipe.regularizer.until) == (1, 0)


def test_an_option_and_a_line_that_change_the_same_are_refused() -> None:
    with pytest.raises(InputError, match=r"--batch-size and --set training\.batch_size exclude each other"):
        changed_card("splade-v2-max", RecipeOptions(batch_size=8), ["training.batch_size=9"])


def test_a_head_that_was_computed_for_another_backbone_is_not_used() -> None:
    with pytest.raises(InputError, match="The card splade-mini has a head that was computed for its backbone"):
        changed_card("splade-mini", RecipeOptions(backbone="bert-base-uncased"), [])


def test_the_card_is_that_of_the_paper_by_default() -> None:
    outcome = run_stage("train", "--help")
    assert "[default: splade-v2-max]" in outcome.out
    assert "--backbone" in outcome.out
    wrong = run_stage("train", "--data", "x", "--output", "y", "--steps", "0")
    assert (wrong.code, "--steps must be at least 1, got 0." in wrong.err) == (2, True)
