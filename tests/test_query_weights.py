from pathlib import Path

import pytest

from splade_anserini.errors import InputError
from splade_anserini.formats.query_weights import read_query_weights, write_query_weights
from tests.tiny import tiny_vocabulary


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ("", "is not valid JSON"),
        ("[1]", "contains an array"),
        ('{"cat": -1}', "the weight of 'cat' is -1"),
        ('{"cat": "1"}', "the weight of 'cat' is a string"),
        ('{"cat": true}', "the weight of 'cat' is true"),
        ('{"cat": 1e300}', r"the weight of 'cat' is 1e\+300"),
        ('{"kat": 1}', "the token 'kat' is not in the vocabulary"),
    ],
)
def test_invalid_query_weights_are_refused(tmp_path: Path, content: str, message: str) -> None:
    (tmp_path / "query_weights.json").write_text(content)
    with pytest.raises(InputError, match=message):
        read_query_weights(tmp_path, tiny_vocabulary())


def test_query_weights_are_read_as_they_were_written(tmp_path: Path) -> None:
    write_query_weights(tmp_path, {"cat": 1.5, "a": 0, "dog": 1e-9})
    assert read_query_weights(tmp_path, {"cat", "dog"}) == {"cat": 1.5, "a": 0.0, "dog": 1e-9}


@pytest.mark.parametrize("weight", [float("nan"), float("inf"), -1.0, 1e300])
def test_invalid_query_weights_are_not_written(tmp_path: Path, weight: float) -> None:
    with pytest.raises(InputError, match="The weight of 'cat' is "):
        write_query_weights(tmp_path, {"cat": weight})
    assert not list(tmp_path.iterdir())


def test_a_model_without_query_weights_is_refused(tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"needs query_weights\.json, which is missing"):
        read_query_weights(tmp_path, tiny_vocabulary())
