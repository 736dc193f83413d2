"""Tiny students, recipes and examples: all that a training step needs, in memory."""

from collections.abc import Sequence
from typing import Any

import torch

from splade_anserini.cards.training_recipe import TrainingRecipe
from splade_anserini.modeling.checkpoint import Checkpoint
from splade_anserini.modeling.query_sides import BagOfTokens, Pair
from splade_anserini.modeling.trainable import TrainableSplade
from splade_anserini.modeling.vocabulary import masked_entries
from splade_anserini.records import Example, Pooling, QuerySide
from splade_anserini.training.batch import Collator, Tokens
from splade_anserini.training.batch_plan import BatchPlan
from splade_anserini.training.batches import ALONE, Share, Supply
from splade_anserini.training.student import Student
from tests.tiny import WORDS, tiny_bert, tiny_distilbert, tiny_tokenizer

SIDES: list[QuerySide] = ["splade", "doc", "idf", "separate"]

_WORDS = WORDS.split()


class Listed(list[Example]):
    """Examples in memory."""

    name = "listed"


def examples(number: int, *, negatives: int | None = 2, scores: bool = False, start: int = 0) -> Listed:
    """Return examples of a few words each, of different lengths; `negatives` None: from none to three of them."""
    result = Listed()
    for place in range(start, start + number):
        words = [_WORDS[(7 * place + 3 * step) % len(_WORDS)] for step in range(8)]
        count = place % 4 if negatives is None else negatives
        others = [
            " ".join([words[6], *_WORDS[(5 * place + turn) % 60 : (5 * place + turn) % 60 + 1 + turn]])
            for turn in range(count)
        ]
        given = tuple(float((place * 5 + turn * 3) % 11) for turn in range(count + 1)) if scores else None
        result.append(Example(words[0], " ".join(words[: 2 + place % 5]), tuple(others), given))
    return result


def recipe(**changes: Any) -> TrainingRecipe:
    """Return a recipe of the paper's form, for few steps."""
    values: dict[str, Any] = {
        "backbone": "tiny",
        "losses": [{"kind": "rank-ibn"}],
        "regularizer": {"kind": "flops", "lambda_q": 0.03, "lambda_d": 0.02, "until": 4},
        "batch_size": 4,
        "learning_rate": 1e-3,
        "negatives": 2,
        "steps": 6,
        "max_length": 12,
        "query_max_length": 6,
    }
    if changes.get("query_side") in {"doc", "idf"}:
        values["regularizer"]["lambda_q"] = 0.0
    return TrainingRecipe.model_validate(values | changes)


def checkpoint(*, seed: int = 0, distilbert: bool = False, dropout: float = 0.0) -> Checkpoint:
    model = (tiny_distilbert if distilbert else tiny_bert)(seed=seed)
    for module in model.modules():
        if isinstance(module, torch.nn.Dropout):
            module.p = dropout
    return Checkpoint(model, tiny_tokenizer(token_types=not distilbert), "tiny")


def student(side: QuerySide = "splade", *, dropout: float = 0.0, pooling: Pooling = "max") -> Student:
    documents = checkpoint(dropout=dropout)
    module = TrainableSplade(documents, pooling)
    if side == "splade":
        return Student(Pair(module), documents, None)
    if side == "separate":
        queries = checkpoint(seed=1, dropout=dropout)
        return Student(Pair(module, TrainableSplade(queries, pooling)), documents, queries)
    size = documents.vocabulary_size
    silenced = masked_entries(documents.tokenizer, size)
    return Student(Pair(module, BagOfTokens(torch.ones(size), silenced, learned=side == "idf")), documents, None)


def collator(chosen: TrainingRecipe, *, budget: int = 4096) -> Collator:
    tokenizer = tiny_tokenizer()
    return Collator(
        Tokens(tokenizer, chosen.query_max_length, budget),
        Tokens(tokenizer, chosen.max_length, budget),
        negatives=chosen.negatives,
        seed=chosen.seed,
    )


def supply(chosen: TrainingRecipe, sources: Sequence[Listed], share: Share = ALONE, *, budget: int = 4096) -> Supply:
    plan = BatchPlan(
        [len(source) for source in sources],
        chosen.batch_size * share.devices,
        batches=chosen.steps * chosen.accumulation,
        seed=chosen.seed,
    )
    return Supply(sources, plan, collator(chosen, budget=budget), share)
