"""Batches that do not fit into memory, on a GPU or a CPU: they are halved, and the vectors are the same."""

import weakref
from collections.abc import Callable

import pytest
import torch

from splade_anserini.encoding.memory import BatchLimit, halves, is_out_of_memory
from splade_anserini.encoding.torch_encoder import TorchEncoder
from splade_anserini.errors import InputError
from splade_anserini.modeling.token_batches import TokenBatch, padded
from splade_anserini.records import SparseVector
from tests.gpu_fixtures import TEXTS, assert_close, checkpoint


@pytest.fixture(scope="module")
def expected() -> list[SparseVector]:
    """The vectors of an encoder with enough memory."""
    return TorchEncoder(checkpoint()).encode(TEXTS)


class SmallMemory:
    """A model's function that fails for batches of more tokens than fit, as torch does on CUDA."""

    def __init__(self, forward: Callable[..., torch.Tensor], tokens: int, error: Callable[[], Exception]) -> None:
        self.forward, self.tokens, self.error = forward, tokens, error
        self.sizes: list[int] = []
        self.tensors: list[weakref.ref[torch.Tensor]] = []

    def __call__(self, ids: torch.Tensor, mask: torch.Tensor | None) -> torch.Tensor:
        self.sizes.append(ids.numel())
        if ids.numel() > self.tokens:
            activation = torch.ones(4)
            self.tensors.append(weakref.ref(activation))
            raise self.error()
        return self.forward(ids, mask)


def out_of_memory() -> Exception:
    return torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 2.00 GiB.")


ERRORS = [
    out_of_memory,
    lambda: RuntimeError("DefaultCPUAllocator: can't allocate memory: you tried to allocate 8 bytes."),
    lambda: RuntimeError("CUDA error: CUBLAS_STATUS_ALLOC_FAILED when calling `cublasCreate(handle)`"),
    MemoryError,
]


def limited(
    tokens: int, *, asynchronous: bool = True, error: Callable[[], Exception] = out_of_memory
) -> tuple[TorchEncoder, SmallMemory]:
    text_encoder = TorchEncoder(checkpoint(), asynchronous=asynchronous)
    memory = SmallMemory(text_encoder._forward, tokens, error)
    text_encoder._forward = memory
    if text_encoder.gpu_batches is not None:
        text_encoder.gpu_batches.forward = memory
    return text_encoder, memory


@pytest.mark.parametrize("asynchronous", [True, False])
@pytest.mark.parametrize("error", ERRORS, ids=["CUDA", "CPU", "cuBLAS", "Python"])
def test_batches_that_do_not_fit_are_halved_and_one_warning_says_so(
    asynchronous: bool,
    error: Callable[[], Exception],
    caplog: pytest.LogCaptureFixture,
    expected: list[SparseVector],
) -> None:
    text_encoder, memory = limited(100, asynchronous=asynchronous, error=error)
    assert_close(text_encoder.encode(TEXTS), expected)
    failures = sum(size > 100 for size in memory.sizes)
    assert failures >= 2
    assert [record.levelname for record in caplog.records] == ["WARNING"]
    assert "did not fit into the memory of cpu: batches are halved" in caplog.text
    # What is known to be too large is not tried again.
    assert_close(text_encoder.encode(TEXTS), expected)
    assert sum(size > 100 for size in memory.sizes) == failures
    assert len(caplog.records) == 1


def test_when_memory_is_freed_nothing_refers_to_the_tensors_of_the_failed_batch(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    text_encoder, memory = limited(100)
    alive: list[bool] = []
    monkeypatch.setattr(text_encoder, "_free", lambda: alive.append(memory.tensors[-1]() is not None))
    text_encoder.encode(TEXTS)
    assert alive
    assert not any(alive)


@pytest.mark.parametrize("asynchronous", [True, False])
def test_a_single_text_that_does_not_fit_is_an_error(asynchronous: bool) -> None:
    text_encoder, _ = limited(20, asynchronous=asynchronous)
    with pytest.raises(InputError, match=r"A text of \d+ tokens does not fit into the memory of cpu.\n.*--max-length"):
        text_encoder.encode(TEXTS)


@pytest.mark.parametrize("asynchronous", [True, False])
def test_other_errors_are_raised(asynchronous: bool) -> None:
    text_encoder, memory = limited(100, asynchronous=asynchronous, error=lambda: RuntimeError("device-side assert"))
    with pytest.raises(RuntimeError, match="device-side assert"):
        text_encoder.encode(TEXTS)
    assert sum(size > 100 for size in memory.sizes) == 1


def test_halves_hold_every_text_once_and_no_padding_that_is_not_needed() -> None:
    batch = TokenBatch([4, 2, 7], *padded([[1, 2, 3], [4, 5], [6]], 3))
    first, second = halves(batch)
    assert (first.positions, first.ids.tolist()) == ([4, 2], [[1, 2, 3], [4, 5, 0]])
    assert (second.positions, second.ids.tolist(), second.mask.tolist()) == ([7], [[6]], [[1]])


def test_a_limit_remembers_the_size_that_may_fit() -> None:
    limit = BatchLimit("somewhere")
    batch = TokenBatch(range(8), *padded([[1, 2]] * 8, 2))

    def run(part: TokenBatch) -> int:
        if len(part.positions) > 3:
            raise MemoryError
        return len(part.positions)

    assert limit.run(batch, run, lambda: None) == [2, 2, 2, 2]
    assert limit.tokens == 4


@pytest.mark.parametrize("error", [ValueError("bad shape"), RuntimeError("index out of range")])
def test_not_every_error_is_one_of_memory(error: Exception) -> None:
    assert not is_out_of_memory(error)
