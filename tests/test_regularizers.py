"""Facts of the regularizers and of their schedules, against slow sums in double precision."""

import math

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from splade_anserini.cards.training_recipe import Schedule
from splade_anserini.training.regularizers import (
    df_flops,
    document_share_weight,
    flops,
    l1,
    scheduled_strength,
)


def weights(texts: int = 4, entries: int = 6, seed: int = 0) -> torch.Tensor:
    generator = torch.Generator().manual_seed(seed)
    return torch.randn((texts, entries), generator=generator, dtype=torch.float64).relu()


def slow_means(rows: list[list[float]]) -> list[float]:
    return [math.fsum(row[j] for row in rows) / len(rows) for j in range(len(rows[0]))]


def slow_activation(share: float, middle: float, steepness: float) -> float:
    return 1 / (1 + (share ** math.log(2, middle) - 1) ** steepness)


def test_flops_is_the_sum_over_entries_of_squared_means() -> None:
    some = weights()
    slow = math.fsum(mean**2 for mean in slow_means(some.tolist()))
    assert flops(some).item() == pytest.approx(slow, rel=1e-12)
    assert torch.autograd.gradcheck(flops, (some.clone().requires_grad_(),))
    assert flops(torch.tensor([[1.0, 2.0], [3.0, 0.0]])).item() == 2.0**2 + 1.0**2


def test_l1_is_the_mean_over_texts_of_summed_weights() -> None:
    some = weights()
    slow = math.fsum(math.fsum(row) for row in some.tolist()) / len(some)
    assert l1(some).item() == pytest.approx(slow, rel=1e-12)
    assert torch.autograd.gradcheck(l1, (some.clone().requires_grad_(),))
    assert l1(torch.tensor([[1.0, 2.0], [3.0, 0.0]])).item() == 3.0


def test_df_flops_weighs_each_mean_by_how_common_its_entry_is() -> None:
    some = weights()
    shares = torch.tensor([0.0, 0.05, 0.1, 0.2, 0.7, 1.0], dtype=torch.float64)
    factors = [slow_activation(float(share), 0.1, 10.0) if share else 0.0 for share in shares]
    slow = math.fsum((factor * mean) ** 2 for factor, mean in zip(factors, slow_means(some.tolist()), strict=True))
    assert df_flops(some, shares).item() == pytest.approx(slow, rel=1e-12)
    assert torch.autograd.gradcheck(lambda x: df_flops(x, shares), (some.clone().requires_grad_(),))
    assert df_flops(some, torch.ones(6, dtype=torch.float64)).item() == flops(some).item()
    assert df_flops(some, torch.zeros(6, dtype=torch.float64)).item() == 0.0


@given(seed=st.integers(0, 2**31), texts=st.integers(1, 6), entries=st.integers(1, 8))
@settings(max_examples=50, deadline=None)
def test_flops_lies_between_the_squared_l1_spread_evenly_and_the_squared_l1(
    seed: int, texts: int, entries: int
) -> None:
    """ℓ_1 is the sum of the means: (Σ m)² / |V| ≤ Σ m² ≤ (Σ m)². Spreading weight evenly over entries is cheapest."""
    some = weights(texts, entries, seed)
    squared = l1(some).item() ** 2
    assert squared / entries <= flops(some).item() * (1 + 1e-12) + 1e-300
    assert flops(some).item() <= squared * (1 + 1e-12)


def test_flops_asks_for_an_even_spread_and_l1_does_not() -> None:
    uneven, even = torch.tensor([[2.0, 0.0]]), torch.tensor([[1.0, 1.0]])
    assert (flops(uneven).item(), flops(even).item()) == (4.0, 2.0)
    assert l1(uneven).item() == l1(even).item()


class TestActivation:
    @pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
    @pytest.mark.parametrize("middle", [0.05, 0.1, 0.5])
    def test_it_is_0_at_0_a_half_in_the_middle_and_1_at_1(self, dtype: torch.dtype, middle: float) -> None:
        found = document_share_weight(torch.tensor([0.0, middle, 1.0], dtype=dtype), middle=middle)
        assert found.tolist() == [0.0, pytest.approx(0.5, abs=1e-5), 1.0]

    def test_it_is_the_papers_formula(self) -> None:
        shares = [0.001, 0.02, 0.09, 0.1, 0.11, 0.3, 0.99]
        found = document_share_weight(torch.tensor(shares, dtype=torch.float64), middle=0.2, steepness=3.0)
        assert found.tolist() == pytest.approx([slow_activation(share, 0.2, 3.0) for share in shares], rel=1e-12)

    def test_it_rises(self) -> None:
        found = document_share_weight(torch.linspace(0, 1, 1001, dtype=torch.float64))
        assert bool((found.diff() >= 0).all())
        assert bool((found[20:400].diff() > 0).all())
        assert bool(((found >= 0) & (found <= 1)).all())


class TestStrength:
    @pytest.mark.parametrize(
        ("schedule", "shares"),
        [
            ("quadratic", [0.0, 0.0625, 0.25, 0.5625, 1.0, 1.0]),
            ("linear", [0.0, 0.25, 0.5, 0.75, 1.0, 1.0]),
            ("constant", [1.0] * 6),
        ],
    )
    def test_it_rises_to_1_at_its_step_and_stays(self, schedule: Schedule, shares: list[float]) -> None:
        assert [scheduled_strength(step, 200, schedule) for step in (0, 50, 100, 150, 200, 999)] == shares

    def test_the_papers_schedule_is_quadratic(self) -> None:
        assert scheduled_strength(10, 100) == pytest.approx(0.01)

    @pytest.mark.parametrize("schedule", ["quadratic", "linear", "constant"])
    def test_without_a_step_it_is_1_from_the_start(self, schedule: Schedule) -> None:
        assert scheduled_strength(0, 0, schedule) == 1.0
