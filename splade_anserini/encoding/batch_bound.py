"""The size of batches on a CPU, bounded by the memory that is free: there the kernel kills without an error."""

import logging
from dataclasses import dataclass

from splade_anserini.errors import counted
from splade_anserini.free_memory import free_memory

SHARE = 0.5
"""Of the memory that is free when an encoder has been opened, the part that its batches may take."""

_BODY = 96 * 1024
"""Bytes that the layers of a large body (1,024 wide, 4,096 inside) need for a token, twice over."""

_ATTENTION = 16 * 4 * 2
"""Bytes for each pair of tokens: the scores of 16 heads, and their softmax."""

_log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class BatchBound:
    """How many batches run at the same time, and how many tokens each may have, padding included."""

    tokens: int
    parallel: int = 1


def bytes_per_token(length: int, entries: int, *, copies: float) -> int:
    """Return the bytes that a model needs for each token of texts of `length` tokens.

    `entries` are the logits of a token that are held at a time, `copies` how often.
    """
    return int(_BODY + _ATTENTION * length + 4 * copies * entries)


def bounded(wanted: BatchBound, longest: int, token_bytes: int, *, free: int | None = None) -> BatchBound:
    """Return how large batches may be in `free` bytes, by default those that are free now; at most as `wanted`.

    Batches become smaller down to one text of `longest` tokens; then fewer run at the same time. A single text is
    always tried. A bound below `wanted` is logged as a warning.
    """
    free = free_memory() if free is None else free
    if free is None:
        return wanted
    tokens_in_memory = int(free * SHARE) // token_bytes
    smallest = min(longest, wanted.tokens)
    parallel = max(1, min(wanted.parallel, tokens_in_memory // smallest))
    result = BatchBound(max(smallest, min(wanted.tokens, tokens_in_memory // parallel)), parallel)
    if result != wanted:
        _log.warning(
            "%.1f GB of memory are free: %s of at most %s at a time, instead of %d of %s.",
            free / 1e9,
            counted(result.parallel, "batch", "batches"),
            counted(result.tokens, "token"),
            wanted.parallel,
            counted(wanted.tokens, "token"),
        )
    return result
