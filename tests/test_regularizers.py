"""The sparsity regularizers and their schedules, compared with sums in double precision."""

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

SMALL = torch.tensor([[1.0, 2.0], [3.0, 0.0]])


def random_weights(texts: int = 4, entries: int = 6, seed: int = 0) -> torch.Tensor:
    generator = torch.Generator().manual_seed(seed)
    return torch.randn((texts, entries), generator=generator, dtype=torch.float64).relu()


def mean_weights(rows: list[list[float]]) -> list[float]:
    """Return the mean weight of each entry."""
    return [math.fsum(row[j] for row in rows) / len(rows) for j in range(len(rows[0]))]


def share_weight(share: float, middle: float, steepness: float) -> float:
    return 1 / (1 + (share ** math.log(2, middle) - 1) ** steepness)


class TestFlops:
    def test_it_is_the_sum_over_entries_of_squared_mean_weights(self) -> None:
        weights = random_weights()
        expected = math.fsum(mean**2 for mean in mean_weights(weights.tolist()))
        assert flops(weights).item() == pytest.approx(expected, rel=1e-12)
        assert flops(SMALL).item() == 2.0**2 + 1.0**2

    def test_its_gradient_is_correct(self) -> None:
        assert torch.autograd.gradcheck(flops, (random_weights().requires_grad_(),))

    @given(seed=st.integers(0, 2**31), texts=st.integers(1, 6), entries=st.integers(1, 8))
    @settings(max_examples=50, deadline=None)
    def test_it_is_between_the_squared_l1_divided_by_the_entries_and_the_squared_l1(
        self, seed: int, texts: int, entries: int
    ) -> None:
        """ℓ_1 is the sum of the mean weights m: (Σ m)² / |V| ≤ Σ m² ≤ (Σ m)²."""
        weights = random_weights(texts, entries, seed)
        squared = l1(weights).item() ** 2
        assert squared / entries <= flops(weights).item() * (1 + 1e-12) + 1e-300
        assert flops(weights).item() <= squared * (1 + 1e-12)

    def test_it_is_smaller_for_evenly_spread_weights_and_l1_is_not(self) -> None:
        uneven, even = torch.tensor([[2.0, 0.0]]), torch.tensor([[1.0, 1.0]])
        assert (flops(uneven).item(), flops(even).item()) == (4.0, 2.0)
        assert l1(uneven).item() == l1(even).item()


class TestL1:
    def test_it_is_the_mean_over_texts_of_summed_weights(self) -> None:
        weights = random_weights()
        expected = math.fsum(math.fsum(row) for row in weights.tolist()) / len(weights)
        assert l1(weights).item() == pytest.approx(expected, rel=1e-12)
        assert l1(SMALL).item() == 3.0

    def test_its_gradient_is_correct(self) -> None:
        assert torch.autograd.gradcheck(l1, (random_weights().requires_grad_(),))


class TestDfFlops:
    weights = random_weights()
    shares = torch.tensor([0.0, 0.05, 0.1, 0.2, 0.7, 1.0], dtype=torch.float64)

    def test_it_weights_the_mean_of_an_entry_by_its_share_of_documents(self) -> None:
        factors = [share_weight(share, 0.1, 10.0) if share else 0.0 for share in self.shares.tolist()]
        means = mean_weights(self.weights.tolist())
        expected = math.fsum((factor * mean) ** 2 for factor, mean in zip(factors, means, strict=True))
        assert df_flops(self.weights, self.shares).item() == pytest.approx(expected, rel=1e-12)

    def test_its_gradient_is_correct(self) -> None:
        assert torch.autograd.gradcheck(lambda x: df_flops(x, self.shares), (self.weights.clone().requires_grad_(),))

    def test_it_is_flops_for_entries_of_all_documents_and_0_for_entries_of_none(self) -> None:
        assert df_flops(self.weights, torch.ones(6, dtype=torch.float64)).item() == flops(self.weights).item()
        assert df_flops(self.weights, torch.zeros(6, dtype=torch.float64)).item() == 0.0


class TestDocumentShareWeight:
    @pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
    @pytest.mark.parametrize("middle", [0.05, 0.1, 0.5])
    def test_it_is_0_at_0_a_half_in_the_middle_and_1_at_1(self, dtype: torch.dtype, middle: float) -> None:
        values = document_share_weight(torch.tensor([0.0, middle, 1.0], dtype=dtype), middle=middle)
        assert values.tolist() == [0.0, pytest.approx(0.5, abs=1e-5), 1.0]

    def test_it_is_the_formula_of_the_paper(self) -> None:
        shares = [0.001, 0.02, 0.09, 0.1, 0.11, 0.3, 0.99]
        values = document_share_weight(torch.tensor(shares, dtype=torch.float64), middle=0.2, steepness=3.0)
        assert values.tolist() == pytest.approx([share_weight(share, 0.2, 3.0) for share in shares], rel=1e-12)

    def test_it_rises_from_0_to_1(self) -> None:
        values = document_share_weight(torch.linspace(0, 1, 1001, dtype=torch.float64))
        assert bool((values.diff() >= 0).all())
        assert bool((values[20:400].diff() > 0).all())
        assert bool(((values >= 0) & (values <= 1)).all())


class TestScheduledStrength:
    @pytest.mark.parametrize(
        ("schedule", "strengths"),
        [
            ("quadratic", [0.0, 0.0625, 0.25, 0.5625, 1.0, 1.0]),
            ("linear", [0.0, 0.25, 0.5, 0.75, 1.0, 1.0]),
            ("constant", [1.0] * 6),
        ],
    )
    def test_it_rises_to_1_and_stays(self, schedule: Schedule, strengths: list[float]) -> None:
        assert [scheduled_strength(step, 200, schedule) for step in (0, 50, 100, 150, 200, 999)] == strengths

    def test_it_is_quadratic_by_default_as_in_the_paper(self) -> None:
        assert scheduled_strength(10, 100) == pytest.approx(0.01)

    @pytest.mark.parametrize("schedule", ["quadratic", "linear", "constant"])
    def test_with_0_steps_to_rise_it_is_1_from_the_start(self, schedule: Schedule) -> None:
        assert scheduled_strength(0, 0, schedule) == 1.0
