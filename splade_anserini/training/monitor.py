"""Compute the metrics of a step, and stop a run whose vectors collapse or fill up."""

from collections import deque
from collections.abc import Mapping
from dataclasses import dataclass, field

import torch

from splade_anserini.errors import TrainingError
from splade_anserini.training.objective import Vectors

WINDOW = 100
"""Steps over which the guard takes means."""

COLLAPSE_SHARE = 0.9
"""A run has collapsed when a greater share of vectors than this is empty."""
EXPLOSION_SHARE = 0.9
"""A run has exploded when a greater share of entries than this is active."""


@torch.no_grad()
def step_metrics(vectors: Vectors, terms: Mapping[str, torch.Tensor]) -> dict[str, float]:
    """Return the loss and its terms, active entries and empty vectors of each side, and FLOPS.

    FLOPS is Σ_j p_j^q p_j^d, with p_j the share of texts in which entry j is active (SPLADE v2, section 4).
    """
    active_q, active_d = vectors.queries > 0, vectors.documents > 0
    metrics = {"loss": torch.as_tensor(sum(term.detach() for term in terms.values()))}
    metrics |= {name: term.detach() for name, term in terms.items()}
    for side, active in (("q", active_q), ("d", active_d)):
        counts = active.sum(dim=1).float()
        metrics[f"active {side}"] = counts.mean()
        metrics[f"empty {side}"] = (counts == 0).float().mean()
    metrics["FLOPS"] = (active_q.float().mean(dim=0) * active_d.float().mean(dim=0)).sum()
    # Read at once: each value that is read from a GPU waits for it.
    values = torch.stack([value.double().to(active_d.device) for value in metrics.values()]).tolist()
    return dict(zip(metrics, values, strict=True))


@dataclass
class Guard:
    """Stops a run whose vectors collapse to nothing or fill up, or whose loss is not finite."""

    vocabulary_size: int
    window: int = WINDOW
    _recent: dict[str, deque[float]] = field(default_factory=dict)

    def __call__(self, step: int, metrics: Mapping[str, float]) -> None:
        """Check the metrics of a step. Raises `TrainingError` with advice when the run cannot recover."""
        if not abs(metrics["loss"]) < float("inf"):
            raise TrainingError(
                f"The loss at step {step} is {metrics['loss']}.",
                expected="a finite loss",
                do="Lower learning_rate or max_gradient, or train in fp32.",
            )
        for side, texts in (("q", "queries"), ("d", "documents")):
            empty = self._window_mean(f"empty {side}", metrics)
            active = self._window_mean(f"active {side}", metrics) / self.vocabulary_size
            if empty > COLLAPSE_SHARE:
                raise TrainingError(
                    f"The vectors have collapsed: {empty:.0%} of the {texts} had no active entry in the "
                    f"{self.window} steps up to step {step}.",
                    do=f"Lower lambda_{side}, raise `until` so that it rises more slowly, or lower the learning rates.",
                )
            # An untrained model may start dense.
            if active > EXPLOSION_SHARE and step >= self.window * 3:
                raise TrainingError(
                    f"The vectors do not become sparse: {active:.0%} of all entries of the {texts} were active in the "
                    f"{self.window} steps up to step {step}.",
                    do=f"Raise lambda_{side}, or lower `until` so that it rises sooner; if the model is dense at the "
                    "first step, begin with a warm start.",
                )

    def _window_mean(self, name: str, metrics: Mapping[str, float]) -> float:
        """Return the mean over the window, 0 until the window is full."""
        recent = self._recent.setdefault(name, deque(maxlen=self.window))
        recent.append(metrics[name])
        return sum(recent) / len(recent) if len(recent) == self.window else 0.0
