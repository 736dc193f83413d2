"""What a run is doing: its numbers step by step, and a guard that stops it when the vectors die or fill up."""

from collections import deque
from collections.abc import Mapping
from dataclasses import dataclass, field

import torch

from splade_anserini.errors import TrainingError
from splade_anserini.training.objective import Vectors

WINDOW = 100
"""Steps over which the guard looks."""

ZERO = 0.9
FULL = 0.9
"""Collapse: so great a share of vectors without any entry. Explosion: so great a share of entries active."""


@torch.no_grad()
def numbers(vectors: Vectors, parts: Mapping[str, torch.Tensor]) -> dict[str, float]:
    """Return the parts of the loss, their sum, and of the vectors: active entries, empty ones, FLOPS.

    FLOPS are Σ_j p_j^q p_j^d, with p_j the share of texts in which entry j is active (SPLADE v2, section 4).
    """
    active_q, active_d = vectors.queries > 0, vectors.documents > 0
    result = {"loss": float(sum(part.detach() for part in parts.values()))}
    result |= {name: float(part.detach()) for name, part in parts.items()}
    for side, active in (("q", active_q), ("d", active_d)):
        counts = active.sum(dim=1).float()
        result[f"active {side}"] = float(counts.mean())
        result[f"empty {side}"] = float((counts == 0).float().mean())
    result["FLOPS"] = float((active_q.float().mean(dim=0) * active_d.float().mean(dim=0)).sum())
    return result


@dataclass
class Guard:
    """Stops a run whose vectors have collapsed to nothing, filled up, or whose loss is no number."""

    vocabulary_size: int
    window: int = WINDOW
    _seen: dict[str, deque[float]] = field(default_factory=dict)

    def __call__(self, step: int, found: Mapping[str, float]) -> None:
        """Look at the numbers of a step. Raises `TrainingError` with advice when it is lost."""
        if not abs(found["loss"]) < float("inf"):
            raise TrainingError(
                f"At step {step} the loss is {found['loss']}.",
                do="Lower learning_rate or max_gradient, or train in fp32.",
            )
        for side in ("q", "d"):
            lambda_ = f"lambda_{side}"
            empty = self._mean(f"empty {side}", found)
            full = self._mean(f"active {side}", found) / self.vocabulary_size
            what = "queries" if side == "q" else "documents"
            if empty > ZERO:
                raise TrainingError(
                    f"Collapse: over the last {self.window} steps up to step {step}, {empty:.0%} of the {what} had "
                    "no active entry.",
                    do=f"Lower {lambda_}, raise `until`, so that it comes later, or lower the learning rates.",
                )
            if full > FULL and step >= self.window * 3:
                raise TrainingError(
                    f"Explosion: over the last {self.window} steps up to step {step}, {full:.0%} of all entries were "
                    f"active in the mean of the {what}.",
                    do=f"Raise {lambda_}, or lower `until`, so that it comes sooner; from a model that is dense at "
                    "first, start with a warm start.",
                )

    def _mean(self, name: str, found: Mapping[str, float]) -> float:
        """Return the mean over a full window, 0 before."""
        seen = self._seen.setdefault(name, deque(maxlen=self.window))
        seen.append(found[name])
        return sum(seen) / len(seen) if len(seen) == self.window else 0.0
