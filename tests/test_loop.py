"""Facts of the loop: a run goes on as if it had not stopped, keeps the best, and takes the steps that it says."""

import json
import math
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch

from splade_anserini.cards.training_recipe import TrainingRecipe
from splade_anserini.errors import TrainingError
from splade_anserini.progress import silent
from splade_anserini.training.gradients import Gradients
from splade_anserini.training.loop import Loop, LoopOptions
from splade_anserini.training.objective import Objective, Vectors
from splade_anserini.training.optimizer import RunningMean, optimizer, schedule
from splade_anserini.training.student import Student
from tests.students import examples, recipe, student, supply

type Values = dict[str, torch.Tensor]

STATEFUL: dict[str, Any] = {
    "regularizer": {"kind": "df-flops", "lambda_q": 0.1, "lambda_d": 0.1, "until": 4},
    "accumulation": 2,
    "average": 0.9,
    "steps": 7,
    "warmup_steps": 2,
    "decay": "cosine",
    "bias_learning_rate": 1e-2,
    "weight_decay": 0.01,
}
"""All that has a memory."""


class StoppedError(Exception):
    """Somebody ends the process."""


def values(some: Student) -> Values:
    return {name: each.detach().clone() for name, each in some.pair.named_parameters()}


def same(mine: Values, theirs: Values) -> bool:
    return mine.keys() == theirs.keys() and all(torch.equal(mine[name], theirs[name]) for name in theirs)


def loop(chosen: TrainingRecipe, work: Path, some: Student | None = None, **more: Any) -> Loop:
    options = LoopOptions(
        work, **({"checkpoint_every": 3, "log_every": 2} | {k: v for k, v in more.items() if k != "validator"})
    )
    return Loop(
        chosen,
        some or student(chosen.query_side, dropout=0.2),
        supply(chosen, [examples(13, negatives=None), examples(7, start=20)], budget=60),
        options,
        validator=more.get("validator"),
    )


def stop_after(steps: int) -> Callable[[int], None]:
    taken = 0

    def progress(number: int) -> None:
        nonlocal taken
        taken += number
        if taken >= steps:
            raise StoppedError

    return progress


def run(chosen: TrainingRecipe, work: Path, seed: int, progress: Callable[[int], None] = silent, **more: Any) -> Loop:
    torch.manual_seed(seed)
    made = loop(chosen, work, **more)
    made.run(progress)
    return made


def measure(some: Student) -> dict[str, float]:
    """Something that depends on the student's weights, and on chance."""
    return {"size": float(sum(each.abs().sum() for each in some.pair.parameters())) + float(torch.rand(1))}


class TestResuming:
    @pytest.mark.parametrize("cached", [False, True], ids=["plain", "cached"])
    @pytest.mark.parametrize("side", ["splade", "idf"])
    def test_a_run_that_was_stopped_ends_bit_for_bit_as_one_that_was_not(
        self, side: str, cached: bool, tmp_path: Path
    ) -> None:
        more = {"cached": cached, "query_side": side}
        if side == "idf":
            more["regularizer"] = {"kind": "df-flops", "lambda_d": 0.1, "until": 4}
        chosen = recipe(**(STATEFUL | more))
        watched = {"validate_every": 3, "validator": measure}
        straight = run(chosen, tmp_path / "straight", 5, **watched)
        with pytest.raises(StoppedError):
            run(chosen, tmp_path / "stopped", 5, stop_after(5), **watched)
        with pytest.raises(StoppedError):
            run(chosen, tmp_path / "stopped", 99, stop_after(6), **watched)
        assert sorted(path.name for path in (tmp_path / "stopped").glob("step-*")) == ["step-6"]
        resumed = run(chosen, tmp_path / "stopped", 77, **watched)
        assert straight.step == resumed.step
        assert same(values(resumed.student), values(straight.student))
        one, other = straight._optimizer.state_dict(), resumed._optimizer.state_dict()
        assert one["param_groups"] == other["param_groups"]
        for number, state in one["state"].items():
            assert all(torch.equal(value, other["state"][number][name]) for name, value in state.items())
        assert same(straight._objective.state_dict(), resumed._objective.state_dict())
        for mine, theirs in zip(resumed._mean.state_dict()["means"], straight._mean.state_dict()["means"], strict=True):
            assert torch.equal(mine, theirs)
        logs = [(tmp_path / name / "log.jsonl").read_bytes() for name in ("straight", "stopped")]
        assert logs[0] == logs[1]
        assert [json.loads(line) for line in logs[0].splitlines()] == straight._course.log

    def test_what_is_tested_would_differ_without_the_checkpoints_state(self, tmp_path: Path) -> None:
        """Other random numbers give another model: dropout is there."""
        chosen = recipe(**STATEFUL)
        one, other = (run(chosen, tmp_path / str(seed), seed) for seed in (5, 6))
        assert not same(values(one.student), values(other.student))

    def test_what_was_not_written_whole_is_not_read(self, tmp_path: Path) -> None:
        chosen = recipe(steps=4)
        with pytest.raises(StoppedError):
            run(chosen, tmp_path, 5, stop_after(3), checkpoint_every=2)
        (tmp_path / "step-3.partial").mkdir()
        assert len(run(chosen, tmp_path, 5).run()) > 0

    def test_progress_is_told_from_where_the_run_goes_on(self, tmp_path: Path) -> None:
        chosen, told = recipe(steps=7), list[int]()
        with pytest.raises(StoppedError):
            run(chosen, tmp_path, 5, stop_after(5))
        run(chosen, tmp_path, 5, told.append)
        assert told == [3, 1, 1, 1, 1]


