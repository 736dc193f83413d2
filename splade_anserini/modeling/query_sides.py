"""Query and document encoders together, in the form in which they are trained (SPLADE v2, sections 3 and 3.2)."""

from collections.abc import Iterable, Sequence

import torch

from splade_anserini.modeling.trainable import Group, TrainableSplade


class BagOfTokens(torch.nn.Module):
    """Groups of token ids to weights [texts, vocabulary]: the tokens of a text, each once, as queries of SPLADE-doc.

    `weights` has shape [vocabulary]; a weight below 0 counts as 0. The entries `masked`, those of special tokens,
    always have weight 0.
    """

    present: torch.Tensor

    def __init__(self, weights: torch.Tensor, masked: Iterable[int], *, learned: bool) -> None:
        super().__init__()
        present = torch.ones_like(weights)
        present[list(masked)] = 0.0
        self.register_buffer("present", present)
        self.weights = torch.nn.Parameter(weights, requires_grad=learned)

    def forward(self, groups: Iterable[Group]) -> torch.Tensor:
        """Return the weights of all texts of all groups, in the order of their positions."""
        values = self.weights.relu() * self.present
        groups = list(groups)
        order = torch.cat([group.positions for group in groups]).argsort()
        return torch.cat([_present(group, values) for group in groups])[order] * values


def _present(group: Group, like: torch.Tensor) -> torch.Tensor:
    """Return 1 at the tokens of each text, 0 elsewhere, [texts, vocabulary]."""
    return like.new_zeros(len(group.ids), len(like)).scatter_reduce(1, group.ids, group.mask.to(like.dtype), "amax")


class Pair(torch.nn.Module):
    """The encoders of queries and of documents: one module for both, or one for each."""

    def __init__(self, documents: TrainableSplade, queries: torch.nn.Module | None = None) -> None:
        super().__init__()
        self.documents = documents
        self.queries = documents if queries is None else queries

    def forward(self, queries: Sequence[Group], documents: Sequence[Group]) -> tuple[torch.Tensor, torch.Tensor]:
        """Return the weights of queries and of documents, each [texts, vocabulary]; without groups, no rows."""
        size = self.documents.vocabulary_size
        none = torch.zeros(0, size)
        return self.queries(queries) if queries else none, self.documents(documents) if documents else none
