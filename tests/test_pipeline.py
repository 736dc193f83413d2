"""The threads of encoding: the same bytes as without threads, and every error where it belongs."""

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


def corpus(size: int) -> list[Document]:
    return [Document(f"d{i}", "", SENTENCES[i % len(SENTENCES)] + " cat" * (i % 7)) for i in range(size)]


# Batches.


@given(st.lists(st.integers(0, 40)), st.integers(1, 6), st.one_of(st.none(), st.integers(1, 100)))
def test_groups_hold_every_text_once_within_the_limits(
    lengths: list[int], max_texts: int, max_tokens: int | None
) -> None:
    groups = list(positions_by_length(lengths, max_texts, max_tokens))
    assert sorted(position for group in groups for position in group) == list(range(len(lengths)))
    firsts = [lengths[group[0]] for group in groups]
    assert firsts == sorted(firsts, reverse=True)
    for group in groups:
        longest = max(lengths[position] for position in group)
        assert 1 <= len(group) <= max_texts
        assert max_tokens is None or len(group) == 1 or len(group) * longest <= max_tokens
        assert longest == 0 or all(lengths[position] for position in group)


def test_rows_are_padded_to_the_length() -> None:
    ids, mask = padded([[5, 6, 7], [8]], 3)
    assert ids.tolist() == [[5, 6, 7], [8, 0, 0]]
    assert mask.tolist() == [[1, 1, 1], [1, 0, 0]]


@pytest.mark.parametrize("max_tokens", [8, 64, None])
def test_a_limit_of_tokens_changes_neither_the_order_nor_the_weights(max_tokens: int | None) -> None:
    encoder = TorchEncoder(Checkpoint(tiny_bert(), tiny_tokenizer(), "tiny"))
    texts = [*SENTENCES, "", "cat"]
    expected = [encoder.encode([text])[0] for text in texts]
    encoder._max_tokens = max_tokens
    for vector, reference in zip(encoder.encode(texts), expected, strict=True):
        assert vector == pytest.approx(reference, abs=1e-5)


def test_encoders_with_a_tokenizer_have_stages_and_others_have_none(tiny: TorchEncoder) -> None:
    assert isinstance(tiny, TokenizedEncoder)
    assert isinstance(tiny, StagedEncoder)
    assert not isinstance(WORDS, StagedEncoder)


# Threads.


def counting(size: int, drawn: list[int]) -> Generator[int]:
    try:
        for i in range(size):
            drawn.append(i)
            yield i
    finally:
        drawn.append(-1)


@given(st.integers(0, 30), st.integers(1, 5))
def test_prefetching_keeps_items_and_order(size: int, depth: int) -> None:
    assert list(prefetch(counting(size, []), depth)) == list(range(size))


def test_no_more_items_are_prefetched_than_the_depth_allows() -> None:
    drawn: list[int] = []
    items = prefetch(counting(100, drawn), 3)
    assert next(items) == 0
    deadline = time.monotonic() + 10
    while len(drawn) < 4 and time.monotonic() < deadline:
        time.sleep(0.001)
    time.sleep(0.02)
    assert len(drawn) <= 5
    items.close()
    assert drawn[-1] == -1, "the generator behind it is closed"


def test_an_exception_is_raised_after_the_items_before_it() -> None:
    def failing() -> Iterator[int]:
        yield 1
        raise KeyboardInterrupt

    items = prefetch(prefetch(failing()))
    assert next(items) == 1
    with pytest.raises(KeyboardInterrupt):
        next(items)


# The stages of encode.


@pytest.mark.slow
@pytest.mark.parametrize("top_k", [None, 5])
def test_the_bytes_are_those_of_encoding_without_threads(tiny: TorchEncoder, tmp_path: Path, top_k: int | None) -> None:
    documents = corpus(600)
    encode(InMemoryCorpus("sentences", documents), tiny, tmp_path / "out", EncodeOptions(top_k=top_k))
    vectors: list[SparseVector] = []
    # In the same windows, since the shape of a batch may change the last bit of a weight.
    for start in range(0, 600, 256):
        vectors += tiny.encode([document.contents for document in documents[start : start + 256]])
    with ImpactWriter(tmp_path / "expected.jsonl.gz") as writer:
        for document, vector in zip(documents, vectors, strict=True):
            writer.write(ImpactDocument(document.id, quantize(prune_top_k(vector, top_k), 100), document.contents))
    (shard,) = impact_files(tmp_path / "out")
    assert shard.read_bytes() == (tmp_path / "expected.jsonl.gz").read_bytes()


