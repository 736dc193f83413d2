"""What is left of a vector when weak entries go: laws."""

from collections import Counter
from collections.abc import Callable
from fractions import Fraction

import pytest
from hypothesis import given
from hypothesis import strategies as st

from splade_anserini.errors import InputError
from splade_anserini.records import ImpactVector
from splade_anserini.vectors.pruning import impact_at_quantile, prune_below, prune_to_mass, prune_top_k, requantize

vectors = st.dictionaries(st.text("abc", min_size=1, max_size=3), st.integers(1, 9), max_size=12)
counts = st.integers(1, 14)
shares = st.floats(0.001, 1.0) | st.integers(1, 100).map(lambda percent: percent / 100)
prunings = st.one_of(
    counts.map(lambda k: lambda vector: prune_top_k(vector, k)),
    counts.map(lambda least: lambda vector: prune_below(vector, least)),
    shares.map(lambda share: lambda vector: prune_to_mass(vector, share)),
)

type Pruning = Callable[[ImpactVector], ImpactVector]


@given(vectors, prunings)
def test_what_is_kept_is_a_part_and_nothing_that_goes_is_stronger(vector: dict[str, int], prune: Pruning) -> None:
    kept = prune(vector)
    assert kept.items() <= vector.items()
    order = sorted(vector, key=lambda token: (-vector[token], token))
    assert set(order[: len(kept)]) == set(kept)


@given(vectors, prunings)
def test_the_order_of_the_entries_changes_nothing(vector: dict[str, int], prune: Pruning) -> None:
    kept = prune(vector)
    for entries in (sorted(vector.items()), sorted(vector.items(), reverse=True)):
        assert prune(dict(entries)) == kept


@given(vectors, counts, counts)
def test_counts_and_least_impacts_change_nothing_twice_and_in_any_order(
    vector: dict[str, int], top_k: int, least: int
) -> None:
    strongest, above = prune_top_k(vector, top_k), prune_below(vector, least)
    assert prune_top_k(strongest, top_k) == strongest
    assert prune_below(above, least) == above
    assert prune_below(strongest, least) == prune_top_k(above, top_k)


@given(vectors, counts)
def test_as_many_are_kept_as_there_may_be(vector: dict[str, int], top_k: int) -> None:
    assert len(prune_top_k(vector, top_k)) == min(top_k, len(vector))
    assert prune_top_k(vector, None) == vector


@given(vectors, counts, counts, shares, shares)
def test_who_asks_for_more_gets_more(vector: dict[str, int], k: int, more_k: int, share: float, more: float) -> None:
    k, more_k = sorted((k, more_k))
    share, more = sorted((share, more))
    assert prune_top_k(vector, k).items() <= prune_top_k(vector, more_k).items()
    assert prune_below(vector, more_k).items() <= prune_below(vector, k).items()
    assert prune_to_mass(vector, share).items() <= prune_to_mass(vector, more).items()


@given(vectors.filter(bool), counts, shares)
def test_a_vector_becomes_empty_only_where_no_impact_is_great_enough(
    vector: dict[str, int], number: int, share: float
) -> None:
    assert prune_top_k(vector, number)
    assert prune_to_mass(vector, share)
    assert bool(prune_below(vector, number)) == (max(vector.values()) >= number)


@given(vectors.filter(bool), st.integers(1, 100))
def test_the_share_is_reached_and_not_without_the_weakest_that_is_kept(vector: dict[str, int], percent: int) -> None:
    kept = prune_to_mass(vector, percent / 100)
    wanted = Fraction(percent, 100) * sum(vector.values())
    assert sum(kept.values()) >= wanted
    assert sum(kept.values()) - min(kept.values()) < wanted


@given(vectors)
def test_the_whole_share_is_everything(vector: dict[str, int]) -> None:
    assert prune_to_mass(vector, 1) == vector
    assert prune_below(vector, 1) == vector


def test_seven_of_a_hundred_are_seven_hundredths() -> None:
    assert prune_to_mass({"a": 7, **{f"b{number}": 1 for number in range(93)}}, 0.07) == {"a": 7}


def test_equal_entries_go_by_token_so_that_the_result_is_always_the_same() -> None:
    assert prune_top_k({"b": 1.0, "a": 1.0, "c": 2.0}, 2) == {"c": 2.0, "a": 1.0}
    assert prune_to_mass({"b": 1, "a": 1, "c": 2}, 0.75) == {"c": 2, "a": 1}


@pytest.mark.parametrize("share", [0, -0.5, 1.01, float("nan")])
def test_a_share_is_above_nothing_and_at_most_all(share: float) -> None:
    with pytest.raises(InputError, match="share"):
        prune_to_mass({"a": 1}, share)


def test_no_entries_cannot_be_asked_for() -> None:
    with pytest.raises(InputError, match="at least 1"):
        prune_top_k({"a": 1}, 0)


@given(vectors, st.floats(0.01, 0.99))
def test_below_the_impact_at_a_quantile_is_at_most_the_share_and_one_more_impact_would_be_more(
    vector: dict[str, int], share: float
) -> None:
    impacts = Counter(vector.values())
    least = impact_at_quantile(impacts, share)
    below = sum(impact < least for impact in vector.values())
    assert below <= share * len(vector)
    greater = [impact for impact in impacts if impact > least]
    if greater:
        assert sum(impact < min(greater) for impact in vector.values()) > share * len(vector)
    assert bool(vector) == bool(prune_below(vector, least))


@pytest.mark.parametrize("share", [0, 1, -0.5, 1.01, float("nan")])
def test_a_quantile_leaves_something_out_and_something_in(share: float) -> None:
    with pytest.raises(InputError, match="share"):
        impact_at_quantile({1: 1}, share)


def test_the_impact_at_a_quantile_of_no_entries_keeps_all() -> None:
    assert impact_at_quantile({}, 0.5) == 1


@given(st.dictionaries(st.text("abc", min_size=1, max_size=3), st.integers(1, 700), min_size=1), st.integers(1, 12))
def test_impacts_of_few_bits_are_the_nearest_numbers_in_the_same_order(vector: dict[str, int], bits: int) -> None:
    greatest = max(vector.values())
    lower = requantize(vector, bits, greatest)
    assert max(lower.values()) == min(greatest, 2**bits - 1)
    assert min(lower.values()) >= 1
    for token, impact in vector.items():
        if greatest > 2**bits - 1:
            assert abs(lower.get(token, 0) - Fraction(impact * (2**bits - 1), greatest)) <= Fraction(1, 2)
        else:
            assert lower[token] == impact
    order = sorted(vector, key=lambda token: vector[token])
    assert [lower.get(token, 0) for token in order] == sorted(lower.get(token, 0) for token in order)


def test_canonical_impacts_of_two_bits() -> None:
    # 3 of 60: steps of 20, a half upwards.
    assert requantize({"a": 60, "b": 50, "c": 49, "d": 10, "e": 9}, 2, 60) == {"a": 3, "b": 3, "c": 2, "d": 1}


def test_no_bits_hold_no_impacts() -> None:
    with pytest.raises(InputError, match="at least 1"):
        requantize({"a": 1}, 0, 1)
