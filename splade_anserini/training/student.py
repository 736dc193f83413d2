"""Build the model that a recipe trains, from its backbone."""

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
from splade_anserini.records import Aggregation


@dataclass(frozen=True, slots=True)
class Student:
    """The model that is trained: the modules that compute, and the checkpoints that share their parameters."""

    pair: Pair
    documents: Checkpoint
    queries: Checkpoint | None
    """The queries' own model, for the query side `separate`."""


def build_student(
    recipe: TrainingRecipe,
    aggregation: Aggregation,
    documents: Checkpoint,
    query_weights: torch.Tensor | None = None,
    *,
    trust_remote_code: bool = False,
) -> Student:
    """Return the student with the recipe's query side beside the documents' model.

    `query_weights` [vocabulary] are the initial weights of the query side `idf`; without them all weights are 1.
    """
    dtype = DTYPES[recipe.precision]
    module = TrainableSplade(documents, aggregation, dtype)
    if recipe.query_side == "splade":
        return Student(Pair(module), documents, None)
    if recipe.query_side == "separate":
        backbone = recipe.query_backbone or recipe.backbone
        queries = load_initial_checkpoint(recipe, backbone, trust_remote_code=trust_remote_code)
        return Student(Pair(module, TrainableSplade(queries, aggregation, dtype)), documents, queries)
    size = documents.vocabulary_size
    learned = recipe.query_side == "idf"
    weights = query_weights if learned and query_weights is not None else torch.ones(size)
    bag = BagOfTokens(weights, masked_entries(documents.tokenizer, size), learned=learned)
    return Student(Pair(module, bag), documents, None)


def load_initial_checkpoint(recipe: TrainingRecipe, name: str, *, trust_remote_code: bool = False) -> Checkpoint:
    """Load a backbone with the recipe's dropout, and with the recipe's head if there is one.

    Raises `InputError` when it cannot be loaded, or when the recipe's lengths exceed those of the model.
    """
    if recipe.head is None:
        checkpoint = load_checkpoint(name, trust_remote_code=trust_remote_code)
    else:
        backbone = load_backbone(name, trust_remote_code=trust_remote_code)
        head = WarmStart(recipe.head.threshold, recipe.head.logit_scale, recipe.head.shift)
        checkpoint = Checkpoint(warm_start(backbone.model, backbone.tokenizer, head), backbone.tokenizer, name)
    longest = max(recipe.max_length, recipe.query_max_length)
    if longest > checkpoint.max_length:
        raise InputError(
            f"The recipe reads texts of {longest} tokens, but {name} reads at most {checkpoint.max_length}.",
            do="Lower max_length and query_max_length.",
        )
    if recipe.dropout is not None:
        for module in checkpoint.model.modules():
            if isinstance(module, torch.nn.Dropout):
                module.p = recipe.dropout
    return checkpoint
