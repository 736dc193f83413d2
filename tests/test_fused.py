"""The fast way through a model gives what the plain one gives: fused or not, padded or not, in any pieces."""

import copy
from typing import Any

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from splade_anserini.modeling.checkpoint import Checkpoint
from splade_anserini.modeling.fused import fast_forward
from splade_anserini.modeling.headless import cut_output_layer, shared_copy
from splade_anserini.modeling.identity import weights_fingerprint
from splade_anserini.modeling.packed_linear import PackedLinear, can_pack, pack
from splade_anserini.modeling.pooling import pool
from splade_anserini.modeling.projection import Projection
from splade_anserini.modeling.splade import Splade
from splade_anserini.modeling.warm_start import WarmStart, warm_start
from splade_anserini.records import POOLINGS, Pooling
from tests.tiny import SENTENCES, tiny_bert, tiny_distilbert, tiny_tokenizer

CPU = torch.device("cpu")
VOCABULARY, WIDTH = 37, 8


def checkpoint(model: Any, *, token_types: bool = True) -> Checkpoint:
    return Checkpoint(model, tiny_tokenizer(token_types=token_types), "tiny")


def inputs(texts: tuple[str, ...] = SENTENCES) -> tuple[torch.Tensor, torch.Tensor]:
    batch = tiny_tokenizer()(list(texts), padding=True, return_tensors="pt")
    return batch["input_ids"], batch["attention_mask"]


@st.composite
def batches(draw: st.DrawFn) -> tuple[torch.Tensor, torch.Tensor]:
    seed, batch, length = draw(st.integers(0, 2**31)), draw(st.integers(1, 4)), draw(st.integers(1, 6))
    generator = torch.Generator().manual_seed(seed)
    hidden = torch.randn((batch, length, WIDTH), generator=generator)
    lengths = torch.randint(1, length + 1, (batch, 1), generator=generator)
    return hidden, (torch.arange(length) < lengths).long()


def output_layer() -> tuple[torch.Tensor, torch.Tensor]:
    generator = torch.Generator().manual_seed(7)
    return torch.randn((VOCABULARY, WIDTH), generator=generator), torch.randn(VOCABULARY, generator=generator)


