"""The models that a recipe starts from."""

from dataclasses import dataclass

import torch

from splade_anserini.cards.training_recipe import TrainingRecipe
from splade_anserini.errors import InputError
from splade_anserini.modeling.backbone import load_backbone
from splade_anserini.modeling.checkpoint import Checkpoint, load_checkpoint
from splade_anserini.modeling.precision import DTYPES
from splade_anserini.modeling.query_sides import BagOfTokens, Pair
from splade_anserini.modeling.trainable import TrainableSplade
from splade_anserini.modeling.vocabulary import masked_entries
from splade_anserini.modeling.warm_start import WarmStart, warm_start
from splade_anserini.records import Pooling


@dataclass(frozen=True, slots=True)
class Student:
    """What learns: the modules that compute, and the checkpoints that hold the same parameters and can be saved."""

    pair: Pair
    documents: Checkpoint
    queries: Checkpoint | None
    """For the query side `separate`."""


def student(
    recipe: TrainingRecipe, pooling: Pooling, documents: Checkpoint, query_weights: torch.Tensor | None = None
) -> Student:
    """Put the documents' checkpoint to work, beside what the recipe has for queries.

    `query_weights` [vocabulary] are where the query side `idf` starts from; without them, at 1.
    """
    dtype = DTYPES[recipe.precision]
    module = TrainableSplade(documents, pooling, dtype)
    queries = None
    if recipe.query_side == "splade":
        return Student(Pair(module), documents, None)
    if recipe.query_side == "separate":
        queries = checkpoint(recipe, recipe.query_backbone or recipe.backbone)
        return Student(Pair(module, TrainableSplade(queries, pooling, dtype)), documents, queries)
    size = documents.vocabulary_size
    learned = recipe.query_side == "idf"
    weights = query_weights if learned and query_weights is not None else torch.ones(size)
    bag = BagOfTokens(weights, masked_entries(documents.tokenizer, size), learned=learned)
    return Student(Pair(module, bag), documents, None)


def checkpoint(recipe: TrainingRecipe, name: str) -> Checkpoint:
    """Load a backbone, with the recipe's head if it brings none, and the recipe's dropout.

    Raises `InputError` when it cannot be loaded, or the lengths are beyond it.
    """
    if recipe.head is None:
        found = load_checkpoint(name)
    else:
        backbone = load_backbone(name)
        numbers = WarmStart(recipe.head.threshold, recipe.head.logit_scale, recipe.head.shift)
        found = Checkpoint(warm_start(backbone.model, backbone.tokenizer, numbers), backbone.tokenizer, name)
    longest = max(recipe.max_length, recipe.query_max_length)
    if longest > found.max_length:
        raise InputError(
            f"The recipe reads texts of {longest} tokens; {name} can read {found.max_length}.",
            do="Lower max_length and query_max_length.",
        )
    if recipe.dropout is not None:
        for module in found.model.modules():
            if isinstance(module, torch.nn.Dropout):
                module.p = recipe.dropout
    return found
