"""Facts of what is watched: the numbers of a step, and the guard that stops a lost run."""

import math
from collections.abc import Mapping

import pytest
import torch

from splade_anserini.errors import TrainingError
from splade_anserini.training.monitor import Guard, numbers
from splade_anserini.training.objective import Vectors

SIZE = 1000


def told(**changes: float) -> dict[str, float]:
    healthy = {"loss": 2.0, "active q": 20.0, "empty q": 0.0, "active d": 120.0, "empty d": 0.0}
    return healthy | {name.replace("_", " "): value for name, value in changes.items()}


def steps(guard: Guard, found: Mapping[str, float], count: int, first: int = 1) -> None:
    for step in range(first, first + count):
        guard(step, found)


class TestNumbers:
    generator = torch.Generator().manual_seed(0)
    queries = (torch.rand(4, 9, generator=generator) - 0.6).relu()
    documents = (torch.rand(7, 9, generator=generator) - 0.3).relu()

    def test_they_are_slow_counts(self) -> None:
        queries, documents = self.queries.clone(), self.documents.clone()
        queries[2] = 0.0
        parts = {"rank-ibn": torch.tensor(1.5, requires_grad=True), "flops d": torch.tensor(0.25)}
        found = numbers(Vectors(queries.requires_grad_(), documents), parts)
        q, d = queries.tolist(), documents.tolist()
        assert found == {
            "loss": 1.75,
            "rank-ibn": 1.5,
            "flops d": 0.25,
            "active q": pytest.approx(sum(weight > 0 for row in q for weight in row) / 4),
            "empty q": pytest.approx(sum(not any(row) for row in q) / 4),
            "active d": pytest.approx(sum(weight > 0 for row in d for weight in row) / 7),
            "empty d": 0.0,
            "FLOPS": pytest.approx(
                sum(sum(row[j] > 0 for row in q) / 4 * sum(row[j] > 0 for row in d) / 7 for j in range(9)), rel=1e-6
            ),
        }
        assert found["empty q"] >= 0.25

    def test_flops_are_the_mean_number_of_entries_that_a_query_and_a_document_share(self) -> None:
        shared = [sum(a > 0 and b > 0 for a, b in zip(q, d, strict=True)) for q in self.queries for d in self.documents]
        found = numbers(Vectors(self.queries, self.documents), {"loss": torch.tensor(0.0)})
        assert found["FLOPS"] == pytest.approx(sum(map(int, shared)) / 28, rel=1e-6)


class TestGuard:
    def test_a_healthy_run_goes_on(self) -> None:
        guard = Guard(SIZE)
        steps(guard, told(), 1000)
        steps(guard, told(empty_q=0.85, empty_d=0.6, active_d=880.0), 1000, 1001)

    def test_a_dense_beginning_is_no_explosion(self) -> None:
        guard = Guard(SIZE, window=10)
        steps(guard, told(active_q=900.0, active_d=990.0), 22)
        steps(guard, told(), 200, 23)

    def test_a_bad_moment_is_no_collapse(self) -> None:
        guard = Guard(SIZE, window=10)
        for step in range(1, 200):
            guard(step, told(empty_d=1.0) if step % 3 else told())

    @pytest.mark.parametrize(("side", "what"), [("q", "queries"), ("d", "documents")])
    def test_collapse_stops_it_with_advice(self, side: str, what: str) -> None:
        guard = Guard(SIZE, window=10)
        steps(guard, told(), 20)
        steps(guard, told(**{f"empty_{side}": 0.95}), 9, 21)
        with pytest.raises(TrainingError, match=rf"Collapse: .* step 30, 9\d% of the {what}") as caught:
            steps(guard, told(**{f"empty_{side}": 0.95}), 20, 30)
        assert f"Lower lambda_{side}" in str(caught.value)

    @pytest.mark.parametrize(("side", "what"), [("q", "queries"), ("d", "documents")])
    def test_explosion_stops_it_with_advice(self, side: str, what: str) -> None:
        guard = Guard(SIZE, window=10)
        steps(guard, told(**{f"active_{side}": 950.0}), 29)
        with pytest.raises(TrainingError, match=rf"Explosion: .* step 30, 95% .* of the {what}") as caught:
            guard(30, told(**{f"active_{side}": 950.0}))
        assert f"Raise lambda_{side}" in str(caught.value)
        assert "warm start" in str(caught.value)

    @pytest.mark.parametrize("loss", [math.nan, math.inf, -math.inf])
    def test_a_loss_that_is_no_number_stops_it_at_once(self, loss: float) -> None:
        with pytest.raises(TrainingError, match=r"At step 1 the loss is") as caught:
            Guard(SIZE)(1, told(loss=loss))
        assert "learning_rate" in str(caught.value)

    def test_windows_are_of_the_last_steps_alone(self) -> None:
        guard = Guard(SIZE, window=10)
        steps(guard, told(), 500)
        with pytest.raises(TrainingError, match="Collapse"):
            steps(guard, told(empty_q=1.0), 10, 501)
