"""SPLADE's activation."""

import torch


def saturate(logits: torch.Tensor) -> torch.Tensor:
    """Return log(1 + ReLU(logits)), entry by entry (SPLADE v2, section 3, equation 1)."""
    return torch.log1p(torch.relu(logits))
