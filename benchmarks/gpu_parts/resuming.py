"""A training run that is stopped and resumed, compared with one that is not."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

from gpu_parts.context import Context
from gpu_parts.workload import documents

STEPS, STOPPED_AT, CHECKPOINT_EVERY = 8, 6, 4


class Stopped(Exception):  # noqa: N818  # not an error
    """Ends a run in the middle of it."""


def resumed_training(context: Context) -> dict[str, Any]:
    """Stop a run after a checkpoint, resume it, and compare its weights with those of two runs that are not stopped.

    Kernels whose sums have no fixed order are avoided where torch can; if the two runs differ nevertheless, the
    resumed one may differ as much.
    """
    import shutil

    import torch

    directory = context.work / "resumed"
    shutil.rmtree(directory, ignore_errors=True)
    directory.mkdir(parents=True)
    card = _card(context, directory)
    torch.use_deterministic_algorithms(True, warn_only=True)
    try:
        whole = _weights(_train(context, card, directory / "whole"))
        again = _weights(_train(context, card, directory / "again"))
        try:
            _train(context, card, directory / "resumed", stop_at=STOPPED_AT)
        except Stopped:
            resumed = _weights(_train(context, card, directory / "resumed"))
        else:
            raise RuntimeError("the run was not stopped")
    finally:
        torch.use_deterministic_algorithms(False)
    noise, difference = _difference(again, whole), _difference(resumed, whole)
    start = _difference(_weights(directory / "backbone"), whole)
    return {
        "passed": difference <= 2 * noise and difference < 0.1 * start,
        "greatest difference": difference,
        "detail": f"two runs that are not stopped differ by {noise:.1g}, start and end by {start:.1g}",
    }


def _card(context: Context, directory: Path) -> Any:
    from models import random_checkpoint

    from splade_anserini.cards.encoder_card import EncoderCard

    texts = documents(context, context.sizes.lengths[0])
    backbone = random_checkpoint("tiny", texts[:4], context.device)
    backbone.model.save_pretrained(directory / "backbone")
    backbone.tokenizer.save_pretrained(directory / "backbone")
    recipe = {
        "backbone": str(directory / "backbone"),
        "losses": [{"kind": "rank-ibn"}],
        "regularizer": {"lambda_q": 1e-3, "lambda_d": 1e-3},
        "batch_size": 4,
        "learning_rate": 1e-3,
        "negatives": 0,
        "max_length": 32,
        "query_max_length": 16,
        "steps": STEPS,
    }
    fields = {"name": "resumed", "description": "A test.", "license": "Apache-2.0", "source": "tiny"}
    return EncoderCard.model_validate({**fields, "pooling": "max", "training": recipe})


class PairsOfTexts:
    """Training examples: the beginning of each text as a query, and the whole text."""

    name = "texts"

    def __init__(self, texts: list[str]) -> None:
        self._texts = texts

    def __len__(self) -> int:
        return len(self._texts)

    def __getitem__(self, index: int) -> Any:
        from splade_anserini.records import Example

        text = self._texts[index]
        return Example(" ".join(text.split()[:6]), text)


def _train(context: Context, card: Any, output: Path, *, stop_at: int | None = None) -> Path:
    from splade_anserini.training.options import TrainingOptions
    from splade_anserini.training.training_run import train

    source = PairsOfTexts(documents(context, context.sizes.lengths[0])[:24])
    train(card, [source], output, TrainingOptions(checkpoint_every=CHECKPOINT_EVERY), progress=_stop_after(stop_at))
    return output


def _stop_after(stop_at: int | None) -> Callable[[int], None]:
    """Return a progress callback that raises `Stopped` when `stop_at` steps have been taken."""
    done = 0

    def progress(steps: int) -> None:
        nonlocal done
        done += steps
        if done == stop_at:
            raise Stopped

    return progress


def _weights(directory: Path) -> dict[str, Any]:
    from safetensors.torch import load_file

    return dict(load_file(directory / "model.safetensors"))


def _difference(weights: dict[str, Any], others: dict[str, Any]) -> float:
    # Biases of special tokens are set to a large number, beside which no step can be seen.
    names = [name for name in others if name in weights and others[name].ndim > 1]
    return max(float((weights[name] - others[name]).abs().max()) for name in names)
