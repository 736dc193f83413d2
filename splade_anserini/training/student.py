"""Build the model that a recipe trains, from its backbone."""

import logging
from dataclasses import dataclass

import torch

from splade_anserini.cards.encoder_card import EncoderCard
from splade_anserini.cards.training_recipe import TrainingRecipe
from splade_anserini.errors import InputError, MismatchError
from splade_anserini.formats.sentence_transformers import SparseEncoderDescription, SpladeDescription
from splade_anserini.modeling.backbone import PACKAGE, load_backbone
from splade_anserini.modeling.checkpoint import Checkpoint
from splade_anserini.modeling.precision import DTYPES
from splade_anserini.modeling.published import load_published, published_description
from splade_anserini.modeling.query_sides import BagOfTokens, Pair
from splade_anserini.modeling.trainable import TrainableSplade
from splade_anserini.modeling.vocabulary import masked_entries
from splade_anserini.modeling.warm_start import WarmStart, warm_start
from splade_anserini.records import Aggregation

_log = logging.getLogger(__name__)


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
        queries = load_initial_checkpoint(
            recipe,
            recipe.query_backbone or recipe.backbone,
            queries=recipe.query_backbone is None,
            trust_remote_code=trust_remote_code,
        )
        return Student(Pair(module, TrainableSplade(queries, aggregation, dtype)), documents, queries)
    size = documents.vocabulary_size
    learned = recipe.query_side == "idf"
    weights = query_weights if learned and query_weights is not None else torch.ones(size)
    bag = BagOfTokens(weights, masked_entries(documents.tokenizer, size), learned=learned)
    return Student(Pair(module, bag), documents, None)


def require_stated(card: EncoderCard, backbone: str) -> None:
    """Raise `MismatchError` when a backbone is published with a pooling or activation that the card passes over.

    A card that states them may state others: then the model learns them.
    """
    description = _description(backbone)
    if description is None:
        return
    documents = description.documents
    for name in ("pooling", "activation"):
        published, used = getattr(documents, name), getattr(card, name)
        if published != used and name not in card.model_fields_set:
            raise MismatchError(
                f"The backbone {backbone} has the {name} {published}, says {documents.pooling_file}, and the card says "
                f"none, which is {used}.",
                do=f'Add {name} = "{published}" to the card to keep it, or {name} = "{used}" to change it.',
            )
    if (description.prompt, description.query_prompt) != (card.prompt, card.query_prompt):
        _log.warning(
            "The backbone %s has the prompts %r of documents and %r of queries; those of the card are used, %r and %r.",
            backbone,
            description.prompt,
            description.query_prompt,
            card.prompt,
            card.query_prompt,
        )


def _description(backbone: str) -> SparseEncoderDescription | None:
    """Return the description of a backbone, None when there is none that this package encodes with."""
    if backbone.startswith(PACKAGE):
        return None
    try:
        return published_description(backbone)
    except MismatchError:
        raise
    except InputError as error:
        _log.info("The backbone %s is used without a description of sentence-transformers: %s", backbone, error)
        return None


def load_initial_checkpoint(
    recipe: TrainingRecipe, name: str, *, queries: bool = False, trust_remote_code: bool = False
) -> Checkpoint:
    """Load a backbone with the recipe's dropout, and with the recipe's head if there is one.

    With `queries` it is the backbone's own model for queries, where it has one. Raises `InputError` when it cannot
    be loaded, or when the recipe's lengths exceed those of the model.
    """
    if recipe.head is None:
        description = _description(name)
        side = description.documents if description else None
        if queries and description and isinstance(description.queries, SpladeDescription):
            side = description.queries
        checkpoint = load_published(name, side, trust_remote_code=trust_remote_code)
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
