"""The sparsity regularizers, each as one function of weights [texts, vocabulary] ≥ 0, and how their strength rises."""

import torch

from splade_anserini.cards.training_recipe import Schedule


def flops(weights: torch.Tensor) -> torch.Tensor:
    """Return ℓ_FLOPS = Σ_j ( (1/N) Σ_i w_j^(i) )² (Paria et al. 2020; SPLADE v2, section 3, equation 4)."""
    return weights.mean(dim=0).square().sum()


def l1(weights: torch.Tensor) -> torch.Tensor:
    """Return ℓ_1 = (1/N) Σ_i Σ_j w_j^(i) (SPLADE v2, section 3)."""
    return weights.sum(dim=1).mean()


def df_flops(weights: torch.Tensor, shares: torch.Tensor) -> torch.Tensor:
    """Return Σ_j ( a(p_j) (1/N) Σ_i w_j^(i) )²: FLOPS that penalizes frequent entries most (Porco et al. 2025).

    `shares` [vocabulary] are the shares p_j of documents in which each entry is active; a is `document_share_weight`.
    """
    return (document_share_weight(shares) * weights.mean(dim=0)).square().sum()


def document_share_weight(shares: torch.Tensor, *, middle: float = 0.1, steepness: float = 10.0) -> torch.Tensor:
    """Return a(p) = 1 / (1 + (p^(log_m 2) − 1)^β): 0 at p = 0, 1/2 at p = m, 1 at p = 1.

    m is `middle` and β is `steepness`; Porco et al. 2025 use 0.1 and 10.
    """
    exponent = torch.tensor(2.0, dtype=shares.dtype).log() / torch.tensor(middle, dtype=shares.dtype).log()
    base = shares.clamp(min=torch.finfo(shares.dtype).tiny).pow(exponent) - 1
    return 1 / (1 + base.clamp(min=0).pow(steepness))


def scheduled_strength(step: int, until: int, schedule: Schedule = "quadratic") -> float:
    """Return the factor of λ at a step; it rises to 1 at step `until` (quadratic as in SPLADE v2, section 5)."""
    if schedule == "constant" or step >= until:
        return 1.0
    share = step / until
    return share * share if schedule == "quadratic" else share
