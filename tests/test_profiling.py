"""Properties of FLOPS, percentiles and samples, timing of calls, the page cache, and the plot of a profile."""

import os
from collections.abc import Iterable, Iterator
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from splade_anserini.profiling import latency, page_cache
from splade_anserini.profiling.costs import Costs
from splade_anserini.profiling.flops import TokenCost, costliest, flops, occurrences, postings_of
from splade_anserini.profiling.latency import Timing, combined, rounds, sample, time_calls, time_search
from splade_anserini.profiling.measurements import ColdCache, Measurement, TimingPlan
from splade_anserini.profiling.page_cache import evict, resident_share
from splade_anserini.profiling.percentiles import PERCENTILES, distribution, percentile
from splade_anserini.profiling.plot import figure_of
from splade_anserini.profiling.report import Profile
from splade_anserini.records import ImpactVector

VECTORS = st.lists(st.dictionaries(st.sampled_from("abcdef"), st.integers(1, 9), max_size=6), max_size=8)
NUMBERS = st.lists(st.floats(-1e6, 1e6), min_size=1, max_size=50)


@given(queries=VECTORS, documents=VECTORS)
def test_flops_is_the_mean_number_of_tokens_that_a_query_and_a_document_share(
    queries: list[ImpactVector], documents: list[ImpactVector]
) -> None:
    shared = [len(query.keys() & document.keys()) for query in queries for document in documents]
    expected = sum(shared) / len(shared) if shared else 0.0
    assert flops(occurrences(queries), occurrences(documents)) == pytest.approx(expected)
    multiplications = sum(postings_of(query, occurrences(documents)) for query in queries)
    assert multiplications == sum(shared)


@given(queries=VECTORS, documents=VECTORS)
def test_the_shares_of_all_tokens_sum_to_one(queries: list[ImpactVector], documents: list[ImpactVector]) -> None:
    in_queries, in_documents = occurrences(queries), occurrences(documents)
    costs = costliest(in_queries, in_documents, 6)
    shares = [cost.share for cost in costs]
    assert shares == sorted(shares, reverse=True)
    assert sum(shares) == pytest.approx(1.0 if flops(in_queries, in_documents) else 0.0)
    assert [cost.token for cost in costliest(in_queries, in_documents, 2)] == [cost.token for cost in costs[:2]]
    for cost in costs:
        assert cost.queries == sum(cost.token in query for query in queries)
        assert cost.documents == sum(cost.token in document for document in documents)


def test_flops_counts_texts_without_tokens() -> None:
    assert flops(occurrences([{"a": 1}, {}]), occurrences([{"a": 5}])) == 0.5


@given(values=NUMBERS, percent=st.sampled_from(PERCENTILES))
def test_a_percentile_is_the_smallest_value_that_is_at_least_as_great_as_its_share(
    values: list[float], percent: float
) -> None:
    result = percentile(np.sort(np.array(values)), percent)
    if len(values) * (100 - percent) < 100 - 1e-9:
        assert result is None
        return
    assert result in values
    assert 100 * sum(value <= result for value in values) >= percent * len(values) - 1e-6
    assert 100 * sum(value < result for value in values) < percent * len(values) + 1e-6


@given(values=NUMBERS)
def test_a_distribution_does_not_depend_on_the_order_of_its_values(values: list[float]) -> None:
    result = distribution(values)
    assert result == distribution(values[::-1])
    percentiles = [value for value in result.percentiles.values() if value is not None]
    assert percentiles == sorted(percentiles)
    assert all(min(values) <= value <= max(values) for value in percentiles)
    assert (result.n, result.smallest, result.greatest) == (len(values), min(values), max(values))


def test_high_percentiles_need_enough_values() -> None:
    assert distribution(range(1, 1001)).percentiles == {"p50": 500, "p90": 900, "p95": 950, "p99": 990, "p99.9": 999}
    assert distribution(range(999)).percentiles["p99.9"] is None
    assert distribution([]).mean is None


@given(items=st.lists(st.integers(), unique=True, min_size=1, max_size=9), count=st.integers(0, 40), seed=st.integers())
def test_a_sample_contains_each_item_equally_often_or_once_less(items: list[int], count: int, seed: int) -> None:
    drawn = sample(items, count, seed)
    assert len(drawn) == count
    assert drawn == sample(items, count, seed)
    counts = [drawn.count(item) for item in items]
    assert max(counts) - min(counts) <= 1
    assert sample([], count, seed) == []


@given(items=st.lists(st.integers(), max_size=20))
def test_rounds_contain_all_items_in_order_and_none_is_empty(items: list[int]) -> None:
    parts = list(rounds(items))
    assert [item for part in parts for item in part] == items
    assert all(parts)
    assert len(parts) == min(5, len(items))


class Clock:
    """A clock that advances only when it is told to."""

    def __init__(self) -> None:
        self.nanoseconds = 0

    def __call__(self) -> int:
        return self.nanoseconds

    def advance(self, nanoseconds: int) -> None:
        self.nanoseconds += nanoseconds


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> Clock:
    clock = Clock()
    monkeypatch.setattr(latency, "perf_counter_ns", clock)
    return clock


def test_each_call_is_timed_separately(clock: Clock) -> None:
    timing = time_calls(clock.advance, [5, 20])
    assert timing.nanoseconds.tolist() == [5, 20]
    assert timing.total == 25
    assert timing.per_second == pytest.approx(2 / 25e-9)


