"""The ranking losses, each as one function of scores.

Scores are [queries, documents]: every query of a batch with every document of the batch. A `mask` of the same shape is
true for the documents in a query's denominator. Losses are means over queries, in the precision of their input.
"""

import torch


def dot_scores(queries: torch.Tensor, documents: torch.Tensor) -> torch.Tensor:
    """Return s(q, d) = Σ_j w_j^q w_j^d, [queries, documents], of weights [texts, vocabulary] (SPLADE v2, section 3)."""
    return queries @ documents.T


def rank_ibn(scores: torch.Tensor, positives: torch.Tensor, mask: torch.Tensor) -> torch.Tensor:
    """Return L_rank-IBN, the contrastive loss with in-batch negatives (SPLADE v2, section 3, equation 3).

    `positives` [queries] are the columns of each query's own positive, which must be in `mask`.
    """
    return torch.nn.functional.cross_entropy(scores.masked_fill(~mask, -torch.inf), positives)


def in_batch_mask(
    query_index: torch.Tensor, positives: torch.Tensor, queries: torch.Tensor, *, share_negatives: bool = False
) -> torch.Tensor:
    """Return which documents are in each query's denominator, bool [queries, documents].

    `query_index` [documents] is the query whose example a document comes from, `positives` [documents] (bool) whether
    it is a positive, `queries` [queries] the index of each row's query. The denominator holds the query's own documents
    and all positives; the hard negatives of other queries only with `share_negatives` (the paper leaves them out,
    SPLADE v2, section 3).
    """
    own = query_index.unsqueeze(0) == queries.unsqueeze(1)
    return own | positives.unsqueeze(0) | torch.full_like(own, share_negatives)


def pairwise(positive: torch.Tensor, negative: torch.Tensor) -> torch.Tensor:
    """Return the mean of log(1 + e^(s⁻ − s⁺)), the pairwise logistic loss (RankNet, Burges et al. 2005).

    `positive` is [queries], `negative` [queries, negatives].
    """
    return torch.nn.functional.softplus(negative - positive.unsqueeze(1)).mean()


def margin_mse(
    positive: torch.Tensor, negative: torch.Tensor, teacher_positive: torch.Tensor, teacher_negative: torch.Tensor
) -> torch.Tensor:
    """Return the mean of ((s_T⁺ − s_T⁻) − (s⁺ − s⁻))² (Hofstätter et al. 2020; SPLADE v2, section 3.3).

    Scores of positives are [queries], those of negatives [queries, negatives].
    """
    margin = positive.unsqueeze(1) - negative
    return torch.nn.functional.mse_loss(margin, teacher_positive.unsqueeze(1) - teacher_negative)


def kl_divergence(student: torch.Tensor, teacher: torch.Tensor, mask: torch.Tensor) -> torch.Tensor:
    """Return KL(softmax(teacher) ‖ softmax(student)) over each query's documents in `mask`, the mean over queries."""
    lowest = torch.finfo(student.dtype).min
    log_student = torch.log_softmax(student.masked_fill(~mask, lowest), dim=1)
    log_teacher = torch.log_softmax(teacher.to(student.dtype).masked_fill(~mask, lowest), dim=1)
    terms = torch.where(mask, log_teacher.exp() * (log_teacher - log_student), 0.0)
    return terms.sum(dim=1).mean()