def test_documents_without_tokens_keep_their_position(tiny: TorchEncoder) -> None:
    documents = [Document(str(i), "", "cat" if i % 3 else " ") for i in range(300)]
    encoded = list(SpladeDocumentEncoder(tiny).encode(documents))
    assert [document.id for document in encoded] == [document.id for document in documents]
    assert all(bool(document.vector) == bool(i % 3) for i, document in enumerate(encoded))


class FailingEncoder(TorchEncoder):
    """Raises an error in one of its stages."""

    stage = ""
    error: BaseException = KeyboardInterrupt()

    def prepare(self, texts: Sequence[str], truncation: object = None) -> list[object]:  # type: ignore[override]
        if self.stage == "prepare":
            raise self.error
        return super().prepare(texts, truncation)  # type: ignore[return-value, arg-type]

    def _entries(self, batch: object) -> list[object]:  # type: ignore[override]
        if self.stage == "run":
            raise self.error
        return super()._entries(batch)  # type: ignore[arg-type, return-value]


def files(directory: Path) -> list[str]:
    return sorted(path.name for path in directory.iterdir())


@pytest.mark.parametrize("stage", ["prepare", "run"])
@pytest.mark.parametrize("error", [KeyboardInterrupt(), MemoryError("no room"), RecordError("corpus", 3, "bad")])
def test_an_error_in_any_thread_is_raised_and_leaves_no_partial_file(
    tmp_path: Path, stage: str, error: BaseException
) -> None:
    encoder = FailingEncoder(Checkpoint(tiny_bert(), tiny_tokenizer(), "tiny"))
    options = EncodeOptions(docs_per_shard=10)
    documents = InMemoryCorpus("sentences", corpus(30))
    with pytest.raises(type(error)) as raised:
        encoder.stage, encoder.error = stage, error
        encode(documents, encoder, tmp_path / "out", options)
    assert raised.value is error
    assert files(tmp_path / "out") == ["splade.manifest"]
    encoder.stage = ""
    assert encode(documents, encoder, tmp_path / "out", options).complete


class CorpusThatFailsLater:
    """A corpus that can be read once, when it is checked, and fails when it is encoded."""

    name = "broken"

    def __init__(self, error: Exception) -> None:
        self.readings, self.error = 0, error

    def __iter__(self) -> Iterator[Document]:
        self.readings += 1
        yield from corpus(25)
        if self.readings > 1:
            raise self.error
        yield Document("last", "", "cat")


def test_shards_that_were_written_before_the_corpus_failed_are_kept(tmp_path: Path) -> None:
    with pytest.raises(RecordError, match="line 26: bad"):
        encode(
            CorpusThatFailsLater(RecordError("broken", 26, "bad")), WORDS, tmp_path, EncodeOptions(docs_per_shard=10)
        )
    assert files(tmp_path) == ["shard-00000.jsonl.gz", "shard-00001.jsonl.gz", "splade.manifest"]
    manifest = read_manifest(tmp_path, ImpactManifest)
    assert manifest is not None
    assert len(manifest.shards) == 2


def test_an_error_in_writing_stops_the_threads(tmp_path: Path, tiny: TorchEncoder) -> None:
    (tmp_path / "shard-00000.jsonl.gz").mkdir()
    with pytest.raises(OutputError):
        encode(InMemoryCorpus("sentences", corpus(600)), tiny, tmp_path)
    assert not list(tmp_path.glob("*.partial"))


def test_closing_the_generator_stops_the_threads(tiny: TorchEncoder) -> None:
    def endless() -> Iterator[Document]:
        while True:
            yield from corpus(10)

    encoded = SpladeDocumentEncoder(tiny).encode(endless())
    assert next(encoded).id == "d0"
    encoded.close()


def test_all_documents_are_written_in_order(tmp_path: Path) -> None:
    encode(InMemoryCorpus("sentences", corpus(600)), WORDS, tmp_path, EncodeOptions(docs_per_shard=250))
    documents = [document for file in impact_files(tmp_path) for document in read_impacts(file)]
    assert [document.id for document in documents] == [f"d{i}" for i in range(600)]
