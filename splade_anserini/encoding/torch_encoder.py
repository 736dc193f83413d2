"""Checkpoints with a masked-language-model head, run by torch."""

import logging

import torch

from splade_anserini.encoding.batches import Batch
from splade_anserini.encoding.entries import NONE, rows_of
from splade_anserini.encoding.options import LONGEST, EncoderOptions
from splade_anserini.encoding.protocol import Entries
from splade_anserini.encoding.tokenized import TokenizedEncoder
from splade_anserini.errors import InputError
from splade_anserini.modeling.checkpoint import Checkpoint
from splade_anserini.modeling.fused import fast_forward
from splade_anserini.modeling.identity import identity
from splade_anserini.modeling.packed_linear import native_bf16
from splade_anserini.modeling.precision import DTYPES
from splade_anserini.modeling.vocabulary import plain_tokenizer, vocabulary

CPU_TOKENS = 2048
"""Tokens in a batch on a CPU: more of them leave the cache, fewer keep matrix products from their speed."""

_log = logging.getLogger(__name__)


class TorchEncoder(TokenizedEncoder):
    """A checkpoint as an encoder. In bf16 and fp16 the head's transform stays in float32 (see `keep_head_in_float32`).

    Raises `InputError` when `options.device` is not there.
    """

    def __init__(
        self, checkpoint: Checkpoint, options: EncoderOptions | None = None, *, name: str | None = None
    ) -> None:
        options = options or EncoderOptions()
        precision = "fp32" if options.precision == "auto" else options.precision
        pooling = options.pooling or "max"
        self._threads = options.threads
        self._device = torch_device(options.device)
        on_cpu = self._device.type == "cpu"
        if on_cpu:
            _advise(options.precision)
        # Before there are copies: fingerprints take memory for a moment.
        described = identity(checkpoint, pooling, precision).model_copy(update={"name": name or checkpoint.name})
        self._forward = fast_forward(checkpoint, pooling, DTYPES[precision], self._device)
        super().__init__(
            described,
            plain_tokenizer(checkpoint.tokenizer),
            vocabulary(checkpoint.tokenizer, checkpoint.vocabulary_size),
            max_length=min(options.max_length or LONGEST, checkpoint.max_length),
            batch_size=options.batch_size,
            tokens=CPU_TOKENS if on_cpu else None,
        )

    @torch.inference_mode()
    def _entries(self, batch: Batch) -> list[Entries]:
        if not batch.ids.size:
            return [NONE for _ in batch.positions]
        if self._threads and torch.get_num_threads() != self._threads:
            torch.set_num_threads(self._threads)  # the number of a thread is its own
        ids, mask = (torch.from_numpy(array).to(self._device) for array in (batch.ids, batch.mask))
        weights = self._forward(ids, mask)
        numbers, entries = weights.nonzero(as_tuple=True)
        active = weights[numbers, entries]
        return rows_of(len(batch.ids), numbers.cpu().numpy(), entries.cpu().numpy(), active.cpu().numpy())


def _advise(precision: str) -> None:
    if precision == "bf16" and not native_bf16():
        _log.warning("This processor has no bfloat16 of its own: --precision fp32 is faster on it.")
    elif precision == "auto" and native_bf16():
        _log.info("This processor has bfloat16: --precision bf16 is about twice as fast, and changes impacts slightly.")


def torch_device(name: str) -> torch.device:
    """Return the device of that name: auto (the best there is), cpu, cuda, cuda:n or mps."""
    if name == "auto":
        best = "cuda" if torch.cuda.is_available() else "mps" if torch.backends.mps.is_available() else "cpu"
        return torch.device(best)
    try:
        device = torch.device(name)
    except RuntimeError as error:
        raise InputError(f"There is no device {name!r}.", expected="auto, cpu, cuda, cuda:n or mps") from error
    there = {
        "cpu": True,
        "cuda": (device.index or 0) < torch.cuda.device_count(),
        "mps": torch.backends.mps.is_available(),
    }
    if not there.get(device.type, False):
        raise InputError(f"--device {name}: torch does not see this device.", do="Use --device auto or --device cpu.")
    return device
