"""The training loop: resuming, validation, and steps."""

import json
import math
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, NamedTuple

import pytest
import torch

from splade_anserini.cards.training_recipe import TrainingRecipe
from splade_anserini.errors import TrainingError
from splade_anserini.progress import silent
from splade_anserini.training.gradients import Gradients
from splade_anserini.training.loop import Loop
from splade_anserini.training.objective import Objective, Vectors
from splade_anserini.training.options import TrainingOptions
from splade_anserini.training.student import Student
from splade_anserini.training.training_state import BestCheckpoint, TrainingState
from tests.training_fixtures import batch_loader, examples, recipe, student

type Parameters = dict[str, torch.Tensor]
type Row = dict[str, float]

EVERYTHING_STATEFUL: dict[str, Any] = {
    "regularizer": {"kind": "df-flops", "lambda_q": 0.1, "lambda_d": 0.1, "until": 4},
    "accumulation": 2,
    "average": 0.9,
    "steps": 7,
    "warmup_steps": 2,
    "decay": "cosine",
    "bias_learning_rate": 1e-2,
    "weight_decay": 0.01,
}
"""A recipe in which each part of a checkpoint influences the later steps."""

BOTH_WAYS = pytest.mark.parametrize("cached", [False, True], ids=["plain", "cached"])


class InterruptedRunError(Exception):
    """Ends a run in the middle."""


class FinishedRun(NamedTuple):
    student: Student
    step: int
    log: list[Row]


def parameters(trained: Student) -> Parameters:
    return {name: each.detach().clone() for name, each in trained.pair.named_parameters()}


def equal(mine: Any, theirs: Any) -> bool:
    """Compare nested state, tensors bit for bit."""
    if isinstance(mine, torch.Tensor):
        return torch.equal(mine, theirs)
    if isinstance(mine, Mapping):
        return mine.keys() == theirs.keys() and all(equal(mine[key], theirs[key]) for key in mine)
    if isinstance(mine, list | tuple):
        return len(mine) == len(theirs) and all(map(equal, mine, theirs))
    return bool(mine == theirs)


def build_loop(
    chosen: TrainingRecipe,
    directory: Path,
    trained: Student | None = None,
    *,
    on_gradients: Callable[[int], object] = silent,
    validator: Any = None,
    **options: int,
) -> Loop:
    return Loop(
        chosen,
        trained or student(chosen.query_side, dropout=0.2),
        batch_loader(chosen, [examples(13, negatives=None), examples(7, start=20)], budget=60),
        directory,
        TrainingOptions(**({"checkpoint_every": 3, "log_every": 2} | options)),
        validator=validator,
        on_gradients=on_gradients,
    )


def run(
    chosen: TrainingRecipe, directory: Path, *, seed: int = 1, progress: Callable[[int], None] = silent, **more: Any
) -> FinishedRun:
    torch.manual_seed(seed)
    loop = build_loop(chosen, directory, **more)
    log = loop.run(progress)
    return FinishedRun(loop.student, loop.step, log)


def interrupt_after(steps: int) -> Callable[[int], None]:
    taken = 0

    def progress(count: int) -> None:
        nonlocal taken
        taken += count
        if taken >= steps:
            raise InterruptedRunError

    return progress


def interrupted_run(chosen: TrainingRecipe, directory: Path, steps: int, **more: Any) -> None:
    with pytest.raises(InterruptedRunError):
        run(chosen, directory, progress=interrupt_after(steps), **more)


def random_measure(trained: Student) -> Row:
    """A measure that depends on the student's weights and on the state of the random numbers."""
    size = sum(float(each.detach().abs().sum()) for each in trained.pair.parameters())
    return {"size": size + float(torch.rand(1))}


def checkpoint_contents(directory: Path) -> dict[str, Any]:
    contents = {path.name: torch.load(path, weights_only=False) for path in directory.iterdir()}
    contents["random_states_0.pkl"] = contents["random_states_0.pkl"]["torch_manual_seed"]
    return contents


