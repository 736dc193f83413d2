"""The loop: batches, gradients, steps; checkpoints from which a run goes on as if it had not stopped."""

import json
import logging
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

import torch

from splade_anserini.artifacts.files import output_errors, whole_file
from splade_anserini.cards.training_recipe import TrainingRecipe
from splade_anserini.modeling.transformers_logging import quiet_transformers
from splade_anserini.progress import Progress, silent
from splade_anserini.training.batch import Batch
from splade_anserini.training.batches import Supply
from splade_anserini.training.checkpoints import checkpoints, save_checkpoint, writing
from splade_anserini.training.distributed import together, world_size
from splade_anserini.training.gradients import Gradients
from splade_anserini.training.monitor import Guard, numbers
from splade_anserini.training.objective import Objective, Vectors, needs_scores
from splade_anserini.training.optimizer import RunningMean, optimizer, schedule
from splade_anserini.training.student import Student
from splade_anserini.training.teachers.in_batch import Instruction

_log = logging.getLogger(__name__)

LOG = "log.jsonl"
"""A JSON line for the means over some steps, and for each validation."""

_BEST = "best.pt"


@dataclass(frozen=True, slots=True)
class LoopOptions:
    """What is not the recipe's: where a run stands by, and when it looks back."""

    work: Path
    """Where checkpoints and the log lie while the run lasts."""
    checkpoint_every: int = 500
    log_every: int = 10
    validate_every: int = 0
    """0: not."""
    patience: int = 0
    """Validations in a row without a better one after which training ends; 0: it does not end early."""


class Validator(Protocol):
    """Says how good the student is at a step: the greater, the better."""

    def __call__(self, student: Student) -> dict[str, float]:
        """Return measures; the first decides."""
        ...


