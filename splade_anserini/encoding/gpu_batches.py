"""Batches on a GPU: launched without waiting for the GPU, and fetched as the active entries of each text."""

from collections.abc import Callable
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt
import torch

from splade_anserini.encoding.protocol import Entries
from splade_anserini.encoding.tokenized import split_at
from splade_anserini.modeling.fused import Forward
from splade_anserini.modeling.token_batches import TokenBatch

ENTRIES_PER_TEXT = 512
"""Active entries of a text, on average over a batch, for which there is space at first."""


class LaunchedBatch(NamedTuple):
    """A batch whose active entries are being computed, and copied to the host."""

    weights: torch.Tensor
    """[batch, vocabulary], on the device: kept for the case that there are more entries than space for them."""
    counts: torch.Tensor
    """[batch], on the host once `wait` has returned: the active entries of each text."""
    ids: torch.Tensor
    """[space], int32: the entries of all texts, one text after the other, then anything."""
    values: torch.Tensor
    """[space], float32: their weights."""
    wait: Callable[[], object]
    """Waits until this batch, not those launched after it, is on the host."""


class GpuBatches:
    """Runs batches on a device in two steps, so that the next batch can be launched before one is fetched.

    Inputs and entries are copied through pinned memory. Only `fetch` waits for the device, and the host gets only the
    active entries. On a device other than CUDA the copies and steps are the same, but not asynchronous.
    """

    def __init__(self, forward: Forward, device: torch.device, *, entries_per_text: int = ENTRIES_PER_TEXT) -> None:
        self.forward = forward
        self._device = device
        self._is_cuda = device.type == "cuda"
        self._entries_per_text = entries_per_text
        self._select = _selection(device)

    def launch(self, batch: TokenBatch) -> LaunchedBatch:
        """Start a batch of at least one token, and the copy of its active entries."""
        with torch.inference_mode():
            # Whether there is padding is decided here: asking the GPU would wait for it.
            mask = None if batch.mask.all() else self._to_device(batch.mask.astype(np.bool_))
            return self._launch_copy(self.forward(self._to_device(batch.ids), mask))

    def fetch(self, launched: LaunchedBatch) -> list[Entries]:
        """Wait for a batch, and return the entries of each of its texts."""
        launched.wait()
        counts: npt.NDArray[np.int64] = launched.counts.numpy()
        total = int(counts.sum())
        if total > len(launched.ids):
            self._entries_per_text = 2 * -(-total // len(counts))
            with torch.inference_mode():
                return self.fetch(self._launch_copy(launched.weights))
        # Copies: the pinned memory is used again.
        ids, values = launched.ids.numpy()[:total].astype(np.int64), launched.values.numpy()[:total].copy()
        return split_at(counts.cumsum(), ids, values)

    def _launch_copy(self, weights: torch.Tensor) -> LaunchedBatch:
        texts, vocabulary_size = weights.shape
        space = min(texts * self._entries_per_text, weights.numel())
        flat = weights.reshape(-1)
        # NaN counts as active, too: a broken model must not look like one with empty vectors.
        active = self._select(flat, space)
        counts, ids, values = (
            self._to_host(tensor)
            for tensor in (
                weights.count_nonzero(dim=1),
                (active % vocabulary_size).to(torch.int32),
                flat.index_select(0, active),
            )
        )
        return LaunchedBatch(weights, counts, ids, values, self._recorded())

    def _recorded(self) -> Callable[[], object]:
        if not self._is_cuda:
            return lambda: None
        # The thread that waits sleeps.
        event: Any = torch.cuda.Event(blocking=True)  # type: ignore[no-untyped-call]
        event.record(torch.cuda.current_stream(self._device))
        wait: Callable[[], object] = event.synchronize
        return wait

    def _to_device(self, array: npt.NDArray[Any]) -> torch.Tensor:
        tensor = torch.from_numpy(array)
        return tensor.pin_memory().to(self._device, non_blocking=True) if self._is_cuda else tensor.to(self._device)

    def _to_host(self, tensor: torch.Tensor) -> torch.Tensor:
        if not self._is_cuda:
            return tensor.cpu()
        return torch.empty(tensor.shape, dtype=tensor.dtype, pin_memory=True).copy_(tensor, non_blocking=True)


def _selection(device: torch.device) -> Callable[[torch.Tensor, int], torch.Tensor]:
    """Return the function that selects the positions of up to `space` non-zero values of a vector, then any others."""

    def without_waiting(values: torch.Tensor, space: int) -> torch.Tensor:
        return torch.nonzero_static(values, size=space, fill_value=0).view(-1)

    def waiting(values: torch.Tensor, space: int) -> torch.Tensor:
        positions = values.nonzero().view(-1)[:space]
        return torch.cat([positions, positions.new_zeros(space - len(positions))])

    try:
        without_waiting(torch.ones(2, device=device), 3)
    except (AttributeError, NotImplementedError, RuntimeError):  # older versions of torch have it for CPUs only
        return waiting
    return without_waiting