class Judge:
    """Gives the measures one after the other, and remembers the weights it saw."""

    def __init__(self, *measures: float) -> None:
        self.measures = list(measures)
        self.seen: list[Values] = []
        self.training: list[bool] = []

    def __call__(self, some: Student) -> dict[str, float]:
        self.seen.append(values(some))
        self.training.append(some.pair.training)
        return {"nDCG": self.measures[len(self.seen) - 1], "other": -1.0}


class TestValidation:
    def test_the_best_weights_are_kept_and_training_ends_when_they_no_longer_get_better(self, tmp_path: Path) -> None:
        judge = Judge(0.1, 0.3, 0.3, 0.2, 0.9)
        chosen = recipe(steps=10, average=0.5)
        made = run(chosen, tmp_path, 1, validate_every=1, patience=2, validator=judge)
        assert len(judge.seen) == 4
        assert made.step == 2
        assert same(values(made.student), judge.seen[1])
        assert judge.training == [False] * 4
        rows = [row for row in made._course.log if "nDCG" in row]
        assert rows == [
            {"step": step, "nDCG": value, "other": -1.0} for step, value in enumerate([0.1, 0.3, 0.3, 0.2], 1)
        ]

    def test_without_patience_it_goes_on_to_the_end(self, tmp_path: Path) -> None:
        judge = Judge(0.1, 0.9, 0.3)
        made = run(recipe(steps=5), tmp_path, 1, validate_every=2, validator=judge)
        assert [row["step"] for row in made._course.log if "nDCG" in row] == [2, 4, 5]
        assert made.step == 4
        assert same(values(made.student), judge.seen[1])

    def test_what_is_validated_is_the_running_mean_and_training_goes_on_from_the_weights(self, tmp_path: Path) -> None:
        judge, other = Judge(1, 2, 3), Judge(1, 2, 3)
        run(recipe(steps=3, average=0.9), tmp_path / "mean", 1, validate_every=1, validator=judge)
        run(recipe(steps=3), tmp_path / "weights", 1, validate_every=1, validator=other)
        start = values(student(dropout=0.2))
        mean = {name: value.clone() for name, value in start.items()}
        for updates, (found, weights) in enumerate(zip(judge.seen, other.seen, strict=True), 1):
            decay = min(0.9, updates / (updates + 10))
            for name, value in weights.items():
                mean[name] = decay * mean[name] + (1 - decay) * value
                torch.testing.assert_close(found[name], mean[name])
        assert not same(judge.seen[-1], other.seen[-1])

    def test_without_a_validator_the_last_mean_is_kept(self, tmp_path: Path) -> None:
        judge = Judge(*range(6))
        run(recipe(average=0.9), tmp_path / "judged", 1, validate_every=1, validator=judge)
        made = run(recipe(average=0.9), tmp_path / "plain", 1)
        assert made.step == 6
        assert same(values(made.student), judge.seen[-1])


