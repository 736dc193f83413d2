"""Activation and poolings, against slow sums in double precision."""

import math

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from splade_anserini.modeling.pooling import max_pool, norm_pool, pool, saturate, sum_pool
from splade_anserini.records import ACTIVATIONS, Activation, Aggregation
from tests.aggregations import AGGREGATIONS


def fourth_norm(weights: list[float]) -> float:
    return math.fsum(weight**4 for weight in weights) ** 0.25


def reference(logits: torch.Tensor, mask: torch.Tensor, aggregation: Aggregation) -> list[list[float]]:
    """Sum and maximum (SPLADE v2, section 3) and the 4-norm, of log(1 + ReLU) or its log(1 + …), entry by entry."""
    combine = {"max": max, "sum": math.fsum, "norm": fourth_norm}[aggregation.pooling]

    def activate(logit: float) -> float:
        weight = math.log(1 + max(0.0, logit))
        return math.log(1 + weight) if aggregation.activation == "log1p_relu" else weight

    return [
        [
            combine([activate(float(row[j])) for row, kept in zip(text, tokens, strict=True) if kept])
            for j in range(logits.shape[2])
        ]
        for text, tokens in zip(logits, mask, strict=True)
    ]


@st.composite
def batches(draw: st.DrawFn) -> tuple[torch.Tensor, torch.Tensor]:
    seed, batch, length = draw(st.integers(0, 2**31)), draw(st.integers(1, 4)), draw(st.integers(1, 6))
    generator = torch.Generator().manual_seed(seed)
    logits = torch.randn((batch, length, 5), generator=generator, dtype=torch.float64) * 4
    lengths = torch.randint(1, length + 1, (batch, 1), generator=generator)
    return logits, (torch.arange(length) < lengths).long()


@pytest.mark.parametrize("aggregation", AGGREGATIONS)
@given(batch=batches())
@settings(max_examples=50, deadline=None)
def test_pooling_is_the_sum_the_maximum_or_the_norm_of_the_tokens_weights(
    aggregation: Aggregation, batch: tuple[torch.Tensor, torch.Tensor]
) -> None:
    torch.testing.assert_close(
        pool(*batch, aggregation),
        torch.tensor(reference(*batch, aggregation), dtype=torch.float64),
        rtol=1e-12,
        atol=1e-12,
    )


@pytest.mark.parametrize("aggregation", AGGREGATIONS)
@given(batch=batches(), noise=st.floats(-1e4, 1e4))
@settings(max_examples=50, deadline=None)
def test_the_logits_of_padding_change_no_weight(
    aggregation: Aggregation, batch: tuple[torch.Tensor, torch.Tensor], noise: float
) -> None:
    logits, mask = batch
    noisy = torch.where(mask.unsqueeze(-1) == 0, noise, logits)
    assert torch.equal(pool(noisy, mask, aggregation), pool(logits, mask, aggregation))


@pytest.mark.parametrize("activation", ACTIVATIONS)
@given(batch=batches())
@settings(max_examples=50, deadline=None)
def test_the_norm_is_between_maximum_and_sum(activation: Activation, batch: tuple[torch.Tensor, torch.Tensor]) -> None:
    greatest, normed, total = (pooled(*batch, activation) for pooled in (max_pool, norm_pool, sum_pool))
    assert bool((greatest <= normed + 1e-12).all())
    assert bool((normed <= total + 1e-12).all())
    assert torch.equal(normed > 0, greatest > 0)


@pytest.mark.parametrize("aggregation", AGGREGATIONS)
@given(batch=batches())
@settings(max_examples=50, deadline=None)
def test_greater_logits_give_no_smaller_weights(
    aggregation: Aggregation, batch: tuple[torch.Tensor, torch.Tensor]
) -> None:
    logits, mask = batch
    assert bool((pool(logits + 1, mask, aggregation) >= pool(logits, mask, aggregation)).all())


def test_a_logit_below_zero_has_weight_zero_and_small_logits_keep_their_precision() -> None:
    values = saturate(torch.tensor([-3.0, 0.0, 1e-10, math.e - 1]))
    assert values.tolist() == pytest.approx([0.0, 0.0, 1e-10, 1.0])
    values = saturate(torch.tensor([-3.0, 0.0, 1e-10, math.e - 1]), "log1p_relu")
    assert values.tolist() == pytest.approx([0.0, 0.0, 1e-10, math.log(2)])


@pytest.mark.parametrize("aggregation", AGGREGATIONS)
def test_gradients_are_those_of_finite_differences(aggregation: Aggregation) -> None:
    generator = torch.Generator().manual_seed(1)
    logits = torch.randn((2, 3, 4), generator=generator, dtype=torch.float64, requires_grad=True)
    mask = torch.tensor([[1, 1, 1], [1, 1, 0]])
    assert torch.autograd.gradcheck(lambda x: pool(x, mask, aggregation), (logits,))


def test_the_gradient_of_the_norm_is_zero_where_no_token_is_active() -> None:
    logits = torch.tensor([[[-1.0, 0.0, 3.0], [-2.0, 0.0, -1.0]]], requires_grad=True)
    weights = norm_pool(logits, torch.ones(1, 2))
    weights.sum().backward()  # type: ignore[no-untyped-call]
    assert weights.tolist() == [[0.0, 0.0, pytest.approx(math.log(4))]]
    assert logits.grad is not None
    assert logits.grad.tolist() == [[[0.0, 0.0, 0.25], [0.0, 0.0, 0.0]]]


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16, torch.float32, torch.float64])
@pytest.mark.parametrize("logit", [1e-3, 1.0, 6e4])
def test_a_word_that_occurs_twice_has_a_slightly_greater_norm_in_any_precision(
    dtype: torch.dtype, logit: float
) -> None:
    logits = torch.full((1, 2, 1), logit, dtype=dtype)
    once, twice = max_pool(logits, torch.ones(1, 2)), norm_pool(logits, torch.ones(1, 2))
    assert twice.dtype == dtype
    assert float(twice / once) == pytest.approx(2**0.25, abs=2 * torch.finfo(dtype).eps)


@pytest.mark.parametrize("aggregation", AGGREGATIONS)
def test_a_text_that_is_only_padding_has_no_weights(aggregation: Aggregation) -> None:
    assert not pool(torch.ones(1, 2, 3), torch.zeros(1, 2), aggregation).any()
