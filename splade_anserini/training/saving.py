"""Save a student as a Hugging Face checkpoint that this package and sentence-transformers load."""

from pathlib import Path

from splade_anserini.artifacts.manifests import QUERY_MODEL, CheckpointManifest, write_manifest
from splade_anserini.artifacts.truncation import TextTruncation
from splade_anserini.cards.encoder_card import EncoderCard
from splade_anserini.cards.training_recipe import TrainingRecipe
from splade_anserini.formats.query_weights import write_query_weights
from splade_anserini.modeling.checkpoint import Checkpoint
from splade_anserini.modeling.query_sides import BagOfTokens
from splade_anserini.modeling.transformers_logging import quiet_transformers
from splade_anserini.modeling.vocabulary import vocabulary
from splade_anserini.training.sentence_transformers_files import (
    write_one_model,
    write_static_queries,
    write_two_models,
)
from splade_anserini.training.student import Student


def save_student(
    student: Student,
    card: EncoderCard,
    recipe: TrainingRecipe,
    steps: int,
    directory: Path,
    truncation: TextTruncation | None = None,
) -> None:
    """Write the model for documents, what encodes queries, and the manifest into `directory`."""
    _save_checkpoint(student.documents, directory)
    if student.queries is not None:
        _save_checkpoint(student.queries, directory / QUERY_MODEL)
    weights = learned_query_weights(student) if recipe.query_side in {"doc", "idf"} else {}
    if recipe.query_side == "idf":
        write_query_weights(directory, weights)
    _describe_for_sentence_transformers(student, card, recipe, weights, directory)
    manifest = CheckpointManifest(
        pooling=card.pooling,
        activation=card.activation,
        query_side=recipe.query_side,
        max_length=card.max_length,
        query_max_length=card.query_max_length,
        scale=card.scale,
        prompt=card.prompt,
        query_prompt=card.query_prompt,
        query_idf=card.query_idf,
        steps=steps,
        recipe=recipe.model_dump(mode="json"),
        truncation=truncation,
    )
    write_manifest(directory, manifest)


def learned_query_weights(student: Student) -> dict[str, float]:
    """Return the positive weights of query tokens, by token, of a student with the query side `doc` or `idf`."""
    bag = student.pair.queries
    if not isinstance(bag, BagOfTokens):
        raise TypeError(f"queries must be encoded by a BagOfTokens, got {type(bag).__name__}")
    tokens = vocabulary(student.documents.tokenizer, student.documents.vocabulary_size)
    weights = (bag.weights.detach().relu() * bag.present).tolist()
    return {token: weight for token, weight in zip(tokens, weights, strict=True) if weight > 0}


def _save_checkpoint(checkpoint: Checkpoint, directory: Path) -> None:
    with quiet_transformers():
        checkpoint.model.save_pretrained(directory)
        checkpoint.tokenizer.save_pretrained(directory)


def _describe_for_sentence_transformers(
    student: Student, card: EncoderCard, recipe: TrainingRecipe, weights: dict[str, float], directory: Path
) -> None:
    if student.queries is not None:
        write_two_models(directory, student.documents, student.queries, card)
    elif recipe.query_side == "splade":
        write_one_model(directory, student.documents, card)
    else:
        write_static_queries(directory, student.documents, card, weights, learned=recipe.query_side == "idf")