class TestSteps:
    def gradients(self, chosen: TrainingRecipe, work: Path) -> list[Values]:
        """Return those of every step, as they come to be clipped."""
        some, kept = student(), list[Values]()
        made = loop(chosen, work, some)
        clip = made._accelerator.clip_grad_norm_

        def keep(parameters: Any, norm: float) -> Any:
            kept.append({name: each.grad.clone() for name, each in some.pair.named_parameters()})
            return clip(parameters, norm)

        made._accelerator.clip_grad_norm_ = keep
        made.run()
        return kept

    @pytest.mark.parametrize("cached", [False, True], ids=["plain", "cached"])
    def test_accumulation_is_the_mean_over_its_batches(self, cached: bool, tmp_path: Path) -> None:
        regularizer = {"lambda_q": 0.1, "lambda_d": 0.1, "schedule": "constant"}
        chosen = recipe(steps=1, accumulation=3, regularizer=regularizer, cached=cached)
        (found,) = self.gradients(chosen, tmp_path)
        some, objective = student(), Objective(chosen)
        batches = supply(chosen, [examples(13, negatives=None), examples(7, start=20)], budget=60).batches(0)
        for batch in batches:

            def loss_of(vectors: Vectors, batch: Any = batch) -> torch.Tensor:
                return sum(objective(vectors, batch.facts, 0, None).values(), torch.zeros(())) / 3

            Gradients(some.pair, torch.Tensor.backward).plain(batch, loss_of)
        for name, each in some.pair.named_parameters():
            assert each.grad is not None
            scale = max(1.0, float(each.grad.abs().max()))
            torch.testing.assert_close(found[name], each.grad, rtol=1e-4, atol=1e-5 * scale)

    def test_gradients_are_of_their_step_alone_and_the_regularizer_rises(self, tmp_path: Path) -> None:
        chosen = recipe(steps=3, learning_rate=1e-12, losses=[{"kind": "rank-ibn", "weight": 1e-9}])
        first, second, third = self.gradients(chosen, tmp_path)
        name = "documents._layer.bias"
        assert float(first[name].norm()) < 1e-6
        assert 2.5 < float(third[name].norm() / second[name].norm()) < 6.0

    def test_the_gradient_is_clipped(self, tmp_path: Path) -> None:
        """Adam's first step does not see the gradient's size, but its memory does."""
        made = run(recipe(steps=1, max_gradient=1e-3), tmp_path, 1)
        state = made._optimizer.state_dict()["state"].values()
        norm = math.sqrt(sum(float((each["exp_avg"] / 0.1).square().sum()) for each in state))
        assert norm == pytest.approx(1e-3, rel=1e-3)
        assert made._course.log[0]["gradient"] > 0.1

    def test_the_log_holds_means_over_steps(self, tmp_path: Path) -> None:
        every = run(recipe(steps=5), tmp_path / "1", 1, log_every=1)._course.log
        means = run(recipe(steps=5), tmp_path / "2", 1, log_every=2)._course.log
        assert [row["step"] for row in means] == [2, 4, 5]
        assert means[0]["loss"] == pytest.approx((every[0]["loss"] + every[1]["loss"]) / 2)
        assert means[2]["loss"] == every[4]["loss"]
        assert {"rank-ibn", "flops q", "flops d", "active q", "active d", "FLOPS", "gradient"} < means[0].keys()
        assert [row["learning rate"] for row in means] == [every[place]["learning rate"] for place in (1, 3, 4)]

    def test_a_lost_run_is_stopped(self, tmp_path: Path) -> None:
        with pytest.raises(TrainingError, match="the loss is"):
            run(recipe(steps=9, learning_rate=1e30), tmp_path, 1)

    def test_it_learns(self, tmp_path: Path) -> None:
        log = run(recipe(steps=12), tmp_path, 1, log_every=4)._course.log
        assert log[-1]["rank-ibn"] < 0.7 * log[0]["rank-ibn"]


