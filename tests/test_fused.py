"""The fused model gives the weights of the plain one: in any pieces, with any padding, packed or not."""

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
from splade_anserini.records import SPLADE_MAX, Aggregation
from tests.aggregations import AGGREGATIONS
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


@pytest.mark.parametrize("aggregation", AGGREGATIONS)
@given(batch=batches(), piece=st.integers(1, 50))
@settings(max_examples=40, deadline=None)
def test_projecting_in_pieces_gives_the_pooled_logits(
    aggregation: Aggregation, batch: tuple[torch.Tensor, torch.Tensor], piece: int
) -> None:
    table, bias = output_layer()
    hidden, mask = batch
    expected = pool(hidden @ table.T + bias, mask, aggregation)
    weights = Projection(table, bias, aggregation, piece=piece)(hidden, mask)
    torch.testing.assert_close(weights, expected, rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize("aggregation", AGGREGATIONS)
@given(batch=batches(), noise=st.floats(-1e4, 1e4), seed=st.integers(0, 99))
@settings(max_examples=40, deadline=None)
def test_hidden_states_of_padding_change_no_weight(
    aggregation: Aggregation, batch: tuple[torch.Tensor, torch.Tensor], noise: float, seed: int
) -> None:
    hidden, mask = batch
    # Padding may be anywhere.
    order = torch.randperm(mask.shape[1], generator=torch.Generator().manual_seed(seed))
    hidden, mask = hidden[:, order], mask[:, order]
    project = Projection(*output_layer(), aggregation, piece=16)
    noisy = torch.where(mask.unsqueeze(-1) == 0, noise, hidden)
    assert torch.equal(project(noisy, mask), project(hidden, mask))


@pytest.mark.parametrize("aggregation", AGGREGATIONS)
@pytest.mark.parametrize("make", [tiny_bert, tiny_distilbert])
def test_the_fused_model_gives_the_weights_of_the_plain_one(make: Any, aggregation: Aggregation) -> None:
    model = checkpoint(make())
    with torch.inference_mode():
        expected = Splade.of(model, aggregation)(*inputs())
        weights = fast_forward(model, aggregation, torch.float32, CPU)(*inputs())
    assert weights.dtype == torch.float32
    torch.testing.assert_close(weights, expected, rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
def test_the_checkpoints_model_is_not_changed(dtype: torch.dtype) -> None:
    model = tiny_bert()
    before, training = weights_fingerprint(model), copy.deepcopy(model).train()
    model.train()
    forward = fast_forward(checkpoint(model), SPLADE_MAX, dtype, CPU)
    with torch.inference_mode():
        forward(*inputs())
    assert weights_fingerprint(model) == before
    assert model.training
    assert {p.dtype for p in model.parameters()} == {torch.float32}
    assert [type(m) for m in model.modules()] == [type(m) for m in training.modules()]
    assert all(p.requires_grad for p in model.parameters())
    assert "forward" not in vars(model.cls.predictions.transform.dense)


def test_bf16_is_close_to_fp32() -> None:
    model = checkpoint(tiny_bert())
    with torch.inference_mode():
        full = fast_forward(model, SPLADE_MAX, torch.float32, CPU)(*inputs())
        half = fast_forward(model, SPLADE_MAX, torch.bfloat16, CPU)(*inputs())
    assert half.dtype == torch.float32
    assert not torch.equal(half, full)
    assert float((half - full).abs().max()) < 0.1


def test_the_head_of_a_warm_start_survives_bf16() -> None:
    model = warm_start(tiny_bert().bert, tiny_tokenizer(), WarmStart(threshold=2.0, scale=1.0))
    with torch.inference_mode():
        full = fast_forward(checkpoint(model), SPLADE_MAX, torch.float32, CPU)(*inputs())
        half = fast_forward(checkpoint(model), SPLADE_MAX, torch.bfloat16, CPU)(*inputs())
    assert float((half - full).abs().max()) < 0.2


class Squared(torch.nn.Module):
    """A model whose logits are not the outputs of its output layer."""

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
    """An output layer that is not a plain linear one."""

    def forward(self, input: torch.Tensor) -> torch.Tensor:  # noqa: A002 - torch's name
        return 2 * super().forward(input)


def bert_with_doubled_output() -> Any:
    model = tiny_bert()
    model.cls.predictions.decoder.__class__ = Doubled
    return model


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
@pytest.mark.parametrize("aggregation", AGGREGATIONS)
@pytest.mark.parametrize("make", [lambda: Squared().eval(), bert_with_doubled_output], ids=["squared", "doubled"])
def test_a_model_that_does_not_end_in_a_linear_layer_gives_the_weights_of_the_plain_one(
    make: Any, aggregation: Aggregation, dtype: torch.dtype
) -> None:
    assert cut_output_layer(shared_copy(make())) is None
    model = checkpoint(make())
    with torch.inference_mode():
        expected = Splade.of(model, aggregation)(*inputs(SENTENCES[:3]))
        weights = fast_forward(model, aggregation, dtype, CPU)(*inputs(SENTENCES[:3]))
    bound = 1e-5 if dtype == torch.float32 else 0.05 * float(expected.max())
    torch.testing.assert_close(weights, expected, rtol=1e-5, atol=bound)


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16, torch.float16])
def test_packed_layers_change_no_weight(dtype: torch.dtype, monkeypatch: pytest.MonkeyPatch) -> None:
    model = checkpoint(tiny_bert())
    with torch.inference_mode():
        packed = fast_forward(model, SPLADE_MAX, dtype, CPU)(*inputs())
        monkeypatch.setattr("splade_anserini.modeling.packed_linear.can_pack", lambda _: False)
        plain = fast_forward(model, SPLADE_MAX, dtype, CPU)(*inputs())
    bound = 1e-5 if dtype == torch.float32 else 0.1
    torch.testing.assert_close(plain, packed, rtol=0, atol=bound)


@pytest.mark.skipif(not can_pack(torch.float32), reason="torch cannot pack weights on this processor")
@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
@pytest.mark.parametrize("rows", [1, 5, 300])
def test_a_packed_layer_gives_the_products_of_the_layer_it_replaces(dtype: torch.dtype, rows: int) -> None:
    torch.manual_seed(0)
    layer = torch.nn.Sequential(torch.nn.Linear(48, 33), torch.nn.ReLU(), torch.nn.Linear(33, 7, bias=False))
    values = torch.randn(rows, 48)
    with torch.inference_mode():
        expected = layer(values).to(dtype)
        pack(layer, dtype)
        products = layer.to(dtype)(values.to(dtype))
    if can_pack(dtype):
        assert [type(part) for part in layer] == [PackedLinear, torch.nn.ReLU, PackedLinear]
    bound = 1e-5 if dtype == torch.float32 else 0.05
    torch.testing.assert_close(products, expected, rtol=bound, atol=bound)
