"""Batches on a CPU are bounded by the memory that is free, and vectors do not depend on that."""

import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from splade_anserini import Document, InMemoryCorpus
from splade_anserini.artifacts.manifests import Batching, ImpactManifest, read_manifest
from splade_anserini.encode import encode
from splade_anserini.encoding import EncoderOptions, open_encoder
from splade_anserini.encoding.batch_bound import SHARE, BatchBound, bounded, bytes_per_token
from splade_anserini.errors import InputError
from splade_anserini.modeling.packed_linear import can_pack
from splade_anserini.modeling.token_batches import TokenBatch
from splade_anserini.records import SparseVector
from tests.shared_models import SharedModels
from tests.tiny import SENTENCES

pytestmark = pytest.mark.slow

MB = 1_000_000


def test_where_free_memory_is_not_known_there_is_no_bound(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("splade_anserini.encoding.batch_bound.free_memory", lambda: None)
    assert bounded(BatchBound(512, 64), 256, MB) == BatchBound(512, 64)


@pytest.mark.parametrize(
    ("free", "expected"),
    [
        (64 * 512 * 2 * MB, BatchBound(512, 64)),
        (64 * 300 * 2 * MB, BatchBound(300, 64)),  # smaller batches first
        (10 * 256 * 2 * MB, BatchBound(256, 10)),  # then fewer at a time
        (300 * 2 * MB, BatchBound(300, 1)),
        (MB, BatchBound(256, 1)),  # one text is always tried
        (0, BatchBound(256, 1)),
    ],
)
def test_batches_become_smaller_and_then_fewer(free: int, expected: BatchBound) -> None:
    assert bounded(BatchBound(512, 64), 256, MB, free=free) == expected


@given(
    tokens=st.integers(1, 4096),
    parallel=st.integers(1, 256),
    longest=st.integers(1, 8192),
    token_bytes=st.integers(1, 10 * MB),
    free=st.integers(0, 10**13),
)
def test_a_bound_fits_into_its_share_and_exceeds_nothing_that_was_wanted(
    tokens: int, parallel: int, longest: int, token_bytes: int, free: int
) -> None:
    bound = bounded(BatchBound(tokens, parallel), longest, token_bytes, free=free)
    assert 1 <= bound.parallel <= parallel
    assert 1 <= bound.tokens <= tokens
    is_smallest = bound == BatchBound(min(longest, tokens), 1)
    assert is_smallest or bound.tokens * bound.parallel * token_bytes <= free * SHARE


def test_a_bound_is_logged_and_its_absence_is_not(caplog: pytest.LogCaptureFixture) -> None:
    bounded(BatchBound(512, 2), 256, MB, free=10**12)
    assert caplog.records == []
    bounded(BatchBound(512, 2), 256, MB, free=600 * MB)
    (record,) = caplog.records
    assert record.levelname == "WARNING"
    assert record.getMessage() == (
        "0.6 GB of memory are free: 1 batch of at most 300 tokens at a time, instead of 2 of 512 tokens."
    )


def test_long_texts_and_large_vocabularies_need_more_for_each_token() -> None:
    assert bytes_per_token(8192, 30_522, copies=2) > bytes_per_token(512, 30_522, copies=2)
    assert bytes_per_token(512, 250_002, copies=2) > 2_000_000


# Encoders.


@pytest.fixture
def little_memory(monkeypatch: pytest.MonkeyPatch) -> Callable[[int], None]:
    """Return a function that sets the free memory."""

    def set_free(size: int) -> None:
        monkeypatch.setattr("splade_anserini.encoding.batch_bound.free_memory", lambda: size)

    return set_free


TEXTS = [*SENTENCES, *(f"{first} {second}" for first in SENTENCES[:4] for second in SENTENCES[:4])]


def sizes_of_batches(encoder: Any) -> list[int]:
    return [batch.ids.size for batch in encoder.prepare(TEXTS)]


@pytest.mark.parametrize("kind", ["torch", pytest.param("onnx", marks=pytest.mark.slow)])
def test_little_free_memory_makes_smaller_batches_with_the_same_impacts(
    shared_models: SharedModels, little_memory: Callable[[int], None], kind: str
) -> None:
    name = shared_models.checkpoint() if kind == "torch" else shared_models.export()
    options = EncoderOptions(max_length=32, threads=2)
    little_memory(1 << 50)
    plenty: Any = open_encoder(name, options)
    little_memory(20_000_000)
    bounded_encoder: Any = open_encoder(name, options)
    assert max(sizes_of_batches(bounded_encoder)) < 100 < max(sizes_of_batches(plenty))
    for vector, expected in zip(bounded_encoder.encode(TEXTS), plenty.encode(TEXTS), strict=True):
        assert vector == pytest.approx(expected, abs=1e-5)


@settings(max_examples=8, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    free=st.sampled_from([0, 10**7, 10**8, 10**9, 10**12]),
    batch_size=st.sampled_from([1, 2, 7, 64]),
    threads=st.sampled_from([1, 2, 3]),
    low_latency=st.booleans(),
)
def test_int8_gives_the_same_bytes_whatever_batch_threads_and_free_memory(
    int8_vectors: list[SparseVector],
    little_memory: Callable[[int], None],
    free: int,
    batch_size: int,
    threads: int,
    low_latency: bool,
) -> None:
    little_memory(free)
    options = EncoderOptions(batch_size=batch_size, threads=threads, low_latency=low_latency)
    assert open_encoder("splade-mini", options).encode(TEXTS) == int8_vectors


@pytest.fixture(scope="module")
def int8_vectors() -> list[SparseVector]:
    return open_encoder("splade-mini", EncoderOptions(batch_size=1, threads=1)).encode(TEXTS)


FAILURES = [
    MemoryError("Unable to allocate 1.2 GiB for an array"),
    RuntimeError(
        "[ONNXRuntimeError] : 6 : RUNTIME_EXCEPTION : Failed to allocate memory for requested buffer of size 9"
    ),
    RuntimeError("[ONNXRuntimeError] : 6 : RUNTIME_EXCEPTION : std::bad_alloc"),
    RuntimeError("[enforce fail at alloc_cpu.cpp:124] DefaultCPUAllocator: can't allocate memory: you tried to"),
]


@pytest.mark.parametrize("failure", FAILURES, ids=["numpy", "onnxruntime", "bad_alloc", "torch"])
@pytest.mark.parametrize("kind", ["torch", pytest.param("onnx", marks=pytest.mark.slow)])
def test_a_batch_that_cannot_be_allocated_is_halved_and_that_is_said_once(
    shared_models: SharedModels, kind: str, failure: Exception, caplog: pytest.LogCaptureFixture
) -> None:
    encoder: Any = open_encoder(shared_models.checkpoint() if kind == "torch" else shared_models.export())
    expected = encoder.encode(TEXTS)
    compute, sizes = encoder._computed, []

    def failing(batch: TokenBatch) -> object:
        sizes.append(batch.ids.size)
        if batch.ids.size > 200:
            raise failure
        return compute(batch)

    encoder._computed = failing
    vectors = encoder.encode(TEXTS)
    for vector, reference in zip(vectors, expected, strict=True):
        assert vector == pytest.approx(reference, abs=1e-5)
    warnings = [record.getMessage() for record in caplog.records if record.levelname == "WARNING"]
    assert len(warnings) == 1
    assert "did not fit into the memory" in warnings[0]
    assert max(sizes) > 200
    sizes.clear()
    encoder.encode(TEXTS)
    assert max(sizes) <= 200


def test_a_text_that_fits_only_while_no_other_is_computed_waits_for_that(int8_vectors: list[SparseVector]) -> None:
    encoder: Any = open_encoder("splade-mini", EncoderOptions(threads=4))
    compute, lock, at_once, failures = encoder._computed, threading.Lock(), [], []

    def failing_beside_others(batch: TokenBatch) -> object:
        with lock:
            at_once.append(batch)
            crowded = len(at_once) > 1
        try:
            time.sleep(0.01)
            if crowded:
                failures.append(batch)
                raise MemoryError
            return compute(batch)
        finally:
            with lock:
                at_once.pop()

    encoder._computed = failing_beside_others
    assert encoder.encode(TEXTS) == int8_vectors
    assert failures


def test_a_text_that_does_not_fit_alone_is_an_error_with_a_remedy(shared_models: SharedModels) -> None:
    encoder: Any = open_encoder(shared_models.checkpoint())

    def failing(_: TokenBatch) -> object:
        raise MemoryError

    encoder._computed = failing
    with pytest.raises(InputError, match=r"A text of .* tokens does not fit(.|\n)*--max-length"):
        encoder.encode(["headache"])


def test_another_error_is_not_taken_for_missing_memory(shared_models: SharedModels) -> None:
    encoder: Any = open_encoder(shared_models.checkpoint())

    def failing(_: TokenBatch) -> object:
        raise RuntimeError("mat1 and mat2 shapes cannot be multiplied")

    encoder._computed = failing
    with pytest.raises(RuntimeError, match="shapes"):
        encoder.encode(["headache"])


# Manifests.


@pytest.mark.parametrize(
    ("kind", "precision", "expected"),
    [
        ("torch", "auto", None),
        ("torch", "bf16", Batching(texts=5, tokens=2048)),
        pytest.param("onnx", "auto", Batching(texts=5, tokens=512), marks=pytest.mark.slow),
        ("splade-mini", "auto", None),
    ],
)
def test_the_manifest_records_the_size_of_batches_where_weights_depend_on_it(
    shared_models: SharedModels, tmp_path: Path, kind: str, precision: Any, expected: Batching | None
) -> None:
    if kind == "torch" and precision == "auto" and not can_pack(torch.float32):
        pytest.skip("torch cannot pack weights on this processor")
    names = {"torch": shared_models.checkpoint, "onnx": shared_models.export}
    encoder = open_encoder(names.get(kind, lambda: kind)(), EncoderOptions(batch_size=5, precision=precision))
    manifest = encode(InMemoryCorpus("two", [Document("d0", "", "headache")]), encoder, tmp_path / "out")
    assert manifest.shards[0].batching == expected
    assert read_manifest(tmp_path / "out", ImpactManifest) == manifest
    (file,) = (tmp_path / "out").glob("*.manifest")
    assert ("batching" in file.read_text()) == (expected is not None)


def test_the_manifest_records_the_size_to_which_batches_were_halved(
    shared_models: SharedModels, tmp_path: Path
) -> None:
    encoder: Any = open_encoder(shared_models.checkpoint(), EncoderOptions(precision="bf16"))
    compute = encoder._computed

    def failing(batch: TokenBatch) -> object:
        if batch.ids.size > 100:
            raise MemoryError
        return compute(batch)

    encoder._computed = failing
    documents = [Document(f"d{index}", "", text) for index, text in enumerate(TEXTS[:6])]
    manifest = encode(InMemoryCorpus("texts", documents), encoder, tmp_path / "out")
    assert manifest.shards[0].batching is not None
    assert manifest.shards[0].batching.tokens is not None
    assert manifest.shards[0].batching.tokens <= 100
