"""The projection for training: the weights and gradients of pooled logits, without the logits."""

from typing import Any

import pytest
import torch

from splade_anserini.modeling import sparse_projection as module
from splade_anserini.modeling.pooling import pool
from splade_anserini.modeling.sparse_projection import sparse_projection
from splade_anserini.records import SPLADE_MAX, Aggregation
from tests.aggregations import AGGREGATIONS

BATCH, LENGTH, WIDTH = 3, 5, 4
MASK = torch.tensor([[1, 1, 1, 1, 1], [1, 1, 0, 0, 0], [1, 1, 1, 1, 0]])


@pytest.fixture(params=[7, 16, 1024], ids=["pieces", "even pieces", "one piece"])
def _piece(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    """The vocabulary of 32 in pieces of 7, of which the last is smaller, in pieces of 16, and in a single piece."""
    monkeypatch.setattr(module, "PIECE", request.param)


def hidden_and_layer(
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


def gradients(weights: torch.Tensor, parameters: list[torch.Tensor]) -> tuple[torch.Tensor, ...]:
    """Return the gradients of a sum of the weights, each with a factor of its own."""
    factors = torch.randn(weights.shape, generator=torch.Generator().manual_seed(2), dtype=torch.float64)
    return torch.autograd.grad((weights * factors).sum(), parameters)


@pytest.mark.usefixtures("_piece")
@pytest.mark.parametrize("aggregation", AGGREGATIONS)
@pytest.mark.parametrize("bias", [True, False], ids=["bias", "no bias"])
@pytest.mark.parametrize(("dtype", "near"), [(torch.float64, 1e-10), (torch.float32, 1e-5)], ids=["fp64", "fp32"])
def test_weights_and_all_gradients_are_those_of_pooled_logits(
    aggregation: Aggregation, bias: bool, dtype: torch.dtype, near: float
) -> None:
    hidden, layer = hidden_and_layer(dtype, bias=bias)
    learned = [hidden, *layer.parameters()]
    expected = pool(layer(hidden), MASK, aggregation)
    weights = sparse_projection(hidden, MASK, layer, aggregation, dtype)
    assert weights.dtype == dtype
    assert 0.1 < float((expected > 0).double().mean()) < 0.95
    torch.testing.assert_close(weights, expected, rtol=near, atol=near)
    for gradient, reference in zip(gradients(weights, learned), gradients(expected, learned), strict=True):
        assert gradient.dtype == dtype
        assert bool(reference.any())
        torch.testing.assert_close(gradient, reference, rtol=near, atol=near)


@pytest.mark.parametrize("aggregation", AGGREGATIONS)
def test_gradients_are_those_of_finite_differences(aggregation: Aggregation, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "PIECE", 3)
    hidden, layer = hidden_and_layer(vocabulary=5)

    def weights(hidden: torch.Tensor, weight: torch.Tensor, bias: torch.Tensor) -> torch.Tensor:
        layer: Any = type("Layer", (), {"weight": weight, "bias": bias})
        return sparse_projection(hidden, MASK, layer, aggregation, torch.float64)

    assert torch.autograd.gradcheck(weights, (hidden, layer.weight, layer.bias))


def test_of_tokens_with_equal_maxima_one_has_the_gradient() -> None:
    hidden, layer = hidden_and_layer()
    same = hidden.detach()[:, :1].expand(-1, LENGTH, -1).clone().requires_grad_()
    weights = sparse_projection(same, MASK, layer, SPLADE_MAX, torch.float64)
    of_first_token = sparse_projection(same[:, :1], MASK[:, :1], layer, SPLADE_MAX, torch.float64)
    torch.testing.assert_close(weights, of_first_token)
    (gradient,) = gradients(weights, [same])
    (expected,) = gradients(of_first_token, [same])
    # The gradient of an entry goes to one token; none is lost or counted twice.
    torch.testing.assert_close(gradient.sum(dim=1), expected.sum(dim=1))
    single = torch.autograd.grad(sparse_projection(same, MASK, layer, SPLADE_MAX, torch.float64)[0].max(), [same])[0]
    assert int(single.abs().sum(dim=-1).count_nonzero()) == 1
    assert not gradient[MASK == 0].any()


def test_padding_may_be_on_the_left() -> None:
    hidden, layer = hidden_and_layer()
    mask = MASK.flip(1)
    expected = pool(layer(hidden), mask, SPLADE_MAX)
    weights = sparse_projection(hidden, mask, layer, SPLADE_MAX, torch.float64)
    torch.testing.assert_close(weights, expected)
    torch.testing.assert_close(gradients(weights, [hidden]), gradients(expected, [hidden]))


@pytest.mark.parametrize("aggregation", AGGREGATIONS)
def test_without_active_entries_weights_and_gradients_are_0(aggregation: Aggregation) -> None:
    hidden, layer = hidden_and_layer(shift=-1000.0)
    weights = sparse_projection(hidden, MASK, layer, aggregation, torch.float64)
    assert not weights.any()
    for gradient in gradients(weights, [hidden, *layer.parameters()]):
        assert not gradient.any()


@pytest.mark.parametrize("aggregation", AGGREGATIONS)
def test_products_in_bfloat16_give_weights_close_to_the_exact_ones(aggregation: Aggregation) -> None:
    hidden, layer = hidden_and_layer(torch.float32)
    learned = [hidden, *layer.parameters()]
    exact = sparse_projection(hidden, MASK, layer, aggregation, torch.float32)
    weights = sparse_projection(hidden, MASK, layer, aggregation, torch.bfloat16)
    assert weights.dtype == torch.float32
    torch.testing.assert_close(weights, exact, rtol=0.03, atol=0.03)
    assert not torch.equal(weights, exact) or aggregation.pooling == "max"
    for gradient, reference in zip(gradients(weights, learned), gradients(exact, learned), strict=True):
        assert gradient.dtype == torch.float32
        torch.testing.assert_close(gradient, reference, rtol=0.1, atol=0.1)


def test_with_maxima_in_bfloat16_each_weight_is_that_of_an_exact_logit() -> None:
    hidden, layer = hidden_and_layer(torch.float32)
    weights = sparse_projection(hidden, MASK, layer, SPLADE_MAX, torch.bfloat16)
    logits = layer(hidden).relu().log1p().masked_fill(MASK.unsqueeze(-1) == 0, 0.0)
    nearest = (logits - weights.unsqueeze(1)).abs().amin(dim=1)
    assert nearest.max().item() < 1e-6


@pytest.mark.parametrize("aggregation", AGGREGATIONS)
def test_the_tensors_saved_for_the_backward_pass_are_smaller_than_all_logits(
    aggregation: Aggregation, monkeypatch: pytest.MonkeyPatch
) -> None:
    """There are 3 · 5 · 512 logits (texts, tokens, entries); weights, table and hidden states are far smaller."""
    monkeypatch.setattr(module, "PIECE", 64)
    saved: list[int] = []

    def pack(tensor: torch.Tensor) -> torch.Tensor:
        saved.append(tensor.numel())
        return tensor

    hidden, layer = hidden_and_layer(vocabulary=512, shift=-3.0)
    with torch.autograd.graph.saved_tensors_hooks(pack, lambda tensor: tensor):
        sparse_projection(hidden, MASK, layer, aggregation, torch.float64)
        assert saved
        assert sum(saved) < BATCH * LENGTH * 512
        pool(layer(hidden), MASK, aggregation)
        assert max(saved) >= BATCH * LENGTH * 512


def test_max_pooling_saves_values_of_active_entries_only() -> None:
    saved: list[int] = []

    def pack(tensor: torch.Tensor) -> torch.Tensor:
        saved.append(tensor.numel())
        return tensor

    hidden, layer = hidden_and_layer(vocabulary=512, shift=-3.0)
    with torch.autograd.graph.saved_tensors_hooks(pack, lambda tensor: tensor):
        weights = sparse_projection(hidden, torch.ones_like(MASK), layer, SPLADE_MAX, torch.float64)
    active = int(weights.count_nonzero())
    assert 0 < active < 512
    assert sorted(saved) == sorted([hidden.numel(), layer.weight.numel(), *[active] * 4])


@pytest.mark.parametrize("aggregation", AGGREGATIONS)
@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
def test_nan_does_not_look_like_an_empty_vector(aggregation: Aggregation, dtype: torch.dtype) -> None:
    hidden, layer = hidden_and_layer(torch.float32)
    with_nan = hidden.detach().clone()
    with_nan[1, 0, 2] = torch.nan
    weights = sparse_projection(with_nan, MASK, layer, aggregation, dtype)
    assert bool(weights[1].isnan().all())
    assert bool(weights[[0, 2]].isfinite().all())
