"""From weights to impacts."""

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from splade_anserini.encoding import impact, parse_scale, quantize
from splade_anserini.errors import InputError
from splade_anserini.vectors.dot_product import dot_product
from splade_anserini.vectors.quantization import impacts

weights = st.floats(min_value=0.0, max_value=50.0, width=32)
vectors = st.dictionaries(st.text("abcdef", min_size=1, max_size=3), weights, max_size=12)


@pytest.mark.parametrize(
    ("weight", "scale", "expected"),
    [(1.0, 100.0, 100), (0.125, 100.0, 13), (0.375, 100.0, 38), (2.5, 51.2, 128), (0.004, 100.0, 0), (0.0, 100.0, 0)],
)
def test_an_impact_is_the_scaled_weight_rounded_half_up(weight: float, scale: float, expected: int) -> None:
    assert impact(weight, scale) == expected


def test_halves_round_up_where_python_would_round_to_even() -> None:
    assert (impact(0.5, 1), impact(1.5, 1), impact(2.5, 1)) == (1, 2, 3)


@given(st.lists(weights, max_size=20), st.sampled_from([1.0, 51.2, 100.0]))
def test_arrays_are_rounded_as_single_weights_are(values: list[float], scale: float) -> None:
    assert impacts(np.array(values, dtype=np.float32), scale).tolist() == [math.floor(w * scale + 0.5) for w in values]


def test_a_weight_that_is_not_finite_is_refused() -> None:
    with pytest.raises(InputError, match="not finite"):
        quantize({"cat": math.inf}, 100)


def test_entries_whose_impact_is_zero_are_left_out() -> None:
    assert quantize({"kept": 0.005, "left out": 0.0049}, 100) == {"kept": 1}


@given(vectors, st.sampled_from([1.0, 51.2, 100.0]))
def test_an_impact_differs_from_its_scaled_weight_by_at_most_a_half(vector: dict[str, float], scale: float) -> None:
    impacts = quantize(vector, scale)
    for token, weight in vector.items():
        assert abs(impacts.get(token, 0) - weight * scale) <= 0.5
    assert all(value >= 1 for value in impacts.values())


@pytest.mark.parametrize(("text", "scale"), [("100", 100.0), ("51.2", 51.2), ("256/5", 51.2), (" 256 / 5 ", 51.2)])
def test_a_scale_is_a_number_or_a_quotient(text: str, scale: float) -> None:
    assert parse_scale(text) == scale


@pytest.mark.parametrize("text", ["", "many", "1/0", "nan", "inf"])
def test_a_scale_that_is_not_a_number_is_refused(text: str) -> None:
    with pytest.raises(InputError, match=f"--scale must be a number such as 100 or 256/5, got '{text}'"):
        parse_scale(text)


@pytest.mark.parametrize("text", ["0", "-3"])
def test_a_scale_that_is_not_above_zero_is_refused(text: str) -> None:
    with pytest.raises(InputError, match=f"--scale must be above 0, got {text}"):
        parse_scale(text)


def test_the_dot_product_is_over_the_tokens_of_both() -> None:
    assert dot_product({"cat": 2, "dog": 3}, {"cat": 4, "bird": 5}) == 8
    assert dot_product({"cat": 2}, {"dog": 3}) == 0
