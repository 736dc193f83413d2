"""The last part: splade-mini's card, in the minutes that are left; validated before and after; weights in pieces."""

import json
import shutil
import time
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path
from typing import Any

from gpu_parts.context import Context, Measurement
from gpu_parts.validation import CranfieldValidation
from gpu_parts.weights import write_pieces

TRIAL_STEPS, WARM_UP_STEPS = 12, 4
SHARE_OF_TIME = 0.6
"""Of the time that is left, for the steps; before them texts are embedded and clustered, after them is validation."""
RATE = "seconds a step"
NEEDS = ("accelerate", "matplotlib")


def measurements(context: Context) -> Iterator[Measurement]:
    """Yield the warm start's validation, the time of a step, and the training itself."""
    needs = (*NEEDS, *_needs_of_data(context))
    yield Measurement("warm start", partial(validate_warm_start, context), needs=needs, seconds=30)
    yield Measurement("trial", partial(trial, context), needs=needs, seconds=40)
    yield Measurement("training", partial(training, context), needs=needs, seconds=60 if context.is_cuda else 1)


def _needs_of_data(context: Context) -> tuple[str, ...]:
    """Return the package that reads judgements, where the data are not files of texts already."""
    return ("ir_measures",) if any(not _is_file_of_texts(source) for source in context.data) else ()


def _is_file_of_texts(source: str) -> bool:
    return source.removesuffix(".gz").endswith((".jsonl", ".tsv")) or source.startswith(("titles:", "sentences:"))


def sources(context: Context) -> list[str]:
    """Return the training examples: those that are named, or titles and sentences of Cranfield."""
    from splade_anserini.cards.shipped import cranfield

    return list(context.data) or [f"{kind}:{cranfield()}" for kind in ("titles", "sentences")]


def card(context: Context, *changes: str) -> Any:
    """Return splade-mini's card with the backbone and teacher that are here."""
    from splade_anserini.cards.finding import find_encoder_card

    name = json.dumps(context.backbone)  # as TOML has strings
    model = [f"training.backbone={name}", f"training.teacher.model={name}"]
    return find_encoder_card("splade-mini", [*model, *context.sizes.real_changes, *changes])


def validate_warm_start(context: Context) -> dict[str, Any]:
    """Validate the model as it is before training."""
    from splade_anserini.training.student import build_student, load_initial_checkpoint

    chosen = card(context)
    student = build_student(
        chosen.training, chosen.aggregation, load_initial_checkpoint(chosen.training, context.backbone)
    )
    student.pair.to(context.device)
    return {**CranfieldValidation(chosen)(student)}


def trial(context: Context) -> dict[str, Any]:
    """Measure the time of a step, with the first source alone and without clusters."""
    output = context.work / "trial"
    _remove(output)
    count = min(TRIAL_STEPS, context.sizes.real_steps or TRIAL_STEPS)
    times = [time.perf_counter()]

    def progress(steps: int) -> None:
        times.extend([time.perf_counter()] * bool(steps))

    chosen = card(context, "training.cluster_size=0", f"training.steps={count}")
    _train(chosen, sources(context)[:1], output, progress)
    first = min(WARM_UP_STEPS, count - 1)
    steps = times[1:]
    return {RATE: (steps[-1] - steps[first - 1]) / (count - first), "setup, s": steps[0] - times[0]}


def training(context: Context) -> dict[str, Any]:
    """Train for the time that is left, or continue a run that was interrupted; write the weights."""
    output = context.work / "training"
    steps = _steps(context)
    chosen = card(context, *_shortened(card(context).training, steps))
    begin = time.perf_counter()
    # The result was lost if the command was interrupted here: the run is finished only when the weights are written.
    if (output / "model.safetensors").exists():
        shutil.rmtree(output)
    log = _train(chosen, sources(context), output, _stop_at(context.deadline - 5, steps), validation=True)
    seconds = time.perf_counter() - begin
    pieces = write_pieces(output / "model.safetensors", context.output)
    (context.output / "training.jsonl").write_bytes((output / "log.jsonl").read_bytes())
    last = [row for row in log if "loss" in row][-1]
    measures = {name: value for name, value in log[-1].items() if name != "step" and "loss" not in log[-1]}
    return {
        **measures,
        "steps": steps,
        "minutes": seconds / 60,
        "loss": last["loss"],
        "query entries": last["active q"],
        "document entries": last["active d"],
        "detail": f"{', '.join(Path(source).name for source in sources(context))}; weights in {pieces} pieces",
    }


def _steps(context: Context) -> int:
    """Return how many steps there is time for; a run that was interrupted keeps its number."""
    path = context.work / "training.steps"
    if path.exists() and (context.work / "training.training").exists():
        return int(path.read_text())
    recipe = card(context).training
    rate = context.value("trial", RATE)
    if rate is None:
        raise RuntimeError("the time of a step is not known")
    steps = context.sizes.real_steps or int(SHARE_OF_TIME * context.left() / rate)
    steps = max(1, min(recipe.steps, steps))
    path.write_text(str(steps))
    return steps


def _shortened(recipe: Any, steps: int) -> list[str]:
    """Return the changes of a recipe for fewer steps: warmup and regularizer's schedule shrink in proportion."""
    share = steps / recipe.steps
    return [
        f"training.steps={steps}",
        f"training.warmup_steps={int(recipe.warmup_steps * share)}",
        f"training.regularizer.until={max(1, int(recipe.regularizer.until * share))}",
    ]


def _train(
    chosen: Any,
    names: list[str],
    output: Path,
    progress: Callable[[int], None],
    *,
    validation: bool = False,
) -> list[dict[str, float]]:
    from splade_anserini.formats.examples import open_examples
    from splade_anserini.training.options import TrainingOptions
    from splade_anserini.training.training_run import train

    steps = chosen.training.steps
    # Validated once, at the end; a checkpoint is written often enough that an interruption costs little.
    options = TrainingOptions(validate_every=steps, checkpoint_every=max(1, min(250, steps // 2)))
    examples = [open_examples(name) for name in names]
    measured: Any = CranfieldValidation(chosen) if validation else None
    return train(chosen, examples, output, options, validation=measured, progress=progress)


class OutOfTime(Exception):  # noqa: N818  # the message says it
    """Ends a run that would not be finished in time; it resumes from its last checkpoint."""


def _stop_at(deadline: float, last: int) -> Callable[[int], None]:
    """Return a progress callback that ends a run at a time, unless its last step has been taken."""
    done = 0

    def progress(steps: int) -> None:
        nonlocal done
        done += steps
        if done < last and time.time() > deadline:
            raise OutOfTime(f"stopped after {done:,} steps; the same command resumes")

    return progress


def _remove(output: Path) -> None:
    for path in (output, output.with_name(f"{output.name}.training")):
        shutil.rmtree(path, ignore_errors=True)