class TestOptimizer:
    def rates(self, **changes: Any) -> list[float]:
        chosen = recipe(**({"steps": 10, "warmup_steps": 4, "learning_rate": 1.0} | changes))
        taken = optimizer(student().pair, chosen)
        course, found = schedule(taken, chosen), []
        for _ in range(12):
            found.append(course.get_last_lr()[0])
            taken.step()
            course.step()
        return found

    def test_the_rate_rises_linearly_and_falls_to_0_at_the_last_step(self) -> None:
        rise = [0.0, 0.25, 0.5, 0.75]
        assert self.rates() == pytest.approx([*rise, *[1 - place / 6 for place in range(7)], 0.0])
        cosine = [0.5 * (1 + math.cos(math.pi * place / 6)) for place in range(7)]
        assert self.rates(decay="cosine") == pytest.approx([*rise, *cosine, 0.0], abs=1e-12)
        assert self.rates(decay="constant") == pytest.approx([*rise, *[1.0] * 8])
        assert self.rates(warmup_steps=0)[0] == 1.0

    def test_weights_decay_biases_and_norms_do_not_and_output_biases_have_their_own_rate(self) -> None:
        some = student("separate")
        names = {id(each): name for name, each in some.pair.named_parameters()}
        groups = optimizer(some.pair, recipe(bias_learning_rate=0.5, weight_decay=0.1)).param_groups
        found = {names[id(each)]: (group["lr"], group["weight_decay"]) for group in groups for each in group["params"]}
        assert found.keys() == set(names.values())
        for name, settings in found.items():
            if name in {"documents._layer.bias", "queries._layer.bias"}:
                assert settings == (0.5, 0.0)
            elif name.endswith("bias") or "LayerNorm" in name:
                assert settings == (1e-3, 0.0)
            else:
                assert settings == (1e-3, 0.1)
        plain = optimizer(some.pair, recipe()).param_groups
        assert {group["lr"] for group in plain} == {1e-3}

    def test_what_does_not_learn_is_left_out(self) -> None:
        some = student("doc")
        held = {id(each) for group in optimizer(some.pair, recipe()).param_groups for each in group["params"]}
        assert held == {id(each) for each in some.pair.documents.parameters()}


class TestRunningMean:
    @staticmethod
    def parameters() -> list[torch.nn.Parameter]:
        return [torch.nn.Parameter(torch.ones(3)), torch.nn.Parameter(torch.zeros(2), requires_grad=False)]

    def test_it_is_a_mean_that_forgets_faster_early_on(self) -> None:
        moving, still = self.parameters()
        mean = RunningMean([moving, still], 0.3)
        slow = 1.0
        for step in range(1, 9):
            with torch.no_grad():
                moving.fill_(float(step * step))
            mean.update()
            decay = min(0.3, step / (step + 10))
            slow = decay * slow + (1 - decay) * step * step
        mean.swap()
        assert moving.tolist() == pytest.approx([slow] * 3)
        assert still.tolist() == [0.0, 0.0]

    def test_to_exchange_twice_is_nothing(self) -> None:
        moving, still = self.parameters()
        mean = RunningMean([moving, still], 0.9)
        with torch.no_grad():
            moving.copy_(torch.tensor([0.1, 0.7, -3.3]))
        mean.update()
        before, means = moving.detach().clone(), [each.clone() for each in mean.state_dict()["means"]]
        mean.swap()
        assert not torch.equal(moving, before)
        assert torch.equal(moving, means[0])
        mean.swap()
        assert torch.equal(moving, before)
        assert torch.equal(mean.state_dict()["means"][0], means[0])

    def test_without_decay_there_is_none(self) -> None:
        moving, still = self.parameters()
        mean = RunningMean([moving, still], 0.0)
        mean.update()
        mean.swap()
        assert moving.tolist() == [1.0] * 3

    def test_a_checkpoint_holds_it(self) -> None:
        moving, still = self.parameters()
        mean = RunningMean([moving, still], 0.9)
        with torch.no_grad():
            moving.fill_(5.0)
        mean.update()
        state = {"means": [each.clone() for each in mean.state_dict()["means"]], "updates": 1}
        assert mean.state_dict()["updates"] == 1
        other = RunningMean([moving, still], 0.9)
        other.load_state_dict(state)
        for each in (mean, other):
            each.update()
        assert torch.equal(mean.state_dict()["means"][0], other.state_dict()["means"][0])
        assert other.state_dict()["updates"] == 2
