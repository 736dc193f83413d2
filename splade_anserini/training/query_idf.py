"""The idf of entries in the documents of each source, which changes while the student learns."""

import torch

DECAY = 0.98
"""How much an earlier batch counts beside the one after it: the mean is over about fifty batches of a source."""


def idf(documents: int | torch.Tensor, frequencies: torch.Tensor) -> torch.Tensor:
    """Return `vectors.idf.idf` of many: log(1 + (N − n + 1/2) / (n + 1/2)), n being `frequencies` [vocabulary]."""
    return torch.log1p((documents - frequencies + 0.5) / (frequencies + 0.5))


class QueryIdf:
    """Factors of the weights of queries: idf^alpha, with the idf that a search with `--query-idf` would take.

    The numbers of documents, and of those in which an entry is active, are sums over the batches of a source in which a
    batch counts `DECAY` times as much as the next.
    """

    def __init__(self, alpha: float) -> None:
        self._alpha = alpha
        self.sums: dict[str, torch.Tensor] = {}
        """Source → [vocabulary + 1]: documents in which each entry is active, and, last, all documents."""

    def __call__(self, source: int, documents: torch.Tensor) -> torch.Tensor:
        """Add a batch's `documents` [documents, vocabulary] to those of its source; return factors [vocabulary]."""
        active = (documents.detach() > 0).float().sum(dim=0)
        added = torch.cat([active, active.new_full((1,), len(documents))])
        earlier = self.sums.get(str(source))
        sums = added if earlier is None else DECAY * earlier.to(added.device) + added
        self.sums[str(source)] = sums
        return (idf(sums[-1], sums[:-1]) ** self._alpha).to(documents.dtype)
