"""Checkpoints with a masked-language-model head, run by torch."""

import logging
import os
import threading
from collections.abc import Callable, Iterable, Iterator
from functools import partial
from itertools import chain
from typing import Any

import numpy as np
import numpy.typing as npt
import torch

from splade_anserini.artifacts.manifests import Batching
from splade_anserini.encoding.batch_bound import BatchBound, bounded, bytes_per_token
from splade_anserini.encoding.gpu_batches import GpuBatches, LaunchedBatch
from splade_anserini.encoding.memory import BatchLimit
from splade_anserini.encoding.options import (
    DEFAULT_BATCH_SIZE,
    DEFAULT_MAX_LENGTH,
    GPU_BATCH_SIZE,
    GPU_WINDOW,
    WINDOW,
    EncoderOptions,
    unknown_device,
)
from splade_anserini.encoding.protocol import Entries
from splade_anserini.encoding.tokenized import TokenFactors, TokenizedEncoder, launched_ahead, no_entries, split_by_text
from splade_anserini.errors import NOTE, InputError
from splade_anserini.modeling.checkpoint import Checkpoint
from splade_anserini.modeling.fused import fast_forward
from splade_anserini.modeling.headless import padding_counts
from splade_anserini.modeling.identity import identity
from splade_anserini.modeling.precision import DTYPES, has_native_bf16
from splade_anserini.modeling.token_batches import TokenBatch
from splade_anserini.modeling.vocabulary import plain_tokenizer, vocabulary

CPU_MAX_TOKENS = 2048
"""Tokens in a batch on a CPU: larger batches leave the cache, smaller ones make matrix products slower."""

LOGIT_COPIES = 1.0
"""Logits of a token that are held at a time; pieces of the vocabulary take less, models without a plain output layer
more (half of the free memory is left for what this does not count)."""

GPU_MAX_TOKENS, GPU_ENOUGH_TOKENS = 65536, 32768
"""Tokens in a batch on a GPU: many fewer would be computed faster than their kernels are launched."""

LAUNCHED_AHEAD = 3
"""Batches that wait for a GPU, so that it has work while other threads keep this one from launching the next."""

_log = logging.getLogger(__name__)


_forked_thread: int | None = None
"""In a forked process, the thread that forked it."""


def _after_fork() -> None:
    """Compute on one thread where the others of OpenMP are missing: it would wait for them for ever."""
    global _forked_thread  # noqa: PLW0603  # a process has one
    _forked_thread = threading.get_ident()
    torch.set_num_threads(1)


os.register_at_fork(after_in_child=_after_fork)


