"""Training steps on the CPU, ours and those of sentence-transformers; and the projection to the vocabulary alone.

A step is forward pass, loss, backward pass and optimizer: rank-IBN and FLOPS, AdamW, no dropout, the same token ids.
"""

import ctypes
import gc
import time
from collections.abc import Callable, Iterator, Sequence
from functools import partial
from itertools import cycle, islice
from pathlib import Path
from typing import Any

from alternate import MEMORY, Contestant, Measure, Race
from contestant import peak_rss
from models import checkpoint, queries, texts, warm_started
from settings import Settings, required

RATE = Measure("tokens/s", digits=0)
ABOVE = Measure("peak memory above model, gradients and optimizer, MB", more_is_better=False, digits=0)
NEEDED = Measure("model, gradients and optimizer, MB", digits=0, compared=False)
LOSS = Measure("relative difference of the losses, 1e-6", digits=2, compared=False)
GRADIENTS = Measure("of the gradients, 1e-6", digits=2, compared=False)

LAMBDA_Q, LAMBDA_D, LEARNING_RATE = 3e-4, 1e-4, 2e-5
"""The values of the paper for SPLADE-max."""
QUERY_LENGTH = 32
TOLERANCE = 1e-5
"""Greatest relative difference of losses and gradients in fp32."""


def make_batch(model: str, corpora: Sequence[str], pairs: int, length: int, *, group_tokens: int | None = None) -> Any:
    """Return a batch as in `train`: real texts, queries of 32 tokens, documents of `length` tokens, no padding.

    Texts that are too short are concatenated. The model gets `group_tokens` tokens at once.
    """
    from splade_anserini.modeling.checkpoint import load_tokenizer
    from splade_anserini.records import Example
    from splade_anserini.training.batch import Collator, GroupTokenizer
    from splade_anserini.training.training_run import CPU_TOKENS

    paths, tokenizer = [Path(corpus) for corpus in corpora], load_tokenizer(model)
    columns = (
        [" ".join(islice(cycle(inputs), start, start + count)) for start in range(0, pairs * count, count)]
        for inputs, count in ((queries(paths, 400), 8), (texts(paths, 400), 4))
    )
    examples = [Example(query, document) for query, document in zip(*columns, strict=True)]
    sides = (GroupTokenizer(tokenizer, width, group_tokens or CPU_TOKENS) for width in (QUERY_LENGTH, length))
    return Collator(*sides, negatives=0, seed=0)(0, examples)


def our_step(
    model: str, batch: Any, precision: str, *, cached: bool = False, device: str = "cpu"
) -> tuple[Any, Callable[[], Any]]:
    """Return the model, and a function that computes the gradients and returns the loss, as in `train`."""
    import torch

    from splade_anserini.modeling.checkpoint import load_checkpoint
    from splade_anserini.modeling.precision import DTYPES
    from splade_anserini.modeling.query_sides import Pair
    from splade_anserini.modeling.trainable import TrainableSplade
    from splade_anserini.records import SPLADE_MAX
    from splade_anserini.training.gradients import Gradients
    from splade_anserini.training.objective import Objective, Vectors

    loaded = load_checkpoint(model)
    _without_dropout(loaded.model)
    module = Pair(TrainableSplade(loaded, SPLADE_MAX, DTYPES[precision])).train().to(device)
    batch = batch.to(torch.device(device))
    objective = Objective(_recipe(model, len(batch.query_texts)))
    gradients = Gradients(module, lambda loss: loss.backward())
    last_loss: list[Any] = []

    def loss_of(vectors: Vectors) -> Any:
        last_loss[:] = [sum(objective(vectors, batch.labels, 0, None).values(), torch.zeros(()))]
        return last_loss[0]

    def loss() -> Any:
        (gradients.cached if cached else gradients.plain)(batch, loss_of)
        return last_loss[0].detach()

    return loaded.model, loss


def their_step(model: str, batch: Any, precision: str, *, device: str = "cpu") -> tuple[Any, Callable[[], Any]]:
    """Return the model, and a function that computes the gradients and returns the loss, with sentence-transformers."""
    import torch
    from gpu_parts.peers import body_of, sparse_encoder
    from sentence_transformers.sparse_encoder.losses import SparseMultipleNegativesRankingLoss, SpladeLoss

    encoder = sparse_encoder(model, device, "fp32", "sdpa").train()
    batch = batch.to(torch.device(device))
    _without_dropout(encoder)
    criterion = SpladeLoss(
        encoder,
        SparseMultipleNegativesRankingLoss(encoder),
        document_regularizer_weight=LAMBDA_D,
        query_regularizer_weight=LAMBDA_Q,
    )
    sides = (batch.queries, batch.documents)

    def loss() -> Any:
        columns = [{"input_ids": _ids(side), "attention_mask": torch.ones_like(_ids(side))} for side in sides]
        with torch.autocast(torch.device(device).type, torch.bfloat16, enabled=precision == "bf16"):
            total = sum(criterion(columns).values(), torch.zeros(()))
        total.backward()
        return total.detach()

    return body_of(encoder), loss


