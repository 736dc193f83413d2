"""Embeddings of a teacher in a file: other runs read them, a kill damages none, another teacher is refused."""

from pathlib import Path

import numpy as np
import pytest
import torch

from splade_anserini.errors import MismatchError
from splade_anserini.training.teachers.embedding_file import EmbeddingFile
from splade_anserini.training.teachers.in_batch import EmbeddingCache
from tests.training_fixtures import RecordingTeacher

IDENTITY: dict[str, str | int | bool] = {"teacher": "abc", "max_length": 20}
TEXTS = ["the cat", "the dog", "a house"]


def embedding(seed: int) -> np.ndarray[tuple[int], np.dtype[np.float16]]:
    return np.random.default_rng(seed).normal(size=32).astype(np.float16)


def opened(path: Path) -> EmbeddingFile:
    return EmbeddingFile(path, IDENTITY, 32)


def test_what_was_added_is_read_by_the_next_run(tmp_path: Path) -> None:
    path, values = tmp_path / "new" / "embeddings.bin", {text: embedding(row) for row, text in enumerate(TEXTS)}
    first = opened(path)
    first.add({text: values[text] for text in TEXTS[:2]})
    first.add({TEXTS[2]: values[TEXTS[2]]})
    for file in (first, opened(path)):
        assert len(file) == 3
        found = file.read([TEXTS[2], "unknown", TEXTS[0]])
        assert list(found) == [TEXTS[2], TEXTS[0]]
        assert all(np.array_equal(found[text], values[text]) for text in found)


@pytest.mark.parametrize("lost", [1, 40])
def test_a_record_that_a_kill_left_half_written_is_written_again(tmp_path: Path, lost: int) -> None:
    path = tmp_path / "embeddings.bin"
    opened(path).add({text: embedding(row) for row, text in enumerate(TEXTS)})
    path.write_bytes(path.read_bytes()[:-lost])
    file = opened(path)
    assert len(file) == 2
    assert not file.read(TEXTS[2:])
    file.add({TEXTS[2]: embedding(2)})
    assert np.array_equal(opened(path).read(TEXTS)[TEXTS[2]], embedding(2))


def test_embeddings_of_another_teacher_are_refused(tmp_path: Path) -> None:
    path = tmp_path / "embeddings.bin"
    opened(path).add({"the cat": embedding(0)})
    with pytest.raises(MismatchError, match="holds no embeddings of this teacher"):
        EmbeddingFile(path, IDENTITY | {"teacher": "another"}, 32)


@pytest.mark.parametrize("content", [b"x" * 2000, b"seed = 42\n", b"{"])
def test_a_file_of_another_kind_is_refused_and_stays(tmp_path: Path, content: bytes) -> None:
    path = tmp_path / "embeddings.bin"
    path.write_bytes(content)
    if content == b"{":
        # The beginning of a header: of a run that was killed.
        assert len(opened(path)) == 0
        return
    with pytest.raises(MismatchError, match="holds no embeddings"):
        opened(path)
    assert path.read_bytes() == content


def test_several_runs_add_to_a_file_in_turn(tmp_path: Path) -> None:
    path, values = tmp_path / "embeddings.bin", {text: embedding(row) for row, text in enumerate(TEXTS)}
    first, second = opened(path), opened(path)
    first.add({TEXTS[0]: values[TEXTS[0]]})
    second.add({TEXTS[1]: values[TEXTS[1]]})
    second.add({TEXTS[0]: values[TEXTS[0]]})
    first.add({TEXTS[1]: embedding(9), TEXTS[2]: values[TEXTS[2]]})
    second.add({"another": embedding(7)})
    for file in (first, second, opened(path)):
        found = file.read(TEXTS)
        assert all(np.array_equal(found[text], values[text]) for text in found)
        assert set(found) >= {TEXTS[0], TEXTS[1]}
    assert set(opened(path).read([*TEXTS, "another"])) == {*TEXTS, "another"}


def test_a_cache_with_a_file_does_not_embed_what_an_earlier_one_did(tmp_path: Path) -> None:
    teacher, path = RecordingTeacher(), tmp_path / "embeddings.bin"
    expected = EmbeddingCache(teacher, 20)(TEXTS)
    for requested, missing in [(TEXTS[:2], TEXTS[:2]), (TEXTS, TEXTS[2:]), (TEXTS, [])]:
        teacher.embedded.clear()
        rows = EmbeddingCache(teacher, 20, file=opened(path))(requested)
        torch.testing.assert_close(rows, expected[: len(requested)], rtol=2e-3, atol=2e-3)
        assert teacher.embedded == missing
