import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from splade_anserini.formats._scores import decimals

floats = st.floats(width=32, allow_nan=False, allow_infinity=False)
whole = st.integers(-(2**25), 2**25).map(float)


@given(st.lists(st.one_of(floats, whole, st.sampled_from([0.0, -0.0, 2.0**24, 2.0**24 - 1])), max_size=30))
def test_a_decimal_is_the_shortest_without_an_exponent_that_reads_back(scores: list[float]) -> None:
    expected = [np.format_float_positional(np.float32(score), unique=True, trim="0") for score in scores]
    assert decimals(scores) == expected
    assert [np.float32(text) for text in decimals(scores)] == [np.float32(score) for score in scores]
