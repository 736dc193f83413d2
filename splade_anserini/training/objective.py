"""What is minimized: the losses of a recipe, each counted once, and what keeps both sides sparse."""

from collections.abc import Collection
from dataclasses import dataclass

import torch

from splade_anserini.cards.training_recipe import Loss, TrainingRecipe
from splade_anserini.training.batch import Facts
from splade_anserini.training.losses import dot_scores, in_batch_mask, kl_divergence, margin_mse, pairwise, rank_ibn
from splade_anserini.training.regularizers import df_flops, flops, l1
from splade_anserini.training.schedules import strength


@dataclass(frozen=True, slots=True)
class Vectors:
    """The weights of a batch, of all devices."""

    queries: torch.Tensor
    """[queries, vocabulary]"""
    documents: torch.Tensor
    """[documents, vocabulary], positives and negatives"""


class Objective:
    """Vectors and what is known of them → the parts of the loss, by name, whose sum is minimized."""

    def __init__(self, recipe: TrainingRecipe) -> None:
        self._recipe = recipe
        self._shares = _RunningShares()

    def __call__(
        self, vectors: Vectors, facts: Facts, step: int, teacher: torch.Tensor | None
    ) -> dict[str, torch.Tensor]:
        """Return the weighted parts; `teacher` [queries, documents] are the scores of the recipe's teacher."""
        scores = dot_scores(vectors.queries, vectors.documents)
        parts: dict[str, torch.Tensor] = {}
        for loss in self._recipe.losses:
            parts[_new_name(loss, parts)] = loss.weight * self._loss(loss, scores, facts, teacher)
        return parts | self._regularizers(vectors, step)

    def state_dict(self) -> dict[str, torch.Tensor]:
        """Return what a checkpoint must hold."""
        return self._shares.means

    def load_state_dict(self, state: dict[str, torch.Tensor]) -> None:
        """Go on from a checkpoint."""
        self._shares.means = dict(state)

    def _loss(self, loss: Loss, scores: torch.Tensor, facts: Facts, teacher: torch.Tensor | None) -> torch.Tensor:
        own = in_batch_mask(facts.owners, torch.zeros_like(facts.positives), _numbers(scores))
        columns = facts.positives.nonzero().squeeze(1)
        # Another query's document with the text of one's own positive is no negative.
        same = (facts.texts.unsqueeze(0) == facts.texts[columns].unsqueeze(1)) & ~own
        mask = (
            in_batch_mask(facts.owners, facts.positives, _numbers(scores), share_negatives=self._recipe.share_negatives)
            & ~same
        )
        scores = scores * loss.score_scale
        if loss.kind == "rank-ibn":
            return rank_ibn(scores, columns, mask & (own | ~_of_the_same_query(facts)))
        if loss.over == "batch" and loss.kind in {"kl", "margin-mse"}:
            given = _required(teacher) * loss.teacher_scale
        else:
            given = facts.scores.unsqueeze(0).expand_as(scores) * loss.teacher_scale
            mask = own
        if loss.kind == "kl":
            return kl_divergence(scores, given, mask)
        return _margins(loss, scores, given, mask, columns)

    def _regularizers(self, vectors: Vectors, step: int) -> dict[str, torch.Tensor]:
        chosen = self._recipe.regularizer
        share = strength(step, chosen.until, chosen.schedule)
        parts = {}
        for name, weight, weights in [
            (f"{chosen.kind} q", chosen.lambda_q, vectors.queries),
            (f"{chosen.kind} d", chosen.lambda_d, vectors.documents),
        ]:
            if not weight:
                continue
            if chosen.kind == "df-flops":
                value = df_flops(weights, self._shares(name, weights))
            else:
                value = flops(weights) if chosen.kind == "flops" else l1(weights)
            parts[name] = share * weight * value
        return parts


def _margins(
    loss: Loss, scores: torch.Tensor, given: torch.Tensor, mask: torch.Tensor, columns: torch.Tensor
) -> torch.Tensor:
    """Return the pairwise loss or margin-MSE over every positive with each other document in its query's mask."""
    rows = torch.arange(len(scores), device=scores.device)
    others = mask.clone()
    others[rows, columns] = False
    queries, documents = others.nonzero(as_tuple=True)
    positive, negative = scores[queries, columns[queries]], scores[queries, documents].unsqueeze(1)
    if not len(queries):
        return scores.sum() * 0.0
    if loss.kind == "pairwise":
        return pairwise(positive, negative)
    return margin_mse(positive, negative, given[queries, columns[queries]], given[queries, documents].unsqueeze(1))


def needs_scores(recipe: TrainingRecipe) -> bool:
    """Say whether a loss of the recipe needs the data's scores of each example."""
    return any(loss.kind in {"kl", "margin-mse"} and loss.over == "list" for loss in recipe.losses)


def _of_the_same_query(facts: Facts) -> torch.Tensor:
    """Return which documents [queries, documents] are positives of the same text of a query, chosen for it or not."""
    return (facts.asked.unsqueeze(1) == facts.asked[facts.owners]) & facts.positives


def _new_name(loss: Loss, taken: Collection[str]) -> str:
    names = [loss.kind, f"{loss.kind} ({loss.over})", *(f"{loss.kind} ({number})" for number in range(3, 99))]
    return next(name for name in names if name not in taken)


def _numbers(scores: torch.Tensor) -> torch.Tensor:
    return torch.arange(len(scores), device=scores.device)


def _required(teacher: torch.Tensor | None) -> torch.Tensor:
    if teacher is None:
        raise ValueError("the loss needs a teacher's scores")
    return teacher


class _RunningShares:
    """The share of texts in which each entry is active, over about the last thousand batches."""

    def __init__(self) -> None:
        self.means: dict[str, torch.Tensor] = {}

    def __call__(self, name: str, weights: torch.Tensor) -> torch.Tensor:
        now = (weights.detach() > 0).to(weights.dtype).mean(dim=0)
        before = self.means.get(name)
        self.means[name] = now if before is None else before.to(now.device).lerp(now, 0.001)
        return self.means[name]
