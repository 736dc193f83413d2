"""How a regularizer's strength rises."""

from splade_anserini.cards.training_recipe import Schedule


def strength(step: int, until: int, schedule: Schedule = "quadratic") -> float:
    """Return the share of λ at a step, 1 from step `until` on; quadratic as in SPLADE v2, section 5."""
    if schedule == "constant" or step >= until:
        return 1.0
    share = step / until
    return share * share if schedule == "quadratic" else share
