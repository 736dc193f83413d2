"""The path of encoders and training on a GPU, run on the CPU: the same vectors, nothing read back too early."""

from collections.abc import Callable, Sequence
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch.utils._python_dispatch import TorchDispatchMode

from splade_anserini import Document, SpladeDocumentEncoder
from splade_anserini.encoding import EncoderOptions, torch_encoder
from splade_anserini.encoding.gpu_batches import GpuBatches
from splade_anserini.encoding.torch_encoder import TorchEncoder
from splade_anserini.modeling import attention_mask, sparse_projection
from splade_anserini.modeling.attention_mask import attention_mask_for
from splade_anserini.modeling.buffered_projection import BufferedProjection
from splade_anserini.modeling.checkpoint import load_checkpoint
from splade_anserini.modeling.fused import fast_forward
from splade_anserini.modeling.headless import cut_output_layer, shared_copy
from splade_anserini.modeling.pooling import pool
from splade_anserini.modeling.splade import Splade
from splade_anserini.modeling.token_batches import TokenBatch, padded, positions_by_length
from splade_anserini.records import SPLADE_MAX, Aggregation, SparseVector
from splade_anserini.vectors.quantization import quantize
from tests.aggregations import AGGREGATIONS
from tests.gpu_fixtures import TEXTS, assert_close, checkpoint
from tests.tiny import SENTENCES, tiny_bert, tiny_distilbert
from tests.tiny_heads import HEADS, head_checkpoint

pytestmark = pytest.mark.slow

CPU = torch.device("cpu")


def encoder(**options: Any) -> TorchEncoder:
    return TorchEncoder(checkpoint(), EncoderOptions(**options), asynchronous=True)


@pytest.fixture(scope="module")
def expected() -> list[SparseVector]:
    """The vectors of the path for CPUs."""
    return TorchEncoder(checkpoint()).encode(TEXTS)


# The projection.


@st.composite
def batches(draw: st.DrawFn) -> tuple[torch.Tensor, torch.Tensor | None]:
    seed, batch, length = draw(st.integers(0, 2**31)), draw(st.integers(1, 5)), draw(st.integers(1, 6))
    generator = torch.Generator().manual_seed(seed)
    lengths = torch.randint(1, length + 1, (batch, 1), generator=generator)
    mask = torch.arange(length) < lengths
    return torch.randn((batch, length, 8), generator=generator), mask if draw(st.booleans()) else None


@pytest.mark.parametrize("aggregation", AGGREGATIONS)
@given(batch=batches(), tokens=st.integers(1, 40), entries=st.integers(1, 50), bias=st.booleans())
@settings(max_examples=40, deadline=None)
def test_projecting_through_a_buffer_gives_the_pooled_logits(
    aggregation: Aggregation, batch: tuple[torch.Tensor, torch.Tensor | None], tokens: int, entries: int, bias: bool
) -> None:
    generator = torch.Generator().manual_seed(7)
    table = torch.randn((37, 8), generator=generator)
    biases = torch.randn(37, generator=generator) if bias else None
    hidden, mask = batch
    present = torch.ones(hidden.shape[:2]) if mask is None else mask
    expected = pool(hidden @ table.T + (0 if biases is None else biases), present, aggregation)
    project = BufferedProjection(table, biases, aggregation, block_tokens=tokens, block_entries=entries)
    torch.testing.assert_close(project(hidden, mask), expected, rtol=1e-5, atol=1e-5)


# The model.


@pytest.mark.parametrize("aggregation", AGGREGATIONS)
@pytest.mark.parametrize("make", [tiny_bert, tiny_distilbert])
@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
def test_the_asynchronous_model_gives_the_weights_of_the_plain_one(
    make: Callable[[], Any], aggregation: Aggregation, dtype: torch.dtype
) -> None:
    model = checkpoint(make(), token_types=make is tiny_bert)
    batch = model.tokenizer(list(SENTENCES), padding=True, return_tensors="pt")
    forward = fast_forward(model, aggregation, dtype, CPU, asynchronous=True)
    with torch.inference_mode():
        expected = Splade.of(model, aggregation)(batch["input_ids"], batch["attention_mask"])
        weights = forward(batch["input_ids"], batch["attention_mask"].bool())
        alone = forward(batch["input_ids"][-1:], None)
    bound = 1e-5 if dtype == torch.float32 else max(0.1, 0.05 * float(expected.max()))
    assert weights.dtype == torch.float32
    torch.testing.assert_close(weights, expected, rtol=1e-5, atol=bound)
    torch.testing.assert_close(alone, expected[-1:], rtol=1e-5, atol=bound)


