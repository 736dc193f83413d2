"""A profile: what an index and its queries cost, counted and timed."""

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass

from splade_anserini.profiling.costs import Costs
from splade_anserini.profiling.percentiles import Distribution, distribution
from splade_anserini.profiling.times import ColdStart, Measured, Plan


@dataclass(frozen=True, slots=True)
class Profile:
    """All that was found."""

    index: str
    topics: str
    costs: Costs
    encoding: Sequence[Measured]
    """Empty for topics that are encoded already."""
    searching: Sequence[Measured]
    cold: ColdStart
    plan: Plan
    surroundings: Mapping[str, str | int]


def milliseconds(row: Measured) -> Distribution:
    """Describe how long the queries of a setting took."""
    return distribution(row.timing.nanoseconds * 1e-6)


def content(profile: Profile) -> dict[str, object]:
    """Return everything as JSON has it, each single time too."""
    return {
        "index": profile.index,
        "topics": profile.topics,
        "costs": asdict(profile.costs) | {"bytes": profile.costs.bytes, "bytes_posting": profile.costs.bytes_posting},
        "encoding": [_row(row) for row in profile.encoding],
        "searching": [_row(row) for row in profile.searching],
        "cold": asdict(profile.cold),
        "plan": asdict(profile.plan),
        "surroundings": dict(profile.surroundings),
    }


def _row(row: Measured) -> dict[str, object]:
    return {
        "cache": row.cache,
        "threads": row.threads,
        "hits": row.hits,
        "queries_second": row.timing.per_second,
        "milliseconds": asdict(milliseconds(row)),
        "nanoseconds": row.timing.nanoseconds.tolist(),
    }
