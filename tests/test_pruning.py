"""Pruning and requantizing: properties of the vectors that remain."""

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
def test_the_entries_that_are_kept_are_unchanged_and_the_strongest(vector: dict[str, int], prune: Pruning) -> None:
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
def test_top_k_and_minimum_are_idempotent_and_commute(vector: dict[str, int], top_k: int, least: int) -> None:
    strongest, above = prune_top_k(vector, top_k), prune_below(vector, least)
    assert prune_top_k(strongest, top_k) == strongest
    assert prune_below(above, least) == above
    assert prune_below(strongest, least) == prune_top_k(above, top_k)


@given(vectors, counts)
def test_top_k_keeps_k_entries_or_all(vector: dict[str, int], top_k: int) -> None:
    assert len(prune_top_k(vector, top_k)) == min(top_k, len(vector))
    assert prune_top_k(vector, None) == vector


@given(vectors, counts, counts, shares, shares)
def test_a_greater_count_or_share_keeps_at_least_the_same_entries(
    vector: dict[str, int], k: int, more_k: int, share: float, more: float
) -> None:
    k, more_k = sorted((k, more_k))
    share, more = sorted((share, more))
    assert prune_top_k(vector, k).items() <= prune_top_k(vector, more_k).items()
    assert prune_below(vector, more_k).items() <= prune_below(vector, k).items()
    assert prune_to_mass(vector, share).items() <= prune_to_mass(vector, more).items()


@given(vectors.filter(bool), counts, shares)
def test_a_vector_becomes_empty_only_when_no_impact_reaches_the_minimum(
    vector: dict[str, int], count: int, share: float
) -> None:
    assert prune_top_k(vector, count)
    assert prune_to_mass(vector, share)
    assert bool(prune_below(vector, count)) == (max(vector.values()) >= count)


@given(vectors.filter(bool), st.integers(1, 100))
def test_the_kept_impacts_reach_the_share_and_no_fewer_do(vector: dict[str, int], percent: int) -> None:
    kept = prune_to_mass(vector, percent / 100)
    mass = Fraction(percent, 100) * sum(vector.values())
    assert sum(kept.values()) >= mass
    assert sum(kept.values()) - min(kept.values()) < mass


@given(vectors)
def test_a_share_or_minimum_of_one_keeps_everything(vector: dict[str, int]) -> None:
    assert prune_to_mass(vector, 1) == vector
    assert prune_below(vector, 1) == vector


def test_a_share_is_compared_without_rounding_errors() -> None:
    assert prune_to_mass({"a": 7, **{f"b{number}": 1 for number in range(93)}}, 0.07) == {"a": 7}


def test_of_equal_entries_those_whose_token_sorts_first_are_kept() -> None:
    assert prune_top_k({"b": 1.0, "a": 1.0, "c": 2.0}, 2) == {"c": 2.0, "a": 1.0}
    assert prune_to_mass({"b": 1, "a": 1, "c": 2}, 0.75) == {"c": 2, "a": 1}


@pytest.mark.parametrize("share", [0, -0.5, 1.01, float("nan")])
def test_a_share_must_be_above_0_and_at_most_1(share: float) -> None:
    with pytest.raises(InputError, match="share"):
        prune_to_mass({"a": 1}, share)


def test_top_k_must_be_at_least_1() -> None:
    with pytest.raises(InputError, match="at least 1"):
        prune_top_k({"a": 1}, 0)


@given(vectors, st.floats(0.01, 0.99))
def test_the_impact_at_a_quantile_is_the_greatest_with_at_most_the_share_below_it(
    vector: dict[str, int], share: float
) -> None:
    impacts = Counter(vector.values())
    minimum = impact_at_quantile(impacts, share)
    below = sum(impact < minimum for impact in vector.values())
    assert below <= share * len(vector)
    greater = [impact for impact in impacts if impact > minimum]
    if greater:
        assert sum(impact < min(greater) for impact in vector.values()) > share * len(vector)
    assert bool(vector) == bool(prune_below(vector, minimum))


@pytest.mark.parametrize("share", [0, 1, -0.5, 1.01, float("nan")])
def test_a_quantile_must_be_above_0_and_below_1(share: float) -> None:
    with pytest.raises(InputError, match="share"):
        impact_at_quantile({1: 1}, share)


def test_the_impact_at_a_quantile_of_no_entries_is_1() -> None:
    assert impact_at_quantile({}, 0.5) == 1


@given(st.dictionaries(st.text("abc", min_size=1, max_size=3), st.integers(1, 700), min_size=1), st.integers(1, 12))
def test_requantized_impacts_are_the_nearest_integers_in_the_same_order(vector: dict[str, int], bits: int) -> None:
    greatest = max(vector.values())
    requantized = requantize(vector, bits, greatest)
    assert max(requantized.values()) == min(greatest, 2**bits - 1)
    assert min(requantized.values()) >= 1
    for token, impact in vector.items():
        if greatest > 2**bits - 1:
            assert abs(requantized.get(token, 0) - Fraction(impact * (2**bits - 1), greatest)) <= Fraction(1, 2)
        else:
            assert requantized[token] == impact
    order = sorted(vector, key=lambda token: vector[token])
    assert [requantized.get(token, 0) for token in order] == sorted(requantized.get(token, 0) for token in order)


def test_requantizing_to_two_bits_rounds_halves_up() -> None:
    # 3 steps of 20.
    assert requantize({"a": 60, "b": 50, "c": 49, "d": 10, "e": 9}, 2, 60) == {"a": 3, "b": 3, "c": 2, "d": 1}


def test_bits_must_be_at_least_1() -> None:
    with pytest.raises(InputError, match="at least 1"):
        requantize({"a": 1}, 0, 1)
