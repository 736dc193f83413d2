"""The Pareto front: what nothing beats."""

from collections.abc import Sequence


def front(points: Sequence[tuple[float, float]]) -> list[bool]:
    """Say of each (cost, value) whether it is on the front: every other costs more, is worth less, or equals it."""
    best: dict[float, float] = {}
    for cost, value in points:
        best[cost] = max(value, best.get(cost, value))
    highest, on = float("-inf"), set[tuple[float, float]]()
    for cost in sorted(best):
        if best[cost] > highest:
            highest = best[cost]
            on.add((cost, highest))
    return [point in on for point in points]
