"""A profile as text."""

from collections.abc import Iterator, Sequence

from splade_anserini.formats.parsing.tables import aligned
from splade_anserini.profiling.percentiles import PERCENTILES, Distribution
from splade_anserini.profiling.profile_record import Profile, milliseconds
from splade_anserini.profiling.times import Measured

_COLUMNS = ["mean", *(f"p{which:g}" for which in PERCENTILES)]
_UNKNOWN = "–"


def report(profile: Profile) -> str:
    """Return tables, one under the other, and what is to be known of how they came about."""
    return "\n".join([*_parts(profile)])


def _parts(profile: Profile) -> Iterator[str]:
    costs = profile.costs
    yield aligned(
        [
            ["FLOPS, Σ p_q p_d", f"{costs.flops:.3f}"],
            ["documents", f"{costs.documents:,}"],
            ["queries", f"{costs.queries:,}"],
            ["queries without tokens", f"{costs.empty_queries:,}"],
            ["different tokens in the index", f"{costs.tokens:,}"],
            ["postings", f"{costs.postings:,}"],
            ["bytes a posting", f"{costs.bytes_posting:.2f}"],
        ]
    )
    yield aligned(
        [
            ["active entries", "n", *_COLUMNS],
            ["a document", *_cells(costs.entries_document, "{:,.0f}")],
            ["a query", *_cells(costs.entries_query, "{:,.0f}")],
            ["postings of a query's tokens", *_cells(costs.postings_query, "{:,.0f}")],
        ]
    )
    yield aligned(_sizes(profile))
    if costs.costliest:
        rows = [
            [cost.token, f"{cost.share:.1%}", f"{cost.queries:,}", f"{cost.documents:,}"] for cost in costs.costliest
        ]
        yield aligned([["costliest tokens", "of FLOPS", "queries", "documents"], *rows])
    yield from _times(profile)
    yield _legend(profile)


def _sizes(profile: Profile) -> list[list[str]]:
    total = profile.costs.bytes
    parts = [(part, size) for part, size in profile.costs.parts.items() if size]
    return [
        ["index", "MB", "share"],
        *([part, f"{size / 1e6:.2f}", f"{size / total:.1%}"] for part, size in parts),
        ["all", f"{total / 1e6:.2f}", "100.0%"],
    ]


def _times(profile: Profile) -> Iterator[str]:
    heads = ["threads", "queries/s", "n", *_COLUMNS]
    if profile.encoding:
        yield aligned([["encoding a query, ms", *heads], *(["batch of one", *_timed(row)] for row in profile.encoding)])
    rows = [[f"{row.cache}, {row.hits:,} hits", *_timed(row)] for row in profile.searching]
    yield aligned([["searching, ms", *heads], *rows])


def _timed(row: Measured) -> list[str]:
    found = milliseconds(row)
    return [str(row.threads), f"{row.timing.per_second:,.1f}", *_cells(found, "{:.3f}")]


def _cells(found: Distribution, form: str) -> list[str]:
    values: Sequence[float | None] = [found.mean, *found.percentiles.values()]
    return [f"{found.n:,}", *(_UNKNOWN if value is None else form.format(value) for value in values)]


def _legend(profile: Profile) -> str:
    plan, where = profile.plan, profile.surroundings
    lines = [
        f"Warm: {plan.warm_up:,} queries untimed, then {plan.samples:,} timed, in random order (seed {plan.seed}).",
        f"{_UNKNOWN}: too few numbers for this percentile.",
        _of_cold(profile),
        f"{where['cores']} cores, {int(where['memory']) / 1e9:.0f} GB, {where['system']}.",
        f"Java {where['java']}, Lucene {where['lucene']}, splade-anserini {where['splade-anserini']}.",
    ]
    return "".join(f"{line}\n" for line in lines)


def _of_cold(profile: Profile) -> str:
    cold = profile.cold
    if cold.skipped:
        return f"Nothing was timed with a cold cache: {cold.skipped}."
    stayed = "an unknown share of it" if cold.resident is None else f"{cold.resident:.0%} of it"
    return f"Cold: the index left memory ({stayed} stayed), was opened, and was asked each query once."
