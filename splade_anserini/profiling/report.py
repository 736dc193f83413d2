"""The profile of an index, as text and as JSON."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass

from splade_anserini.artifacts.truncation import Truncation
from splade_anserini.formats.text_table import text_table
from splade_anserini.profiling.costs import Costs
from splade_anserini.profiling.measurements import ColdCache, Measurement, TimingPlan
from splade_anserini.profiling.percentiles import PERCENTILES, Distribution, distribution

_COLUMNS = ["mean", *(f"p{percent:g}" for percent in PERCENTILES)]
_UNKNOWN = "–"


@dataclass(frozen=True, slots=True)
class Profile:
    """Counts and times of searching an index for some topics."""

    index: str
    topics: str
    costs: Costs
    encoding: Sequence[Measurement]
    """Empty for topics that were encoded before."""
    searching: Sequence[Measurement]
    cold: ColdCache
    plan: TimingPlan
    environment: Mapping[str, str | int]
    truncation: Truncation | None = None
    """The queries that were longer than the encoder reads; None where they were not counted."""


def milliseconds(measurement: Measurement) -> Distribution:
    """Return the distribution of the times of a setting's queries, in milliseconds."""
    return distribution(measurement.timing.nanoseconds * 1e-6)


def as_json(profile: Profile) -> dict[str, object]:
    """Return a profile as JSON values, including the time of each query."""
    costs = profile.costs
    return {
        "index": profile.index,
        "topics": profile.topics,
        "costs": asdict(costs) | {"bytes": costs.bytes, "bytes_posting": costs.bytes_posting},
        "encoding": [_measurement_as_json(measurement) for measurement in profile.encoding],
        "searching": [_measurement_as_json(measurement) for measurement in profile.searching],
        "cold": asdict(profile.cold),
        "plan": asdict(profile.plan),
        "environment": dict(profile.environment),
        "truncation": profile.truncation and profile.truncation.model_dump(),
    }


def _measurement_as_json(measurement: Measurement) -> dict[str, object]:
    return {
        "cache": measurement.cache,
        "threads": measurement.threads,
        "hits": measurement.hits,
        "queries_second": measurement.timing.per_second,
        "milliseconds": asdict(milliseconds(measurement)),
        "nanoseconds": measurement.timing.nanoseconds.tolist(),
    }


def as_text(profile: Profile) -> str:
    """Return a profile as tables, followed by how it was measured."""
    return "\n".join([*_count_tables(profile.costs), *_time_tables(profile), _notes(profile)])


def _count_tables(costs: Costs) -> Iterator[str]:
    yield text_table(
        [
            ["FLOPS, Σ p_q p_d", f"{costs.flops:.3f}"],
            ["documents", f"{costs.documents:,}"],
            ["queries", f"{costs.queries:,}"],
            ["queries without tokens", f"{costs.empty_queries:,}"],
            ["distinct tokens in the index", f"{costs.tokens:,}"],
            ["postings", f"{costs.postings:,}"],
            ["bytes per posting", f"{costs.bytes_posting:.2f}"],
        ]
    )
    yield text_table(
        [
            ["active entries", "n", *_COLUMNS],
            ["per document", *_cells(costs.entries_document, "{:,.0f}")],
            ["per query", *_cells(costs.entries_query, "{:,.0f}")],
            ["postings of a query's tokens", *_cells(costs.postings_query, "{:,.0f}")],
        ]
    )
    yield text_table(
        [
            ["index", "MB", "share"],
            *([part, f"{size / 1e6:.2f}", f"{size / costs.bytes:.1%}"] for part, size in costs.parts.items() if size),
            ["all", f"{costs.bytes / 1e6:.2f}", "100.0%"],
        ]
    )
    if costs.costliest:
        rows = [
            [cost.token, f"{cost.share:.1%}", f"{cost.queries:,}", f"{cost.documents:,}"] for cost in costs.costliest
        ]
        yield text_table([["costliest tokens", "of FLOPS", "queries", "documents"], *rows])


def _time_tables(profile: Profile) -> Iterator[str]:
    columns = ["threads", "queries/s", "n", *_COLUMNS]
    if profile.encoding:
        rows = [["one text at a time", *_time_cells(measurement)] for measurement in profile.encoding]
        yield text_table([["encoding a query, ms", *columns], *rows])
    rows = [
        [f"{measurement.cache}, {measurement.hits:,} hits", *_time_cells(measurement)]
        for measurement in profile.searching
    ]
    yield text_table([["searching, ms", *columns], *rows])


def _time_cells(measurement: Measurement) -> list[str]:
    speed = f"{measurement.timing.per_second:,.1f}"
    return [str(measurement.threads), speed, *_cells(milliseconds(measurement), "{:.3f}")]


def _cells(values: Distribution, number_format: str) -> list[str]:
    shown: Sequence[float | None] = [values.mean, *values.percentiles.values()]
    return [f"{values.n:,}", *(_UNKNOWN if value is None else number_format.format(value) for value in shown)]


def _notes(profile: Profile) -> str:
    plan, environment = profile.plan, profile.environment
    order = f"in random order (seed {plan.seed})"
    versions = {"Java": environment["java"], "Lucene": environment["lucene"]}
    versions["splade-anserini"] = environment["splade-anserini"]
    lines = [
        f"Warm cache: {plan.warm_up:,} untimed queries, then {plan.samples:,} timed ones {order}.",
        f"{_UNKNOWN}: too few numbers for this percentile.",
        _cold_note(profile.cold),
        f"{environment['cores']} cores, {int(environment['memory']) / 1e9:.0f} GB, {environment['system']}.",
        f"{', '.join(f'{program} {version}' for program, version in versions.items())}.",
    ]
    return "".join(f"{line}\n" for line in lines)


def _cold_note(cold: ColdCache) -> str:
    if cold.skipped:
        return f"Cold cache: not timed ({cold.skipped})."
    resident = "an unknown share" if cold.resident is None else f"{cold.resident:.0%}"
    return (
        f"Cold cache: the index was dropped from memory ({resident} of it stayed), opened, and searched once per query."
    )
