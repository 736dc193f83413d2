"""From the logits of every token to one weight per vocabulary entry.

Shapes: logits [batch, length, vocabulary], mask [batch, length] with 0 at padding, weights [batch, vocabulary].
"""

from collections.abc import Callable

import torch

from splade_anserini.modeling.activation import saturate
from splade_anserini.records import Pooling


def max_pool(logits: torch.Tensor, mask: torch.Tensor) -> torch.Tensor:
    """Return w_j = max_i log(1 + ReLU(w_ij)) (SPLADE v2, section 3.1).

    The activation is monotone, so it is applied once, to the maxima.
    """
    return saturate(_without_padding(logits, mask).amax(dim=1))


def sum_pool(logits: torch.Tensor, mask: torch.Tensor) -> torch.Tensor:
    """Return w_j = Σ_i log(1 + ReLU(w_ij)) (SPLADE v2, section 3, equation 1)."""
    return saturate(_without_padding(logits, mask)).sum(dim=1)


def norm_pool(logits: torch.Tensor, mask: torch.Tensor) -> torch.Tensor:
    """Return w_j = (Σ_i log(1 + ReLU(w_ij))^4)^(1/4): between the maximum and the sum (docs/decisions/0012).

    Its gradient at an entry that no token activates is 0.
    """
    weights = saturate(_without_padding(logits, mask))
    # Shares of the greatest weight have fourth powers that neither vanish nor overflow, in any precision. The greatest
    # counts as a constant: it cancels.
    greatest = weights.detach().amax(dim=1)
    shares = weights / torch.where(greatest > 0, greatest, 1.0).unsqueeze(1)
    squares = shares * shares
    powers = (squares * squares).sum(dim=1)
    # The root of 0 has no slope, and an entry of zeros needs none.
    return greatest * torch.where(powers > 0, powers, 1.0).sqrt().sqrt()


_POOLS: dict[Pooling, Callable[[torch.Tensor, torch.Tensor], torch.Tensor]] = {
    "max": max_pool,
    "sum": sum_pool,
    "norm": norm_pool,
}


def pool(logits: torch.Tensor, mask: torch.Tensor, pooling: Pooling) -> torch.Tensor:
    """Pool in the way that is named."""
    return _POOLS[pooling](logits, mask)


def _without_padding(logits: torch.Tensor, mask: torch.Tensor) -> torch.Tensor:
    # A logit of 0 has weight 0: it changes no sum of weights, no norm and no maximum.
    return logits.masked_fill(mask.unsqueeze(-1) == 0, 0.0)
