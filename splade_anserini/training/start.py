"""The models that a recipe starts from."""

from dataclasses import dataclass
from typing import Any

import torch

from splade_anserini.errors import InputError
from splade_anserini.modeling.backbone import load_backbone
from splade_anserini.modeling.checkpoint import Checkpoint, load_checkpoint
from splade_anserini.modeling.precision import DTYPES
from splade_anserini.modeling.query_sides import BagOfTokens, Pair
from splade_anserini.modeling.trainable import TrainableSplade
from splade_anserini.modeling.vocabulary import silenced_ids
from splade_anserini.modeling.warm_start import WarmStart, warm_start
from splade_anserini.recipes import TrainingRecipe


@dataclass(frozen=True, slots=True)
class Student:
    """What learns: the modules that compute, and the checkpoints that hold the same parameters and can be saved."""

    pair: Pair
    documents: Checkpoint
    queries: Checkpoint | None
    """For the query side `separate`."""


def student(recipe: TrainingRecipe, pooling: Any, query_weights: torch.Tensor | None = None) -> Student:
    """Load what the recipe names. `query_weights` [vocabulary] start the query side `idf`.

    Raises `InputError` when a backbone cannot be loaded, or the lengths are beyond it.
    """
    dtype = DTYPES[recipe.precision]
    documents = _checkpoint(recipe, recipe.backbone)
    module = TrainableSplade(documents, pooling, dtype)
    queries = None
    if recipe.query_side == "splade":
        return Student(Pair(module), documents, None)
    if recipe.query_side == "separate":
        queries = _checkpoint(recipe, recipe.query_backbone or recipe.backbone)
        return Student(Pair(module, TrainableSplade(queries, pooling, dtype)), documents, queries)
    size = documents.vocabulary_size
    weights = torch.ones(size) if query_weights is None else query_weights
    bag = BagOfTokens(weights, silenced_ids(documents.tokenizer, size), learned=recipe.query_side == "idf")
    return Student(Pair(module, bag), documents, None)


def _checkpoint(recipe: TrainingRecipe, name: str) -> Checkpoint:
    if recipe.head is None:
        checkpoint = load_checkpoint(name)
    else:
        backbone = load_backbone(name)
        numbers = WarmStart(recipe.head.threshold, recipe.head.logit_scale, recipe.head.shift)
        checkpoint = Checkpoint(warm_start(backbone.model, backbone.tokenizer, numbers), backbone.tokenizer, name)
    longest = max(recipe.max_length, recipe.query_max_length)
    if longest > checkpoint.max_length:
        raise InputError(
            f"The recipe reads texts of {longest} tokens; {name} can read {checkpoint.max_length}.",
            do="Lower max_length and query_max_length.",
        )
    if recipe.dropout is not None:
        for module in checkpoint.model.modules():
            if isinstance(module, torch.nn.Dropout):
                module.p = recipe.dropout
    return checkpoint
