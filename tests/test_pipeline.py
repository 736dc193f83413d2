"""Threads that read, encode and write side by side: the bytes of one after the other, and every error in its place."""

import threading
import time
from collections.abc import Generator, Iterator, Sequence
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from splade_anserini import Document, InMemoryCorpus, SpladeDocumentEncoder
from splade_anserini.artifacts.manifests import ImpactManifest, read_manifest
from splade_anserini.encode import encode
from splade_anserini.encoding import DictionaryEncoder, EncoderOptions, prune_top_k, quantize
from splade_anserini.encoding.options import EncodeOptions
from splade_anserini.encoding.protocol import StagedEncoder
from splade_anserini.encoding.tokenized import TokenizedEncoder
from splade_anserini.encoding.torch_encoder import TorchEncoder
from splade_anserini.errors import OutputError, RecordError
from splade_anserini.formats.impacts import ImpactWriter, impact_files, read_impacts
from splade_anserini.modeling.checkpoint import Checkpoint
from splade_anserini.modeling.token_batches import padded, positions_by_length
from splade_anserini.parallel import prefetch
from splade_anserini.records import ImpactDocument, SparseVector
from tests.tiny import SENTENCES, tiny_bert, tiny_tokenizer

WORDS = DictionaryEncoder({"cat": {"cat": 2.0, "pet": 0.5}, "dog": {"dog": 1.5}})


@pytest.fixture(scope="module")
def tiny() -> TorchEncoder:
    return TorchEncoder(Checkpoint(tiny_bert(), tiny_tokenizer(), "tiny"), EncoderOptions(batch_size=3))


@pytest.fixture(autouse=True)
def no_thread_is_left() -> Iterator[None]:
    yield
    assert [thread.name for thread in threading.enumerate() if thread.name.startswith("splade-anserini")] == []


def corpus(number: int) -> list[Document]:
    return [Document(f"d{i}", "", SENTENCES[i % len(SENTENCES)] + " cat" * (i % 7)) for i in range(number)]


# Batches.


@given(st.lists(st.integers(0, 40)), st.integers(1, 6), st.one_of(st.none(), st.integers(1, 100)))
def test_batches_hold_every_text_once_and_no_more_than_they_may(
    lengths: list[int], texts: int, tokens: int | None
) -> None:
    groups = list(positions_by_length(lengths, texts, tokens))
    assert sorted(position for group in groups for position in group) == list(range(len(lengths)))
    firsts = [lengths[group[0]] for group in groups]
    assert firsts == sorted(firsts, reverse=True)
    for group in groups:
        longest = max(lengths[position] for position in group)
        assert 1 <= len(group) <= texts
        assert tokens is None or len(group) == 1 or len(group) * longest <= tokens
        assert longest == 0 or all(lengths[position] for position in group)


def test_padding_fills_up_to_the_longest() -> None:
    ids, mask = padded([[5, 6, 7], [8]], 3)
    assert ids.tolist() == [[5, 6, 7], [8, 0, 0]]
    assert mask.tolist() == [[1, 1, 1], [1, 0, 0]]


@pytest.mark.parametrize("tokens", [8, 64, None])
def test_a_max_tokens_of_tokens_changes_neither_the_order_nor_the_weights(tokens: int | None) -> None:
    encoder = TorchEncoder(Checkpoint(tiny_bert(), tiny_tokenizer(), "tiny"))
    texts = [*SENTENCES, "", "cat"]
    expected = [encoder.encode([text])[0] for text in texts]
    encoder._max_tokens = tokens
    for found, vector in zip(encoder.encode(texts), expected, strict=True):
        assert found == pytest.approx(vector, abs=1e-5)


def test_encoders_with_a_tokenizer_have_stages_and_others_need_none(tiny: TorchEncoder) -> None:
    assert isinstance(tiny, TokenizedEncoder)
    assert isinstance(tiny, StagedEncoder)
    assert not isinstance(WORDS, StagedEncoder)


# Threads.


def counted(number: int, seen: list[int]) -> Generator[int]:
    try:
        for i in range(number):
            seen.append(i)
            yield i
    finally:
        seen.append(-1)


@given(st.integers(0, 30), st.integers(1, 5))
def test_what_is_drawn_ahead_is_the_same_in_the_same_order(number: int, depth: int) -> None:
    assert list(prefetch(counted(number, []), depth)) == list(range(number))


def test_no_more_is_drawn_ahead_than_was_asked_for() -> None:
    seen: list[int] = []
    items = prefetch(counted(100, seen), 3)
    assert next(items) == 0
    deadline = time.monotonic() + 10
    while len(seen) < 4 and time.monotonic() < deadline:
        time.sleep(0.001)
    time.sleep(0.02)
    assert len(seen) <= 5
    items.close()
    assert seen[-1] == -1, "the generator behind it is closed"


def test_an_exception_comes_after_the_items_before_it() -> None:
    def failing() -> Iterator[int]:
        yield 1
        raise KeyboardInterrupt

    items = prefetch(prefetch(failing()))
    assert next(items) == 1
    with pytest.raises(KeyboardInterrupt):
        next(items)


