"""A profile as a picture."""

from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from splade_anserini.artifacts.figures import plain_label, save_figure
from splade_anserini.profiling.profile_record import Profile

if TYPE_CHECKING:
    from matplotlib.figure import Figure


def plot(profile: Profile, path: Path) -> None:
    """Draw times, queries a second and what tokens cost, as PNG or SVG by the name's ending."""
    save_figure(figure_of(profile), path)


def figure_of(profile: Profile) -> "Figure":
    """Draw how times are distributed, queries a second by threads, and the shares of the costliest tokens."""
    from matplotlib.figure import Figure

    figure = Figure(figsize=(15, 5), layout="constrained")
    times, speed, tokens = figure.subplots(1, 3)
    _draw_times(times, profile)
    _draw_speed(speed, profile)
    _draw_tokens(tokens, profile)
    return figure


def _draw_times(axis: Any, profile: Profile) -> None:
    """Draw the share of queries that take no longer, on one thread."""
    rows = [(f"{row.cache}, {row.hits:,} hits", row) for row in profile.searching if row.threads == 1]
    rows += [("encoding", row) for row in profile.encoding if row.threads == 1]
    for label, row in rows:
        taken = np.sort(row.timing.nanoseconds) * 1e-6
        shares = np.arange(1, len(taken) + 1) / len(taken)
        axis.step(taken, shares, where="post", ls="--" if row.cache == "cold" else "-", lw=1, label=label)
    axis.set(title="share of queries that take no longer", xlabel="milliseconds, one thread", xscale="log")
    axis.legend()


def _draw_speed(axis: Any, profile: Profile) -> None:
    for hits in profile.plan.hits:
        rows = [row for row in profile.searching if row.hits == hits and row.cache == "warm"]
        axis.plot([row.threads for row in rows], [row.timing.per_second for row in rows], "o-", label=f"{hits:,} hits")
    axis.set(title="queries a second", xlabel="threads", ylim=(0, None))
    axis.set_xticks(profile.plan.ladder())
    axis.legend()


def _draw_tokens(axis: Any, profile: Profile) -> None:
    costs = profile.costs.costliest
    names = [plain_label(cost.token) for cost in costs]
    axis.barh(range(len(costs)), [cost.share for cost in costs])
    axis.set_yticks(range(len(costs)), names)
    axis.invert_yaxis()
    axis.set(title=f"FLOPS {profile.costs.flops:.2f}: the costliest tokens", xlabel="share of the FLOPS")
