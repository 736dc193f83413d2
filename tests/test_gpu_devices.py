"""On which device tensors are, with fake tensors of CUDA, which need no GPU and compute nothing."""

from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
import pytest
import torch
from torch._subclasses.fake_tensor import FakeTensorMode, unset_fake_temporarily

from splade_anserini.encoding.gpu_batches import GpuBatches
from splade_anserini.modeling import fused, sparse_projection
from splade_anserini.modeling.attention_mask import added_mask
from splade_anserini.modeling.checkpoint import Checkpoint
from splade_anserini.modeling.query_sides import Pair
from splade_anserini.modeling.token_batches import TokenBatch, padded
from splade_anserini.modeling.trainable import Group, TrainableSplade
from splade_anserini.records import Aggregation
from splade_anserini.training.batch import BatchLabels
from splade_anserini.training.bm25 import BM25Vectorizer
from splade_anserini.training.objective import Objective, Vectors
from tests.aggregations import AGGREGATIONS
from tests.tiny import tiny_bert, tiny_distilbert, tiny_tokenizer
from tests.training_fixtures import recipe

CUDA = torch.device("cuda:0")
pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(torch.version.cuda is None, reason="this torch was built without CUDA"),
]


@pytest.fixture
def fake() -> Iterator[None]:
    """A block whose tensors are fake; an operation on tensors of different devices is an error all the same."""
    with FakeTensorMode(allow_non_fake_inputs=True), torch.no_grad():
        yield


def on_cuda(*shape: int, dtype: torch.dtype = torch.long) -> torch.Tensor:
    return torch.zeros(shape, dtype=dtype).to(CUDA)


def checkpoint(make: Callable[[], Any] = tiny_bert) -> Checkpoint:
    with unset_fake_temporarily():
        return Checkpoint(make(), tiny_tokenizer(token_types=make is tiny_bert), "tiny")


def without_fakes(function: Callable[..., Any]) -> Callable[..., Any]:
    """Return a function that computes with tensors that are not fake: it reads their values."""

    def call(*arguments: Any) -> Any:
        with unset_fake_temporarily():
            return function(*arguments)

    return call


def test_tensors_of_different_devices_are_noticed(fake: None) -> None:
    with pytest.raises(RuntimeError, match=r"cuda:0, cpu|cuda:0 and cpu|same device"):
        on_cuda(2, 3) + torch.zeros(2, 3)


