from pathlib import Path

import pytest

from splade_anserini.errors import InputError
from splade_anserini.formats.query_weights import read_query_weights, write_query_weights
from tests.tiny import tiny_vocabulary


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("", "is not JSON"),
        ("[1]", "holds an array"),
        ('{"cat": -1}', "the weight of 'cat' is -1"),
        ('{"cat": "1"}', "the weight of 'cat' is a string"),
        ('{"cat": true}', "the weight of 'cat' is true"),
        ('{"cat": 1e300}', r"the weight of 'cat' is 1e\+300"),
        ('{"kat": 1}', "the vocabulary has no token 'kat'"),
    ],
)
def test_query_weights_that_cannot_be_are_refused(tmp_path: Path, text: str, said: str) -> None:
    (tmp_path / "query_weights.json").write_text(text)
    with pytest.raises(InputError, match=said):
        read_query_weights(tmp_path, tiny_vocabulary())


def test_query_weights_are_read_as_they_were_written(tmp_path: Path) -> None:
    write_query_weights(tmp_path, {"cat": 1.5, "a": 0, "dog": 1e-9})
    assert read_query_weights(tmp_path, {"cat", "dog"}) == {"cat": 1.5, "a": 0.0, "dog": 1e-9}
    with pytest.raises(InputError, match="weight of 'cat' is nan"):
        write_query_weights(tmp_path, {"cat": float("nan")})
