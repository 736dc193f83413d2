"""Encoders give the same vectors for every batch, thread and runtime, and those of Pyserini's own encoders."""

import random
import shutil
import threading
from collections.abc import Sequence
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from splade_anserini import Document, OnnxQueryEncoder, SpladeDocumentEncoder, TorchQueryEncoder
from splade_anserini.encoding import (
    DictionaryEncoder,
    Encoder,
    EncoderOptions,
    default_scale,
    impact,
    open_encoder,
    open_query_encoder,
    quantize,
)
from splade_anserini.errors import InputError
from splade_anserini.records import Pooling, SparseVector
from tests.encoder_fixtures import write_dictionary_encoder
from tests.shared_models import SharedModels
from tests.tiny import SENTENCES, tiny_tokenizer

SPECIAL = {"[CLS]", "[SEP]", "[PAD]", "[UNK]", "[MASK]"}
PYSERINI_SCALE = 256 / 5


@pytest.fixture(scope="module")
def checkpoint(shared_models: SharedModels) -> Path:
    return shared_models.checkpoint()


@pytest.fixture(scope="module")
def pickled_checkpoint(checkpoint: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The checkpoint with its weights also in the only format that Pyserini's encoders load."""
    import torch
    from safetensors.torch import load_file

    copy = shutil.copytree(checkpoint, tmp_path_factory.mktemp("pickled") / "tiny")
    torch.save(load_file(copy / "model.safetensors"), copy / "pytorch_model.bin")
    return copy


@pytest.fixture(scope="module")
def exported(shared_models: SharedModels) -> Path:
    return shared_models.export()


@pytest.fixture(scope="module")
def quantized(shared_models: SharedModels) -> Path:
    return shared_models.export(precision="int8")


@pytest.fixture(
    params=[
        "torch",
        pytest.param("onnx", marks=pytest.mark.slow),
        pytest.param("int8", marks=pytest.mark.slow),
        "splade-mini",
    ]
)
def encoder_name(request: pytest.FixtureRequest) -> str:
    fixtures = {"torch": "checkpoint", "onnx": "exported", "int8": "quantized"}
    return str(request.getfixturevalue(fixtures[request.param])) if request.param in fixtures else request.param


def greatest_difference(vectors: Sequence[SparseVector], expected: Sequence[SparseVector]) -> float:
    return max(
        abs(vector.get(token, 0.0) - reference.get(token, 0.0))
        for vector, reference in zip(vectors, expected, strict=True)
        for token in {*vector, *reference}
    )


def assert_same_impacts(vectors: Sequence[SparseVector], expected: Sequence[SparseVector], scale: float = 100) -> None:
    """Equal, except where a weight × scale is at a half, and its last bit decides how it is rounded."""
    for vector, reference in zip(vectors, expected, strict=True):
        for token in {*vector, *reference}:
            weights = vector.get(token, 0.0), reference.get(token, 0.0)
            if impact(weights[0], scale) != impact(weights[1], scale):
                assert abs(weights[0] * scale % 1 - 0.5) < 1e-3
                assert abs(weights[0] - weights[1]) < 1e-5


@pytest.mark.slow
def test_onnx_and_torch_give_the_same_vectors(checkpoint: Path, exported: Path) -> None:
    of_onnx = open_encoder(exported).encode(SENTENCES)
    of_torch = open_encoder(checkpoint).encode(SENTENCES)
    assert greatest_difference(of_onnx, of_torch) < 1e-4
    assert_same_impacts(of_onnx, of_torch)


def test_a_vector_does_not_depend_on_the_texts_beside_it(encoder_name: str) -> None:
    encoder = open_encoder(encoder_name)
    single = [encoder.encode([text])[0] for text in SENTENCES]
    shuffled = list(range(len(SENTENCES)))
    random.Random(3).shuffle(shuffled)
    batched = encoder.encode([SENTENCES[i] for i in shuffled])
    assert_same_impacts([single[i] for i in shuffled], batched)


@pytest.mark.parametrize("options", [EncoderOptions(batch_size=1), EncoderOptions(batch_size=3, threads=1)])
def test_neither_batch_size_nor_threads_change_an_impact(encoder_name: str, options: EncoderOptions) -> None:
    assert_same_impacts(
        open_encoder(encoder_name).encode(SENTENCES), open_encoder(encoder_name, options).encode(SENTENCES)
    )


def test_special_tokens_have_no_weight(encoder_name: str) -> None:
    for vector in open_encoder(encoder_name).encode(["[CLS] [MASK] headache [UNK] \u2603", *SENTENCES]):
        assert not SPECIAL & set(vector)
        assert all(weight > 0 for weight in vector.values())


@pytest.mark.parametrize("text", ["", " ", "\n\t", "\u200b"])
def test_a_text_without_tokens_has_an_empty_vector(encoder_name: str, text: str) -> None:
    assert open_encoder(encoder_name).encode([text, "headache"])[0] == {}


def test_no_texts_give_no_vectors(encoder_name: str) -> None:
    assert open_encoder(encoder_name).encode([]) == []


def test_a_text_of_100_000_tokens_is_truncated_to_the_maximum_length(encoder_name: str) -> None:
    encoder = open_encoder(encoder_name, EncoderOptions(max_length=16))
    assert encoder.max_length == 16
    assert_same_impacts(encoder.encode(["cat " * 100_000]), encoder.encode(["cat " * 14]))


@pytest.mark.slow
@settings(max_examples=25, deadline=None)
@given(texts=st.lists(st.text(max_size=40), min_size=1, max_size=5))
def test_any_text_has_the_same_vector_alone_and_in_a_batch(exported: Path, texts: list[str]) -> None:
    encoder = open_encoder(exported, EncoderOptions(batch_size=2, threads=1))
    assert_same_impacts([encoder.encode([text])[0] for text in texts], encoder.encode(texts))


@pytest.mark.slow
def test_a_model_without_token_types_works_in_torch_and_onnx(shared_models: SharedModels) -> None:
    of_onnx = open_encoder(shared_models.export("distilbert")).encode(SENTENCES)
    of_torch = open_encoder(shared_models.checkpoint("distilbert")).encode(SENTENCES)
    assert greatest_difference(of_onnx, of_torch) < 1e-4


@pytest.mark.slow
@pytest.mark.parametrize("pooling", ["sum", "norm"])
def test_pooling_is_that_of_the_options_or_of_the_export(
    shared_models: SharedModels, checkpoint: Path, pooling: Pooling
) -> None:
    exported = shared_models.export("bert", pooling)
    expected = open_encoder(checkpoint, EncoderOptions(pooling=pooling)).encode(SENTENCES)
    assert greatest_difference(open_encoder(exported).encode(SENTENCES), expected) < 1e-3
    assert greatest_difference(open_encoder(checkpoint).encode(SENTENCES), expected) > 0.1


@pytest.mark.slow
@pytest.mark.parametrize("pooling", ["sum", "norm"])
def test_a_pooling_other_than_the_exports_is_refused(shared_models: SharedModels, pooling: Pooling) -> None:
    with pytest.raises(InputError, match=f"exported with pooling {pooling}, not max"):
        open_encoder(shared_models.export("bert", pooling), EncoderOptions(pooling="max"))


@pytest.mark.slow
def test_a_precision_other_than_the_exports_is_refused(exported: Path) -> None:
    with pytest.raises(InputError, match="exported with precision fp32, not int8"):
        open_encoder(exported, EncoderOptions(precision="int8"))


@pytest.mark.slow
@pytest.mark.parametrize("file", ["model.onnx", "tokenizer.json"])
def test_an_encoder_whose_files_changed_is_refused(exported: Path, file: str, tmp_path: Path) -> None:
    copy = shutil.copytree(exported, tmp_path / "copy")
    with (copy / file).open("ab") as changed:
        changed.write(b"\n")
    with pytest.raises(InputError, match=f"{file} is missing or differs from the manifest"):
        open_encoder(copy)


def test_reduced_precision_is_close_to_full(checkpoint: Path) -> None:
    full = open_encoder(checkpoint).encode(SENTENCES)
    reduced = open_encoder(checkpoint, EncoderOptions(precision="bf16")).encode(SENTENCES)
    assert greatest_difference(reduced, full) < 0.1


def test_the_head_of_a_warm_start_survives_reduced_precision() -> None:
    from splade_anserini.encoding.torch_encoder import TorchEncoder
    from splade_anserini.modeling.checkpoint import Checkpoint
    from splade_anserini.modeling.warm_start import WarmStart, warm_start
    from tests.tiny import tiny_bert

    def encoder(precision: str) -> Encoder:
        tokenizer = tiny_tokenizer()
        model = warm_start(tiny_bert().bert, tokenizer, WarmStart(threshold=2.0, scale=1.0))
        return TorchEncoder(Checkpoint(model, tokenizer, "warm"), EncoderOptions(precision=precision))

    # The constant 6 of the head would take most of bfloat16's eight bits.
    assert greatest_difference(encoder("bf16").encode(SENTENCES), encoder("fp32").encode(SENTENCES)) < 0.2


@pytest.mark.parametrize("native", [True, False])
def test_the_log_advises_bf16_on_processors_that_have_it_and_against_it_on_others(
    checkpoint: Path, native: bool, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr("splade_anserini.encoding.torch_encoder.has_native_bf16", lambda: native)
    with caplog.at_level("INFO", logger="splade_anserini"):
        assert open_encoder(checkpoint).identity.precision == "fp32"
        assert open_encoder(checkpoint, EncoderOptions(precision="bf16")).identity.precision == "bf16"
    (record,) = caplog.records
    assert (record.levelname, "--precision bf16" in record.message) == (
        ("INFO", True) if native else ("WARNING", False)
    )


def test_low_latency_changes_no_impact(encoder_name: str) -> None:
    low_latency = open_encoder(encoder_name, EncoderOptions(low_latency=True))
    assert_same_impacts(low_latency.encode(SENTENCES), open_encoder(encoder_name).encode(SENTENCES))


def test_every_encoder_implements_the_protocol(encoder_name: str) -> None:
    assert isinstance(open_encoder(encoder_name), Encoder)
    assert isinstance(DictionaryEncoder({}), Encoder)


def test_a_dictionary_on_disk_gives_the_vectors_of_the_dictionary_in_memory(tmp_path: Path) -> None:
    expansions = {"cat": {"cat": 1.5, "pet": 0.5}, "dog": {"pet": 0.75}, "été": {"été": 1.0, "##s": 0.25}}
    in_memory = DictionaryEncoder(expansions)
    texts = ["cat", "dog cat", "été  dog unknown", "unknown", "", "cat dog été " * 40]
    on_disk = open_encoder(write_dictionary_encoder(tmp_path / "dictionary", expansions))
    assert on_disk.encode(texts) == in_memory.encode(texts)


@pytest.mark.slow
def test_onnx_and_torch_have_the_same_vocabulary_and_different_fingerprints_of_weights(
    checkpoint: Path, exported: Path
) -> None:
    torch, onnx = open_encoder(checkpoint).identity, open_encoder(exported).identity
    assert torch.vocabulary == onnx.vocabulary
    assert torch.tokenizer == onnx.tokenizer
    assert torch.weights != onnx.weights
    assert (torch.name, onnx.name) == (str(checkpoint), str(exported))


def test_queries_are_as_long_as_the_model_reads_unless_an_option_sets_their_length() -> None:
    assert (open_query_encoder("splade-mini").max_length, open_encoder("splade-mini").max_length) == (512, 256)
    assert open_query_encoder("splade-mini", EncoderOptions(max_length=99)).max_length == 99


@pytest.mark.slow
def test_a_query_encoder_is_safe_to_share_between_threads(exported: Path) -> None:
    encoder = OnnxQueryEncoder(exported)
    expected = {text: encoder.encode(text) for text in SENTENCES}
    different: list[str] = []

    def work(seed: int) -> None:
        texts = random.Random(seed).choices(SENTENCES, k=100)
        different.extend(text for text in texts if encoder.encode(text) != expected[text])

    threads = [threading.Thread(target=work, args=(seed,)) for seed in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert different == []


def test_a_checkpoint_is_not_an_onnx_query_encoder(checkpoint: Path) -> None:
    with pytest.raises(InputError, match="is not an exported encoder"):
        OnnxQueryEncoder(checkpoint)


# Pyserini's own encoders, on the same checkpoint.


def without_special(impacts: dict[str, float]) -> dict[str, float]:
    return {token: value for token, value in impacts.items() if token not in SPECIAL}


def assert_pyserini_agrees(theirs: dict[str, float], ours: SparseVector) -> None:
    """Pyserini's impacts are Python's round(weight / 5 × 256), with special tokens and zeros; ours are weights."""
    expected = {token: round(weight / 5 * 256) for token, weight in ours.items()}
    for token in {*without_special(theirs), *expected}:
        difference = abs(theirs.get(token, 0) - expected.get(token, 0))
        at_a_half = abs(ours.get(token, 0.0) * PYSERINI_SCALE % 1 - 0.5) < 1e-3
        assert difference == 0 or (difference == 1 and at_a_half), token


@pytest.mark.slow
@pytest.mark.parametrize("kind", ["checkpoint", "exported"])
def test_pyserinis_query_encoder_gives_the_same_impacts(
    pickled_checkpoint: Path, kind: str, request: pytest.FixtureRequest
) -> None:
    from splade_anserini.lucene import start_jvm

    start_jvm()
    from pyserini.encode import SpladeQueryEncoder

    theirs = SpladeQueryEncoder(str(pickled_checkpoint))
    ours = open_encoder(request.getfixturevalue(kind))
    for text in SENTENCES:
        assert_pyserini_agrees(theirs.encode(text), ours.encode([text])[0])


@pytest.mark.slow
@pytest.mark.parametrize("kind", ["checkpoint", "exported"])
def test_pyserinis_document_encoder_gives_the_same_impacts(
    pickled_checkpoint: Path, kind: str, request: pytest.FixtureRequest
) -> None:
    from splade_anserini.lucene import start_jvm

    start_jvm()
    from pyserini.encode import SpladeDocumentEncoder as PyserinisDocumentEncoder

    theirs = PyserinisDocumentEncoder(str(pickled_checkpoint), device="cpu").encode(list(SENTENCES), max_length=256)
    ours = open_encoder(request.getfixturevalue(kind)).encode(SENTENCES)
    for their_impacts, our_weights in zip(theirs, ours, strict=True):
        assert_pyserini_agrees(their_impacts, our_weights)


@pytest.mark.slow
@pytest.mark.parametrize("torch", [False, True])
def test_our_query_encoders_work_in_pyserinis_impact_searcher(
    checkpoint: Path, exported: Path, tmp_path: Path, torch: bool
) -> None:
    from splade_anserini import InMemoryCorpus
    from splade_anserini.encode import encode
    from splade_anserini.index import index
    from splade_anserini.lucene import LuceneImpactSearcher

    documents = [Document(f"d{i}", "", text) for i, text in enumerate(SENTENCES)]
    encode(InMemoryCorpus("sentences", documents), open_encoder(exported), tmp_path / "impacts")
    index(tmp_path / "impacts", tmp_path / "index")
    encoder = TorchQueryEncoder(checkpoint) if torch else OnnxQueryEncoder(exported)
    searcher = LuceneImpactSearcher(str(tmp_path / "index"), encoder, min_idf=-1)
    query = encoder.encode("headache")
    (hit,) = [hit for hit in searcher.search("headache", k=10) if hit.docid == "d0"]
    (document,) = SpladeDocumentEncoder(exported).encode(documents[:1])
    assert hit.score == sum(value * document.vector.get(token, 0) for token, value in query.items())


def test_the_scale_of_a_query_encoder_is_that_of_its_card() -> None:
    assert default_scale("splade-mini") == 100
    assert default_scale("splade-v3") == PYSERINI_SCALE
    (vector,) = open_query_encoder("splade-mini", EncoderOptions(threads=1)).encode(["headache"])
    assert OnnxQueryEncoder("splade-mini").encode("headache") == quantize(vector, 100)
    assert OnnxQueryEncoder("splade-mini", scale=256 / 5).encode("headache") == quantize(vector, PYSERINI_SCALE)
