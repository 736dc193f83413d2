"""Activation and pooling: from the logits of every token to one weight per vocabulary entry.

Shapes: logits [batch, length, vocabulary], mask [batch, length] with 0 at padding, weights [batch, vocabulary].
Without a mask there is no padding.
"""

from collections.abc import Callable

import torch

from splade_anserini.records import Activation, Aggregation, Pooling


def saturate(logits: torch.Tensor, activation: Activation = "relu") -> torch.Tensor:
    """Return log(1 + ReLU(logits)), entry by entry (SPLADE v2, section 3, equation 1), or its log(1 + …) again.

    The latter is `log1p_relu`. Both are 0 for logits up to 0, and increase above.
    """
    weights = torch.log1p(torch.relu(logits))
    return torch.log1p(weights) if activation == "log1p_relu" else weights


def max_pool(logits: torch.Tensor, mask: torch.Tensor | None, activation: Activation = "relu") -> torch.Tensor:
    """Return w_j = max_i f(w_ij), where f is the activation (SPLADE v2, section 3.1).

    The activation is monotone, so it is applied once, to the maxima.
    """
    return saturate(_without_padding(logits, mask).amax(dim=1), activation)


def sum_pool(logits: torch.Tensor, mask: torch.Tensor | None, activation: Activation = "relu") -> torch.Tensor:
    """Return w_j = Σ_i f(w_ij), where f is the activation (SPLADE v2, section 3, equation 1)."""
    return saturate(_without_padding(logits, mask), activation).sum(dim=1)


def norm_pool(logits: torch.Tensor, mask: torch.Tensor | None, activation: Activation = "relu") -> torch.Tensor:
    """Return w_j = (Σ_i f(w_ij)^4)^(1/4), with the activation f: between maximum and sum (docs/decisions/0012).

    The gradient of an entry that no token activates is 0.
    """
    weights = saturate(_without_padding(logits, mask), activation)
    # Relative to the greatest weight, fourth powers neither vanish nor overflow, in any precision. The greatest weight
    # is treated as a constant: its gradient cancels.
    greatest = weights.detach().amax(dim=1)
    ratios = weights / torch.where(greatest > 0, greatest, 1.0).unsqueeze(1)
    squares = ratios * ratios
    powers = (squares * squares).sum(dim=1)
    # The derivative of the root is infinite at 0, where the entry needs none.
    return greatest * torch.where(powers > 0, powers, 1.0).sqrt().sqrt()


_POOLS: dict[Pooling, Callable[[torch.Tensor, torch.Tensor | None, Activation], torch.Tensor]] = {
    "max": max_pool,
    "sum": sum_pool,
    "norm": norm_pool,
}


def pool(logits: torch.Tensor, mask: torch.Tensor | None, aggregation: Aggregation) -> torch.Tensor:
    """Return the weights by the pooling and the activation of these names."""
    return _POOLS[aggregation.pooling](logits, mask, aggregation.activation)


def _without_padding(logits: torch.Tensor, mask: torch.Tensor | None) -> torch.Tensor:
    # A logit of 0 has weight 0, which changes neither a maximum nor a sum nor a norm.
    return logits if mask is None else logits.masked_fill(mask.unsqueeze(-1) == 0, 0.0)