class TorchEncoder(TokenizedEncoder):
    """A checkpoint as an `Encoder`.

    In bf16 and fp16 the transform of the head stays in float32 (see `keep_head_in_float32`). A batch that does not fit
    into memory is halved, and those after it too. On CUDA, batches are launched before those before them are fetched;
    `asynchronous` does the same on another device. In a forked process it computes on one thread. Raises `InputError`
    when `options.device` is not available.
    """

    def __init__(
        self,
        checkpoint: Checkpoint,
        options: EncoderOptions | None = None,
        *,
        name: str | None = None,
        asynchronous: bool | None = None,
        prompt: str = "",
        max_active_dims: int | None = None,
        token_factors: TokenFactors | None = None,
    ) -> None:
        options = options or EncoderOptions()
        precision = "fp32" if options.precision == "auto" else options.precision
        self._threads = options.threads
        self._device = torch_device(options.device)
        on_cpu, on_cuda = (self._device.type == kind for kind in ("cpu", "cuda"))
        asynchronous = on_cuda if asynchronous is None else asynchronous
        _log_advice(options.precision, self._device)
        batch_size = options.batch_size or (GPU_BATCH_SIZE if asynchronous else DEFAULT_BATCH_SIZE)
        if batch_size > 1 and padding_counts(checkpoint.model):
            _log.log(NOTE, "Texts are encoded one by one: padding would change the vectors of %s.", checkpoint.name)
            batch_size = 1
        # Before the weights are copied: computing fingerprints takes memory for a moment.
        encoder_identity = identity(checkpoint, options.aggregation, precision).model_copy(
            update={
                "name": name or checkpoint.name,
                "prompt": prompt,
                "max_active_dims": max_active_dims,
                "token_weights": token_factors and token_factors.fingerprint,
            }
        )
        self._forward = fast_forward(
            checkpoint, options.aggregation, DTYPES[precision], self._device, asynchronous=asynchronous
        )
        self.gpu_batches = GpuBatches(self._forward, self._device) if asynchronous else None
        """How batches run on a GPU; None where each is computed when its entries are needed."""
        self.batch_limit = BatchLimit(str(self._device))
        """The size of batches that fit into memory."""
        max_length = min(options.max_length or DEFAULT_MAX_LENGTH, checkpoint.max_length)
        super().__init__(
            encoder_identity,
            plain_tokenizer(checkpoint.tokenizer),
            vocabulary(checkpoint.tokenizer, checkpoint.vocabulary_size),
            max_length=max_length,
            batch_size=batch_size,
            max_tokens=GPU_MAX_TOKENS if asynchronous else _cpu_tokens(checkpoint, max_length) if on_cpu else None,
            enough_tokens=GPU_ENOUGH_TOKENS if asynchronous else None,
            window=GPU_WINDOW if asynchronous else WINDOW,
        )
        self._token_factors = token_factors

    @property
    def batching(self) -> Batching | None:
        """The size of batches, where the last bits of weights depend on it; else None."""
        return None if self._forward.is_independent else self.batch_limit.applied(super().batching)

    def _run(self, batches: Iterable[TokenBatch]) -> Iterator[list[Entries]]:
        """Yield all entries of each batch's texts, in order; on CUDA, some batches are launched ahead."""
        if self.gpu_batches is None:
            yield from super()._run(batches)
            return
        yield from launched_ahead(partial(self._launch, self.gpu_batches), batches, LAUNCHED_AHEAD)

    def _launch(self, gpu: GpuBatches, batch: TokenBatch) -> Callable[[], list[Entries]]:
        """Launch a batch; return the function that fetches its entries."""
        if not batch.ids.size:
            return partial(no_entries, batch)
        return partial(_fetched, gpu, self.batch_limit.run(batch, gpu.launch, self._free))

    def _entries(self, batch: TokenBatch) -> list[Entries]:
        if not batch.ids.size:
            return no_entries(batch)
        forked = threading.get_ident() == _forked_thread
        if self._threads and torch.get_num_threads() != self._threads and not forked:
            torch.set_num_threads(self._threads)  # it applies to the calling thread only
        return list(chain.from_iterable(self.batch_limit.run(batch, self._computed, self._free)))

    @torch.inference_mode()
    def _computed(self, batch: TokenBatch) -> list[Entries]:
        ids, mask = (torch.from_numpy(array).to(self._device) for array in (batch.ids, batch.mask))
        weights = self._forward(ids, mask)
        rows, entry_ids = weights.nonzero(as_tuple=True)
        active = weights[rows, entry_ids]
        return split_by_text(len(batch.ids), rows.cpu().numpy(), entry_ids.cpu().numpy(), active.cpu().numpy())

    @torch.inference_mode()
    def _contributions(self, batch: TokenBatch, entry_ids: npt.NDArray[np.int64]) -> npt.NDArray[Any]:
        ids, mask = (torch.from_numpy(array).to(self._device) for array in (batch.ids, batch.mask))
        (logits,) = self._forward.logits(ids, mask)
        # Activations grow with the logit, so the greatest logit has the greatest share, whatever the pooling.
        contributions: npt.NDArray[Any] = logits[:, torch.from_numpy(entry_ids).to(logits.device)].float().cpu().numpy()
        return contributions

    def _free(self) -> None:
        if self._device.type == "cuda":
            torch.cuda.empty_cache()


def _cpu_tokens(checkpoint: Checkpoint, max_length: int) -> int:
    """Return the tokens of a batch on a CPU: `CPU_MAX_TOKENS`, or fewer where little memory is free."""
    token_bytes = bytes_per_token(max_length, checkpoint.vocabulary_size, copies=LOGIT_COPIES)
    return bounded(BatchBound(CPU_MAX_TOKENS), max_length, token_bytes).tokens


def _fetched(gpu: GpuBatches, parts: list[LaunchedBatch]) -> list[Entries]:
    return list(chain.from_iterable(map(gpu.fetch, parts)))


def _log_advice(precision: str, device: torch.device) -> None:
    if device.type == "cuda" and precision == "auto":
        _log.info("--precision fp16 is faster on a GPU than fp32, and changes impacts slightly.")
    if device.type != "cpu":
        return
    if precision == "bf16" and not has_native_bf16():
        _log.warning("This processor has no native bfloat16; --precision fp32 is faster on it.")
    elif precision == "auto" and has_native_bf16():
        _log.info(
            "This processor has native bfloat16: --precision bf16 is about twice as fast, and changes impacts slightly."
        )


def torch_device(name: str) -> torch.device:
    """Return the device of a name: auto (the fastest that is available), cpu, cuda, cuda:n or mps.

    Raises `InputError` for another name, or a device that is not available.
    """
    if name == "auto":
        fastest = "cuda" if torch.cuda.is_available() else "mps" if torch.backends.mps.is_available() else "cpu"
        return torch.device(fastest)
    try:
        device = torch.device(name)
    except RuntimeError as error:
        raise unknown_device(name) from error
    available = {
        "cpu": True,
        "cuda": (device.index or 0) < torch.cuda.device_count(),
        "mps": torch.backends.mps.is_available(),
    }
    if not available.get(device.type, False):
        raise InputError(f"--device {name} is not available to torch.", do="Use --device auto or --device cpu.")
    return device
