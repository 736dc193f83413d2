"""Laws of the tests and of the correction, and what scipy computes."""

import itertools
import math
from collections.abc import Sequence

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from splade_anserini.evaluation import significance
from splade_anserini.evaluation.significance import (
    holm,
    randomization_test,
    share_of_all_signs,
    share_of_samples,
    t_test,
)

# Whole multiples of a sixteenth: sums are exact, so that orders and brute force agree to the last bit.
differences = st.lists(st.integers(-16, 16).map(lambda number: number / 16), max_size=30)
few = st.lists(st.integers(-16, 16).map(lambda number: number / 16), min_size=1, max_size=9)
p_values = st.lists(st.floats(0, 1), min_size=1, max_size=12)
TESTS = [t_test, lambda values: randomization_test(values, 50, 1)]


def brute_force(values: Sequence[float]) -> float:
    sums = [abs(sum(flipped)) for flipped in itertools.product(*((value, -value) for value in values))]
    return sum(total >= abs(sum(values)) for total in sums) / len(sums)


@settings(deadline=None)
@given(few)
def test_few_differences_are_tested_over_all_signs(values: list[float]) -> None:
    assert randomization_test(values) == brute_force(values)


@pytest.mark.parametrize("test", TESTS)
@settings(deadline=None)
@given(values=differences, data=st.data())
def test_neither_sign_nor_order_nor_unit_decide(test: type(t_test), values: list[float], data: st.DataObject) -> None:  # type: ignore[valid-type]
    p = test(values)
    assert 0 <= p <= 1
    assert test([-value for value in values]) == pytest.approx(p, abs=1e-12)
    assert test(data.draw(st.permutations(values))) == pytest.approx(p, abs=1e-12)
    assert test([value * 1e-200 for value in values]) == pytest.approx(p, abs=1e-9)
    assert test([value * 1e200 for value in values]) == pytest.approx(p, abs=1e-9)


@settings(deadline=None)
@given(differences, st.integers(0, 20))
def test_queries_without_a_difference_do_not_change_the_randomization_test(values: list[float], more: int) -> None:
    assert randomization_test([*values, *[0.0] * more], 50, 1) == randomization_test(values, 50, 1)


@pytest.mark.parametrize("test", TESTS)
@pytest.mark.parametrize("values", [[], [0.0], [0.0] * 50])
def test_equal_runs_are_as_likely_as_can_be(test: type(t_test), values: list[float]) -> None:  # type: ignore[valid-type]
    assert test(values) == 1


def test_a_single_query_tells_nothing() -> None:
    assert t_test([0.7]) == randomization_test([0.7]) == 1


def test_the_same_gain_in_every_query_is_no_chance() -> None:
    assert t_test([0.25] * 8) == 0
    assert randomization_test([0.25] * 8) == 2 / 2**8


def random_differences(queries: int, seed: int = 7) -> list[float]:
    drawn = np.random.default_rng(seed).normal(0.1, 0.4, queries)
    return [float(value) for value in drawn]


@pytest.mark.parametrize("queries", [2, 3, 12, 50, 1000])
def test_the_t_test_is_scipys(queries: int) -> None:
    from scipy.stats import ttest_rel

    values = random_differences(queries)
    base = random_differences(queries, seed=8)
    expected = ttest_rel([value + other for value, other in zip(values, base, strict=True)], base).pvalue
    assert t_test(values) == pytest.approx(expected, rel=1e-9)


def test_the_randomization_test_is_scipys() -> None:
    from scipy.stats import permutation_test

    values = np.array(random_differences(9))
    done = permutation_test(
        (values, np.zeros(9)), lambda x, y: np.mean(x - y), permutation_type="samples", n_resamples=math.inf
    )
    assert randomization_test([*values]) == pytest.approx(float(done.pvalue))


@pytest.mark.parametrize("piece", [1, 100, significance.PIECE])
def test_samples_come_close_to_all_signs(piece: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(significance, "PIECE", piece)
    magnitudes = np.abs(random_differences(12))
    samples = 20_000 if piece > 1 else 2_000
    for least in (0.0, 0.5, 1.5, 3.0):
        exact = share_of_all_signs(magnitudes, least)
        sampled = share_of_samples(magnitudes, least, samples, seed=3)
        # Five standard errors, and the one sample that is always counted.
        assert abs(sampled - exact) < 5 * math.sqrt(exact * (1 - exact) / samples) + 1 / samples


def test_many_differences_are_sampled_with_the_seed_and_never_give_zero() -> None:
    values = random_differences(40)
    assert randomization_test(values, 500, 1) == randomization_test(values, 500, 1)
    assert randomization_test(values, 500, 1) != randomization_test(values, 500, 2)
    assert randomization_test([1.0] * 40, 500, 1) == 1 / 501


@settings(deadline=None)
@given(p_values)
def test_holm_raises_and_keeps_the_order(raw: list[float]) -> None:
    corrected = holm(raw)
    assert all(p <= q <= 1 for p, q in zip(raw, corrected, strict=True))
    by_raw = sorted(zip(raw, corrected, strict=True))
    assert [q for _, q in by_raw] == sorted(corrected)
    # Between no correction and Bonferroni's.
    assert all(q <= min(1, len(raw) * p) + 1e-15 for p, q in zip(raw, corrected, strict=True))
    assert min(corrected) == min(1.0, len(raw) * min(raw))


@settings(deadline=None)
@given(p_values, st.floats(0.001, 0.999))
def test_holm_rejects_as_its_steps_do(raw: list[float], level: float) -> None:
    rejected = set()
    for rank, place in enumerate(sorted(range(len(raw)), key=raw.__getitem__)):
        if min(1.0, (len(raw) - rank) * raw[place]) > level:
            break
        rejected.add(place)
    assert {place for place, p in enumerate(holm(raw)) if p <= level} == rejected


def test_holm_on_an_example() -> None:
    assert holm([0.01, 0.04, 0.03, 0.005]) == pytest.approx([0.03, 0.06, 0.06, 0.02])
    assert holm([]) == []