@pytest.mark.usefixtures("fake")
@pytest.mark.parametrize("aggregation", AGGREGATIONS)
@pytest.mark.parametrize("make", [tiny_bert, tiny_distilbert])
@pytest.mark.parametrize("dtype", [torch.float32, torch.float16, torch.bfloat16])
def test_the_model_for_inference_is_on_the_gpu_as_a_whole(
    make: Callable[[], Any], aggregation: Aggregation, dtype: torch.dtype, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("shared_copy", "cut_output_layer"):
        monkeypatch.setattr(fused, name, without_fakes(getattr(fused, name)))
    monkeypatch.setattr(
        fused, "attention_mask_for", lambda _, dtype: lambda _, mask: None if mask is None else added_mask(mask, dtype)
    )
    forward = fused.fast_forward(checkpoint(make), aggregation, dtype, CUDA)
    for mask in (None, on_cuda(3, 7, dtype=torch.bool)):
        weights = forward(on_cuda(3, 7), mask)
        assert (weights.device, weights.dtype) == (CUDA, torch.float32)


@pytest.mark.usefixtures("fake")
@pytest.mark.filterwarnings("ignore:CUDA is not available")
@pytest.mark.parametrize("aggregation", AGGREGATIONS)
@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
def test_the_model_for_training_is_on_the_gpu_as_a_whole(
    aggregation: Aggregation, dtype: torch.dtype, monkeypatch: pytest.MonkeyPatch
) -> None:
    # How many entries are active is not known of fake tensors.
    active = sparse_projection._Active(on_cuda(10), on_cuda(10), on_cuda(10))
    monkeypatch.setattr(sparse_projection, "_active", lambda *_: active)
    with unset_fake_temporarily():
        pair = Pair(TrainableSplade(Checkpoint(tiny_bert(), tiny_tokenizer(), "tiny"), aggregation, dtype))
    for module in pair.modules():
        for name, parameter in list(module.named_parameters(recurse=False)):
            setattr(module, name, torch.nn.Parameter(parameter.detach().to(CUDA)))
        for name, buffer in list(module.named_buffers(recurse=False)):
            setattr(module, name, buffer.to(CUDA))
    groups = (Group(on_cuda(3), on_cuda(3, 7), on_cuda(3, 7)),)
    assert {weights.device for weights in pair(groups, groups)} == {CUDA}


LOSSES = [
    {},
    {
        "losses": [{"kind": "kl", "over": "batch"}, {"kind": "margin-mse", "over": "batch"}],
        "teacher": {"model": "teacher"},
    },
    {"losses": [{"kind": "pairwise"}], "regularizer": {"kind": "df-flops", "lambda_q": 0.1, "lambda_d": 0.1}},
]


@pytest.mark.usefixtures("fake")
@pytest.mark.parametrize("changes", LOSSES, ids=["rank-ibn", "distillation", "pairwise"])
def test_the_objective_is_on_the_gpu_as_a_whole(changes: dict[str, Any], monkeypatch: pytest.MonkeyPatch) -> None:
    rows = on_cuda(4)
    monkeypatch.setattr(
        torch.Tensor, "nonzero", lambda _, as_tuple=False: (rows, rows) if as_tuple else rows.unsqueeze(1)
    )
    labels = BatchLabels(rows, on_cuda(4, dtype=torch.bool), rows, rows, on_cuda(4, dtype=torch.float32))
    vectors = Vectors(*(on_cuda(4, 50, dtype=torch.float32) for _ in range(2)))
    terms = Objective(recipe(**changes))(vectors, labels, 3, on_cuda(4, 4, dtype=torch.float32))
    assert {term.device for term in terms.values()} == {CUDA}


@pytest.mark.usefixtures("fake")
def test_the_vectors_of_bm25_are_on_the_gpu() -> None:
    vectorizer = BM25Vectorizer(50)
    vectorizer.document_count, vectorizer._token_count = 3, 30
    groups = (Group(on_cuda(4), on_cuda(4, 6), on_cuda(4, 6)),)
    for vectors in (vectorizer.query_vectors(groups), vectorizer.document_vectors(groups)):
        assert vectors.device == CUDA


# Copies and events, with a CUDA that is not there.


class Event:
    """An event of CUDA that notes what happens to it."""

    log: list[str]

    def __init__(self, *, blocking: bool) -> None:
        assert blocking

    def record(self, stream: str) -> None:
        self.log.append(f"record on {stream}")

    def synchronize(self) -> None:
        self.log.append("wait")


@pytest.fixture
def log(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """The operations of CUDA, which do nothing."""
    log: list[str] = []
    Event.log = log
    empty = torch.empty

    def pinned(*arguments: Any, pin_memory: bool = False, **options: Any) -> torch.Tensor:
        log.extend(["pinned output"] * pin_memory)
        return empty(*arguments, **options)

    def pin(tensor: torch.Tensor) -> torch.Tensor:
        log.append("pinned input")
        return tensor

    monkeypatch.setattr(torch, "empty", pinned)
    monkeypatch.setattr(torch.Tensor, "pin_memory", pin)
    monkeypatch.setattr(torch.cuda, "Event", Event)
    monkeypatch.setattr(torch.cuda, "current_stream", lambda device: f"the stream of {device}")
    return log


def test_on_cuda_copies_are_pinned_and_only_fetching_waits(log: list[str]) -> None:
    weights = torch.tensor([[0.0, 1.5, 0.0, 2.0], [0.5, 0.0, 0.0, 0.0]])
    gpu = GpuBatches(lambda *_: weights, torch.device("cpu"))
    gpu._is_cuda = True
    launched = gpu.launch(TokenBatch([1, 0], *padded([[5, 6], [7]], 2)))
    assert log == ["pinned input"] * 2 + ["pinned output"] * 3 + ["record on the stream of cpu"]
    first, second = gpu.fetch(launched)
    assert log[6:] == ["wait"]
    assert (first.ids.tolist(), first.weights.tolist()) == ([1, 3], [1.5, 2.0])
    assert (second.ids.tolist(), second.weights.tolist()) == ([0], [0.5])
    assert (first.ids.dtype, first.weights.dtype) == (np.int64, np.float32)


def test_without_padding_no_mask_is_copied(log: list[str]) -> None:
    masks: list[object] = []

    def forward(ids: torch.Tensor, mask: torch.Tensor | None) -> torch.Tensor:
        masks.append(mask)
        return torch.ones(len(ids), 3)

    gpu = GpuBatches(forward, torch.device("cpu"))
    gpu._is_cuda = True
    gpu.launch(TokenBatch([0, 1], *padded([[5, 6], [7, 8]], 2)))
    assert masks == [None]
    assert log.count("pinned input") == 1