# The stages of encode.


@pytest.mark.parametrize("top_k", [None, 5])
def test_side_by_side_gives_what_one_after_the_other_gives(
    tiny: TorchEncoder, tmp_path: Path, top_k: int | None
) -> None:
    documents = corpus(600)
    encode(InMemoryCorpus("some", documents), tiny, tmp_path / "out", EncodeOptions(top_k=top_k))
    vectors: list[SparseVector] = []
    # The same windows: a batch's shape may change the last bit of a weight.
    for start in range(0, 600, 256):
        vectors += tiny.encode([document.contents for document in documents[start : start + 256]])
    with ImpactWriter(tmp_path / "expected.jsonl.gz") as writer:
        for document, vector in zip(documents, vectors, strict=True):
            writer.write(ImpactDocument(document.id, quantize(prune_top_k(vector, top_k), 100), document.contents))
    (shard,) = impact_files(tmp_path / "out")
    assert shard.read_bytes() == (tmp_path / "expected.jsonl.gz").read_bytes()


def test_documents_without_tokens_stay_in_their_place(tiny: TorchEncoder) -> None:
    documents = [Document(str(i), "", "cat" if i % 3 else " ") for i in range(300)]
    found = list(SpladeDocumentEncoder(tiny).encode(documents))
    assert [document.id for document in found] == [document.id for document in documents]
    assert all(bool(document.vector) == bool(i % 3) for i, document in enumerate(found))


class Failing(TorchEncoder):
    """Fails in the stage that is named."""

    stage = ""
    error: BaseException = KeyboardInterrupt()

    def prepare(self, texts: Sequence[str]) -> list[object]:  # type: ignore[override]
        if self.stage == "prepare":
            raise self.error
        return super().prepare(texts)  # type: ignore[return-value]

    def _entries(self, batch: object) -> list[object]:  # type: ignore[override]
        if self.stage == "run":
            raise self.error
        return super()._entries(batch)  # type: ignore[arg-type, return-value]


def files(directory: Path) -> list[str]:
    return sorted(path.name for path in directory.iterdir())


@pytest.mark.parametrize("stage", ["prepare", "run"])
@pytest.mark.parametrize("error", [KeyboardInterrupt(), MemoryError("no room"), RecordError("corpus", 3, "bad")])
def test_an_error_in_any_thread_surfaces_and_leaves_nothing_half_written(
    tmp_path: Path, stage: str, error: BaseException
) -> None:
    encoder = Failing(Checkpoint(tiny_bert(), tiny_tokenizer(), "tiny"))
    options = EncodeOptions(docs_per_shard=10)
    documents = InMemoryCorpus("some", corpus(30))
    with pytest.raises(type(error)) as caught:
        encoder.stage, encoder.error = stage, error
        encode(documents, encoder, tmp_path / "out", options)
    assert caught.value is error
    assert files(tmp_path / "out") == ["splade.manifest"]
    encoder.stage = ""
    assert encode(documents, encoder, tmp_path / "out", options).complete


class Broken:
    """A corpus that reads well once, when it is checked, and fails when it is encoded."""

    name = "broken"

    def __init__(self, error: Exception) -> None:
        self.readings, self.error = 0, error

    def __iter__(self) -> Iterator[Document]:
        self.readings += 1
        yield from corpus(25)
        if self.readings > 1:
            raise self.error
        yield Document("last", "", "cat")


def test_a_corpus_that_fails_while_it_is_encoded_keeps_the_shards_before(tmp_path: Path) -> None:
    with pytest.raises(RecordError, match="line 26: bad"):
        encode(Broken(RecordError("broken", 26, "bad")), WORDS, tmp_path, EncodeOptions(docs_per_shard=10))
    assert files(tmp_path) == ["shard-00000.jsonl.gz", "shard-00001.jsonl.gz", "splade.manifest"]
    manifest = read_manifest(tmp_path, ImpactManifest)
    assert manifest is not None
    assert len(manifest.shards) == 2


def test_an_error_of_the_writer_stops_the_threads(tmp_path: Path, tiny: TorchEncoder) -> None:
    (tmp_path / "shard-00000.jsonl.gz").mkdir()
    with pytest.raises(OutputError):
        encode(InMemoryCorpus("some", corpus(600)), tiny, tmp_path)
    assert not list(tmp_path.glob("*.partial"))


def test_a_caller_who_has_seen_enough_stops_the_threads(tiny: TorchEncoder) -> None:
    def endless() -> Iterator[Document]:
        while True:
            yield from corpus(10)

    encoded = SpladeDocumentEncoder(tiny).encode(endless())
    assert next(encoded).id == "d0"
    encoded.close()


def test_what_is_written_is_read_again(tmp_path: Path) -> None:
    encode(InMemoryCorpus("some", corpus(600)), WORDS, tmp_path, EncodeOptions(docs_per_shard=250))
    found = [document for file in impact_files(tmp_path) for document in read_impacts(file)]
    assert [document.id for document in found] == [f"d{i}" for i in range(600)]
