"""Facts of the projection for training: the weights and gradients of pooled logits, without the logits."""

from typing import Any

import pytest
import torch

from splade_anserini.modeling import sparse_projection as module
from splade_anserini.modeling.pooling import pool
from splade_anserini.modeling.sparse_projection import sparse_projection
from splade_anserini.records import POOLINGS, Pooling

BATCH, LENGTH, WIDTH = 3, 5, 4
MASK = torch.tensor([[1, 1, 1, 1, 1], [1, 1, 0, 0, 0], [1, 1, 1, 1, 0]])


@pytest.fixture(params=[7, 16, 1024], ids=["pieces", "even pieces", "one piece"])
def _piece(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    """The vocabulary of 32 in pieces of which the last is smaller, in pieces of one size, and smaller than a piece."""
    monkeypatch.setattr(module, "PIECE", request.param)


def parts(
    dtype: torch.dtype = torch.float64, *, vocabulary: int = 32, bias: bool = True, shift: float = -0.5
) -> tuple[torch.Tensor, torch.nn.Linear]:
    """Return hidden states and a layer of which about a third of the logits are above 0."""
    generator = torch.Generator().manual_seed(1)
    hidden = torch.randn((BATCH, LENGTH, WIDTH), generator=generator, dtype=torch.float64).to(dtype).requires_grad_()
    layer = torch.nn.Linear(WIDTH, vocabulary, bias=bias, dtype=dtype)
    with torch.no_grad():
        layer.weight.copy_(torch.randn((vocabulary, WIDTH), generator=generator, dtype=torch.float64) * 0.7)
        if bias:
            layer.bias.copy_(torch.randn(vocabulary, generator=generator, dtype=torch.float64) * 0.2 + shift)
    return hidden, layer


def gradients(weights: torch.Tensor, of: list[torch.Tensor]) -> tuple[torch.Tensor, ...]:
    """Return those of a sum in which every weight has a factor of its own."""
    factors = torch.randn(weights.shape, generator=torch.Generator().manual_seed(2), dtype=torch.float64)
    return torch.autograd.grad((weights * factors).sum(), of)


@pytest.mark.usefixtures("_piece")
@pytest.mark.parametrize("pooling", POOLINGS)
@pytest.mark.parametrize("bias", [True, False], ids=["bias", "no bias"])
@pytest.mark.parametrize(("dtype", "near"), [(torch.float64, 1e-10), (torch.float32, 1e-5)], ids=["fp64", "fp32"])
def test_weights_and_all_gradients_are_those_of_pooled_logits(
    pooling: Pooling, bias: bool, dtype: torch.dtype, near: float
) -> None:
    hidden, layer = parts(dtype, bias=bias)
    learned = [hidden, *layer.parameters()]
    expected = pool(layer(hidden), MASK, pooling)
    found = sparse_projection(hidden, MASK, layer, pooling, dtype)
    assert found.dtype == dtype
    assert 0.1 < float((expected > 0).double().mean()) < 0.95
    torch.testing.assert_close(found, expected, rtol=near, atol=near)
    for mine, theirs in zip(gradients(found, learned), gradients(expected, learned), strict=True):
        assert mine.dtype == dtype
        assert bool(theirs.any())
        torch.testing.assert_close(mine, theirs, rtol=near, atol=near)


@pytest.mark.parametrize("pooling", POOLINGS)
def test_gradients_are_those_of_finite_differences(pooling: Pooling, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "PIECE", 3)
    hidden, layer = parts(vocabulary=5)

    def of(hidden: torch.Tensor, weight: torch.Tensor, bias: torch.Tensor) -> torch.Tensor:
        some: Any = type("Layer", (), {"weight": weight, "bias": bias})
        return sparse_projection(hidden, MASK, some, pooling, torch.float64)

    assert torch.autograd.gradcheck(of, (hidden, layer.weight, layer.bias))


def test_of_tokens_that_tie_one_has_the_gradient() -> None:
    hidden, layer = parts()
    same = hidden.detach()[:, :1].expand(-1, LENGTH, -1).clone().requires_grad_()
    found = sparse_projection(same, MASK, layer, "max", torch.float64)
    one = sparse_projection(same[:, :1], MASK[:, :1], layer, "max", torch.float64)
    torch.testing.assert_close(found, one)
    (gradient,) = gradients(found, [same])
    (of_one,) = gradients(one, [same])
    # Each entry's gradient is at one token, and none is lost or counted twice.
    torch.testing.assert_close(gradient.sum(dim=1), of_one.sum(dim=1))
    single = torch.autograd.grad(sparse_projection(same, MASK, layer, "max", torch.float64)[0].max(), [same])[0]
    assert int(single.abs().sum(dim=-1).count_nonzero()) == 1
    assert not gradient[MASK == 0].any()


def test_padding_on_the_left_is_padding_too() -> None:
    hidden, layer = parts()
    mask = MASK.flip(1)
    expected = pool(layer(hidden), mask, "max")
    found = sparse_projection(hidden, mask, layer, "max", torch.float64)
    torch.testing.assert_close(found, expected)
    torch.testing.assert_close(gradients(found, [hidden]), gradients(expected, [hidden]))


@pytest.mark.parametrize("pooling", POOLINGS)
def test_with_no_active_entry_at_all_weights_and_gradients_are_0(pooling: Pooling) -> None:
    hidden, layer = parts(shift=-1000.0)
    found = sparse_projection(hidden, MASK, layer, pooling, torch.float64)
    assert not found.any()
    for gradient in gradients(found, [hidden, *layer.parameters()]):
        assert not gradient.any()


@pytest.mark.parametrize("pooling", POOLINGS)
def test_products_in_bfloat16_give_weights_near_the_exact_ones(pooling: Pooling) -> None:
    hidden, layer = parts(torch.float32)
    learned = [hidden, *layer.parameters()]
    exact = sparse_projection(hidden, MASK, layer, pooling, torch.float32)
    found = sparse_projection(hidden, MASK, layer, pooling, torch.bfloat16)
    assert found.dtype == torch.float32
    torch.testing.assert_close(found, exact, rtol=0.03, atol=0.03)
    assert not torch.equal(found, exact) or pooling == "max"
    for mine, theirs in zip(gradients(found, learned), gradients(exact, learned), strict=True):
        assert mine.dtype == torch.float32
        torch.testing.assert_close(mine, theirs, rtol=0.1, atol=0.1)


def test_with_maxima_found_in_bfloat16_the_weights_are_exact_logits_of_some_token() -> None:
    hidden, layer = parts(torch.float32)
    found = sparse_projection(hidden, MASK, layer, "max", torch.bfloat16)
    logits = layer(hidden).relu().log1p().masked_fill(MASK.unsqueeze(-1) == 0, 0.0)
    nearest = (logits - found.unsqueeze(1)).abs().amin(dim=1)
    assert nearest.max().item() < 1e-6


@pytest.mark.parametrize("pooling", POOLINGS)
def test_all_that_is_kept_for_backward_is_less_than_all_logits(
    pooling: Pooling, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Text by token by entry there are 3 · 5 · 512 logits; weights, table and hidden states are far smaller."""
    monkeypatch.setattr(module, "PIECE", 64)
    kept: list[int] = []

    def pack(tensor: torch.Tensor) -> torch.Tensor:
        kept.append(tensor.numel())
        return tensor

    hidden, layer = parts(vocabulary=512, shift=-3.0)
    with torch.autograd.graph.saved_tensors_hooks(pack, lambda tensor: tensor):
        sparse_projection(hidden, MASK, layer, pooling, torch.float64)
        assert kept
        assert sum(kept) < BATCH * LENGTH * 512
        pool(layer(hidden), MASK, pooling)
        assert max(kept) >= BATCH * LENGTH * 512


def test_max_pooling_keeps_of_active_entries_alone() -> None:
    kept: list[int] = []

    def pack(tensor: torch.Tensor) -> torch.Tensor:
        kept.append(tensor.numel())
        return tensor

    hidden, layer = parts(vocabulary=512, shift=-3.0)
    with torch.autograd.graph.saved_tensors_hooks(pack, lambda tensor: tensor):
        weights = sparse_projection(hidden, torch.ones_like(MASK), layer, "max", torch.float64)
    active = int(weights.count_nonzero())
    assert 0 < active < 512
    assert sorted(kept) == sorted([hidden.numel(), layer.weight.numel(), *[active] * 4])


@pytest.mark.parametrize("pooling", POOLINGS)
@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
def test_what_is_no_number_does_not_look_like_an_empty_vector(pooling: Pooling, dtype: torch.dtype) -> None:
    hidden, layer = parts(torch.float32)
    broken = hidden.detach().clone()
    broken[1, 0, 2] = torch.nan
    weights = sparse_projection(broken, MASK, layer, pooling, dtype)
    assert bool(weights[1].isnan().all())
    assert bool(weights[[0, 2]].isfinite().all())
