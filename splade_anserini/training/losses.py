"""What ranking is learned from: each loss once, as a function of scores.

Shapes: scores [queries, documents] of every query of a batch with every document of it; `mask` of the same shape says
which documents stand in a query's denominator. Losses are means over queries, in the precision of their input.
"""

import torch


def dot_scores(queries: torch.Tensor, documents: torch.Tensor) -> torch.Tensor:
    """Return s(q, d) = Σ_j w_j^q w_j^d, [queries, documents], of weights [texts, vocabulary] (SPLADE v2, section 3)."""
    return queries @ documents.T


def rank_ibn(scores: torch.Tensor, positives: torch.Tensor, mask: torch.Tensor) -> torch.Tensor:
    """Return L_rank-IBN, the contrastive loss with in-batch negatives (SPLADE v2, section 3, equation 3).

    `positives` [queries] are the columns of each query's own positive, which `mask` must hold.
    """
    return torch.nn.functional.cross_entropy(scores.masked_fill(~mask, -torch.inf), positives)


def in_batch_mask(
    owners: torch.Tensor, positives: torch.Tensor, queries: torch.Tensor, *, share_negatives: bool = False
) -> torch.Tensor:
    """Return which documents [queries, documents] stand in each query's denominator.

    `owners` [documents] says for which query a document was chosen, `positives` [documents] (bool) which are positives,
    `queries` [queries] the numbers of the queries. A query has its own documents and all positives; the hard negatives
    of the other queries too only when they are shared (the paper does not, section 3).
    """
    own = owners.unsqueeze(0) == queries.unsqueeze(1)
    return own | positives.unsqueeze(0) | torch.full_like(own, share_negatives)


def pairwise(positive: torch.Tensor, negative: torch.Tensor) -> torch.Tensor:
    """Return log(1 + e^(s⁻ − s⁺)) of `positive` [queries] and `negative` [queries, negatives] (Burges et al. 2005)."""
    return torch.nn.functional.softplus(negative - positive.unsqueeze(1)).mean()


def margin_mse(
    positive: torch.Tensor, negative: torch.Tensor, teacher_positive: torch.Tensor, teacher_negative: torch.Tensor
) -> torch.Tensor:
    """Return ((s_T⁺ − s_T⁻) − (s⁺ − s⁻))² (Hofstätter et al. 2020; SPLADE v2, section 3.3).

    Positives are [queries], negatives [queries, negatives].
    """
    margin = positive.unsqueeze(1) - negative
    return torch.nn.functional.mse_loss(margin, teacher_positive.unsqueeze(1) - teacher_negative)


def kl_divergence(student: torch.Tensor, teacher: torch.Tensor, mask: torch.Tensor) -> torch.Tensor:
    """Return KL(softmax(teacher) ‖ softmax(student)) over each query's documents in `mask`, the mean over queries."""
    off = torch.finfo(student.dtype).min
    ours = torch.log_softmax(student.masked_fill(~mask, off), dim=1)
    theirs = torch.log_softmax(teacher.to(student.dtype).masked_fill(~mask, off), dim=1)
    terms = torch.where(mask, theirs.exp() * (theirs - ours), 0.0)
    return terms.sum(dim=1).mean()
