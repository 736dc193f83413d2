"""From the logits of every token to one weight per vocabulary entry.

Shapes: logits [batch, length, vocabulary], mask [batch, length] with 0 at padding, weights [batch, vocabulary].
"""

import torch

from splade_anserini.manifests import Pooling
from splade_anserini.modeling.activation import saturate


def max_pool(logits: torch.Tensor, mask: torch.Tensor) -> torch.Tensor:
    """Return w_j = max_i log(1 + ReLU(w_ij)) (SPLADE v2, section 3.1).

    The activation is monotone, so it is applied once, to the maxima.
    """
    return saturate(_without_padding(logits, mask).amax(dim=1))


def sum_pool(logits: torch.Tensor, mask: torch.Tensor) -> torch.Tensor:
    """Return w_j = Σ_i log(1 + ReLU(w_ij)) (SPLADE v2, section 3, equation 1)."""
    return saturate(_without_padding(logits, mask)).sum(dim=1)


def pool(logits: torch.Tensor, mask: torch.Tensor, pooling: Pooling) -> torch.Tensor:
    """Pool in the way that is named."""
    return max_pool(logits, mask) if pooling == "max" else sum_pool(logits, mask)


def _without_padding(logits: torch.Tensor, mask: torch.Tensor) -> torch.Tensor:
    # A logit of 0 has weight 0: it changes neither a sum of weights nor their maximum.
    return logits.masked_fill(mask.unsqueeze(-1) == 0, 0.0)
