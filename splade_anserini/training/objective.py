"""The training objective: the weighted sum of a recipe's losses and regularizers."""

from collections.abc import Collection
from dataclasses import dataclass

import torch

from splade_anserini.cards.training_recipe import Loss, TrainingRecipe
from splade_anserini.training.batch import BatchLabels
from splade_anserini.training.losses import dot_scores, in_batch_mask, kl_divergence, margin_mse, pairwise, rank_ibn
from splade_anserini.training.query_idf import QueryIdf
from splade_anserini.training.regularizers import df_flops, flops, l1, scheduled_strength

_IDF = "idf of source "


@dataclass(frozen=True, slots=True)
class Vectors:
    """The weights of a batch's queries and documents, of all devices."""

    queries: torch.Tensor
    """[queries, vocabulary]"""
    documents: torch.Tensor
    """[documents, vocabulary], positives and negatives."""


class Objective:
    """Computes the terms of the objective, by name; their sum is minimized."""

    def __init__(self, recipe: TrainingRecipe) -> None:
        self._recipe = recipe
        self._activity = _RunningActivity()
        self._query_idf = QueryIdf(recipe.query_idf)

    def __call__(
        self, vectors: Vectors, labels: BatchLabels, step: int, teacher: torch.Tensor | None, source: int = 0
    ) -> dict[str, torch.Tensor]:
        """Return the weighted terms for a batch of a source.

        `teacher` [queries, documents] are the scores of the recipe's teacher.
        """
        queries = vectors.queries
        if self._recipe.query_idf:
            queries = queries * self._query_idf(source, vectors.documents)
        scores = dot_scores(queries, vectors.documents)
        terms: dict[str, torch.Tensor] = {}
        for loss in self._recipe.losses:
            terms[_unused_name(loss, terms)] = loss.weight * self._loss(loss, scores, labels, teacher)
        return terms | self._regularizers(vectors, step)

    def state_dict(self) -> dict[str, torch.Tensor]:
        """Return the running means and sums that a checkpoint must hold."""
        return self._activity.means | {f"{_IDF}{name}": sums for name, sums in self._query_idf.sums.items()}

    def load_state_dict(self, state: dict[str, torch.Tensor]) -> None:
        """Restore the running means and sums from a checkpoint."""
        self._activity.means = {name: means for name, means in state.items() if not name.startswith(_IDF)}
        sums = {name.removeprefix(_IDF): sums for name, sums in state.items() if name.startswith(_IDF)}
        self._query_idf.sums = sums

    def _loss(
        self, loss: Loss, scores: torch.Tensor, labels: BatchLabels, teacher: torch.Tensor | None
    ) -> torch.Tensor:
        rows = torch.arange(len(scores), device=scores.device)
        own = in_batch_mask(labels.query_index, torch.zeros_like(labels.positives), rows)
        positives = labels.positives.nonzero().squeeze(1)
        # Another query's document with the text of the query's own positive is not a negative.
        duplicates = (labels.document_hashes.unsqueeze(0) == labels.document_hashes[positives].unsqueeze(1)) & ~own
        share = self._recipe.share_negatives
        mask = in_batch_mask(labels.query_index, labels.positives, rows, share_negatives=share) & ~duplicates
        scores = scores * loss.score_scale
        if loss.kind == "rank-ibn":
            return rank_ibn(scores, positives, mask & (own | ~_positives_of_equal_queries(labels)))
        if loss.over == "batch" and loss.kind in {"kl", "margin-mse"}:
            if teacher is None:
                raise ValueError(f'the loss {loss.kind} over "batch" needs the scores of a teacher')
            targets = teacher * loss.teacher_scale
        else:
            targets = labels.teacher_scores.unsqueeze(0).expand_as(scores) * loss.teacher_scale
            mask = own
        if loss.kind == "kl":
            return kl_divergence(scores, targets, mask)
        return _pair_loss(loss, scores, targets, mask, positives)

    def _regularizers(self, vectors: Vectors, step: int) -> dict[str, torch.Tensor]:
        regularizer = self._recipe.regularizer
        strength = scheduled_strength(step, regularizer.until, regularizer.schedule)
        terms = {}
        for name, factor, weights in [
            (f"{regularizer.kind} q", regularizer.lambda_q, vectors.queries),
            (f"{regularizer.kind} d", regularizer.lambda_d, vectors.documents),
        ]:
            if not factor:
                continue
            if regularizer.kind == "df-flops":
                value = df_flops(weights, self._activity(name, weights))
            else:
                value = flops(weights) if regularizer.kind == "flops" else l1(weights)
            terms[name] = strength * factor * value
        return terms


def needs_scores(recipe: TrainingRecipe) -> bool:
    """Return whether a loss of the recipe needs teacher scores in the data."""
    return any(loss.kind in {"kl", "margin-mse"} and loss.over == "list" for loss in recipe.losses)


def _pair_loss(
    loss: Loss, scores: torch.Tensor, targets: torch.Tensor, mask: torch.Tensor, positives: torch.Tensor
) -> torch.Tensor:
    """Return the pairwise loss or margin-MSE of every positive with each other document in its query's mask."""
    rows = torch.arange(len(scores), device=scores.device)
    others = mask.clone()
    others[rows, positives] = False
    queries, documents = others.nonzero(as_tuple=True)
    if not len(queries):
        return scores.sum() * 0.0
    own = positives[queries]
    positive, negative = scores[queries, own], scores[queries, documents].unsqueeze(1)
    if loss.kind == "pairwise":
        return pairwise(positive, negative)
    return margin_mse(positive, negative, targets[queries, own], targets[queries, documents].unsqueeze(1))


def _positives_of_equal_queries(labels: BatchLabels) -> torch.Tensor:
    """Return which documents are positives of a query with the same text, its own or another, [queries, documents]."""
    return (labels.query_hashes.unsqueeze(1) == labels.query_hashes[labels.query_index]) & labels.positives


def _unused_name(loss: Loss, used: Collection[str]) -> str:
    names = [loss.kind, f"{loss.kind} ({loss.over})", *(f"{loss.kind} ({count})" for count in range(3, 99))]
    return next(name for name in names if name not in used)


class _RunningActivity:
    """The share of texts in which each entry is active, as a running mean over about a thousand batches."""

    def __init__(self) -> None:
        self.means: dict[str, torch.Tensor] = {}

    def __call__(self, name: str, weights: torch.Tensor) -> torch.Tensor:
        shares = (weights.detach() > 0).to(weights.dtype).mean(dim=0)
        mean = self.means.get(name)
        self.means[name] = shares if mean is None else mean.to(shares.device).lerp(shares, 0.001)
        return self.means[name]