STEPS: dict[str, Callable[[str, Any, str], tuple[Any, Callable[[], Any]]]] = {
    "ours": our_step,
    "theirs": their_step,
    "cached": partial(our_step, cached=True),
}
GROUP_TOKENS = {"cached": 512}
"""Tokens that the model gets at once, where that is not the default of `train` on a CPU."""


def step(
    whose: str, model: str, corpora: list[str], batch: list[int], precision: str, keep: bool = False, steps: int = 3
) -> dict[str, Any]:
    """Time some steps after one step to warm up. `batch` is the number of pairs and of tokens of a document."""
    import torch

    from splade_anserini.training.training_run import keep_freed_memory

    if keep:
        keep_freed_memory()
    inputs = make_batch(model, corpora, *batch, group_tokens=GROUP_TOKENS.get(whose))
    network, loss = STEPS[whose](model, inputs, precision)
    optimizer = torch.optim.AdamW(network.parameters(), lr=LEARNING_RATE, weight_decay=0.0, fused=True)
    needed = _settled(list(network.parameters()), optimizer)

    def one_step() -> None:
        loss()
        optimizer.step()
        optimizer.zero_grad()

    return {**_measured(one_step, batch[0] * (QUERY_LENGTH + batch[1]), steps, needed), NEEDED.name: needed}


def agreement(model: str, corpora: list[str], batch: list[int]) -> dict[str, Any]:
    """Compute both losses and all gradients in fp32. Raises `ValueError` if they differ by more than the tolerance."""
    import torch

    inputs = make_batch(model, corpora, *batch)
    results: list[tuple[Any, Any]] = []
    for whose in ("ours", "theirs"):
        network, loss = STEPS[whose](model, inputs, "fp32")
        value = loss()
        parameters = [parameter for _, parameter in sorted(network.named_parameters()) if parameter.requires_grad]
        results.append((value, torch.cat([parameter.grad.flatten() for parameter in parameters])))
    differences = [float((ours - theirs).norm() / theirs.norm()) for ours, theirs in zip(*results, strict=True)]
    if not max(differences) < TOLERANCE:
        raise ValueError(f"losses and gradients differ by {differences}")
    return {measure.name: 1e6 * value for measure, value in zip((LOSS, GRADIENTS), differences, strict=True)}


def projection(
    whose: str, model: str, corpora: list[str], batch: list[int], precision: str, keep: bool = False
) -> dict[str, Any]:
    """Time the output layer and the pooling of real documents' hidden states, forward and backward."""
    import torch

    from splade_anserini.modeling.checkpoint import load_checkpoint
    from splade_anserini.modeling.headless import cut_output_layer
    from splade_anserini.modeling.pooling import pool
    from splade_anserini.modeling.precision import DTYPES
    from splade_anserini.modeling.sparse_projection import sparse_projection
    from splade_anserini.records import SPLADE_MAX
    from splade_anserini.training.training_run import keep_freed_memory

    if keep:
        keep_freed_memory()
    ids, loaded = _ids(make_batch(model, corpora, *batch).documents), load_checkpoint(model)
    layer, dtype, mask = cut_output_layer(loaded.model), DTYPES[precision], torch.ones_like(ids)
    if layer is None:
        raise ValueError(f"{model} has no plain output layer")
    with torch.no_grad():
        hidden = loaded.model(input_ids=ids, attention_mask=mask).logits.requires_grad_()
    needed = _settled([hidden, *layer.parameters()])

    def weights() -> Any:
        if whose == "ours":
            return sparse_projection(hidden, mask, layer, SPLADE_MAX, dtype)
        with torch.autocast("cpu", dtype, enabled=dtype != torch.float32):
            logits = layer(hidden)
        return pool(logits, mask, SPLADE_MAX)

    def one_step() -> None:
        weights().float().mean(dim=0).square().sum().backward()
        for parameter in (hidden, *layer.parameters()):
            parameter.grad = None

    return _measured(one_step, ids.numel(), 5, needed)