class TestResuming:
    @pytest.mark.slow
    @BOTH_WAYS
    @pytest.mark.parametrize("query_side", ["splade", "idf"])
    def test_an_interrupted_run_ends_bit_for_bit_as_an_uninterrupted_one(
        self, query_side: str, cached: bool, tmp_path: Path
    ) -> None:
        changes = {"cached": cached, "query_side": query_side}
        if query_side == "idf":
            changes["regularizer"] = {"kind": "df-flops", "lambda_d": 0.1, "until": 4}
        chosen = recipe(**(EVERYTHING_STATEFUL | changes))
        options = {"checkpoint_every": 2, "validate_every": 3, "validator": random_measure}
        uninterrupted = run(chosen, tmp_path / "uninterrupted", seed=5, **options)
        directory = tmp_path / "interrupted"
        interrupted_run(chosen, directory, 3, seed=5, **options)
        interrupted_run(chosen, directory, 5, seed=99, **options)
        assert [path.name for path in directory.glob("step-*")] == ["step-4"]
        resumed = run(chosen, directory, seed=77, **options)
        assert resumed.step == uninterrupted.step
        assert equal(parameters(resumed.student), parameters(uninterrupted.student))
        # All other state, as of the last checkpoint.
        mine, theirs = (checkpoint_contents(tmp_path / name / "step-6") for name in ("interrupted", "uninterrupted"))
        assert len(mine) == 7
        assert equal(mine, theirs)
        logs = [(tmp_path / name / "log.jsonl").read_bytes() for name in ("interrupted", "uninterrupted")]
        assert logs[0] == logs[1]
        assert [json.loads(line) for line in logs[0].splitlines()] == uninterrupted.log

    def test_other_random_numbers_give_other_weights(self, tmp_path: Path) -> None:
        """Otherwise the test above would not notice if a checkpoint lacked them."""
        runs = [run(recipe(**EVERYTHING_STATEFUL), tmp_path / str(seed), seed=seed) for seed in (5, 6)]
        assert not equal(parameters(runs[0].student), parameters(runs[1].student))

    def test_a_partial_checkpoint_is_ignored(self, tmp_path: Path) -> None:
        chosen = recipe(steps=4)
        interrupted_run(chosen, tmp_path, 3, checkpoint_every=2)
        (tmp_path / "step-3.partial").mkdir()
        steps: list[int] = []
        run(chosen, tmp_path, progress=steps.append)
        assert steps == [2, 1, 1]

    def test_progress_starts_at_the_step_of_the_checkpoint(self, tmp_path: Path) -> None:
        chosen, steps = recipe(steps=7), list[int]()
        interrupted_run(chosen, tmp_path, 5)
        run(chosen, tmp_path, progress=steps.append)
        assert steps == [3, 1, 1, 1, 1]

    def test_the_state_in_a_checkpoint_has_the_keys_of_earlier_versions(self) -> None:
        state = TrainingState(BestCheckpoint(Path("best.pt"), torch.nn.Linear(1, 1)))
        earlier = {"step": 7, "log": [{"step": 5}], "window": [], "best": 0.5, "best_step": 5, "ended": True}
        state.load_state_dict(earlier)
        assert (state.step, state.best.measure, state.best.step, state.ended) == (7, 0.5, 5, True)
        assert state.state_dict() == earlier


class RecordingValidator:
    """Returns the given measures one after the other, and records the weights that it sees."""

    def __init__(self, *measures: float) -> None:
        self.measures = list(measures)
        self.seen: list[Parameters] = []
        self.training: list[bool] = []

    def __call__(self, trained: Student) -> Row:
        self.seen.append(parameters(trained))
        self.training.append(trained.pair.training)
        return {"nDCG": self.measures[len(self.seen) - 1], "other": -1.0}


class TestValidation:
    def test_training_stops_without_improvement_and_keeps_the_best_weights(self, tmp_path: Path) -> None:
        validator = RecordingValidator(0.1, 0.3, 0.3, 0.2, 0.9)
        chosen = recipe(steps=10, average=0.5)
        finished = run(chosen, tmp_path, validate_every=1, patience=2, validator=validator)
        assert len(validator.seen) == 4
        assert finished.step == 2
        assert equal(parameters(finished.student), validator.seen[1])
        assert validator.training == [False] * 4
        assert [row for row in finished.log if "nDCG" in row] == [
            {"step": step, "nDCG": value, "other": -1.0} for step, value in enumerate([0.1, 0.3, 0.3, 0.2], 1)
        ]

    def test_without_patience_training_continues_to_the_last_step(self, tmp_path: Path) -> None:
        validator = RecordingValidator(0.1, 0.9, 0.3)
        finished = run(recipe(steps=5), tmp_path, validate_every=2, validator=validator)
        assert [row["step"] for row in finished.log if "nDCG" in row] == [2, 4, 5]
        assert finished.step == 4
        assert equal(parameters(finished.student), validator.seen[1])

    def test_the_moving_average_is_validated_and_the_weights_are_trained(self, tmp_path: Path) -> None:
        averaged, plain = RecordingValidator(1, 2, 3), RecordingValidator(1, 2, 3)
        run(recipe(steps=3, average=0.9), tmp_path / "averaged", validate_every=1, validator=averaged)
        run(recipe(steps=3), tmp_path / "plain", validate_every=1, validator=plain)
        mean = parameters(student(dropout=0.2))
        for updates, (seen, weights) in enumerate(zip(averaged.seen, plain.seen, strict=True), 1):
            decay = min(0.9, updates / (updates + 10))
            for name, value in weights.items():
                mean[name] = decay * mean[name] + (1 - decay) * value
                torch.testing.assert_close(seen[name], mean[name])
        assert not equal(averaged.seen[-1], plain.seen[-1])

    def test_without_validation_the_last_average_is_kept(self, tmp_path: Path) -> None:
        validator = RecordingValidator(*range(6))
        run(recipe(average=0.9), tmp_path / "validated", validate_every=1, validator=validator)
        finished = run(recipe(average=0.9), tmp_path / "plain")
        assert finished.step == 6
        assert equal(parameters(finished.student), validator.seen[-1])


