"""The vectors of all devices as one batch: in-batch negatives and means over the batch are then those of one device."""

from dataclasses import fields, replace

import torch
import torch.distributed as dist

from splade_anserini.training.batch import Facts
from splade_anserini.training.objective import Vectors


def together(vectors: Vectors, facts: Facts) -> tuple[Vectors, Facts]:
    """Return the batch of all devices, in order of rank; the gradient reaches the vectors of this device.

    Every device then computes the same loss. For DDP, which takes means of gradients, it must be multiplied by
    `world_size()`.
    """
    if world_size() == 1:
        return vectors, facts
    queries = gathered(torch.tensor([len(vectors.queries)], device=facts.owners.device))
    owners = facts.owners + int(queries[: dist.get_rank()].sum())
    own = replace(facts, owners=owners)
    return (
        Vectors(gathered(vectors.queries), gathered(vectors.documents)),
        Facts(*(gathered(getattr(own, field.name)) for field in fields(Facts))),
    )


def gathered(mine: torch.Tensor) -> torch.Tensor:
    """Return the rows of all devices; their numbers may differ. The gradient reaches one's own."""
    if world_size() == 1:
        return mine
    sizes = [torch.zeros(1, dtype=torch.int64, device=mine.device) for _ in range(world_size())]
    dist.all_gather(sizes, torch.tensor([len(mine)], device=mine.device))
    longest = int(torch.stack(sizes).max())
    padded = mine.new_zeros(longest, *mine.shape[1:])
    padded[: len(mine)] = mine.detach()
    parts = [torch.empty_like(padded) for _ in sizes]
    dist.all_gather(parts, padded)
    rows = [part[: int(size)] for part, size in zip(parts, sizes, strict=True)]
    rows[dist.get_rank()] = mine
    return torch.cat(rows)


def world_size() -> int:
    """Return how many devices train together."""
    return dist.get_world_size() if dist.is_available() and dist.is_initialized() else 1
