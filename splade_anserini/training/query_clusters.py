"""Clusters of similar queries, for batches whose in-batch negatives are hard.

Topic-aware sampling (Hofstätter et al. 2021), with the embeddings of a teacher.
"""

from collections.abc import Callable, Sequence

import numpy as np
import numpy.typing as npt
import torch

from splade_anserini.formats.examples import Examples
from splade_anserini.progress import Progress, silent

ROUNDS = 10
_WINDOW = 1024


def topics(
    examples: Examples,
    embed: Callable[[Sequence[str]], torch.Tensor],
    size: int,
    *,
    seed: int,
    progress: Progress = silent,
) -> npt.NDArray[np.int64]:
    """Return the cluster of each example's query, [examples]; a cluster has about `size` of them."""
    vectors = []
    for start in range(0, len(examples), _WINDOW):
        numbers = range(start, min(start + _WINDOW, len(examples)))
        vectors.append(embed([examples[number].query for number in numbers]).half())
        progress(len(numbers))
    return k_means(torch.cat(vectors), max(1, len(examples) // size), seed=seed).cpu().numpy()


def k_means(vectors: torch.Tensor, clusters: int, *, seed: int) -> torch.Tensor:
    """Return the cluster of each of `vectors` [number, width], which have length 1: spherical k-means, 10 rounds."""
    generator = torch.Generator().manual_seed(seed)
    centers = vectors[torch.randperm(len(vectors), generator=generator)[:clusters]].float()
    for _ in range(ROUNDS):
        nearest = _nearest(vectors, centers)
        sums = torch.zeros_like(centers).index_add_(0, nearest, vectors.float())
        # A cluster that has lost all its members keeps its center.
        lonely = torch.bincount(nearest, minlength=clusters) == 0
        centers = torch.where(lonely.unsqueeze(1), centers, torch.nn.functional.normalize(sums, dim=1))
    return _nearest(vectors, centers)


def _nearest(vectors: torch.Tensor, centers: torch.Tensor) -> torch.Tensor:
    return torch.cat([(part.float() @ centers.T).argmax(dim=1) for part in torch.split(vectors, _WINDOW)])