class TestSteps:
    def gradients(self, chosen: TrainingRecipe, directory: Path) -> list[Parameters]:
        """Return the gradients of every step before they are clipped."""
        trained, steps = student(), list[Parameters]()

        def record(step: int) -> None:
            assert step == len(steps)
            named = trained.pair.named_parameters()
            steps.append({name: each.grad.clone() for name, each in named if each.grad is not None})

        build_loop(chosen, directory, trained, on_gradients=record).run()
        return steps

    @BOTH_WAYS
    def test_accumulated_gradients_are_the_mean_over_the_batches(self, cached: bool, tmp_path: Path) -> None:
        regularizer = {"lambda_q": 0.1, "lambda_d": 0.1, "schedule": "constant"}
        chosen = recipe(steps=1, accumulation=3, regularizer=regularizer, cached=cached)
        (accumulated,) = self.gradients(chosen, tmp_path)
        trained, objective = student(), Objective(chosen)
        batches = batch_loader(chosen, [examples(13, negatives=None), examples(7, start=20)], budget=60).batches(0)
        for batch in batches:

            def loss_of(vectors: Vectors, batch: Any = batch) -> torch.Tensor:
                return sum(objective(vectors, batch.labels, 0, None).values(), torch.zeros(())) / 3

            Gradients(trained.pair, torch.Tensor.backward).plain(batch, loss_of)
        for name, each in trained.pair.named_parameters():
            assert each.grad is not None
            scale = max(1.0, float(each.grad.abs().max()))
            torch.testing.assert_close(accumulated[name], each.grad, rtol=1e-4, atol=1e-5 * scale)

    def test_gradients_start_at_zero_in_each_step_and_the_regularizer_rises(self, tmp_path: Path) -> None:
        chosen = recipe(steps=3, learning_rate=1e-12, losses=[{"kind": "rank-ibn", "weight": 1e-9}])
        first, second, third = self.gradients(chosen, tmp_path)
        name = "documents._layer.bias"
        assert float(first[name].norm()) < 1e-6
        assert 2.5 < float(third[name].norm() / second[name].norm()) < 6.0

    def test_the_gradient_is_clipped_before_the_optimizer_uses_it(self, tmp_path: Path) -> None:
        chosen = recipe(steps=2, max_gradient=1e-3)
        log = run(chosen, tmp_path, checkpoint_every=1, log_every=1).log
        # Adam's first average of gradients is a tenth of the gradient.
        state = torch.load(tmp_path / "step-1" / "optimizer.bin", weights_only=True)["state"].values()
        norm = math.sqrt(sum(float((each["exp_avg"] / 0.1).square().sum()) for each in state))
        assert norm == pytest.approx(1e-3, rel=1e-3)
        assert log[0]["gradient"] > 0.1

    def test_a_row_of_the_log_holds_means_over_steps(self, tmp_path: Path) -> None:
        every = run(recipe(steps=5), tmp_path / "1", log_every=1).log
        means = run(recipe(steps=5), tmp_path / "2", log_every=2).log
        assert [row["step"] for row in means] == [2, 4, 5]
        assert means[0]["loss"] == pytest.approx((every[0]["loss"] + every[1]["loss"]) / 2)
        assert means[2]["loss"] == every[4]["loss"]
        assert {"rank-ibn", "flops q", "flops d", "active q", "active d", "FLOPS", "gradient"} < means[0].keys()
        assert [row["learning rate"] for row in means] == [every[index]["learning rate"] for index in (1, 3, 4)]

    def test_a_run_with_an_infinite_loss_is_stopped(self, tmp_path: Path) -> None:
        with pytest.raises(TrainingError, match="The loss at step"):
            run(recipe(steps=9, learning_rate=1e30), tmp_path)

    def test_the_loss_falls(self, tmp_path: Path) -> None:
        log = run(recipe(steps=12), tmp_path, log_every=4).log
        assert log[-1]["rank-ibn"] < 0.7 * log[0]["rank-ibn"]
