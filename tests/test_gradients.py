"""The gradient of a batch: with gradient caching it is the one of a single pass."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from typing import NamedTuple

import pytest
import torch

from splade_anserini.records import Aggregation, QuerySide
from splade_anserini.training.batch import Batch, GroupTokenizer
from splade_anserini.training.gradients import Gradients
from splade_anserini.training.objective import Objective, Vectors
from splade_anserini.training.student import Student
from tests.aggregations import AGGREGATIONS
from tests.tiny import tiny_tokenizer
from tests.training_fixtures import QUERY_SIDES, collator, examples, recipe, student

RECIPE = recipe(losses=[{"kind": "rank-ibn"}, {"kind": "pairwise", "weight": 0.5}])
BUDGETS = [1, 30, 4096]
"""Tokens of a group: one text, a few texts, all texts."""

type Loss = Callable[[Vectors], torch.Tensor]


class Pass(NamedTuple):
    gradients: dict[str, torch.Tensor | None]
    vectors: Vectors
    loss: torch.Tensor
    next_random: torch.Tensor
    """The random number after the pass."""


def batch_of_groups(budget: int) -> Batch:
    return collator(RECIPE, budget=budget)(0, examples(5, negatives=None))


def loss_over(batch: Batch) -> Loss:
    objective = Objective(RECIPE)
    return lambda vectors: sum(objective(vectors, batch.labels, 3, None).values(), torch.zeros(()))


def compute(trained: Student, budget: int, *, cached: bool, training: bool = True) -> Pass:
    """Compute the gradients of a batch from a fixed state of the random numbers."""
    batch, losses = batch_of_groups(budget), list[torch.Tensor]()
    objective = loss_over(batch)

    def loss_of(vectors: Vectors) -> torch.Tensor:
        loss = objective(vectors)
        losses.append(loss.detach())
        return loss

    trained.pair.train(training)
    trained.pair.zero_grad()
    torch.manual_seed(11)
    gradients = Gradients(trained.pair, torch.Tensor.backward)
    vectors = (gradients.cached if cached else gradients.plain)(batch, loss_of)
    named = trained.pair.named_parameters()
    computed = {name: None if each.grad is None else each.grad.clone() for name, each in named}
    (loss,) = losses
    return Pass(computed, vectors, loss, torch.rand(1))


def assert_close(
    mine: torch.Tensor | None, theirs: torch.Tensor | None, *, rtol: float = 1e-4, atol: float = 1e-5
) -> None:
    """Compare gradients, with a tolerance relative to the greatest value."""
    assert (mine is None) == (theirs is None)
    if mine is not None and theirs is not None:
        torch.testing.assert_close(mine, theirs, rtol=rtol, atol=atol * max(1.0, float(theirs.abs().max())))


@pytest.mark.parametrize("dropout", [0.0, 0.2], ids=["no dropout", "dropout"])
@pytest.mark.parametrize("budget", BUDGETS)
@pytest.mark.parametrize("query_side", QUERY_SIDES)
def test_cached_gradients_equal_plain_ones(query_side: QuerySide, budget: int, dropout: float) -> None:
    trained = student(query_side, dropout=dropout)
    plain, cached = (compute(trained, budget, cached=cached) for cached in (False, True))
    assert plain.loss.item() > 0.1
    torch.testing.assert_close(cached.loss, plain.loss, rtol=1e-6, atol=1e-6)
    for name in ("queries", "documents"):
        mine, theirs = getattr(cached.vectors, name), getattr(plain.vectors, name)
        assert not mine.requires_grad
        assert not theirs.requires_grad
        torch.testing.assert_close(mine, theirs, rtol=1e-6, atol=1e-6)
    assert sum(gradient is not None and bool(gradient.any()) for gradient in plain.gradients.values()) > 30
    for name, gradient in plain.gradients.items():
        assert_close(cached.gradients[name], gradient, rtol=1e-5, atol=1e-6)
    assert torch.equal(cached.next_random, plain.next_random)


@pytest.mark.parametrize("cached", [False, True], ids=["plain", "cached"])
@pytest.mark.parametrize("budget", BUDGETS[1:])
def test_gradients_do_not_depend_on_the_groups(budget: int, cached: bool) -> None:
    trained = student()
    single_texts, groups = (compute(trained, tokens, cached=cached).gradients for tokens in (BUDGETS[0], budget))
    for name, gradient in single_texts.items():
        assert gradient is not None
        assert_close(groups[name], gradient)


def test_dropout_changes_the_vectors() -> None:
    """Otherwise the tests above would not notice that both passes have the same dropout."""
    trained = student(dropout=0.2)
    with_dropout, without = (compute(trained, 30, cached=True, training=training).vectors for training in (True, False))
    assert not torch.equal(with_dropout.documents, without.documents)


@pytest.mark.parametrize("aggregation", AGGREGATIONS)
def test_each_pooling_can_be_cached(aggregation: Aggregation) -> None:
    trained = student(aggregation=aggregation)
    plain, cached = (compute(trained, 30, cached=cached).gradients for cached in (False, True))
    for name, gradient in plain.items():
        assert gradient is not None
        assert_close(cached[name], gradient)


def test_gradients_are_added_to_those_of_earlier_batches() -> None:
    trained = student()
    once = compute(trained, 30, cached=True).gradients
    batch = batch_of_groups(30)
    Gradients(trained.pair, torch.Tensor.backward).cached(batch, loss_over(batch))
    for name, each in trained.pair.named_parameters():
        gradient = once[name]
        assert gradient is not None
        assert_close(each.grad, 2 * gradient)


def test_devices_exchange_gradients_in_the_last_pass_only() -> None:
    inside_no_sync = False
    passes: list[bool] = []

    @contextmanager
    def no_sync() -> Iterator[None]:
        nonlocal inside_no_sync
        inside_no_sync = True
        yield
        inside_no_sync = False

    def backward(loss: torch.Tensor) -> None:
        passes.append(inside_no_sync)
        loss.backward()  # type: ignore[no-untyped-call]

    batch = batch_of_groups(30)
    Gradients(student().pair, backward, no_sync).cached(batch, loss_over(batch))
    assert passes == [True] * (len(batch.queries) + len(batch.documents) - 1) + [False]
    assert len(passes) > 3


class SavedTensor:
    """A tensor that is kept for the backward pass; the class counts the numbers that are kept at the same time."""

    current = peak = 0

    def __init__(self, tensor: torch.Tensor) -> None:
        self.tensor = tensor
        SavedTensor.current += tensor.numel()
        SavedTensor.peak = max(SavedTensor.peak, SavedTensor.current)

    def __del__(self) -> None:
        SavedTensor.current -= self.tensor.numel()


def test_cached_gradients_need_the_memory_of_one_group() -> None:
    batch = batch_of_groups(1)
    assert len(batch.queries) + len(batch.documents) > 10
    gradients = Gradients(student().pair, torch.Tensor.backward)

    def peak_of(compute_gradients: Callable[[Batch, Loss], Vectors]) -> int:
        SavedTensor.current = SavedTensor.peak = 0
        with torch.autograd.graph.saved_tensors_hooks(SavedTensor, lambda saved: saved.tensor):
            compute_gradients(batch, loss_over(batch))
        return SavedTensor.peak

    assert peak_of(gradients.cached) * 4 < peak_of(gradients.plain)


@pytest.mark.parametrize("cached", [False, True], ids=["plain", "cached"])
def test_a_document_of_several_queries_is_encoded_once_with_the_same_gradients(cached: bool) -> None:
    shared = [replace(example, negatives=("the same text",)) for example in examples(3, negatives=0)]
    batch = collator(RECIPE, each_text_once=True)(0, shared)
    assert (
        sum(len(group.ids) for group in batch.documents) == len(set(batch.document_texts)) < len(batch.document_texts)
    )
    tokens = GroupTokenizer(tiny_tokenizer(), RECIPE.max_length, 4096)
    every = replace(
        batch, documents=tokens(batch.document_texts), document_rows=torch.arange(len(batch.document_texts))
    )
    results = []
    for each in (batch, every):
        trained = student()
        gradients = Gradients(trained.pair, torch.Tensor.backward)
        vectors = (gradients.cached if cached else gradients.plain)(each, loss_over(each))
        results.append((vectors, [parameter.grad for parameter in trained.pair.parameters()]))
    (vectors, mine), (expected, theirs) = results
    torch.testing.assert_close(vectors.documents, expected.documents)
    for left, right in zip(mine, theirs, strict=True):
        assert_close(left, right)
