"""What a search costs: the laws of FLOPS and percentiles, and what the clock measures."""

import os
import time
from collections.abc import Iterable, Iterator
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from splade_anserini.profiling import page_cache
from splade_anserini.profiling.flops import costliest, flops, occurrences, postings_of
from splade_anserini.profiling.latency import Timing, drawn, joined, time_each, time_search
from splade_anserini.profiling.page_cache import evict, resident_share
from splade_anserini.profiling.percentiles import PERCENTILES, distribution, percentile
from splade_anserini.profiling.times import Plan
from splade_anserini.records import ImpactVector

VECTORS = st.lists(st.dictionaries(st.sampled_from("abcdef"), st.integers(1, 9), max_size=6), max_size=8)
NUMBERS = st.lists(st.floats(-1e6, 1e6), min_size=1, max_size=50)


@given(queries=VECTORS, documents=VECTORS)
def test_flops_are_the_mean_number_of_tokens_that_a_query_and_a_document_share(
    queries: list[ImpactVector], documents: list[ImpactVector]
) -> None:
    shared = [len(query.keys() & document.keys()) for query in queries for document in documents]
    expected = sum(shared) / len(shared) if shared else 0.0
    assert flops(occurrences(queries), occurrences(documents)) == pytest.approx(expected)
    multiplied = sum(postings_of(query, occurrences(documents)) for query in queries)
    assert multiplied == sum(shared)


@given(queries=VECTORS, documents=VECTORS)
def test_what_the_tokens_cost_adds_up(queries: list[ImpactVector], documents: list[ImpactVector]) -> None:
    asked, held = occurrences(queries), occurrences(documents)
    found = costliest(asked, held, 6)
    shares = [cost.share for cost in found]
    assert shares == sorted(shares, reverse=True)
    assert sum(shares) == pytest.approx(1.0 if flops(asked, held) else 0.0)
    assert [cost.token for cost in costliest(asked, held, 2)] == [cost.token for cost in found[:2]]
    for cost in found:
        assert cost.queries == sum(cost.token in query for query in queries)
        assert cost.documents == sum(cost.token in document for document in documents)


def test_a_text_without_tokens_counts_as_a_text() -> None:
    assert flops(occurrences([{"a": 1}, {}]), occurrences([{"a": 5}])) == 0.5


@given(values=NUMBERS, which=st.sampled_from(PERCENTILES))
def test_a_percentile_is_the_least_number_that_is_no_less_than_its_share(values: list[float], which: float) -> None:
    ordered = np.sort(np.array(values))
    found = percentile(ordered, which)
    if len(values) * (100 - which) < 100 - 1e-9:
        assert found is None
        return
    assert found in values
    assert 100 * sum(value <= found for value in values) >= which * len(values) - 1e-6
    assert 100 * sum(value < found for value in values) < which * len(values) + 1e-6


@given(values=NUMBERS)
def test_percentiles_do_not_depend_on_the_order_and_ascend(values: list[float]) -> None:
    found = distribution(values)
    assert found == distribution(values[::-1])
    known = [value for value in found.percentiles.values() if value is not None]
    assert known == sorted(known)
    assert all(min(values) <= value <= max(values) for value in known)
    assert (found.n, found.smallest, found.greatest) == (len(values), min(values), max(values))


def test_the_last_percentiles_want_enough_numbers() -> None:
    assert distribution(range(1, 1001)).percentiles == {"p50": 500, "p90": 900, "p95": 950, "p99": 990, "p99.9": 999}
    assert distribution(range(999)).percentiles["p99.9"] is None
    assert distribution([]).mean is None


@given(
    items=st.lists(st.integers(), unique=True, min_size=1, max_size=9), number=st.integers(0, 40), seed=st.integers()
)
def test_every_query_is_drawn_as_often_as_any_other_or_once_less(items: list[int], number: int, seed: int) -> None:
    found = drawn(items, number, seed)
    assert len(found) == number
    assert found == drawn(items, number, seed)
    counts = [found.count(item) for item in items]
    assert max(counts) - min(counts) <= 1
    assert drawn([], number, seed) == []


def test_each_is_timed_by_itself() -> None:
    timing = time_each([0.0, 0.02], time.sleep)
    assert timing.nanoseconds[1] >= 20_000_000
    assert timing.whole >= timing.nanoseconds.sum()
    assert timing.per_second == pytest.approx(2e9 / timing.whole)


class Slow:
    """Answers a query when two are waiting, as a searcher with threads does."""

    def rankings(
        self,
        queries: Iterable[tuple[str, ImpactVector]],
        hits: int,  # noqa: ARG002  # as the protocol has it
        threads: int = 1,  # noqa: ARG002
    ) -> Iterator[tuple[str, object]]:
        waiting: list[str] = []
        for query_id, _ in queries:
            waiting.append(query_id)
            time.sleep(0.01)
            if len(waiting) > 1:
                yield waiting.pop(0), []
        yield from ((query_id, []) for query_id in waiting)


def test_a_query_is_timed_from_when_it_is_taken_until_its_ranking_is_there() -> None:
    timing = time_search(Slow(), [{"a": 1}] * 3, 10, threads=2)
    assert len(timing.nanoseconds) == 3
    assert (timing.nanoseconds[:2] >= 20_000_000).all()
    assert timing.whole >= 30_000_000
    assert time_search(Slow(), [], 10).per_second == 0


def test_what_was_measured_at_several_times_counts_as_one() -> None:
    parts = [Timing(np.array([3, 1]), 10), Timing(np.array([2]), 30)]
    whole = joined(parts)
    assert (whole.nanoseconds.tolist(), whole.whole) == ([3, 1, 2], 40)
    assert whole.per_second == pytest.approx(3 / 40e-9)


def test_threads_are_doubled_up_to_the_most() -> None:
    assert [Plan(threads=most).ladder() for most in (1, 2, 6, 8)] == [[1], [1, 2], [1, 2, 4, 6], [1, 2, 4, 8]]


def test_what_was_just_written_lies_in_memory_until_it_is_evicted(tmp_path: Path) -> None:
    (tmp_path / "data").write_bytes(os.urandom(1 << 20))
    (tmp_path / "empty").touch()
    if resident_share(tmp_path) is None:
        pytest.skip("this system does not say what lies in memory")
    assert resident_share(tmp_path) == 1.0
    problem = evict(tmp_path)
    if problem:
        pytest.skip(problem)
    share = resident_share(tmp_path)
    assert share is not None
    # A file system in memory keeps all, any other next to nothing.
    assert share in {0.0, 1.0} or share < 0.1
    assert len((tmp_path / "data").read_bytes()) == 1 << 20


def test_a_system_without_fadvise_is_told(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.delattr(page_cache.os, "posix_fadvise", raising=False)
    assert evict(tmp_path) == "this system has no posix_fadvise"
