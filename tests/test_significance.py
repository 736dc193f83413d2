"""Properties of the significance tests and of the correction, and the values that scipy computes."""

import itertools
import math
from collections.abc import Sequence

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from splade_anserini.evaluation import significance
from splade_anserini.evaluation.options import RandomizationOptions
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
FEW = RandomizationOptions(permutations=50, seed=1)
TESTS = [t_test, lambda values: randomization_test(values, FEW)]


def brute_force(values: Sequence[float]) -> float:
    sums = [abs(sum(flipped)) for flipped in itertools.product(*((value, -value) for value in values))]
    return sum(total >= abs(sum(values)) for total in sums) / len(sums)


@settings(deadline=None)
@given(few)
def test_all_signs_are_tried_for_few_differences(values: list[float]) -> None:
    assert randomization_test(values) == brute_force(values)


@pytest.mark.parametrize("test", TESTS)
@settings(deadline=None)
@given(values=differences, data=st.data())
def test_p_values_do_not_depend_on_sign_order_or_unit(
    test: type(t_test), values: list[float], data: st.DataObject
) -> None:  # type: ignore[valid-type]
    p = test(values)
    assert 0 <= p <= 1
    assert test([-value for value in values]) == pytest.approx(p, abs=1e-12)
    assert test(data.draw(st.permutations(values))) == pytest.approx(p, abs=1e-12)
    # Near 1, p depends on the square root of a rounding error.
    assert test([value * 1e-200 for value in values]) == pytest.approx(p, abs=1e-6)
    assert test([value * 1e200 for value in values]) == pytest.approx(p, abs=1e-6)


@settings(deadline=None)
@given(differences, st.integers(0, 20))
def test_queries_without_a_difference_do_not_change_the_randomization_test(values: list[float], more: int) -> None:
    assert randomization_test([*values, *[0.0] * more], FEW) == randomization_test(values, FEW)


@pytest.mark.parametrize("test", TESTS)
@pytest.mark.parametrize("values", [[], [0.0], [0.0] * 50])
def test_the_p_value_of_equal_runs_is_one(test: type(t_test), values: list[float]) -> None:  # type: ignore[valid-type]
    assert test(values) == 1


def test_the_p_value_of_a_single_query_is_one() -> None:
    assert t_test([0.7]) == randomization_test([0.7]) == 1


def test_the_same_gain_in_every_query_has_the_least_p_value() -> None:
    assert t_test([0.25] * 8) == 0
    assert randomization_test([0.25] * 8) == 2 / 2**8


def random_differences(queries: int, seed: int = 7) -> list[float]:
    drawn = np.random.default_rng(seed).normal(0.1, 0.4, queries)
    return [float(value) for value in drawn]


@pytest.mark.parametrize("queries", [2, 3, 12, 50, 1000])
def test_the_t_test_agrees_with_scipy(queries: int) -> None:
    from scipy.stats import ttest_rel

    values = random_differences(queries)
    base = random_differences(queries, seed=8)
    expected = ttest_rel([value + other for value, other in zip(values, base, strict=True)], base).pvalue
    assert t_test(values) == pytest.approx(expected, rel=1e-9)


def test_the_randomization_test_agrees_with_scipy() -> None:
    from scipy.stats import permutation_test

    values = np.array(random_differences(9))
    done = permutation_test(
        (values, np.zeros(9)), lambda x, y: np.mean(x - y), permutation_type="samples", n_resamples=math.inf
    )
    assert randomization_test([*values]) == pytest.approx(float(done.pvalue))


@pytest.mark.parametrize("least", [0.0, 0.5, 1.5, 3.0])
@pytest.mark.parametrize(("block", "samples"), [(1, 2_000), (100, 20_000), (significance.BLOCK, 20_000)])
def test_random_samples_come_close_to_all_signs(
    block: int, samples: int, least: float, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(significance, "BLOCK", block)
    magnitudes = np.abs(random_differences(12))
    exact = share_of_all_signs(magnitudes, least)
    sampled = share_of_samples(magnitudes, least, samples, seed=3)
    # Five standard errors, and the one sample that is always counted.
    assert abs(sampled - exact) < 5 * math.sqrt(exact * (1 - exact) / samples) + 1 / samples


def test_samples_depend_on_the_seed_and_no_p_value_is_zero() -> None:
    values = random_differences(40)
    first, second = (RandomizationOptions(permutations=500, seed=seed) for seed in (1, 2))
    assert randomization_test(values, first) == randomization_test(values, first)
    assert randomization_test(values, first) != randomization_test(values, second)
    assert randomization_test([1.0] * 40, first) == 1 / 501


@settings(deadline=None)
@given(p_values)
def test_holm_raises_p_values_and_keeps_their_order(raw: list[float]) -> None:
    corrected = holm(raw)
    assert all(p <= q <= 1 for p, q in zip(raw, corrected, strict=True))
    by_raw = sorted(zip(raw, corrected, strict=True))
    assert [q for _, q in by_raw] == sorted(corrected)
    # At most Bonferroni's correction.
    assert all(q <= min(1, len(raw) * p) + 1e-15 for p, q in zip(raw, corrected, strict=True))
    assert min(corrected) == min(1.0, len(raw) * min(raw))


@settings(deadline=None)
@given(p_values, st.floats(0.001, 0.999))
def test_holm_rejects_the_hypotheses_that_its_steps_reject(raw: list[float], level: float) -> None:
    rejected = set()
    for rank, index in enumerate(sorted(range(len(raw)), key=raw.__getitem__)):
        if min(1.0, (len(raw) - rank) * raw[index]) > level:
            break
        rejected.add(index)
    assert {index for index, p in enumerate(holm(raw)) if p <= level} == rejected


def test_holm_on_an_example() -> None:
    assert holm([0.01, 0.04, 0.03, 0.005]) == pytest.approx([0.03, 0.06, 0.06, 0.02])
    assert holm([]) == []


def test_all_signs_are_tried_for_up_to_sixteen_differences() -> None:
    differences = [(-1) ** n * (n + 1.0) for n in range(significance.EXACT)]
    few = [RandomizationOptions(permutations=3, seed=seed) for seed in range(4)]
    assert len({significance.randomization_test(differences, options) for options in few}) == 1
    assert len({significance.randomization_test([*differences, 1.5], options) for options in few}) > 1