@pytest.mark.parametrize("pooling", POOLINGS)
@given(batch=batches(), piece=st.integers(1, 50))
@settings(max_examples=40, deadline=None)
def test_projecting_in_pieces_is_pooling_all_logits(
    pooling: Pooling, batch: tuple[torch.Tensor, torch.Tensor], piece: int
) -> None:
    table, bias = output_layer()
    hidden, mask = batch
    expected = pool(hidden @ table.T + bias, mask, pooling)
    found = Projection(table, bias, pooling, piece=piece)(hidden, mask)
    torch.testing.assert_close(found, expected, rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize("pooling", POOLINGS)
@given(batch=batches(), junk=st.floats(-1e4, 1e4), seed=st.integers(0, 99))
@settings(max_examples=40, deadline=None)
def test_what_stands_under_padding_changes_no_weight(
    pooling: Pooling, batch: tuple[torch.Tensor, torch.Tensor], junk: float, seed: int
) -> None:
    hidden, mask = batch
    # Padding may stand on any side.
    order = torch.randperm(mask.shape[1], generator=torch.Generator().manual_seed(seed))
    hidden, mask = hidden[:, order], mask[:, order]
    project = Projection(*output_layer(), pooling, piece=16)
    dirty = torch.where(mask.unsqueeze(-1) == 0, junk, hidden)
    assert torch.equal(project(dirty, mask), project(hidden, mask))


@pytest.mark.parametrize("pooling", POOLINGS)
@pytest.mark.parametrize("make", [tiny_bert, tiny_distilbert])
def test_the_fused_model_is_the_plain_one(make: Any, pooling: Pooling) -> None:
    point = checkpoint(make())
    with torch.inference_mode():
        expected = Splade.of(point, pooling)(*inputs())
        found = fast_forward(point, pooling, torch.float32, CPU)(*inputs())
    assert found.dtype == torch.float32
    torch.testing.assert_close(found, expected, rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
def test_the_model_that_was_handed_in_stays_as_it_was(dtype: torch.dtype) -> None:
    model = tiny_bert()
    before, training = weights_fingerprint(model), copy.deepcopy(model).train()
    model.train()
    forward = fast_forward(checkpoint(model), "max", dtype, CPU)
    with torch.inference_mode():
        forward(*inputs())
    assert weights_fingerprint(model) == before
    assert model.training
    assert {p.dtype for p in model.parameters()} == {torch.float32}
    assert [type(m) for m in model.modules()] == [type(m) for m in training.modules()]
    assert all(p.requires_grad for p in model.parameters())
    assert "forward" not in vars(model.cls.predictions.transform.dense)


def test_bf16_is_close_to_fp32() -> None:
    point = checkpoint(tiny_bert())
    with torch.inference_mode():
        full = fast_forward(point, "max", torch.float32, CPU)(*inputs())
        half = fast_forward(point, "max", torch.bfloat16, CPU)(*inputs())
    assert half.dtype == torch.float32
    assert not torch.equal(half, full)
    assert float((half - full).abs().max()) < 0.1


def test_the_constant_of_a_warm_start_survives_bf16() -> None:
    model = warm_start(tiny_bert().bert, tiny_tokenizer(), WarmStart(threshold=2.0, scale=1.0))
    with torch.inference_mode():
        full = fast_forward(checkpoint(model), "max", torch.float32, CPU)(*inputs())
        half = fast_forward(checkpoint(model), "max", torch.bfloat16, CPU)(*inputs())
    assert float((half - full).abs().max()) < 0.2


class Squared(torch.nn.Module):
    """A model whose logits are not what its output layer says."""

    def __init__(self) -> None:
        super().__init__()
        self.inner = tiny_bert()
        self.config = self.inner.config
        self.base_model = self.inner.base_model

    @property
    def device(self) -> torch.device:
        return CPU

    def get_output_embeddings(self) -> Any:
        return self.inner.get_output_embeddings()

    def forward(self, **arguments: Any) -> Any:
        output = self.inner(**arguments)
        output.logits = output.logits**2 / 8
        return output


class Doubled(torch.nn.Linear):
    """An output layer that is no plain linear one."""

    def forward(self, input: torch.Tensor) -> torch.Tensor:  # noqa: A002 - torch's name
        return 2 * super().forward(input)


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
@pytest.mark.parametrize("pooling", POOLINGS)
def test_a_model_that_does_not_end_in_a_linear_layer_runs_as_it_is(pooling: Pooling, dtype: torch.dtype) -> None:
    doubled = tiny_bert()
    doubled.cls.predictions.decoder.__class__ = Doubled
    for model in [Squared().eval(), doubled]:
        assert cut_output_layer(shared_copy(model)) is None
        point = checkpoint(model)
        with torch.inference_mode():
            expected = Splade.of(point, pooling)(*inputs(SENTENCES[:3]))
            found = fast_forward(point, pooling, dtype, CPU)(*inputs(SENTENCES[:3]))
        bound = 1e-5 if dtype == torch.float32 else 0.05 * float(expected.max())
        torch.testing.assert_close(found, expected, rtol=1e-5, atol=bound)


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16, torch.float16])
def test_without_packed_layers_the_weights_are_the_same(dtype: torch.dtype, monkeypatch: pytest.MonkeyPatch) -> None:
    point = checkpoint(tiny_bert())
    with torch.inference_mode():
        packed = fast_forward(point, "max", dtype, CPU)(*inputs())
        monkeypatch.setattr("splade_anserini.modeling.packed_linear.can_pack", lambda _: False)
        plain = fast_forward(point, "max", dtype, CPU)(*inputs())
    bound = 1e-5 if dtype == torch.float32 else 0.1
    torch.testing.assert_close(plain, packed, rtol=0, atol=bound)


@pytest.mark.skipif(not can_pack(torch.float32), reason="torch cannot lay out weights on this processor")
@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
@pytest.mark.parametrize("rows", [1, 5, 300])
def test_a_packed_layer_multiplies_as_the_layer_it_was_made_from(dtype: torch.dtype, rows: int) -> None:
    torch.manual_seed(0)
    layer = torch.nn.Sequential(torch.nn.Linear(48, 33), torch.nn.ReLU(), torch.nn.Linear(33, 7, bias=False))
    values = torch.randn(rows, 48)
    with torch.inference_mode():
        expected = layer(values).to(dtype)
        pack(layer, dtype)
        found = layer.to(dtype)(values.to(dtype))
    if can_pack(dtype):
        assert [type(part) for part in layer] == [PackedLinear, torch.nn.ReLU, PackedLinear]
    bound = 1e-5 if dtype == torch.float32 else 0.05
    torch.testing.assert_close(found, expected, rtol=bound, atol=bound)
