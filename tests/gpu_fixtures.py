"""A tiny checkpoint and texts for tests of torch's encoder, and how its vectors are compared."""

from collections.abc import Sequence
from typing import Any

import pytest

from splade_anserini.modeling.checkpoint import Checkpoint
from splade_anserini.records import SparseVector
from tests.tiny import SENTENCES, tiny_bert, tiny_tokenizer

TEXTS = [*SENTENCES, "", "cat", "dog bird", " "]


def checkpoint(model: Any = None, *, token_types: bool = True) -> Checkpoint:
    return Checkpoint(model or tiny_bert(), tiny_tokenizer(token_types=token_types), "tiny")


def assert_close(vectors: Sequence[SparseVector], expected: Sequence[SparseVector]) -> None:
    assert len(vectors) == len(expected)
    for vector, reference in zip(vectors, expected, strict=True):
        assert vector == pytest.approx(reference, abs=1e-5)
