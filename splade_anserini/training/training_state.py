"""The state of a training run: its step, its log, and its best checkpoint so far."""

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch

from splade_anserini.artifacts.files import output_errors, whole_file
from splade_anserini.artifacts.truncation import TextTruncation
from splade_anserini.training.checkpoints import torch_output_errors

LOG = "log.jsonl"
"""A JSON line for the means over some steps, and for each validation."""

type Row = dict[str, float]


class BestCheckpoint:
    """The weights of a module at its best validation so far, in a file; the greater the measure, the better."""

    def __init__(self, path: Path, module: torch.nn.Module) -> None:
        self._path = path
        self._module = module
        self.measure = float("-inf")
        self.step = 0
        """The step of the best validation, 0 before the first one."""

    def offer(self, measure: float, step: int, *, write: bool) -> None:
        """Keep the present weights if `measure` is the best so far; only one process should `write` the file."""
        if measure > self.measure:
            self.measure, self.step = measure, step
            if write:
                with torch_output_errors(self._path), whole_file(self._path) as file:
                    torch.save(self._module.state_dict(), file)

    def restore(self) -> None:
        """Load the best weights into the module."""
        self._module.load_state_dict(torch.load(self._path, map_location="cpu", weights_only=True))


class TrainingState:
    """The step, the log, and the best validation; saved in each checkpoint."""

    def __init__(self, best: BestCheckpoint) -> None:
        self.best = best
        self.step = 0
        """The number of steps taken."""
        self.log: list[Row] = []
        self.window: list[Row] = []
        """The metrics of the steps since the last row of the log."""
        self.ended = False
        """Whether training stopped early."""
        self.truncation: TextTruncation | None = TextTruncation()
        """The texts of this device that were cut; None in a run that an earlier version began."""

    def count(self, truncation: TextTruncation) -> None:
        """Add the texts of a batch."""
        if self.truncation is not None:
            self.truncation += truncation

    def window_means(self) -> Row:
        """Return the mean of each metric over the window, and clear it."""
        means = {name: sum(row[name] for row in self.window) / len(self.window) for name in self.window[0]}
        self.window.clear()
        return means

    def state_dict(self) -> dict[str, Any]:
        """Return what a checkpoint must hold."""
        counts = {} if self.truncation is None else {"truncation": self.truncation.model_dump()}
        return counts | {
            "step": self.step,
            "log": self.log,
            "window": self.window,
            "best": self.best.measure,
            "best_step": self.best.step,
            "ended": self.ended,
        }

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Restore the state from a checkpoint."""
        self.step, self.log, self.window = state["step"], state["log"], state["window"]
        self.best.measure, self.best.step = state["best"], state["best_step"]
        self.ended = state["ended"]
        truncation = state.get("truncation")
        self.truncation = truncation and TextTruncation.model_validate(truncation)


def append_to_log(directory: Path, row: Row) -> None:
    """Append a row to the log file. Raises `OutputError` when it cannot be written."""
    path = directory / LOG
    with output_errors(path), path.open("ab") as file:
        file.write(_line(row))


def rewrite_log(directory: Path, rows: list[Row]) -> None:
    """Replace the log file: after a checkpoint is loaded it may hold rows of steps that were lost."""
    with whole_file(directory / LOG) as file:
        file.writelines(map(_line, rows))


def _line(row: Row) -> bytes:
    return json.dumps(row).encode() + b"\n"
