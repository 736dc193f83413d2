"""The metrics of a training step, and the guard that stops a run that cannot recover."""

import math
from collections.abc import Mapping

import pytest
import torch

from splade_anserini.errors import TrainingError
from splade_anserini.training.monitor import Guard, step_metrics
from splade_anserini.training.objective import Vectors

VOCABULARY_SIZE = 1000
HEALTHY = {"loss": 2.0, "active q": 20.0, "empty q": 0.0, "active d": 120.0, "empty d": 0.0}
EACH_SIDE = pytest.mark.parametrize(("side", "texts"), [("q", "queries"), ("d", "documents")])


def check_steps(guard: Guard, metrics: Mapping[str, float], count: int, first: int = 1) -> None:
    for step in range(first, first + count):
        guard(step, metrics)


class TestStepMetrics:
    generator = torch.Generator().manual_seed(0)
    queries = (torch.rand(4, 9, generator=generator) - 0.6).relu()
    documents = (torch.rand(7, 9, generator=generator) - 0.3).relu()

    def test_they_count_active_entries_and_empty_vectors(self) -> None:
        queries, documents = self.queries.clone(), self.documents.clone()
        queries[2] = 0.0
        terms = {"rank-ibn": torch.tensor(1.5, requires_grad=True), "flops d": torch.tensor(0.25)}
        metrics = step_metrics(Vectors(queries.requires_grad_(), documents), terms)
        q, d = queries.tolist(), documents.tolist()
        assert metrics == {
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
        assert metrics["empty q"] >= 0.25

    def test_flops_is_the_mean_number_of_entries_that_a_query_and_a_document_share(self) -> None:
        shared = [sum(a > 0 and b > 0 for a, b in zip(q, d, strict=True)) for q in self.queries for d in self.documents]
        metrics = step_metrics(Vectors(self.queries, self.documents), {"loss": torch.tensor(0.0)})
        assert metrics["FLOPS"] == pytest.approx(sum(map(int, shared)) / 28, rel=1e-6)


class TestGuard:
    def test_a_healthy_run_continues(self) -> None:
        guard = Guard(VOCABULARY_SIZE)
        check_steps(guard, HEALTHY, 1000)
        check_steps(guard, HEALTHY | {"empty q": 0.85, "empty d": 0.6, "active d": 880.0}, 1000, 1001)

    def test_a_run_may_start_with_dense_vectors(self) -> None:
        guard = Guard(VOCABULARY_SIZE, window=10)
        check_steps(guard, HEALTHY | {"active q": 900.0, "active d": 990.0}, 22)
        check_steps(guard, HEALTHY, 200, 23)

    def test_single_steps_with_empty_vectors_are_not_a_collapse(self) -> None:
        guard = Guard(VOCABULARY_SIZE, window=10)
        for step in range(1, 200):
            guard(step, HEALTHY | {"empty d": 1.0} if step % 3 else HEALTHY)

    @EACH_SIDE
    def test_a_run_whose_vectors_become_empty_is_stopped_with_advice(self, side: str, texts: str) -> None:
        guard = Guard(VOCABULARY_SIZE, window=10)
        metrics = HEALTHY | {f"empty {side}": 0.95}
        check_steps(guard, HEALTHY, 20)
        check_steps(guard, metrics, 9, 21)
        with pytest.raises(TrainingError, match=rf"have collapsed: 9\d% of the {texts} .* step 30\.") as caught:
            check_steps(guard, metrics, 20, 30)
        assert f"Lower lambda_{side}" in str(caught.value)

    @EACH_SIDE
    def test_a_run_whose_vectors_stay_dense_is_stopped_with_advice(self, side: str, texts: str) -> None:
        guard = Guard(VOCABULARY_SIZE, window=10)
        metrics = HEALTHY | {f"active {side}": 950.0}
        check_steps(guard, metrics, 29)
        message = rf"do not become sparse: 95% of all entries of the {texts} .* step 30\."
        with pytest.raises(TrainingError, match=message) as caught:
            guard(30, metrics)
        assert f"Raise lambda_{side}" in str(caught.value)
        assert "warm start" in str(caught.value)

    @pytest.mark.parametrize("loss", [math.nan, math.inf, -math.inf])
    def test_a_loss_that_is_not_finite_stops_the_run_at_once(self, loss: float) -> None:
        with pytest.raises(TrainingError, match=rf"^The loss at step 1 is {loss}\.") as caught:
            Guard(VOCABULARY_SIZE)(1, HEALTHY | {"loss": loss})
        assert "learning_rate" in str(caught.value)

    def test_the_window_holds_the_last_steps_only(self) -> None:
        guard = Guard(VOCABULARY_SIZE, window=10)
        check_steps(guard, HEALTHY, 500)
        with pytest.raises(TrainingError, match="have collapsed"):
            check_steps(guard, HEALTHY | {"empty q": 1.0}, 10, 501)