class DelayedRanker:
    """Takes 10 ns per query, and returns its ranking after the next query, as a searcher with threads does."""

    def __init__(self, clock: Clock) -> None:
        self.clock = clock

    def rankings(
        self,
        queries: Iterable[tuple[str, ImpactVector]],
        hits: int,  # noqa: ARG002  # named by the protocol
        threads: int = 1,  # noqa: ARG002
    ) -> Iterator[tuple[str, object]]:
        waiting: list[str] = []
        for query_id, _ in queries:
            waiting.append(query_id)
            self.clock.advance(10)
            if len(waiting) > 1:
                yield waiting.pop(0), []
        yield from ((query_id, []) for query_id in waiting)


def test_a_query_is_timed_from_when_it_is_taken_until_its_ranking_is_returned(clock: Clock) -> None:
    timing = time_search(DelayedRanker(clock), [{"a": 1}] * 3, 10, threads=2)
    assert timing.nanoseconds.tolist() == [20, 20, 10]
    assert timing.total == 30
    assert time_search(DelayedRanker(clock), [], 10).per_second == 0


def test_combined_timings_contain_all_times() -> None:
    timing = combined([Timing(np.array([3, 1]), 10), Timing(np.array([2]), 30)])
    assert (timing.nanoseconds.tolist(), timing.total) == ([3, 1, 2], 40)
    assert timing.per_second == pytest.approx(3 / 40e-9)
    assert len(combined([]).nanoseconds) == 0


@pytest.mark.parametrize(("threads", "counts"), [(1, [1]), (2, [1, 2]), (6, [1, 2, 4, 6]), (8, [1, 2, 4, 8])])
def test_powers_of_two_below_the_number_of_threads_are_timed(threads: int, counts: list[int]) -> None:
    assert TimingPlan(threads=threads).thread_counts() == counts


def test_a_written_file_is_cached_until_it_is_evicted(tmp_path: Path) -> None:
    (tmp_path / "data").write_bytes(os.urandom(1 << 20))
    (tmp_path / "empty").touch()
    if resident_share(tmp_path) is None:
        pytest.skip("this system does not say which pages are cached")
    assert resident_share(tmp_path) == 1.0
    problem = evict(tmp_path)
    if problem:
        pytest.skip(problem)
    share = resident_share(tmp_path)
    assert share is not None
    # A file system in memory keeps all pages, any other next to none.
    assert share in {0.0, 1.0} or share < 0.1
    assert len((tmp_path / "data").read_bytes()) == 1 << 20


def test_a_system_without_fadvise_is_reported(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.delattr(page_cache.os, "posix_fadvise", raising=False)
    assert evict(tmp_path) == "this system has no posix_fadvise"


@pytest.fixture
def profile() -> Profile:
    def measurement(threads: int, hits: int | None, cache: str = "warm") -> Measurement:
        return Measurement(threads, Timing(np.array([3, 1, 2]) * 1_000_000, 6_000_000), hits, cache)  # type: ignore[arg-type]

    warm = [measurement(threads, hits) for threads in (1, 2) for hits in (10, 100)]
    cold = [measurement(1, hits, "cold") for hits in (10, 100)]
    empty = distribution([])
    tokens = [TokenCost("_cat", 0.75, 2, 3), TokenCost("$dog$", 0.25, 1, 2)]
    costs = Costs(3, 2, 0, 2, 5, 2.5, empty, empty, empty, tokens, {"postings": 10})
    plan = TimingPlan(hits=(10, 100), threads=2)
    return Profile("index", "topics", costs, [measurement(1, None)], [*warm, *cold], ColdCache(None), plan, {})


def test_the_plot_of_a_profile_has_one_color_per_number_of_hits(profile: Profile) -> None:
    latencies, throughput, _ = figure_of(profile).axes
    lines = {str(line.get_label()): line for line in latencies.lines}
    assert list(lines) == [
        "encoding",
        "warm cache, 10 hits",
        "warm cache, 100 hits",
        "cold cache, 10 hits",
        "cold cache, 100 hits",
    ]
    colors = {str(line.get_label()): line.get_color() for line in throughput.lines}
    for hits in ("10 hits", "100 hits"):
        warm, cold = lines[f"warm cache, {hits}"], lines[f"cold cache, {hits}"]
        assert warm.get_color() == cold.get_color() == colors[hits]
        assert (warm.get_linestyle(), cold.get_linestyle()) == ("-", "--")
    assert colors["10 hits"] != colors["100 hits"]


def test_the_plot_of_a_profile_shows_times_speeds_and_tokens(profile: Profile) -> None:
    latencies, throughput, tokens = figure_of(profile).axes
    times = latencies.lines[1].get_xydata()
    assert times.tolist() == [[1, 1 / 3], [2, 2 / 3], [3, 1]]  # type: ignore[union-attr]
    assert throughput.lines[0].get_xydata().tolist() == [[1, 500], [2, 500]]  # type: ignore[union-attr]
    assert [label.get_text() for label in tokens.get_yticklabels()] == [" _cat", r"\$dog\$"]
    assert [bar.get_width() for bar in tokens.patches] == [75, 25]  # type: ignore[attr-defined]
