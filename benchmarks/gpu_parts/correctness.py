"""The first part: what is computed on the GPU is what is computed on the CPU."""

import logging
from collections.abc import Callable, Iterator, Mapping, Sequence
from functools import partial
from typing import Any

from gpu_parts.context import Context, Measurement
from gpu_parts.real_training import card as splade_mini
from gpu_parts.resuming import resumed_training
from gpu_parts.workload import checkpoint, documents, encoder, reference

SCALE = 100.0
TOLERANCE = 1e-4
"""Greatest difference of a weight or gradient in fp32, relative to values above 1."""

FEW = 6
"""Texts that are encoded in half precision on the CPU."""

POOLINGS = ("max", "sum", "norm")

type Vector = Mapping[str, float]


def measurements(context: Context) -> Iterator[Measurement]:
    """Yield the checks, those of what most users run first."""
    yield Measurement("vectors, fp32, max pooling", partial(same_vectors, context, "max"))
    for precision in ("fp16", "bf16"):
        yield Measurement(f"vectors, {precision}", partial(close_vectors, context, precision))
    yield Measurement("batched and single", partial(batched_and_single, context))
    yield Measurement("launching a batch waits for nothing", partial(asynchronous_launch, context))
    yield Measurement("encoding recovers when memory is full", partial(recovery, context))
    for pooling in POOLINGS:
        yield Measurement(f"gradients of the projection, {pooling}", partial(gradients, context, pooling))
    yield Measurement(
        "a resumed training run", partial(resumed_training, context), needs=("accelerate", "matplotlib"), seconds=20
    )
    for pooling in POOLINGS[1:]:
        yield Measurement(f"vectors, fp32, {pooling} pooling", partial(same_vectors, context, pooling))
    for precision in ("fp16", "bf16"):
        yield Measurement(
            f"vectors of the warm start, {precision}", partial(warm_vectors, context, precision), seconds=20
        )


def same_vectors(context: Context, pooling: str) -> dict[str, Any]:
    """Compare the weights of the GPU with those of the CPU, in fp32."""
    model, texts = _model(context), _texts(context)
    expected = context.cached(f"vectors {pooling}", lambda: reference(model, pooling=pooling).encode(texts))
    return _within(encoder(context, model, pooling=pooling).encode(texts), expected)


def close_vectors(context: Context, precision: str) -> dict[str, Any]:
    """Compare the impacts of the GPU in low precision with those of the CPU in fp32, and in the same precision."""
    model, texts = _model(context), _texts(context)
    vectors = encoder(context, model, precision=precision).encode(texts)
    full = context.cached("vectors max", lambda: reference(model).encode(texts))
    # Some CPUs compute in half precision very slowly.
    low = reference(model, precision=precision).encode(texts[:FEW])
    of_cpu = {f"{name}, of the CPU's {precision}": value for name, value in _impacts(low, full[:FEW]).items()}
    of_cpu.pop(f"passed, of the CPU's {precision}")
    return _impacts(vectors, full) | of_cpu


def warm_vectors(context: Context, precision: str) -> dict[str, Any]:
    """Compare impacts as `close_vectors` does, of a model that is not random: the warm start of splade-mini."""
    from splade_anserini.training.student import load_initial_checkpoint

    texts = _texts(context)
    recipe = splade_mini(context).training
    model = context.cached("warm start", lambda: load_initial_checkpoint(recipe, context.backbone))
    expected = context.cached("vectors of the warm start", lambda: reference(model).encode(texts))
    return _impacts(encoder(context, model, precision=precision).encode(texts), expected)


def batched_and_single(context: Context) -> dict[str, Any]:
    """Compare the vectors of all texts at once with those of each text alone, in fp32."""
    texts = _texts(context)
    text_encoder = encoder(context, _model(context))
    return _within(text_encoder.encode(texts), [text_encoder.encode([text])[0] for text in texts])


def asynchronous_launch(context: Context) -> dict[str, Any]:
    """Launch batches, with and without padding, while each wait for the GPU is an error."""
    import torch

    text_encoder = encoder(context, _model(context), precision="fp16")
    gpu = text_encoder.gpu_batches
    texts = _texts(context)
    batches = [*text_encoder.prepare([text for text in texts if text]), *text_encoder.prepare([texts[-1]] * 2)]
    for batch in batches:  # the first time, kernels are loaded
        gpu.fetch(gpu.launch(batch))
    if not context.is_cuda:
        return {"detail": "only on CUDA"}
    torch.cuda.set_sync_debug_mode("error")
    try:
        launched = [gpu.launch(batch) for batch in batches]
    finally:
        torch.cuda.set_sync_debug_mode("default")
    return {"passed": sum(len(gpu.fetch(batch)) for batch in launched) > 0, "detail": "no wait"}


def recovery(context: Context) -> dict[str, Any]:
    """Encode with too little memory for the batch: it is halved, one warning says so, and the vectors are the same."""
    model, texts = _model(context), _texts(context)
    expected = context.cached("vectors max", lambda: reference(model).encode(texts))
    text_encoder = encoder(context, model)
    text_encoder.encode(texts)
    warnings = _Warnings()
    logger = logging.getLogger("splade_anserini.encoding.memory")
    logger.addHandler(warnings)
    try:
        with _little_memory(context, text_encoder, texts):
            vectors = text_encoder.encode(texts)
    finally:
        logger.removeHandler(warnings)
    result = _within(vectors, expected)
    limit = text_encoder.batch_limit.tokens
    return {
        **result,
        "passed": result["passed"] and len(warnings.messages) == 1,
        "detail": f"batches of {limit} tokens",
    }