@pytest.mark.parametrize("make", [tiny_bert, tiny_distilbert])
def test_the_models_of_transformers_get_a_mask_that_is_added_or_none(make: Callable[[], Any]) -> None:
    model = shared_copy(make())
    cut_output_layer(model)
    form = attention_mask_for(model, torch.float32)
    ids, mask = torch.ones(2, 3, dtype=torch.long), torch.tensor([[True] * 3, [True, False, False]])
    assert form(ids, None) is None
    added = form(ids, mask)
    assert added is not None
    assert added.shape == (2, 1, 1, 3)
    assert added.flatten().tolist()[:4] == [0.0] * 4
    assert added.flatten().tolist()[4:] == [torch.finfo(torch.float32).min] * 2


class Particular(torch.nn.Module):
    """A model that does something else with a mask of four dimensions, or without one."""

    def __init__(self, four: str, none: str) -> None:
        super().__init__()
        self.inner, self.four, self.none = tiny_bert(), four, none
        self.config, self.device = self.inner.config, CPU

    def forward(self, input_ids: torch.Tensor, attention_mask: torch.Tensor | None) -> Any:
        case = "" if attention_mask is not None and attention_mask.dim() == 2 else self.none
        case = self.four if attention_mask is not None and attention_mask.dim() == 4 else case
        if case == "refuses":
            raise ValueError("Wrong shape for attention_mask")
        if case == "ignores":
            attention_mask = torch.ones_like(input_ids)
        if case == "causal":
            attention_mask = torch.ones(len(input_ids), 1, *[input_ids.shape[1]] * 2).tril().log()
        return self.inner(input_ids=input_ids, attention_mask=attention_mask)


@pytest.mark.parametrize(("four", "none"), [("refuses", ""), ("ignores", ""), ("", "refuses"), ("", "causal")])
def test_a_model_that_takes_other_masks_gets_plain_ones(four: str, none: str) -> None:
    form = attention_mask_for(Particular(four, none), torch.float32)
    ids = torch.ones(2, 3, dtype=torch.long)
    whole = form(ids, None)
    assert whole is not None
    assert whole.tolist() == [[1, 1, 1], [1, 1, 1]]
    mask = form(ids, torch.tensor([[True] * 3, [True, False, False]]))
    assert mask is not None
    assert mask.tolist() == [[1, 1, 1], [1, 0, 0]]


def test_a_model_with_local_attention_gets_plain_masks() -> None:
    model = tiny_bert()
    model.config.local_attention = 128
    assert attention_mask_for(model, torch.float32) is attention_mask._plain


def test_the_buffers_of_a_copy_are_on_the_device_of_its_parameters() -> None:
    model = tiny_bert()
    buffers = dict(model.named_buffers())
    model.to("meta")
    for name, buffer in buffers.items():
        owner, _, attribute = name.rpartition(".")
        setattr(model.get_submodule(owner), attribute, buffer)
    assert {buffer.device.type for buffer in model.buffers()} == {"cpu"}
    assert {buffer.device.type for buffer in shared_copy(model).buffers()} == {"meta"}
    assert {buffer.device.type for buffer in model.buffers()} == {"cpu"}


# Batches that are launched ahead.


@pytest.mark.parametrize("options", [{}, {"batch_size": 2}, {"pooling": "sum"}, {"precision": "bf16"}])
def test_encoding_asynchronously_gives_the_vectors_of_the_path_for_cpus(options: dict[str, Any]) -> None:
    expected = TorchEncoder(checkpoint(), EncoderOptions(**options)).encode(TEXTS)
    vectors = encoder(**options).encode(TEXTS)
    if "precision" not in options:
        assert_close(vectors, expected)
        return
    for vector, reference in zip(vectors, expected, strict=True):
        assert vector == pytest.approx({**dict.fromkeys(vector, 0.0), **reference}, abs=0.1)


@pytest.mark.slow
@pytest.mark.parametrize("name", HEADS)
def test_every_architecture_has_the_vectors_of_the_path_for_cpus(name: str, tmp_path: Path) -> None:
    head = load_checkpoint(head_checkpoint(name, tmp_path / name))
    long = " ".join(SENTENCES)
    texts = [*TEXTS, *(long[start:] for start in (0, 5, 300))]
    assert_close(TorchEncoder(head, asynchronous=True).encode(texts), TorchEncoder(head).encode(texts))


