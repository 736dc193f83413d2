"""Batches that do not fit into memory: recognizing the error, and running the texts in smaller batches."""

import logging
import threading
from collections import deque
from collections.abc import Callable

from splade_anserini.artifacts.manifests import Batching
from splade_anserini.errors import InputError, counted
from splade_anserini.modeling.token_batches import TokenBatch

_log = logging.getLogger(__name__)

_MESSAGES = ("out of memory", "can't allocate memory", "ALLOC_FAILED", "failed to allocate memory", "bad_alloc")
"""Parts of the messages of torch's allocators, its CUDA libraries and onnxruntime; not all have an exception class."""

REMEDY = "Use a smaller --max-length, --precision fp16, or another --device."


def is_out_of_memory(error: BaseException) -> bool:
    """Return whether an exception says that memory could not be allocated."""
    if isinstance(error, MemoryError) or type(error).__name__ == "OutOfMemoryError":  # the latter is torch's
        return True
    message = str(error).lower()
    return any(part.lower() in message for part in _MESSAGES)


class BatchLimit:
    """The greatest number of tokens, padding included, that batches have had since one did not fit into memory.

    `where` names the memory in messages, `remedy` what to do about a text that does not fit alone. The first time that
    the limit is lowered, a warning is logged. Safe to share between threads.
    """

    def __init__(self, where: str, remedy: str = REMEDY) -> None:
        self._where = where
        self._remedy = remedy
        self._tokens: int | None = None
        self._lowering = threading.Lock()

    def after_fork(self) -> None:
        """Free the lock in a forked process: the thread that may have held it is not there."""
        self._lowering = threading.Lock()

    @property
    def tokens(self) -> int | None:
        """Tokens that a batch may have; None until a batch did not fit."""
        return self._tokens

    def applied(self, batching: Batching | None) -> Batching | None:
        """Return `batching` with the limit."""
        if batching is None or self._tokens is None:
            return batching
        return batching.model_copy(update={"tokens": min(self._tokens, batching.tokens or self._tokens)})

    def run[T](self, batch: TokenBatch, run: Callable[[TokenBatch], T], free: Callable[[], object]) -> list[T]:
        """Return what `run` returns for the parts of a batch, in order: one part, or more if it does not fit.

        `free` is called after a failure, when nothing refers to the tensors of the batch any more. Raises `InputError`
        when a single text does not fit.
        """
        results = []
        waiting = deque([batch])
        while waiting:
            part = waiting.popleft()
            if len(part.positions) > 1 and self._tokens is not None and part.ids.size > self._tokens:
                waiting.extendleft(reversed(halves(part)))
                continue
            try:
                results.append(run(part))
                continue
            except Exception as error:  # the exceptions of onnxruntime have no base of their own
                if not is_out_of_memory(error):
                    raise
            # Not in the `except` block: there, the traceback still refers to the tensors that filled the memory.
            free()
            with self._lowering:
                self._lower(part)
            waiting.appendleft(part)
        return results

    def _lower(self, batch: TokenBatch) -> None:
        texts, length = batch.ids.shape
        if texts == 1:
            raise InputError(
                f"A text of {counted(length, 'token')} does not fit into the memory of {self._where}.",
                do=self._remedy,
            )
        if self._tokens is None:
            _log.warning(
                "A batch of %s (%s) did not fit into the memory of %s: batches are halved from here on.",
                counted(texts, "text"),
                counted(batch.ids.size, "token"),
                self._where,
            )
        # Another thread may have lowered it further in the meantime.
        half = (texts + 1) // 2 * length
        self._tokens = half if self._tokens is None else min(self._tokens, half)


def halves(batch: TokenBatch) -> list[TokenBatch]:
    """Return the two halves of a batch of at least two texts, each padded to its own longest text."""
    middle = (len(batch.positions) + 1) // 2
    return [_rows(batch, slice(0, middle)), _rows(batch, slice(middle, None))]


def _rows(batch: TokenBatch, rows: slice) -> TokenBatch:
    mask = batch.mask[rows]
    length = int(mask.sum(axis=1).max())
    return TokenBatch(batch.positions[rows], batch.ids[rows, :length], mask[:, :length])
