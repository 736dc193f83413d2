"""The third part: tokens/s and memory of training steps, beside SpladeLoss of sentence-transformers."""

from collections.abc import Callable, Iterator
from functools import partial
from typing import Any

from training import LEARNING_RATE, our_step, their_step

from gpu_parts.context import Context, Measurement
from gpu_parts.devices import peak_megabytes, reset_peak, timed
from gpu_parts.workload import saved_checkpoint

TOKENS, MEMORY, PAIRS = "tokens/s", "peak memory, MB", "pairs"
OURS, THEIRS = "splade-anserini", "SpladeLoss"

type Step = Callable[[], object]


def measurements(context: Context) -> Iterator[Measurement]:
    """Yield steps of the usual batch, then of the largest that fits, of the small model first."""
    for size in reversed(context.sizes.models):
        yield from _both(context, size, f"{context.sizes.pairs} pairs", step)
    for size in reversed(context.sizes.models):
        yield from _both(context, size, "the largest batch", largest)


def _both(context: Context, size: str, title: str, measure: Callable[..., dict[str, Any]]) -> Iterator[Measurement]:
    name = f"{size}, bf16, {title}"
    yield Measurement(f"{name}: {OURS}", partial(measure, context, size, OURS), seconds=15)
    yield Measurement(
        f"{name}: {THEIRS}",
        partial(_compared, context, f"{name}: {OURS}", partial(measure, context, size, THEIRS)),
        needs=("sentence_transformers",),
        seconds=15,
    )


def _compared(context: Context, ours: str, measure: Callable[[], dict[str, Any]]) -> dict[str, Any]:
    values = measure()
    our_rate = context.value(ours, TOKENS)
    return values | {"ours, times faster": our_rate and our_rate / values[TOKENS]}


def step(context: Context, size: str, whose: str) -> dict[str, Any]:
    """Measure steps of 32 queries and 32 documents of 128 tokens each."""
    return _measured(context, size, whose, context.sizes.pairs)


def largest(context: Context, size: str, whose: str) -> dict[str, Any]:
    """Double the number of pairs while a step fits into memory and there is time; return the last."""
    import torch

    values: dict[str, Any] = {}
    pairs = context.sizes.pairs
    while pairs <= context.sizes.most_pairs and context.left() > 10:
        try:
            values = _measured(context, size, whose, pairs)
        except torch.OutOfMemoryError:
            break
        pairs *= 2
    if not values:
        raise MemoryError(f"{context.sizes.pairs} pairs do not fit into memory")
    return values


def _measured(context: Context, size: str, whose: str, pairs: int) -> dict[str, Any]:
    import torch

    reset_peak(context.device)
    make = our_step if whose == OURS else their_step
    batch = token_batch(pairs, context.sizes.train_length)
    network, gradients = make(saved_checkpoint(context, size), batch, "bf16", device=context.device)
    optimizer = torch.optim.AdamW(network.parameters(), lr=LEARNING_RATE, weight_decay=0.0, fused=True)

    def one_step() -> None:
        gradients()
        optimizer.step()
        optimizer.zero_grad()

    one_step()
    count = context.sizes.train_steps

    def steps() -> None:
        for _ in range(count):
            one_step()

    seconds = timed(steps, context.device) / count
    return {
        TOKENS: 2 * pairs * context.sizes.train_length / seconds,
        MEMORY: peak_megabytes(context.device),
        PAIRS: pairs,
        "ms a step": 1000 * seconds,
    }


def token_batch(pairs: int, length: int) -> Any:
    """Return a training batch of random token ids without padding; queries are as long as documents."""
    import torch

    from splade_anserini.modeling.trainable import Group
    from splade_anserini.training.batch import Batch, BatchLabels
    from splade_anserini.training.training_run import GPU_TOKENS

    rows = max(1, GPU_TOKENS // length)
    generator = torch.Generator().manual_seed(0)

    def groups() -> tuple[Any, ...]:
        ids = torch.randint(1000, 30_000, (pairs, length), generator=generator)
        ids[:, 0], ids[:, -1] = 101, 102
        parts = zip(torch.split(torch.arange(pairs), rows), torch.split(ids, rows), strict=True)
        return tuple(Group(positions, part, torch.ones_like(part)) for positions, part in parts)

    numbers = torch.arange(pairs)
    labels = BatchLabels(
        numbers, torch.ones(pairs, dtype=torch.bool), numbers, numbers, torch.full((pairs,), torch.nan)
    )
    names = tuple(map(str, range(pairs)))
    return Batch(groups(), groups(), numbers, labels, names, names)