class Loop:
    """One training run. `run` begins it, or goes on from the last checkpoint in `options.work`."""

    def __init__(
        self,
        recipe: TrainingRecipe,
        student: Student,
        supply: Supply,
        options: LoopOptions,
        *,
        instruction: Instruction | None = None,
        validator: Validator | None = None,
    ) -> None:
        from accelerate import Accelerator, DistributedDataParallelKwargs

        self.student = student
        self._recipe, self._supply, self._options = recipe, supply, options
        self._instruction, self._validator = instruction, validator
        # Where gradients are added up group by group, a group of documents leaves the queries' own parameters unused.
        apart = student.pair.queries is not student.pair.documents
        unused = recipe.cached and apart and any(each.requires_grad for each in student.pair.queries.parameters())
        settings = DistributedDataParallelKwargs(find_unused_parameters=unused, broadcast_buffers=False)
        self._accelerator = Accelerator(kwargs_handlers=[settings])
        self._objective = Objective(recipe)
        plain = optimizer(student.pair, recipe)
        with quiet_transformers():
            self._module, self._optimizer = self._accelerator.prepare(student.pair, plain)
        self._mean = RunningMean(student.pair.parameters(), recipe.average)
        self._schedule = schedule(plain, recipe)
        self._course = _Course()
        self._accelerator.register_for_checkpointing(self._schedule, self._mean, self._objective, self._course)
        self._guard = Guard(student.documents.vocabulary_size)
        self._gradients = Gradients(
            self._module, self._accelerator.backward, lambda: self._accelerator.no_sync(self._module)
        )

    @property
    def step(self) -> int:
        """How many steps have been taken for what the student holds."""
        return self._course.best_step or self._course.step

    def run(self, progress: Progress = silent) -> list[dict[str, float]]:
        """Train to the last step, or until validation no longer gets better; return the log.

        The student then holds what is to be kept. Raises `TrainingError` when the run is lost.
        """
        self._resume()
        progress(self._course.step)
        first = self._course.step * self._recipe.accumulation
        batches = self._supply.batches(first, scored=needs_scores(self._recipe))
        try:
            while self._course.step < self._recipe.steps and not self._course.ended:
                self._step(batches)
                progress(1)
        finally:
            batches.close()  # type: ignore[attr-defined]  # a generator
        if self._course.best_step:
            self._load_best()
        else:
            self._mean.swap()
        return self._course.log

    def _step(self, batches: Iterator[Batch]) -> None:
        self._module.train()
        found: list[dict[str, float]] = []
        for part in range(self._recipe.accumulation):
            last = part == self._recipe.accumulation - 1
            batch = next(batches).to(self._accelerator.device)
            if last:
                found.append(self._micro_step(batch))
            else:
                with self._accelerator.no_sync(self._module):
                    found.append(self._micro_step(batch))
        norm = self._accelerator.clip_grad_norm_(self._module.parameters(), self._recipe.max_gradient)
        self._optimizer.step()
        self._schedule.step()
        self._optimizer.zero_grad()
        self._mean.update()
        self._course.step += 1
        means = {name: sum(each[name] for each in found) / len(found) for name in found[0]}
        self._after(means | {"gradient": float(norm)})

    def _micro_step(self, batch: Batch) -> dict[str, float]:
        teacher = None if self._instruction is None else self._instruction(batch)
        told: dict[str, float] = {}

        def loss_of(vectors: Vectors) -> torch.Tensor:
            everyone, facts = together(vectors, batch.facts)
            parts = self._objective(everyone, facts, self._course.step, teacher)
            told.update(numbers(everyone, parts))
            # DDP takes the mean over devices of gradients that are each a part of one whole.
            return sum(parts.values(), torch.zeros(())) * (world_size() / self._recipe.accumulation)

        step = self._gradients.cached if self._recipe.cached else self._gradients.plain
        step(batch, loss_of)
        return told

    def _after(self, found: dict[str, float]) -> None:
        course, options = self._course, self._options
        course.window.append(found)
        self._guard(course.step, found)
        last = course.step == self._recipe.steps
        if course.step % options.log_every == 0 or last:
            names = course.window[0]
            means = {name: sum(each[name] for each in course.window) / len(course.window) for name in names}
            self._tell({"step": course.step, "learning rate": float(self._schedule.get_last_lr()[0])} | means)
            course.window.clear()
        if options.validate_every and (course.step % options.validate_every == 0 or last):
            self._validate()
        if course.step % options.checkpoint_every == 0 and not last:
            save_checkpoint(self._accelerator, options.work, course.step)

    def _validate(self) -> None:
        from accelerate.utils import broadcast_object_list

        if self._validator is None:
            return
        self._mean.swap()
        self._module.eval()
        found = [self._validator(self.student) if self._accelerator.is_main_process else None]
        broadcast_object_list(found)
        measures = found[0] or {}
        value = next(iter(measures.values()))
        if value > self._course.best:
            self._course.best, self._course.best_step = value, self._course.step
            self._keep_best()
        self._mean.swap()
        self._tell({"step": self._course.step} | measures)
        _log.info("step %d: %s", self._course.step, measures)
        waited = (self._course.step - self._course.best_step) // self._options.validate_every
        self._course.ended = bool(self._options.patience) and waited >= self._options.patience

    def _tell(self, row: dict[str, float]) -> None:
        self._course.log.append(row)
        if self._accelerator.is_main_process:
            with output_errors(self._options.work / LOG), (self._options.work / LOG).open("ab") as file:
                file.write(_line(row))

    def _keep_best(self) -> None:
        if self._accelerator.is_main_process:
            best = self._options.work / _BEST
            with writing(best), whole_file(best) as file:
                torch.save(self.student.pair.state_dict(), file)

    def _load_best(self) -> None:
        self._accelerator.wait_for_everyone()
        state = torch.load(self._options.work / _BEST, map_location="cpu", weights_only=True)
        self.student.pair.load_state_dict(state)

    def _resume(self) -> None:
        known = checkpoints(self._options.work)
        if known:
            self._accelerator.load_state(str(known[max(known)]))
        if self._accelerator.is_main_process:
            # The file may be ahead of the checkpoint.
            with whole_file(self._options.work / LOG) as file:
                file.writelines(map(_line, self._course.log))


class _Course:
    """Where a run stands."""

    def __init__(self) -> None:
        self.step = 0
        self.log: list[dict[str, float]] = []
        self.window: list[dict[str, float]] = []
        self.best = float("-inf")
        self.best_step = 0
        self.ended = False

    def state_dict(self) -> dict[str, Any]:
        return dict(vars(self))

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        vars(self).update(state)


def _line(row: Mapping[str, float]) -> bytes:
    return json.dumps(row).encode() + b"\n"
