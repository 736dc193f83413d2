"""Encoding a corpus again that has grown or was changed: only what is new, with the bytes of a fresh start."""

from collections.abc import Iterable, Sequence
from pathlib import Path

import hypothesis.strategies as st
import pytest
from hypothesis import HealthCheck, given, settings

from splade_anserini import DictionaryEncoder
from splade_anserini.artifacts.manifests import ImpactManifest, read_manifest
from splade_anserini.encode import encode
from splade_anserini.encoding import EncodeOptions
from splade_anserini.encoding.again import restore_shards
from splade_anserini.encoding.shard_files import InProcess
from splade_anserini.errors import NOTE, InputError, MismatchError
from splade_anserini.formats.corpora import InMemoryCorpus
from splade_anserini.lucene.sources import find_impacts
from splade_anserini.records import Document, SparseVector
from tests.cli_runner import run_stage

WORDS = {word: {word: 1.0, "animal": 0.5} for word in ("cat", "dog", "cow")}
OPTIONS = EncodeOptions(docs_per_shard=4)


class Counting(DictionaryEncoder):
    """Keeps the texts that it encodes, and is interrupted after some."""

    def __init__(self, stop_after: int | None = None) -> None:
        super().__init__(WORDS)
        self.texts: list[str] = []
        self.stop_after = stop_after

    def encode(self, texts: Sequence[str]) -> list[SparseVector]:
        self.texts += texts
        if self.stop_after is not None and len(self.texts) > self.stop_after:
            raise KeyboardInterrupt
        return super().encode(texts)


def numbered(numbers: Iterable[int], text: str = "cat dog") -> list[Document]:
    return [Document(f"d{number}", "", f"{text} {number}") for number in numbers]


def run(documents: Sequence[Document], output: Path, options: EncodeOptions = OPTIONS, **changes: object) -> list[str]:
    """Encode documents; return the texts that were encoded."""
    encoder = Counting()
    encode(InMemoryCorpus("animals", list(documents)), encoder, output, options, **changes)  # type: ignore[arg-type]
    return encoder.texts


def bytes_of(directory: Path) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in directory.iterdir()}


def assert_as_fresh(documents: Sequence[Document], output: Path, options: EncodeOptions = OPTIONS) -> None:
    run(documents, output.with_name("fresh"), options, overwrite=True)
    assert bytes_of(output) == bytes_of(output.with_name("fresh"))


OLD = numbered(range(10))
CASES = {
    "grown within the last shard": ([*OLD, *numbered([10])], 1),
    "grown by more than a shard": ([*OLD, *numbered(range(10, 20))], 10),
    "one at the front": ([*numbered([99]), *OLD], 1),
    "one removed at the front": (OLD[1:], 0),
    "three removed in the middle": ([*OLD[:2], *OLD[5:]], 0),
    "cut": (OLD[:7], 0),
    "cut after a shard": (OLD[:4], 0),
    "one edited": ([*OLD[:5], Document("d5", "", "cow"), *OLD[6:]], 1),
    "a title that is the same text": ([*OLD[:5], Document("d5", "cat", "dog 5"), *OLD[6:]], 0),
    "a shard of new ones in the middle": ([*OLD[:4], *numbered(range(20, 24)), *OLD[4:]], 4),
    "another order of neighbours": ([OLD[1], OLD[0], *OLD[2:]], 0),
}


@pytest.mark.parametrize("case", CASES)
def test_only_what_is_new_is_encoded_and_the_bytes_are_those_of_a_fresh_start(tmp_path: Path, case: str) -> None:
    documents, new = CASES[case]
    run(OLD, tmp_path / "out")
    assert len(run(documents, tmp_path / "out")) == new
    assert_as_fresh(documents, tmp_path / "out")
    assert run(documents, tmp_path / "out") == []


