"""The training loop: steps, validation, and checkpoints from which a run resumes bit for bit."""

import logging
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Protocol

import torch

from splade_anserini.artifacts.truncation import TextTruncation
from splade_anserini.cards.training_recipe import TrainingRecipe
from splade_anserini.modeling.transformers_logging import quiet_transformers
from splade_anserini.progress import Progress, silent
from splade_anserini.training.batch import Batch
from splade_anserini.training.batch_loader import BatchLoader
from splade_anserini.training.checkpoints import find_checkpoints, save_checkpoint
from splade_anserini.training.distributed import gather_batch, world_size
from splade_anserini.training.gradients import Gradients
from splade_anserini.training.monitor import Guard, step_metrics
from splade_anserini.training.objective import Objective, Vectors, needs_scores
from splade_anserini.training.optimizer import RunningMean, build_optimizer, build_schedule
from splade_anserini.training.options import TrainingOptions
from splade_anserini.training.student import Student
from splade_anserini.training.teachers.in_batch import InBatchTeacher
from splade_anserini.training.training_state import BestCheckpoint, Row, TrainingState, append_to_log, rewrite_log

_log = logging.getLogger(__name__)


class Validator(Protocol):
    """Measures the student at a step; the greater the measures, the better."""

    def __call__(self, student: Student) -> dict[str, float]:
        """Return the measures by name; the first decides which checkpoint is the best."""
        ...


