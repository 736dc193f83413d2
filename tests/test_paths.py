"""Public readers and writers take a path as a string, as a `Path`, or as any other `os.PathLike`."""

import json
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from splade_anserini.formats.corpora import check_corpus, open_corpus
from splade_anserini.formats.example_records import ExampleRecord, Passage, write_examples
from splade_anserini.formats.examples import open_examples
from splade_anserini.formats.impacts import ImpactWriter, count_impacts, impact_files, read_impacts
from splade_anserini.formats.qrels import read_qrels
from splade_anserini.formats.query_weights import read_query_weights, write_query_weights
from splade_anserini.formats.rankings import RunScores
from splade_anserini.formats.runs import read_rankings, read_run, write_run
from splade_anserini.formats.texts import open_documents, open_texts
from splade_anserini.formats.topics import are_encoded, read_encoded_topics, read_topics, write_encoded_topics
from splade_anserini.records import ImpactDocument

type AnyPath = str | os.PathLike[str]


class OtherPath:
    """A path that is neither a string nor a `Path`."""

    def __init__(self, path: Path) -> None:
        self._path = path

    def __fspath__(self) -> str:
        return str(self._path)


def write_impacts(path: AnyPath) -> None:
    with ImpactWriter(path) as writer:
        writer.write(ImpactDocument("d0", {"cat": 1}))


def lookup_texts(path: AnyPath) -> str:
    return open_texts(path, path).document("d0")


READERS: list[tuple[str, Callable[[Any], object]]] = [
    ("beir", lambda path: check_corpus(open_corpus(path))),
    ("beir/corpus.jsonl", lambda path: open_documents(path)["d0"]),
    ("beir", lookup_texts),
    ("beir", read_topics),
    ("topics.tsv", read_topics),
    ("topics.tsv", read_encoded_topics),
    ("topics.tsv", are_encoded),
    ("beir", read_qrels),
    ("beir/qrels/test.tsv", read_qrels),
    ("run.txt", lambda path: list(read_run(path))),
    ("run.txt", lambda path: list(read_rankings(path))),
    ("run.txt", lambda path: RunScores(path)([("q0", "d0")])),
    ("impacts", lambda path: [path.name for path in impact_files(path)]),
    ("impacts", count_impacts),
    ("impacts/docs.jsonl", lambda path: list(read_impacts(path))),
    ("examples.tsv", lambda path: list(open_examples(path))),
    ("model", lambda path: read_query_weights(path, {"cat"})),
]
WRITERS: list[Callable[[Any], object]] = [
    lambda path: write_run(path, [("q0", [])]),
    lambda path: write_encoded_topics(path, {"q0": {"cat": 1}}),
    lambda path: write_examples(path, [ExampleRecord(Passage("q0"), Passage("d0"))]),
    lambda path: write_query_weights(path, {"cat": 1}),
    write_impacts,
]


@pytest.fixture
def data(tmp_path: Path) -> Path:
    contents = {
        "beir/corpus.jsonl": json.dumps({"_id": "d0", "text": "the cat"}),
        "beir/queries.jsonl": json.dumps({"_id": "q0", "text": "cat"}),
        "beir/qrels/test.tsv": "query-id\tcorpus-id\tscore\nq0\td0\t1\n",
        "topics.tsv": "q0\tcat cat\n",
        "run.txt": "q0 Q0 d0 1 2.5 tag\n",
        "impacts/docs.jsonl": json.dumps({"id": "d0", "vector": {"cat": 3}}),
        "examples.tsv": "cat\tthe cat\n",
        "model/query_weights.json": json.dumps({"cat": 1.5}),
    }
    for name, content in contents.items():
        path = tmp_path / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(content)
    return tmp_path


@pytest.mark.parametrize("kind", [str, OtherPath], ids=["str", "PathLike"])
@pytest.mark.parametrize(("name", "read"), READERS)
def test_readers_take_any_path(
    data: Path, name: str, read: Callable[[AnyPath], object], kind: Callable[[Path], AnyPath]
) -> None:
    expected = read(data / name)
    assert expected is not None
    assert read(kind(data / name)) == expected


@pytest.mark.parametrize("kind", [str, OtherPath], ids=["str", "PathLike"])
@pytest.mark.parametrize("write", WRITERS)
def test_writers_take_any_path(
    tmp_path: Path, write: Callable[[AnyPath], object], kind: Callable[[Path], AnyPath]
) -> None:
    expected, path = tmp_path / "expected", tmp_path / "other"
    write(expected)
    write(kind(path))
    files = [path / "query_weights.json", expected / "query_weights.json"] if path.is_dir() else [path, expected]
    assert files[0].read_bytes() == files[1].read_bytes()