def _ids(groups: Sequence[Any]) -> Any:
    """Return the token ids of all texts, in order, [texts, length]."""
    import torch

    order = torch.cat([group.positions for group in groups]).argsort()
    return torch.cat([group.ids for group in groups])[order]


def _recipe(model: str, pairs: int) -> Any:
    from splade_anserini.cards.training_recipe import Loss, Regularizer, TrainingRecipe

    return TrainingRecipe(
        backbone=model,
        losses=(Loss(kind="rank-ibn"),),
        regularizer=Regularizer(lambda_q=LAMBDA_Q, lambda_d=LAMBDA_D),
        batch_size=pairs,
        learning_rate=LEARNING_RATE,
        steps=1,
    )


def _without_dropout(module: Any) -> None:
    import torch

    for part in module.modules():
        if isinstance(part, torch.nn.Dropout):
            part.p = 0.0


def _settled(parameters: Sequence[Any], optimizer: Any = None) -> float:
    """Allocate gradients and the optimizer's state; return the resident set in MB.

    Gradients are 0, so the moments are 0, and the weights do not change. Free memory is returned to the system, and
    Linux's record of the peak is reset: from here on it is the peak of the training steps.
    """
    import torch

    for parameter in parameters:
        parameter.grad = torch.full_like(parameter, 0.0)
    if optimizer is not None:
        optimizer.step()
    gc.collect()
    ctypes.CDLL(None).malloc_trim(0)
    Path("/proc/self/clear_refs").write_text("5")
    settled = peak_rss() or 0.0
    for parameter in parameters:
        parameter.grad = None
    return settled


def _measured(one_step: Callable[[], None], count: int, steps: int, needed: float) -> dict[str, Any]:
    one_step()
    begin = time.perf_counter()
    for _ in range(steps):
        one_step()
    seconds = time.perf_counter() - begin
    return {RATE.name: steps * count / seconds, ABOVE.name: (peak_rss() or 0.0) - needed}


def races(settings: Settings) -> Iterator[Race]:
    """Yield a check of losses and gradients, races of steps for each model and batch, and one of the projection."""
    required(*settings.corpora)
    corpora = [str(corpus) for corpus in settings.corpora]
    warm = str(warm_started(settings.work))
    yield Race(
        title="Training: the same loss and gradients",
        contestants=[
            Contestant(
                "ours and sentence-transformers', fp32",
                __name__,
                "agreement",
                {"model": warm, "corpora": corpora, "batch": [8, 128]},
            )
        ],
        measures=[LOSS, GRADIENTS],
        rounds=1,
        note=f"8 pairs; norm of the difference divided by the norm of theirs, which must be below {TOLERANCE:g}.",
    )
    models = {"MiniLM": warm}
    if settings.full:
        models["bert-base"] = str(checkpoint("bert-base", settings.corpora, settings.work))
    for size, model in models.items():
        for batch in ([32, 128], [16, 256]) if settings.full else ([32, 128],):
            same = {"model": model, "corpora": corpora, "batch": batch, "steps": 1 if size == "bert-base" else 3}
            yield Race(
                title=f"Train {size}, {batch[0]} pairs, documents of {batch[1]} tokens",
                contestants=list(_sides("step", same, "sentence-transformers' SpladeLoss")),
                measures=[RATE, ABOVE, NEEDED, MEMORY],
                rounds=settings.times(1, 2),
                note=f"Queries have {QUERY_LENGTH} tokens. bf16 is autocast, weights are fp32.",
            )
    same = {"model": warm, "corpora": corpora, "batch": [32, 128]}
    yield Race(
        title="Train: the projection alone, MiniLM, 32 documents of 128 tokens",
        contestants=list(_sides("projection", same, "all logits, then pooling")),
        measures=[RATE, ABOVE, MEMORY],
        rounds=settings.times(1, 3),
        note="Forward and backward, from hidden states to their gradients and those of the output layer.",
    )


def _sides(function: str, same: dict[str, Any], other: str) -> Iterator[Contestant]:
    """Yield ours as in `train`, ours without keeping freed memory, and the other, in both precisions."""
    for precision in ("fp32", "bf16"):
        ours = f"splade-anserini, {precision}"
        for name, whose, keep in (
            (ours, "ours", True),
            (f"{ours}, freed memory returned", "ours", False),
            *([(f"{ours}, cached, 512 tokens at once", "cached", True)] if function == "step" else []),
            (f"{other}, {precision}", "theirs", False),
        ):
            arguments = {**same, "whose": whose, "precision": precision, "keep": keep}
            yield Contestant(name, __name__, function, arguments, against=ours)