class Loop:
    """One training run; `run` starts it, or resumes it from the last checkpoint in `directory`.

    `on_gradients` is called with the number of steps taken when the gradients of a step are complete, before they are
    clipped and the optimizer uses them.
    """

    def __init__(
        self,
        recipe: TrainingRecipe,
        student: Student,
        batch_loader: BatchLoader,
        directory: Path,
        options: TrainingOptions,
        *,
        in_batch_teacher: InBatchTeacher | None = None,
        validator: Validator | None = None,
        on_gradients: Callable[[int], object] = silent,
    ) -> None:
        from accelerate import Accelerator, DistributedDataParallelKwargs

        self.student = student
        self._recipe, self._batch_loader, self._directory, self._options = recipe, batch_loader, directory, options
        self._in_batch_teacher, self._validator, self._on_gradients = in_batch_teacher, validator, on_gradients
        # With gradient caching, a backward pass of documents leaves the parameters of a separate query side unused.
        separate = student.pair.queries is not student.pair.documents
        unused = recipe.cached and separate and any(each.requires_grad for each in student.pair.queries.parameters())
        settings = DistributedDataParallelKwargs(find_unused_parameters=unused, broadcast_buffers=False)
        self._accelerator = Accelerator(kwargs_handlers=[settings])
        self._objective = Objective(recipe)
        optimizer = build_optimizer(student.pair, recipe)
        with quiet_transformers():
            self._module, self._optimizer = self._accelerator.prepare(student.pair, optimizer)
        self._mean = RunningMean(student.pair.parameters(), recipe.average)
        self._schedule = build_schedule(optimizer, recipe)
        self._state = TrainingState(BestCheckpoint(directory / "best.pt", student.pair))
        # Checkpoints number these objects: their order must not change.
        self._accelerator.register_for_checkpointing(self._schedule, self._mean, self._objective, self._state)
        self._guard = Guard(student.documents.vocabulary_size)
        self._gradients = Gradients(
            self._module, self._accelerator.backward, lambda: self._accelerator.no_sync(self._module)
        )

    @property
    def step(self) -> int:
        """The number of steps after which the student had its present weights."""
        return self._state.best.step or self._state.step

    @property
    def truncation(self) -> TextTruncation | None:
        """The texts of this device that were cut so far; None in a run that an earlier version began."""
        return self._state.truncation

    def run(self, progress: Progress = silent) -> list[Row]:
        """Train to the last step, or until validation stops improving; return the log.

        The student then has its best weights, or those of the last step if there is no validation; with `average`, the
        means of the weights. Raises `TrainingError` when the run cannot recover.
        """
        state = self._state
        self._resume()
        progress(state.step)
        first = state.step * self._recipe.accumulation
        batches = self._batch_loader.batches(first, scored=needs_scores(self._recipe))
        try:
            while state.step < self._recipe.steps and not state.ended:
                self._take_step(batches)
                progress(1)
        finally:
            batches.close()  # type: ignore[attr-defined]  # a generator
        if state.best.step:
            self._accelerator.wait_for_everyone()
            state.best.restore()
        else:
            self._mean.swap()
        return state.log

    def _resume(self) -> None:
        checkpoints = find_checkpoints(self._directory)
        if checkpoints:
            self._accelerator.load_state(str(checkpoints[max(checkpoints)]))
        if self._accelerator.is_main_process:
            rewrite_log(self._directory, self._state.log)

    def _take_step(self, batches: Iterator[Batch]) -> None:
        self._module.train()
        metrics: list[Row] = []
        for part in range(self._recipe.accumulation):
            batch = next(batches).to(self._accelerator.device)
            self._state.count(batch.truncation)
            if part == self._recipe.accumulation - 1:
                metrics.append(self._add_gradients(batch))
            else:
                with self._accelerator.no_sync(self._module):
                    metrics.append(self._add_gradients(batch))
        self._on_gradients(self._state.step)
        norm = self._accelerator.clip_grad_norm_(self._module.parameters(), self._recipe.max_gradient)
        self._optimizer.step()
        self._schedule.step()
        self._optimizer.zero_grad()
        self._mean.update()
        self._state.step += 1
        means = {name: sum(row[name] for row in metrics) / len(metrics) for name in metrics[0]}
        self._after_step(means | {"gradient": float(norm)})

    def _add_gradients(self, batch: Batch) -> Row:
        """Add the gradients of one batch to the parameters; return its metrics."""
        teacher_scores = None if self._in_batch_teacher is None else self._in_batch_teacher(batch)
        metrics: Row = {}

        def loss_of(local: Vectors) -> torch.Tensor:
            vectors, labels = gather_batch(local, batch.labels)
            terms = self._objective(vectors, labels, self._state.step, teacher_scores, batch.source)
            metrics.update(step_metrics(vectors, terms))
            # Each device computes a part of the whole gradient, of which DDP then takes the mean.
            return sum(terms.values(), torch.zeros(())) * (world_size() / self._recipe.accumulation)

        add = self._gradients.cached if self._recipe.cached else self._gradients.plain
        add(batch, loss_of)
        return metrics

    def _after_step(self, metrics: Row) -> None:
        state, options = self._state, self._options
        state.window.append(metrics)
        self._guard(state.step, metrics)
        is_last = state.step == self._recipe.steps
        if state.step % options.log_every == 0 or is_last:
            learning_rate = float(self._schedule.get_last_lr()[0])
            self._log_row({"step": state.step, "learning rate": learning_rate} | state.window_means())
        if self._validator is not None and (state.step % options.validate_every == 0 or is_last):
            self._validate(self._validator)
        if state.step % options.checkpoint_every == 0 and not is_last:
            save_checkpoint(self._accelerator, self._directory, state.step)

    def _validate(self, validator: Validator) -> None:
        from accelerate.utils import broadcast_object_list

        state = self._state
        self._mean.swap()
        self._module.eval()
        results = [validator(self.student) if self._accelerator.is_main_process else None]
        broadcast_object_list(results)
        measures = results[0] or {}
        first = next(iter(measures.values()))
        state.best.offer(first, state.step, write=self._accelerator.is_main_process)
        self._mean.swap()
        self._log_row({"step": state.step} | measures)
        _log.info("step %d: %s", state.step, measures)
        without_improvement = (state.step - state.best.step) // self._options.validate_every
        state.ended = bool(self._options.patience) and without_improvement >= self._options.patience

    def _log_row(self, row: Row) -> None:
        self._state.log.append(row)
        if self._accelerator.is_main_process:
            append_to_log(self._directory, row)