class _Warnings(logging.Handler):
    def __init__(self) -> None:
        super().__init__(logging.WARNING)
        self.messages: list[str] = []

    def emit(self, record: logging.LogRecord) -> None:
        self.messages.append(record.getMessage())


class _little_memory:  # noqa: N801  # used as a function
    """A context in which a batch of all texts does not fit; on a CPU, its model says so."""

    def __init__(self, context: Context, text_encoder: Any, texts: Sequence[str]) -> None:
        self._context, self._encoder, self._texts = context, text_encoder, texts

    def __enter__(self) -> None:
        (self._limit_memory if self._context.is_cuda else self._pretend)()

    def __exit__(self, *_: object) -> None:
        import torch

        if self._context.is_cuda:
            torch.cuda.set_per_process_memory_fraction(1.0, self._context.device)

    def _limit_memory(self) -> None:
        import torch

        device = self._context.device
        torch.cuda.empty_cache()
        torch.cuda.reset_peak_memory_stats(device)
        before = torch.cuda.memory_allocated(device)
        self._encoder.encode(self._texts)
        needed = torch.cuda.max_memory_allocated(device) - before
        torch.cuda.empty_cache()
        allowed = torch.cuda.memory_reserved(device) + needed / 3
        torch.cuda.set_per_process_memory_fraction(
            allowed / torch.cuda.get_device_properties(device).total_memory, device
        )

    def _pretend(self) -> None:
        import torch

        gpu = self._encoder.gpu_batches
        forward = gpu.forward
        tokens = max(batch.ids.size for batch in self._encoder.prepare(self._texts)) // 3

        def small(ids: Any, mask: Any) -> Any:
            if ids.numel() > tokens:
                raise torch.OutOfMemoryError("out of memory")
            return forward(ids, mask)

        gpu.forward = small


def gradients(context: Context, pooling: str) -> dict[str, Any]:
    """Compare the gradients of the projection for training with those of pooled logits, both on the device, in fp32."""
    import torch

    from splade_anserini.modeling.pooling import pool
    from splade_anserini.modeling.sparse_projection import sparse_projection
    from splade_anserini.records import Aggregation

    device, generator = context.device, torch.Generator().manual_seed(1)
    width, vocabulary = (384, 30_522) if context.is_cuda else (16, 500)
    hidden = torch.randn((4, 24, width), generator=generator).to(device).requires_grad_()
    layer = torch.nn.Linear(width, vocabulary)
    with torch.no_grad():
        layer.weight.copy_(torch.randn((vocabulary, width), generator=generator) / width**0.5)
        layer.bias.fill_(-2.0)
    layer.to(device)
    mask = (torch.arange(24) < torch.tensor([[24], [10], [1], [20]])).long().to(device)
    factors = torch.randn((4, vocabulary), generator=generator).to(device)
    parameters = [hidden, *layer.parameters()]

    def gradient(weights: Any) -> list[Any]:
        return list(torch.autograd.grad((weights * factors).sum(), parameters))

    aggregation = Aggregation(pooling)  # type: ignore[arg-type]
    weights = sparse_projection(hidden, mask, layer, aggregation, torch.float32)
    expected = pool(layer(hidden), mask, aggregation)
    pairs = zip([weights, *gradient(weights)], [expected, *gradient(expected)], strict=True)
    difference = max(float(((ours - theirs).abs() / theirs.abs().clamp(min=1)).max()) for ours, theirs in pairs)
    return {"passed": difference < TOLERANCE, "greatest difference": difference}


def _model(context: Context) -> Any:
    return checkpoint(context, context.sizes.check_model)


def _texts(context: Context) -> list[str]:
    return ["", *documents(context, context.sizes.lengths[0])[: context.sizes.check_documents], "wing"]


def _within(vectors: Sequence[Vector], expected: Sequence[Vector]) -> dict[str, Any]:
    difference = _greatest(vectors, expected, lambda a, b: abs(a - b) / max(1.0, abs(b)))
    entries = sum(map(len, expected)) / len(expected)
    return {"passed": difference < TOLERANCE and entries > 1, "greatest difference": difference, "entries": entries}


def _impacts(vectors: Sequence[Vector], expected: Sequence[Vector]) -> dict[str, Any]:
    """Return the share of impacts that are equal, and the greatest difference, of all entries that either has."""
    pairs = [
        (round(vector.get(token, 0.0) * SCALE), round(other.get(token, 0.0) * SCALE))
        for vector, other in zip(vectors, expected, strict=True)
        for token in {*vector, *other}
    ]
    greatest = max(abs(a - b) for a, b in pairs)
    return {
        # Rounding errors of half precision stay far below; another formula does not.
        "passed": greatest <= 0.1 * max(b for _, b in pairs) + 2,
        "equal impacts": sum(a == b for a, b in pairs) / len(pairs),
        "greatest difference": greatest,
        "entries": sum(map(len, expected)) / len(expected),
    }


def _greatest(
    vectors: Sequence[Vector], expected: Sequence[Vector], difference: Callable[[float, float], float]
) -> float:
    return max(
        difference(vector.get(token, 0.0), other.get(token, 0.0))
        for vector, other in zip(vectors, expected, strict=True)
        for token in {*vector, *other}
    )
