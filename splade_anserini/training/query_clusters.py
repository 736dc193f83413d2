"""Cluster similar queries, for batches whose in-batch negatives are hard.

This is topic-aware sampling (TAS-Balanced, Hofstätter et al. 2021) with the embeddings of a teacher.
"""

from collections.abc import Callable, Sequence

import numpy as np
import numpy.typing as npt
import torch

from splade_anserini.formats.examples import Examples
from splade_anserini.progress import Progress, silent

ROUNDS = 10
_WINDOW = 1024
"""Texts that are embedded, or vectors that are compared with the centers, at a time."""


def cluster_queries(
    examples: Examples,
    embed: Callable[[Sequence[str]], torch.Tensor],
    cluster_size: int,
    *,
    seed: int,
    window: int = _WINDOW,
    progress: Progress = silent,
) -> npt.NDArray[np.int64]:
    """Return the cluster of each example's query, [examples]; a cluster has about `cluster_size` queries.

    `embed` returns embeddings [texts, width] of length 1.
    """
    vectors = []
    for start in range(0, len(examples), window):
        indices = range(start, min(start + window, len(examples)))
        vectors.append(embed([examples[index].query for index in indices]).half())
        progress(len(indices))
    clusters = max(1, len(examples) // cluster_size)
    return k_means(torch.cat(vectors), clusters, seed=seed, window=window).cpu().numpy()


def k_means(
    vectors: torch.Tensor, clusters: int, *, seed: int, rounds: int = ROUNDS, window: int = _WINDOW
) -> torch.Tensor:
    """Return the cluster of each vector by spherical k-means, int64 [vectors].

    `vectors` [vectors, width] have length 1. `window` of them are compared with the centers at a time.
    """
    generator = torch.Generator().manual_seed(seed)
    centers = vectors[torch.randperm(len(vectors), generator=generator)[:clusters]].float()
    for _ in range(rounds):
        nearest = _nearest_centers(vectors, centers, window)
        sums = torch.zeros_like(centers).index_add_(0, nearest, vectors.float())
        # A cluster that has lost all its members keeps its center.
        empty = torch.bincount(nearest, minlength=clusters) == 0
        centers = torch.where(empty.unsqueeze(1), centers, torch.nn.functional.normalize(sums, dim=1))
    return _nearest_centers(vectors, centers, window)


def _nearest_centers(vectors: torch.Tensor, centers: torch.Tensor, window: int) -> torch.Tensor:
    return torch.cat([(part.float() @ centers.T).argmax(dim=1) for part in torch.split(vectors, window)])
