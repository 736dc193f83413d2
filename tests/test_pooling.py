"""Facts of the activation and the two poolings, against slow sums in double precision."""

import math

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from splade_anserini.manifests import Pooling
from splade_anserini.modeling.activation import saturate
from splade_anserini.modeling.pooling import max_pool, pool, sum_pool

POOLINGS: list[Pooling] = ["max", "sum"]


def slowly(logits: torch.Tensor, mask: torch.Tensor, pooling: Pooling) -> list[list[float]]:
    """The two sums of the paper, entry by entry."""
    combine = max if pooling == "max" else math.fsum
    return [
        [
            combine([math.log(1 + max(0.0, float(row[j]))) for row, kept in zip(text, tokens, strict=True) if kept])
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


@pytest.mark.parametrize("pooling", POOLINGS)
@given(batch=batches())
@settings(max_examples=50, deadline=None)
def test_pooling_is_the_papers_sum_or_maximum(pooling: Pooling, batch: tuple[torch.Tensor, torch.Tensor]) -> None:
    torch.testing.assert_close(
        pool(*batch, pooling), torch.tensor(slowly(*batch, pooling), dtype=torch.float64), rtol=1e-12, atol=1e-12
    )


@given(batch=batches(), junk=st.floats(-1e4, 1e4))
@settings(max_examples=50, deadline=None)
def test_what_stands_under_padding_changes_nothing(batch: tuple[torch.Tensor, torch.Tensor], junk: float) -> None:
    logits, mask = batch
    dirty = torch.where(mask.unsqueeze(-1) == 0, junk, logits)
    for pooling in POOLINGS:
        assert torch.equal(pool(dirty, mask, pooling), pool(logits, mask, pooling))


@given(batch=batches())
@settings(max_examples=50, deadline=None)
def test_the_maximum_is_at_most_the_sum_and_both_grow_with_every_logit(
    batch: tuple[torch.Tensor, torch.Tensor],
) -> None:
    logits, mask = batch
    assert bool((max_pool(logits, mask) <= sum_pool(logits, mask) + 1e-12).all())
    for pooling in POOLINGS:
        assert bool((pool(logits + 1, mask, pooling) >= pool(logits, mask, pooling)).all())


def test_a_logit_below_zero_weighs_nothing_and_small_ones_keep_their_precision() -> None:
    values = saturate(torch.tensor([-3.0, 0.0, 1e-10, math.e - 1]))
    assert values.tolist() == pytest.approx([0.0, 0.0, 1e-10, 1.0])


@pytest.mark.parametrize("pooling", POOLINGS)
def test_gradients_are_those_of_finite_differences(pooling: Pooling) -> None:
    generator = torch.Generator().manual_seed(1)
    logits = torch.randn((2, 3, 4), generator=generator, dtype=torch.float64, requires_grad=True)
    mask = torch.tensor([[1, 1, 1], [1, 1, 0]])
    assert torch.autograd.gradcheck(lambda x: pool(x, mask, pooling), (logits,))


def test_a_text_of_nothing_but_padding_is_empty() -> None:
    for pooling in POOLINGS:
        assert not pool(torch.ones(1, 2, 3), torch.zeros(1, 2), pooling).any()
