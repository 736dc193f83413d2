"""Gather the vectors of all devices, so that in-batch negatives and batch means are those of one device."""

from collections.abc import Sequence
from dataclasses import fields, replace

import torch
import torch.distributed as dist

from splade_anserini.training.batch import BatchLabels
from splade_anserini.training.objective import Vectors


def gather_batch(vectors: Vectors, labels: BatchLabels) -> tuple[Vectors, BatchLabels]:
    """Return the batch of all devices in order of rank; gradients flow to this device's vectors only.

    All devices then compute the same loss. DDP averages gradients over the devices, so the loss must be multiplied by
    `world_size()`.
    """
    if world_size() == 1:
        return vectors, labels
    query_counts = gather_rows(torch.tensor([len(vectors.queries)], device=labels.query_index.device))
    earlier_queries = int(query_counts[: dist.get_rank()].sum())
    local = replace(labels, query_index=labels.query_index + earlier_queries)
    return (
        Vectors(gather_rows(vectors.queries), gather_rows(vectors.documents)),
        BatchLabels(*(gather_rows(getattr(local, field.name)) for field in fields(BatchLabels))),
    )


def gather_rows(local: torch.Tensor) -> torch.Tensor:
    """Return the rows of all devices in order of rank; gradients flow to `local` only.

    Devices may have different numbers of rows.
    """
    if world_size() == 1:
        return local
    sizes = [torch.zeros(1, dtype=torch.int64, device=local.device) for _ in range(world_size())]
    dist.all_gather(sizes, torch.tensor([len(local)], device=local.device))
    longest = int(torch.stack(sizes).max())
    padded = local.new_zeros(longest, *local.shape[1:])
    padded[: len(local)] = local.detach()
    parts = [torch.empty_like(padded) for _ in sizes]
    dist.all_gather(parts, padded)
    rows = [part[: int(size)] for part, size in zip(parts, sizes, strict=True)]
    rows[dist.get_rank()] = local
    return torch.cat(rows)


def gather_objects[T](local: Sequence[T]) -> list[T]:
    """Return the objects of all devices in order of rank."""
    if world_size() == 1:
        return list(local)
    parts: list[Sequence[T]] = [() for _ in range(world_size())]
    dist.all_gather_object(parts, local)
    return [each for part in parts for each in part]


def world_size() -> int:
    """Return the number of devices that train together."""
    return dist.get_world_size() if dist.is_available() and dist.is_initialized() else 1
