"""The optimizer of a recipe, its learning rate schedule, and an exponential moving average of the weights."""

import math
from collections.abc import Iterable
from typing import Any

import torch

from splade_anserini.cards.training_recipe import TrainingRecipe
from splade_anserini.modeling.query_sides import Pair
from splade_anserini.modeling.trainable import TrainableSplade


def build_optimizer(pair: Pair, recipe: TrainingRecipe) -> torch.optim.Optimizer:
    """Return AdamW; biases and norms have no weight decay, output biases have a learning rate of their own."""
    output_biases = {
        id(module.output_bias)
        for module in {pair.documents, pair.queries}
        if isinstance(module, TrainableSplade) and module.output_bias is not None
    }
    groups: dict[str, list[torch.nn.Parameter]] = {"decay": [], "plain": [], "output": []}
    for parameter in pair.parameters():
        if parameter.requires_grad:
            name = "output" if id(parameter) in output_biases else "decay" if parameter.ndim > 1 else "plain"
            groups[name].append(parameter)
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


def build_schedule(optimizer: torch.optim.Optimizer, recipe: TrainingRecipe) -> torch.optim.lr_scheduler.LambdaLR:
    """Return the learning rate schedule: linear warmup, then linear or cosine decay to 0 at the last step, or none."""

    def factor(step: int) -> float:
        if step < recipe.warmup_steps:
            return step / recipe.warmup_steps
        progress = (step - recipe.warmup_steps) / max(1, recipe.steps - recipe.warmup_steps)
        if recipe.decay == "linear":
            return max(0.0, 1.0 - progress)
        return 0.5 * (1.0 + math.cos(math.pi * min(1.0, progress))) if recipe.decay == "cosine" else 1.0

    return torch.optim.lr_scheduler.LambdaLR(optimizer, factor)


class RunningMean:
    """An exponential moving average of parameters; `swap` exchanges it with their values.

    With a `decay` of 0 there is no average, and all methods do nothing.
    """

    def __init__(self, parameters: Iterable[torch.nn.Parameter], decay: float) -> None:
        self._parameters = [parameter for parameter in parameters if parameter.requires_grad]
        self._decay = decay
        self._means = [parameter.detach().clone() for parameter in self._parameters] if decay else []
        self._updates = 0

    @torch.no_grad()
    def update(self) -> None:
        """Update the average with the present values; in the first updates its decay is smaller."""
        self._updates += 1
        decay = min(self._decay, self._updates / (self._updates + 10))
        for mean, parameter in zip(self._means, self._parameters, strict=False):
            mean.lerp_(parameter, 1 - decay)

    @torch.no_grad()
    def swap(self) -> None:
        """Exchange the values of the parameters with their averages; a second call restores both."""
        for mean, parameter in zip(self._means, self._parameters, strict=False):
            value = parameter.detach().clone()
            parameter.copy_(mean)
            mean.copy_(value)

    def state_dict(self) -> dict[str, Any]:
        """Return the averages and the number of updates, for a checkpoint."""
        return {"means": self._means, "updates": self._updates}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Restore the state from a checkpoint."""
        self._updates = state["updates"]
        for mean, value in zip(self._means, state["means"], strict=True):
            mean.copy_(value)
