"""The optimizer of a recipe, its learning rate over the steps, and a running mean of the weights."""

import math
from collections.abc import Iterable
from typing import Any

import torch

from splade_anserini.cards.training_recipe import TrainingRecipe
from splade_anserini.modeling.query_sides import Pair
from splade_anserini.modeling.trainable import TrainableSplade


def optimizer(pair: Pair, recipe: TrainingRecipe) -> torch.optim.Optimizer:
    """Return Adam with decoupled weight decay; biases and norms do not decay, output biases have their own rate."""
    output = {
        id(module.output_bias)
        for module in {pair.documents, pair.queries}
        if isinstance(module, TrainableSplade) and module.output_bias is not None
    }
    groups: dict[str, list[torch.nn.Parameter]] = {"decay": [], "plain": [], "output": []}
    for parameter in pair.parameters():
        if parameter.requires_grad:
            kind = "output" if id(parameter) in output else "decay" if parameter.ndim > 1 else "plain"
            groups[kind].append(parameter)
    settings: list[dict[str, Any]] = [
        {"params": groups["decay"], "weight_decay": recipe.weight_decay},
        {"params": groups["plain"], "weight_decay": 0.0},
        {
            "params": groups["output"],
            "weight_decay": 0.0,
            "lr": recipe.bias_learning_rate or recipe.learning_rate,
        },
    ]
    return torch.optim.AdamW([group for group in settings if group["params"]], lr=recipe.learning_rate, fused=True)


def schedule(chosen: torch.optim.Optimizer, recipe: TrainingRecipe) -> torch.optim.lr_scheduler.LambdaLR:
    """Return the learning rate's course: a linear rise, then down to 0 at the last step, or constant."""

    def share(step: int) -> float:
        if step < recipe.warmup_steps:
            return step / recipe.warmup_steps
        gone = (step - recipe.warmup_steps) / max(1, recipe.steps - recipe.warmup_steps)
        if recipe.decay == "linear":
            return max(0.0, 1.0 - gone)
        return 0.5 * (1.0 + math.cos(math.pi * min(1.0, gone))) if recipe.decay == "cosine" else 1.0

    return torch.optim.lr_scheduler.LambdaLR(chosen, share)


class RunningMean:
    """An exponential mean of parameters, which can stand in for them."""

    def __init__(self, parameters: Iterable[torch.nn.Parameter], decay: float) -> None:
        self._parameters = [parameter for parameter in parameters if parameter.requires_grad]
        self._decay = decay
        self._means = [parameter.detach().clone() for parameter in self._parameters] if decay else []
        self._updates = 0

    @torch.no_grad()
    def update(self) -> None:
        """Take the present values in; early on, the mean forgets faster."""
        self._updates += 1
        decay = min(self._decay, self._updates / (self._updates + 10))
        for mean, parameter in zip(self._means, self._parameters, strict=False):
            mean.lerp_(parameter, 1 - decay)

    @torch.no_grad()
    def swap(self) -> None:
        """Exchange the parameters' values with their means; twice is nothing."""
        for mean, parameter in zip(self._means, self._parameters, strict=False):
            kept = parameter.detach().clone()
            parameter.copy_(mean)
            mean.copy_(kept)

    def state_dict(self) -> dict[str, Any]:
        """Return what a checkpoint must hold."""
        return {"means": self._means, "updates": self._updates}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Go on from a checkpoint."""
        self._updates = state["updates"]
        for mean, value in zip(self._means, state["means"], strict=True):
            mean.copy_(value)