def test_a_corpus_that_grew_after_a_whole_shard(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(NOTE)
    run(OLD[:8], tmp_path / "out")
    assert len(run(OLD, tmp_path / "out")) == 2
    said = "animals has changed since it was encoded. Reused 2 of 3 shards (8 documents); 2 documents were encoded."
    assert said in caplog.text
    assert_as_fresh(OLD, tmp_path / "out")


def test_nothing_is_said_when_nothing_changed(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(NOTE)
    run(OLD, tmp_path / "out")
    run(OLD, tmp_path / "out")
    assert "has changed" not in caplog.text


def test_what_was_reused_is_said(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(NOTE)
    run(OLD, tmp_path / "out")
    run([*OLD, *numbered([10])], tmp_path / "out")
    assert "Reused 2 of 3 shards (8 documents) and 2 documents of the others; 1 document was encoded." in caplog.text
    run([*numbered([99]), *OLD, *numbered([10])], tmp_path / "out")
    assert "Reused 11 documents of 3 shards; 1 document was encoded." in caplog.text


def test_without_texts_the_beginning_of_a_shard_is_reused(tmp_path: Path) -> None:
    options = EncodeOptions(docs_per_shard=4, contents=False)
    run(OLD, tmp_path / "out", options)
    assert len(run([*OLD, *numbered([10])], tmp_path / "out", options)) == 1
    assert_as_fresh([*OLD, *numbered([10])], tmp_path / "out", options)
    documents = [*OLD[:5], Document("d5", "", "cow"), *OLD[6:], *numbered([10])]
    assert len(run(documents, tmp_path / "out", options)) == 4
    assert_as_fresh(documents, tmp_path / "out", options)


def test_only_whole_shards_are_reused_where_weights_depend_on_batches(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    run(OLD, tmp_path / "out")
    monkeypatch.setattr(InProcess, "reuses_documents", False)
    assert len(run([*OLD, *numbered([10])], tmp_path / "out")) == 3
    assert_as_fresh([*OLD, *numbered([10])], tmp_path / "out")


@pytest.mark.parametrize("contents", [True, False])
@pytest.mark.parametrize("documents", [numbered(range(20, 30)), [*numbered(range(20, 24)), *OLD]])
def test_a_corpus_with_a_first_shard_of_other_documents_is_refused(
    tmp_path: Path, documents: list[Document], contents: bool
) -> None:
    options = EncodeOptions(docs_per_shard=4, contents=contents)
    run(OLD, tmp_path / "out", options)
    before = bytes_of(tmp_path / "out")
    with pytest.raises(MismatchError, match="animals has changed since shard-00000"):
        run(documents, tmp_path / "out", options)
    assert bytes_of(tmp_path / "out") == before
    assert len(run(documents, tmp_path / "out", options, overwrite=True)) == len(documents)


def test_a_lost_shard_of_a_changed_corpus(tmp_path: Path) -> None:
    run(OLD, tmp_path / "out")
    (tmp_path / "out" / "shard-00001.jsonl.gz").unlink()
    documents = [*OLD[:9], Document("d9", "", "cow")]
    assert len(run(documents, tmp_path / "out")) == 5
    assert_as_fresh(documents, tmp_path / "out")


def test_restoring_a_shard_needs_the_same_corpus(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    run(OLD, tmp_path / "out")
    (tmp_path / "out" / "shard-00001.jsonl.gz").unlink()
    before = bytes_of(tmp_path / "out")
    monkeypatch.setattr("splade_anserini.encoding.again.open_recorded_encoder", lambda *_: Counting())
    changed = InMemoryCorpus("animals", [*OLD[:5], Document("d5", "", "cow"), *OLD[6:]])
    with pytest.raises(MismatchError, match="has changed since shard-00001"):
        restore_shards(tmp_path / "out", changed, None)  # type: ignore[arg-type]
    assert bytes_of(tmp_path / "out") == before


@pytest.mark.parametrize("again", ["the same corpus", "changed once more"])
@pytest.mark.parametrize("stop_after", [0, 1, 3, 5])
def test_an_interrupted_change_goes_on(tmp_path: Path, stop_after: int, again: str) -> None:
    run(OLD, tmp_path / "out")
    documents = [*numbered([99]), *OLD[:5], Document("d5", "", "cow"), *OLD[6:], *numbered(range(30, 36))]
    with pytest.raises(KeyboardInterrupt):
        encode(InMemoryCorpus("animals", documents), Counting(stop_after), tmp_path / "out", OPTIONS)
    with pytest.raises(InputError, match="is incomplete"):
        find_impacts(tmp_path / "out")
    if again == "changed once more":
        documents = [*documents[:8], Document("d7", "", "dog"), *documents[9:], *numbered([40])]
    assert len(run(documents, tmp_path / "out")) <= 10
    assert_as_fresh(documents, tmp_path / "out")


def test_overwrite_removes_what_an_interrupted_change_set_aside(tmp_path: Path) -> None:
    run(OLD, tmp_path / "out")
    with pytest.raises(KeyboardInterrupt):
        encode(InMemoryCorpus("animals", [*OLD[1:], *numbered([99])]), Counting(0), tmp_path / "out", OPTIONS)
    run(OLD[1:], tmp_path / "out", overwrite=True)
    assert_as_fresh(OLD[1:], tmp_path / "out")


@given(
    st.lists(st.integers(0, 30), unique=True, min_size=1, max_size=20),
    st.lists(st.integers(0, 30), unique=True, min_size=1, max_size=20),
    st.sets(st.integers(0, 30), max_size=3),
)
@settings(max_examples=60, deadline=None, derandomize=True, suppress_health_check=list(HealthCheck))
def test_any_change_gives_the_bytes_of_a_fresh_start(
    tmp_path_factory: pytest.TempPathFactory, before: list[int], after: list[int], edited: set[int]
) -> None:
    home = tmp_path_factory.mktemp("change")
    run(numbered(before), home / "out")
    documents = [Document(f"d{n}", "", "cow") if n in edited else numbered([n])[0] for n in after]
    try:
        run(documents, home / "out")
    except MismatchError:
        assert numbered(before)[:4] != documents[:4]
        return
    assert_as_fresh(documents, home / "out")


@pytest.mark.slow
def test_truncated_texts_are_counted_also_where_they_are_reused(tmp_path: Path) -> None:
    corpus = tmp_path / "corpus.jsonl"
    lines = [f'{{"id": "{n}", "contents": "wing flutter number {n} in supersonic flow"}}\n' for n in range(4)]
    corpus.write_text("".join(lines[:3]))
    arguments = ("--corpus", corpus, "--max-length", 8)
    assert run_stage("encode", *arguments, "--output", tmp_path / "out").code == 0
    corpus.write_text("".join(lines))
    done = run_stage("encode", *arguments, "--output", tmp_path / "out")
    assert done.code == 0
    assert run_stage("encode", *arguments, "--output", tmp_path / "fresh").code == 0
    assert bytes_of(tmp_path / "out") == bytes_of(tmp_path / "fresh")
    manifest = read_manifest(tmp_path / "out", ImpactManifest)
    assert manifest is not None
    assert manifest.truncation is not None
    assert (manifest.truncation.texts, manifest.truncation.truncated) == (4, 4)
