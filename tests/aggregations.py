"""All poolings with all activations, as parameters of tests."""

import pytest

from splade_anserini.records import ACTIVATIONS, POOLINGS, Aggregation

AGGREGATIONS = [
    pytest.param(Aggregation(pooling, activation), id=f"{pooling}-{activation}")
    for activation in ACTIVATIONS
    for pooling in POOLINGS
]
