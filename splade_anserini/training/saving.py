"""Save a student as a Hugging Face checkpoint that this package and sentence-transformers load."""

import json
from pathlib import Path

from splade_anserini.artifacts.manifests import QUERY_MODEL, CheckpointManifest, write_manifest
from splade_anserini.cards.encoder_card import EncoderCard
from splade_anserini.cards.training_recipe import TrainingRecipe
from splade_anserini.formats.query_weights import write_query_weights
from splade_anserini.modeling.checkpoint import Checkpoint
from splade_anserini.modeling.query_sides import BagOfTokens
from splade_anserini.modeling.transformers_logging import quiet_transformers
from splade_anserini.modeling.vocabulary import vocabulary
from splade_anserini.records import Aggregation
from splade_anserini.training.student import Student

_MODULES = "sentence_transformers.sparse_encoder.models"


def save_student(student: Student, card: EncoderCard, recipe: TrainingRecipe, steps: int, directory: Path) -> None:
    """Write the model for documents, what encodes queries, and the manifest into `directory`."""
    _save_checkpoint(student.documents, directory)
    if student.queries is not None:
        _save_checkpoint(student.queries, directory / QUERY_MODEL)
    if recipe.query_side == "idf":
        write_query_weights(directory, learned_query_weights(student))
    if card.pooling in {"max", "sum"} and recipe.query_side == "splade":
        _save_for_sentence_transformers(directory, card.aggregation, student.documents.vocabulary_size, card.max_length)
    manifest = CheckpointManifest(
        pooling=card.pooling,
        activation=card.activation,
        query_side=recipe.query_side,
        max_length=card.max_length,
        query_max_length=card.query_max_length,
        scale=card.scale,
        steps=steps,
        recipe=recipe.model_dump(mode="json"),
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


def _save_for_sentence_transformers(
    directory: Path, aggregation: Aggregation, vocabulary_size: int, max_length: int
) -> None:
    """Write the files with which sentence-transformers opens the directory as a `SparseEncoder`.

    It has the poolings max and sum.
    """
    classes = {"": "MLMTransformer", "1_SpladePooling": "SpladePooling"}
    modules = [
        {"idx": index, "name": str(index), "path": path, "type": f"{_MODULES}.{name}"}
        for index, (path, name) in enumerate(classes.items())
    ]
    files = {
        "modules.json": modules,
        "sentence_bert_config.json": {"max_seq_length": max_length, "do_lower_case": False},
        "config_sentence_transformers.json": {"model_type": "SparseEncoder", "similarity_fn_name": "dot"},
        "1_SpladePooling/config.json": {
            "pooling_strategy": aggregation.pooling,
            "activation_function": aggregation.activation,
            "word_embedding_dimension": vocabulary_size,
        },
    }
    for name, content in files.items():
        path = directory / name
        path.parent.mkdir(exist_ok=True)
        path.write_text(json.dumps(content, indent=2) + "\n", encoding="utf-8")
