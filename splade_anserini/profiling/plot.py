"""The plot of a profile: latency, throughput, and costliest tokens."""

from typing import TYPE_CHECKING, Any

import numpy as np

from splade_anserini.artifacts.figures import plain_label, save_figure, use_log_scale
from splade_anserini.profiling.measurements import Measurement
from splade_anserini.profiling.report import Profile
from splade_anserini.records import StrPath

if TYPE_CHECKING:
    from matplotlib.figure import Figure

_ENCODING_COLOR = "0.4"


def plot(profile: Profile, path: StrPath) -> None:
    """Draw a profile and write it as PNG, SVG or PDF, depending on the suffix of `path`."""
    save_figure(figure_of(profile), path)


def figure_of(profile: Profile) -> "Figure":
    """Draw the distribution of latencies, queries per second by threads, and the shares of the costliest tokens."""
    from matplotlib.figure import Figure

    figure = Figure(figsize=(16, 5.5), layout="constrained")
    latency, throughput, tokens = figure.subplots(1, 3)
    _draw_latency(latency, profile)
    _draw_throughput(throughput, profile)
    _draw_tokens(tokens, profile)
    return figure


def _colors(profile: Profile) -> dict[int, str]:
    """Return a color for each number of hits, the same one in all panels."""
    return {hits: f"C{position}" for position, hits in enumerate(profile.plan.hits)}


def _draw_latency(axis: Any, profile: Profile) -> None:
    """Draw the cumulative distribution of the times on one thread: solid for a warm cache, dashed for a cold one."""
    colors = _colors(profile)
    for measurement in profile.encoding:
        if measurement.threads == 1:
            _draw_distribution(axis, measurement, "encoding", color=_ENCODING_COLOR, ls=":")
    for measurement in profile.searching:
        if measurement.threads == 1 and measurement.hits is not None:
            cold = measurement.cache == "cold"
            style = {"color": colors[measurement.hits], "ls": "--" if cold else "-", "alpha": 0.6 if cold else 1.0}
            _draw_distribution(axis, measurement, f"{measurement.cache} cache, {measurement.hits:,} hits", **style)
    axis.set(title="Latency on one thread", xlabel="milliseconds per query", ylabel="cumulative share of queries")
    axis.set_ylim(0, 1.02)
    use_log_scale(axis)
    axis.grid(alpha=0.3)
    _add_legend(axis)


def _draw_distribution(axis: Any, measurement: Measurement, label: str, **style: Any) -> None:
    times = np.sort(measurement.timing.nanoseconds) * 1e-6
    axis.step(times, np.arange(1, len(times) + 1) / len(times), where="post", label=label, lw=1.5, **style)


def _draw_throughput(axis: Any, profile: Profile) -> None:
    for hits, color in _colors(profile).items():
        warm = [row for row in profile.searching if row.hits == hits and row.cache == "warm"]
        speeds = [measurement.timing.per_second for measurement in warm]
        axis.plot([row.threads for row in warm], speeds, "o-", color=color, label=f"{hits:,} hits")
    axis.set(title="Throughput with a warm cache", xlabel="threads", ylabel="queries per second", ylim=(0, None))
    axis.set_xticks(profile.plan.thread_counts())
    axis.grid(alpha=0.3)
    _add_legend(axis)


def _add_legend(axis: Any) -> None:
    """Add a legend below the panel, where it hides nothing; warm and cold times are one column each."""
    axis.legend(loc="upper center", bbox_to_anchor=(0.5, -0.13), ncols=2, fontsize="small")


def _draw_tokens(axis: Any, profile: Profile) -> None:
    costs = profile.costs.costliest
    axis.barh(range(len(costs)), [100 * cost.share for cost in costs], color="0.6")
    axis.set_yticks(range(len(costs)), [plain_label(cost.token) for cost in costs])
    axis.invert_yaxis()
    axis.set(title=f"Costliest tokens (FLOPS {profile.costs.flops:.2f})", xlabel="% of the FLOPS")
    axis.grid(axis="x", alpha=0.3)