def test_a_text_without_tokens_has_an_empty_vector() -> None:
    assert encoder().encode(["", "cat", " "])[::2] == [{}, {}]
    assert encoder().encode([]) == []


def test_impacts_of_documents_are_those_of_the_path_for_cpus(expected: list[SparseVector]) -> None:
    documents = [Document(str(index), "", text) for index, text in enumerate(TEXTS)]
    encoded = list(SpladeDocumentEncoder(encoder()).encode(documents))
    assert [document.id for document in encoded] == [document.id for document in documents]
    for document, reference in zip(encoded, expected, strict=True):
        impacts = quantize(reference, 100)
        assert {*document.vector} == {*impacts}
        assert all(abs(document.vector[token] - impacts[token]) <= 1 for token in impacts)


def test_a_batch_with_enough_tokens_ends_where_texts_are_shorter() -> None:
    lengths = [100, 100, 95, 90, 89, 60, 10, 0]
    assert list(positions_by_length(lengths, 9, 1000, 200)) == [[0, 1, 2, 3], [4, 5, 6], [7]]
    assert list(positions_by_length(lengths, 9, 1000, 1)) == [[0, 1, 2, 3], [4], [5], [6], [7]]
    assert list(positions_by_length(lengths, 9, 200, 100)) == [[0, 1], [2, 3], [4, 5], [6], [7]]


@given(st.lists(st.integers(0, 40)), st.integers(1, 6), st.integers(1, 100), st.integers(1, 100))
def test_batches_that_end_early_hold_every_text_once_and_have_enough_tokens(
    lengths: list[int], max_texts: int, max_tokens: int, enough: int
) -> None:
    groups = list(positions_by_length(lengths, max_texts, max_tokens, enough))
    whole = list(positions_by_length(lengths, max_texts, max_tokens))
    assert [position for group in groups for position in group] == [position for group in whole for position in group]
    for group, following in pairwise(groups):
        longest, size = lengths[group[0]], len(group)
        full = size == max_texts or (size + 1) * longest > max_tokens or lengths[following[0]] == 0
        assert full or (size * longest >= enough and lengths[following[0]] < 0.9 * longest)


def test_windows_for_a_gpu_grow_so_that_the_model_soon_has_something_to_do() -> None:
    sizes: list[int] = []
    text_encoder = encoder()
    prepare = text_encoder.prepare

    def counted(texts: Sequence[str], **options: Any) -> list[TokenBatch]:
        sizes.append(len(texts))
        return prepare(texts, **options)

    text_encoder.prepare = counted  # type: ignore[method-assign]
    text_encoder._window = 1000
    encoded = list(
        SpladeDocumentEncoder(text_encoder).encode(Document(str(i), "", SENTENCES[i % 3]) for i in range(2000))
    )
    assert [document.id for document in encoded] == [str(index) for index in range(2000)]
    assert sizes == [256, 512, 1000, 232]


