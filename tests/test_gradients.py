"""Facts of the two ways to a batch's gradient: with cached vectors it is the plain one."""

from collections.abc import Iterator
from contextlib import contextmanager

import pytest
import torch

from splade_anserini.records import POOLINGS, Pooling, QuerySide
from splade_anserini.training.batch import Batch
from splade_anserini.training.gradients import Gradients
from splade_anserini.training.objective import Objective, Vectors
from splade_anserini.training.student import Student
from tests.training_fixtures import QUERY_SIDES, collator, examples, recipe, student

CHOSEN = recipe(losses=[{"kind": "rank-ibn"}, {"kind": "pairwise", "weight": 0.5}])
BUDGETS = [1, 30, 4096]
"""Tokens in a group: a text alone, a few together, all at once."""


def batch(budget: int, *, queries: int = 5) -> Batch:
    return collator(CHOSEN, budget=budget)(0, examples(queries, negatives=None))


def gradients(
    some: Student, budget: int, *, cached: bool, training: bool = True
) -> tuple[dict[str, torch.Tensor | None], Vectors, torch.Tensor, torch.Tensor]:
    """Return every parameter's gradient, the vectors, the loss, and the random number that comes next."""
    objective, losses = Objective(CHOSEN), []
    given = batch(budget)

    def loss_of(vectors: Vectors) -> torch.Tensor:
        loss = sum(objective(vectors, given.labels, 3, None).values(), torch.zeros(()))
        losses.append(loss.detach())
        return loss

    some.pair.train(training)
    some.pair.zero_grad()
    torch.manual_seed(11)
    way = Gradients(some.pair, torch.Tensor.backward)
    vectors = (way.cached if cached else way.plain)(given, loss_of)
    found = {name: None if each.grad is None else each.grad.clone() for name, each in some.pair.named_parameters()}
    assert len(losses) == 1
    return found, vectors, losses[0], torch.rand(1)


@pytest.mark.parametrize("dropout", [0.0, 0.2], ids=["no dropout", "dropout"])
@pytest.mark.parametrize("budget", BUDGETS)
@pytest.mark.parametrize("side", QUERY_SIDES)
def test_cached_gradients_are_the_plain_ones(side: QuerySide, budget: int, dropout: float) -> None:
    some = student(side, dropout=dropout)
    plain, vectors, loss, after = gradients(some, budget, cached=False)
    cached, same_vectors, same_loss, same_after = gradients(some, budget, cached=True)
    assert loss.item() > 0.1
    torch.testing.assert_close(same_loss, loss, rtol=1e-6, atol=1e-6)
    for name in ("queries", "documents"):
        mine, theirs = getattr(same_vectors, name), getattr(vectors, name)
        assert not mine.requires_grad
        assert not theirs.requires_grad
        torch.testing.assert_close(mine, theirs, rtol=1e-6, atol=1e-6)
    assert sum(gradient is not None and bool(gradient.any()) for gradient in plain.values()) > 30
    for name, gradient in plain.items():
        mine = cached[name]
        if gradient is None:
            assert mine is None
            continue
        assert mine is not None
        torch.testing.assert_close(mine, gradient, rtol=1e-5, atol=1e-6 * max(1.0, float(gradient.abs().max())))
    assert torch.equal(after, same_after)


@pytest.mark.parametrize("cached", [False, True], ids=["plain", "cached"])
def test_groups_change_nothing(cached: bool) -> None:
    some = student()
    one, *others = (gradients(some, budget, cached=cached)[0] for budget in BUDGETS)
    for other in others:
        for name, gradient in one.items():
            assert gradient is not None
            mine = other[name]
            assert mine is not None
            torch.testing.assert_close(mine, gradient, rtol=1e-4, atol=1e-5 * max(1.0, float(gradient.abs().max())))


def test_dropout_of_both_passes_is_the_same_and_is_there() -> None:
    some = student(dropout=0.2)
    quiet = gradients(some, 30, cached=True, training=False)[1]
    assert not torch.equal(gradients(some, 30, cached=True)[1].documents, quiet.documents)


@pytest.mark.parametrize("pooling", POOLINGS)
def test_any_pooling_can_be_cached(pooling: Pooling) -> None:
    some = student(pooling=pooling)
    plain, cached = (gradients(some, 30, cached=way)[0] for way in (False, True))
    for name, gradient in plain.items():
        mine = cached[name]
        assert mine is not None
        assert gradient is not None
        torch.testing.assert_close(mine, gradient, rtol=1e-4, atol=1e-5 * max(1.0, float(gradient.abs().max())))


def test_gradients_are_added_to_those_that_are_there() -> None:
    some = student()
    once = gradients(some, 30, cached=True)[0]
    given, objective = batch(30), Objective(CHOSEN)
    way = Gradients(some.pair, torch.Tensor.backward)
    way.cached(given, lambda vectors: sum(objective(vectors, given.labels, 3, None).values(), torch.zeros(())))
    for name, each in some.pair.named_parameters():
        first = once[name]
        assert first is not None
        assert each.grad is not None
        torch.testing.assert_close(each.grad, 2 * first, rtol=1e-4, atol=1e-5 * max(1.0, float(first.abs().max())))


def test_devices_exchange_gradients_in_the_last_pass_alone() -> None:
    some = student()
    quiet: list[bool] = []
    inside = False

    @contextmanager
    def no_sync() -> Iterator[None]:
        nonlocal inside
        inside = True
        yield
        inside = False

    def backward(loss: torch.Tensor) -> None:
        quiet.append(inside)
        loss.backward()  # type: ignore[no-untyped-call]

    given, objective = batch(30), Objective(CHOSEN)
    way = Gradients(some.pair, backward, no_sync)
    way.cached(given, lambda vectors: sum(objective(vectors, given.labels, 3, None).values(), torch.zeros(())))
    assert quiet == [True] * (len(given.queries) + len(given.documents) - 1) + [False]
    assert len(quiet) > 3


class Held:
    """A tensor that is kept for backward; how many numbers are held at once, and were at most."""

    now = most = 0

    def __init__(self, tensor: torch.Tensor) -> None:
        self.tensor = tensor
        Held.now += tensor.numel()
        Held.most = max(Held.most, Held.now)

    def __del__(self) -> None:
        Held.now -= self.tensor.numel()


def test_cached_vectors_need_the_memory_of_one_group() -> None:
    some = student()
    given, objective = batch(1), Objective(CHOSEN)
    assert len(given.queries) + len(given.documents) > 10
    way = Gradients(some.pair, torch.Tensor.backward)
    most = []
    for step in (way.plain, way.cached):
        Held.now = Held.most = 0
        with torch.autograd.graph.saved_tensors_hooks(Held, lambda held: held.tensor):
            step(given, lambda vectors: sum(objective(vectors, given.labels, 3, None).values(), torch.zeros(())))
        most.append(Held.most)
    assert most[1] * 4 < most[0]
