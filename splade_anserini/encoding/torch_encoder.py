"""Checkpoints with a masked-language-model head, run by torch."""

import numpy as np
import numpy.typing as npt
import torch

from splade_anserini.encoding.options import LONGEST, EncoderOptions
from splade_anserini.encoding.tokenized import TokenizedEncoder, Weights
from splade_anserini.errors import InputError
from splade_anserini.modeling.checkpoint import Checkpoint
from splade_anserini.modeling.identity import identity
from splade_anserini.modeling.precision import DTYPES, keep_head_in_float32
from splade_anserini.modeling.splade import Splade
from splade_anserini.modeling.vocabulary import plain_tokenizer, vocabulary


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
        self._device = torch_device(options.device)
        self._dtype = DTYPES[precision]
        self._reduced = precision != "fp32"
        if self._reduced:
            keep_head_in_float32(checkpoint.model)
        self._splade = Splade.of(checkpoint, pooling).eval().to(self._device)
        super().__init__(
            identity(checkpoint, pooling, precision).model_copy(update={"name": name or checkpoint.name}),
            plain_tokenizer(checkpoint.tokenizer),
            vocabulary(checkpoint.tokenizer, checkpoint.vocabulary_size),
            max_length=min(options.max_length or LONGEST, checkpoint.max_length),
            batch_size=options.batch_size,
        )

    @torch.inference_mode()
    def _weights(self, ids: npt.NDArray[np.int64], mask: npt.NDArray[np.int64]) -> Weights:
        with torch.autocast(self._device.type, dtype=self._dtype, enabled=self._reduced):
            weights = self._splade(torch.from_numpy(ids).to(self._device), torch.from_numpy(mask).to(self._device))
        result: Weights = weights.float().cpu().numpy()
        return result


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
