"""The loss and the gradients of a batch are those of SpladeLoss in sentence-transformers."""

from functools import partial
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import pytest
import torch

from splade_anserini.cards.training_recipe import Loss, Regularizer, TrainingRecipe
from splade_anserini.modeling.checkpoint import load_checkpoint
from splade_anserini.modeling.trainable import TrainableSplade
from splade_anserini.records import ACTIVATIONS, Activation, Aggregation, Example, Pooling
from splade_anserini.training.batch import Collator, GroupTokenizer
from splade_anserini.training.objective import Objective, Vectors
from tests.shared_models import SharedModels
from tests.tiny import SENTENCES

# Not imported here: that takes seconds, also for those who run other tests.
pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(
        find_spec("sentence_transformers") is None, reason="sentence-transformers, of the extra `bench`, is missing"
    ),
]

QUERIES, LAMBDA_Q, LAMBDA_D = 4, 3e-4, 2e-4
SCALE = 0.02
"""Factor of the scores: without it the loss of this model, and its gradients, would be 0."""
BUDGET = 120
"""Tokens of a group: long and short texts are in different groups."""
TEXTS = [*SENTENCES, "a cold is no fever", "the lung and the heart", "train, ship, plane", "good method, bad result"]
"""Four queries, their positives, and a negative of each."""


def examples(kinds: int) -> list[Example]:
    """Return examples of a query and its positive and, with two kinds of documents, a negative."""
    rows = zip(*(TEXTS[start : start + QUERIES] for start in range(0, QUERIES * (1 + kinds), QUERIES)), strict=True)
    return [Example(query, positive, tuple(negatives)) for query, positive, *negatives in rows]


def ours(model: Path, aggregation: Aggregation, data: list[Example]) -> dict[str, torch.Tensor]:
    """Return the loss and the gradient of each parameter, by its name in the model."""
    checkpoint = load_checkpoint(model)
    module = TrainableSplade(checkpoint, aggregation)
    recipe = TrainingRecipe(
        backbone=str(model),
        losses=(Loss(kind="rank-ibn", score_scale=SCALE),),
        regularizer=Regularizer(lambda_q=LAMBDA_Q, lambda_d=LAMBDA_D),
        share_negatives=True,  # as theirs does
        batch_size=QUERIES,
        learning_rate=1e-5,
        steps=1,
    )
    tokens = GroupTokenizer(checkpoint.tokenizer, checkpoint.max_length, BUDGET)
    batch = Collator(tokens, tokens, negatives=1, seed=0)(0, data)
    assert len(batch.documents) > 1
    vectors = Vectors(module(batch.queries), module(batch.documents)[batch.document_rows])
    loss = sum(Objective(recipe)(vectors, batch.labels, 0, None).values(), torch.zeros(()))
    return with_gradients(loss, checkpoint.model)


def theirs(model: Path, aggregation: Aggregation, data: list[Example]) -> dict[str, torch.Tensor]:
    from sentence_transformers import SparseEncoder
    from sentence_transformers.base.modules import Transformer
    from sentence_transformers.sparse_encoder.losses import SparseMultipleNegativesRankingLoss, SpladeLoss
    from sentence_transformers.sparse_encoder.modules import SpladePooling

    pooling = SpladePooling(aggregation.pooling, activation_function=aggregation.activation)
    encoder = SparseEncoder(modules=[Transformer(str(model), transformer_task="fill-mask"), pooling], device="cpu")
    # Their pooling has gradients in training mode only; this comparison is without dropout.
    for module in encoder.train().modules():
        if isinstance(module, torch.nn.Dropout):
            module.p = 0.0
    loss = SpladeLoss(
        encoder,
        SparseMultipleNegativesRankingLoss(encoder, scale=SCALE),
        document_regularizer_weight=LAMBDA_D,
        query_regularizer_weight=LAMBDA_Q,
    )
    columns = zip(*((each.query, each.positive, *each.negatives) for each in data), strict=True)
    parts = loss([encoder.tokenizer(list(texts), padding=True, return_tensors="pt") for texts in columns])
    body: Any = encoder[0]
    return with_gradients(sum(parts.values(), torch.zeros(())), body.model)


def with_gradients(loss: torch.Tensor, model: Any) -> dict[str, torch.Tensor]:
    loss.backward()
    gradients = {name: each.grad for name, each in model.named_parameters() if each.grad is not None}
    return {"loss": loss.detach(), **gradients}


@pytest.mark.parametrize("activation", ACTIVATIONS)
@pytest.mark.parametrize("pooling", ["max", "sum"])
@pytest.mark.parametrize("kinds", [1, 2], ids=["in-batch negatives", "hard negatives too"])
def test_loss_and_gradients_are_those_of_sentence_transformers(
    shared_models: SharedModels, pooling: Pooling, activation: Activation, kinds: int
) -> None:
    model = shared_models.checkpoint()
    aggregation = Aggregation(pooling, activation)
    expected, gradients = theirs(model, aggregation, examples(kinds)), ours(model, aggregation, examples(kinds))
    assert gradients.keys() == expected.keys()
    assert len(gradients) > 20
    greatest = max(float(gradient.abs().max()) for name, gradient in expected.items() if name != "loss")
    assert greatest > {"relu": 0.1, "log1p_relu": 0.02}[activation]
    for name, reference in expected.items():
        # The gradients of the biases of keys are 0 up to rounding, and are compared by the size of the others.
        near = 1e-5 * max(float(reference.abs().max()), greatest / 100)
        torch.testing.assert_close(gradients[name], reference, rtol=1e-5, atol=near, msg=partial("{}: {}".format, name))