@pytest.mark.parametrize(("ahead", "expected"), [(1, "LLFLFLFF"), (2, "LLLFLFFF"), (9, "LLLLFFFF")])
def test_batches_are_launched_before_those_before_them_are_fetched(
    ahead: int, expected: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    events: list[str] = []
    launch, fetch = GpuBatches.launch, GpuBatches.fetch

    def logged(name: str, method: Callable[..., Any]) -> Callable[..., Any]:
        def call(*arguments: Any) -> Any:
            events.append(name)
            return method(*arguments)

        return call

    monkeypatch.setattr(GpuBatches, "launch", logged("L", launch))
    monkeypatch.setattr(GpuBatches, "fetch", logged("F", fetch))
    monkeypatch.setattr(torch_encoder, "LAUNCHED_AHEAD", ahead)
    encoder(batch_size=1).encode(["cat", "dog", "bird", "fish"])
    assert "".join(events) == expected


@pytest.mark.parametrize("entries_per_text", [1, 3, 10_000])
def test_more_active_entries_than_space_are_selected_again(entries_per_text: int, expected: list[SparseVector]) -> None:
    text_encoder = encoder(batch_size=3)
    assert text_encoder.gpu_batches is not None
    text_encoder.gpu_batches._entries_per_text = entries_per_text
    assert_close(text_encoder.encode(TEXTS), expected)


def test_without_a_selection_that_does_not_wait_the_other_one_gives_the_same(
    monkeypatch: pytest.MonkeyPatch, expected: list[SparseVector]
) -> None:
    def missing(*_: Any, **__: Any) -> None:
        raise NotImplementedError

    monkeypatch.setattr(torch, "nonzero_static", missing)
    assert_close(encoder(batch_size=3).encode(TEXTS), expected)


def test_nan_does_not_look_like_an_empty_vector() -> None:
    gpu = GpuBatches(lambda ids, _: torch.full((len(ids), 5), torch.nan), CPU)
    (entries,) = gpu.fetch(gpu.launch(TokenBatch([0], *padded([[1, 2]], 2))))
    assert entries.ids.tolist() == [0, 1, 2, 3, 4]
    assert np.isnan(entries.weights).all()


class ReadValues(TorchDispatchMode):
    """Counts the operations that wait for a GPU: they read a value, or their result has a size that is not known."""

    WAITING = ("_local_scalar_dense", "nonzero", "masked_select", "is_nonzero", "equal", "unique")

    def __init__(self) -> None:
        super().__init__()
        self.names: list[str] = []

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        name = str(func).split(".")[1]
        boolean_index = name.startswith("index") and any(
            index is not None and index.dtype == torch.bool
            for index in (args[1] if len(args) > 1 and isinstance(args[1], list | tuple) else ())
        )
        if name in self.WAITING or boolean_index:
            self.names.append(name)
        return func(*args, **(kwargs or {}))


@pytest.mark.parametrize("aggregation", AGGREGATIONS)
@pytest.mark.parametrize("make", [tiny_bert, tiny_distilbert])
def test_launching_a_batch_reads_nothing_back(make: Callable[[], Any], aggregation: Aggregation) -> None:
    model = checkpoint(make(), token_types=make is tiny_bert)
    text_encoder = TorchEncoder(model, EncoderOptions(**aggregation._asdict()), asynchronous=True)
    assert text_encoder.gpu_batches is not None
    batches = [batch for texts in (SENTENCES, ["cat", "dog"]) for batch in text_encoder.prepare(texts)]
    assert {bool(batch.mask.all()) for batch in batches} == {True, False}
    with ReadValues() as reads:
        for batch in batches:
            text_encoder.gpu_batches.launch(batch)
    assert reads.names == []


def test_what_reads_a_value_is_noticed() -> None:
    with ReadValues() as reads:
        values = torch.ones(3)
        assert bool(values.all())
        values[values > 0].sum().item()
    assert reads.names == ["_local_scalar_dense", "index", "_local_scalar_dense"]


# Training.


@given(batch=batches())
@settings(max_examples=40, deadline=None)
def test_selecting_active_entries_at_once_gives_those_of_pieces(
    batch: tuple[torch.Tensor, torch.Tensor | None],
) -> None:
    generator = torch.Generator().manual_seed(3)
    hidden, table, bias = batch[0], torch.randn((23, 8), generator=generator), torch.randn(23, generator=generator)
    tokens = hidden.reshape(-1, 8)
    with pytest.MonkeyPatch.context() as monkeypatch:
        monkeypatch.setattr(sparse_projection, "PIECE", 7)
        pieces, at_once = (
            sorted(zip(*(column.tolist() for column in select(tokens, len(hidden), table, bias)), strict=True))
            for select in (sparse_projection._active_in_pieces, sparse_projection._active_at_once)
        )
    assert pieces == at_once
    assert pieces


def test_on_a_gpu_the_projection_for_training_waits_once(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sparse_projection, "PIECE", 7)
    monkeypatch.setattr(sparse_projection, "_active_in_pieces", sparse_projection._active_at_once)
    layer = torch.nn.Linear(8, 32)
    hidden = torch.randn(3, 5, 8, generator=torch.Generator().manual_seed(1), requires_grad=True)
    with ReadValues() as reads:
        weights = sparse_projection.sparse_projection(hidden, torch.ones(3, 5), layer, SPLADE_MAX, torch.float32)
        weights.sum().backward()
    assert hidden.grad is not None
    # On a GPU, `fill_padding` does not read the mask.
    assert reads.names == ["_local_scalar_dense", "nonzero"]
