"""Checkpoints with a masked-language-model head, run by torch."""

import logging

import torch

from splade_anserini.encoding.options import DEFAULT_MAX_LENGTH, EncoderOptions, unknown_device
from splade_anserini.encoding.protocol import Entries
from splade_anserini.encoding.tokenized import NO_ENTRIES, TokenizedEncoder, split_by_text
from splade_anserini.errors import InputError
from splade_anserini.modeling.checkpoint import Checkpoint
from splade_anserini.modeling.fused import fast_forward
from splade_anserini.modeling.identity import identity
from splade_anserini.modeling.precision import DTYPES, has_native_bf16
from splade_anserini.modeling.token_batches import TokenBatch
from splade_anserini.modeling.vocabulary import plain_tokenizer, vocabulary

CPU_MAX_TOKENS = 2048
"""Tokens in a batch on a CPU: larger batches leave the cache, smaller ones make matrix products slower."""

_log = logging.getLogger(__name__)


class TorchEncoder(TokenizedEncoder):
    """A checkpoint as an `Encoder`.

    In bf16 and fp16 the transform of the head stays in float32 (see `keep_head_in_float32`). Raises `InputError` when
    `options.device` is not available.
    """

    def __init__(
        self, checkpoint: Checkpoint, options: EncoderOptions | None = None, *, name: str | None = None
    ) -> None:
        options = options or EncoderOptions()
        precision = "fp32" if options.precision == "auto" else options.precision
        self._threads = options.threads
        self._device = torch_device(options.device)
        on_cpu = self._device.type == "cpu"
        if on_cpu:
            _log_advice(options.precision)
        # Before the weights are copied: computing fingerprints takes memory for a moment.
        encoder_identity = identity(checkpoint, options.aggregation, precision).model_copy(
            update={"name": name or checkpoint.name}
        )
        self._forward = fast_forward(checkpoint, options.aggregation, DTYPES[precision], self._device)
        super().__init__(
            encoder_identity,
            plain_tokenizer(checkpoint.tokenizer),
            vocabulary(checkpoint.tokenizer, checkpoint.vocabulary_size),
            max_length=min(options.max_length or DEFAULT_MAX_LENGTH, checkpoint.max_length),
            batch_size=options.batch_size,
            max_tokens=CPU_MAX_TOKENS if on_cpu else None,
        )

    @torch.inference_mode()
    def _entries(self, batch: TokenBatch) -> list[Entries]:
        if not batch.ids.size:
            return [NO_ENTRIES for _ in batch.positions]
        if self._threads and torch.get_num_threads() != self._threads:
            torch.set_num_threads(self._threads)  # it applies to the calling thread only
        ids, mask = (torch.from_numpy(array).to(self._device) for array in (batch.ids, batch.mask))
        weights = self._forward(ids, mask)
        rows, entry_ids = weights.nonzero(as_tuple=True)
        active = weights[rows, entry_ids]
        return split_by_text(len(batch.ids), rows.cpu().numpy(), entry_ids.cpu().numpy(), active.cpu().numpy())


def _log_advice(precision: str) -> None:
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
