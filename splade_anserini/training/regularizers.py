"""What keeps vectors sparse: each regularizer once, as a function of a batch of weights [texts, vocabulary] ≥ 0."""

import torch


def flops(weights: torch.Tensor) -> torch.Tensor:
    """Return ℓ_FLOPS = Σ_j ( (1/N) Σ_i w_j^(i) )² (Paria et al. 2020; SPLADE v2, section 3, equation 4)."""
    return weights.mean(dim=0).square().sum()


def l1(weights: torch.Tensor) -> torch.Tensor:
    """Return ℓ_1 = (1/N) Σ_i Σ_j w_j^(i) (SPLADE v2, section 3)."""
    return weights.sum(dim=1).mean()


def df_flops(weights: torch.Tensor, shares: torch.Tensor) -> torch.Tensor:
    """Return Σ_j ( a(p_j) (1/N) Σ_i w_j^(i) )²: FLOPS that costs most for entries that are active everywhere.

    `shares` [vocabulary] are the shares p_j of documents in which each entry is active (Porco et al. 2025).
    """
    return (activation_of_share(shares) * weights.mean(dim=0)).square().sum()


def activation_of_share(shares: torch.Tensor, *, middle: float = 0.1, steepness: float = 10.0) -> torch.Tensor:
    """Return a(p) = 1 / (1 + (p^(log_m 2) − 1)^β): 0 at p = 0, 1/2 at p = m, 1 at p = 1.

    With m the `middle` and β the `steepness`; Porco et al. 2025 have 0.1 and 10.
    """
    exponent = torch.tensor(2.0, dtype=shares.dtype).log() / torch.tensor(middle, dtype=shares.dtype).log()
    base = shares.clamp(min=torch.finfo(shares.dtype).tiny).pow(exponent) - 1
    return 1 / (1 + base.clamp(min=0).pow(steepness))
