"""Numbers in text, and nothing that is not one."""

import re

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from splade_anserini.formats.parsing.numbers import number_of, parse_integer, parse_number, whole_number

NUMBER = re.compile(r"[+-]?([0-9]+\.?[0-9]*|\.[0-9]+)([eE][+-]?[0-9]+)?", re.ASCII)
texts = st.text("0123456789+-.eE_ x٢", max_size=8) | st.floats().map(repr) | st.integers().map(str)


@given(texts)
def test_a_number_is_what_the_grammar_says(text: str) -> None:
    expected = float(text) if NUMBER.fullmatch(text) else None
    with np.errstate(over="ignore"):
        if expected is not None and not np.isfinite(np.float32(expected)):
            expected = None
    assert parse_number(text) == parse_number(text.encode()) == expected


@given(texts)
def test_an_integer_has_at_most_15_digits(text: str) -> None:
    expected = int(text) if re.fullmatch(r"[+-]?[0-9]+", text, re.ASCII) and len(text) <= 16 else None
    assert parse_integer(text) == parse_integer(text.encode()) == expected


@pytest.mark.parametrize(
    "text", ["1_0", "١٢", " 12 ", "12 ", "1e39", "-1e39", "nan", "inf", "0x1p3", "", "-", ".", "e5", "1,5", "1e400"]
)
def test_what_is_not_a_number_of_32_bits_is_none(text: str) -> None:
    assert parse_number(text) is None
    assert parse_integer(text) is None


@pytest.mark.parametrize("value", [True, None, "1", [], {}, float("nan"), float("inf"), 1e39, 10**400])
def test_a_value_of_json_that_is_not_a_number_is_none(value: object) -> None:
    assert number_of(value) is None


@pytest.mark.parametrize(("value", "whole"), [(1.0, 1), (-2.0, -2), (0.5, None), (None, None)])
def test_a_whole_number_has_no_fraction(value: float | None, whole: int | None) -> None:
    assert whole_number(value) == whole
