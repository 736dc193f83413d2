"""In float32 on a CPU, the weights of a text do not depend, in any bit, on the texts beside it or on padding."""

from typing import Any

import pytest
import torch

from splade_anserini.encoding import EncoderOptions
from splade_anserini.encoding.torch_encoder import TorchEncoder
from splade_anserini.modeling.checkpoint import Checkpoint, load_checkpoint
from splade_anserini.modeling.packed_linear import can_pack
from splade_anserini.modeling.text_attention import attend_by_text
from splade_anserini.records import POOLINGS, Pooling
from tests.shared_models import SharedModels
from tests.tiny import SENTENCES, tiny_bert, tiny_tokenizer
from tests.tiny_heads import head_checkpoint

pytestmark = pytest.mark.skipif(not can_pack(torch.float32), reason="torch cannot pack weights on this processor")

TEXTS = [*SENTENCES, *(f"{first} {second}" for first in SENTENCES for second in SENTENCES[:3])]
BATCHES = [(1, 2048), (3, 100), (8, 512), (64, 2048)]
"""Most texts and tokens of a batch."""


def vectors(encoder: Any, texts_in_batch: int, tokens_in_batch: int) -> list[Any]:
    encoder._batch_size, encoder._max_tokens = texts_in_batch, tokens_in_batch
    return list(encoder.encode(TEXTS))


@pytest.mark.parametrize("pooling", POOLINGS)
@pytest.mark.parametrize("kind", ["bert", "distilbert"])
def test_the_vectors_are_equal_for_all_sizes_of_batches(
    shared_models: SharedModels, kind: str, pooling: Pooling
) -> None:
    encoder = TorchEncoder(load_checkpoint(shared_models.checkpoint(kind)), EncoderOptions(pooling=pooling))
    expected = vectors(encoder, *BATCHES[0])
    for batch in BATCHES[1:]:
        assert vectors(encoder, *batch) == expected


@pytest.mark.slow
def test_so_they_are_with_layers_of_the_width_of_bert_base() -> None:
    from transformers import BertConfig, BertForMaskedLM

    torch.manual_seed(0)
    tokenizer = tiny_tokenizer()
    model = BertForMaskedLM(BertConfig(vocab_size=len(tokenizer), num_hidden_layers=2)).eval()
    encoder = TorchEncoder(Checkpoint(model, tokenizer, "wide"), EncoderOptions(threads=2))
    expected = vectors(encoder, *BATCHES[0])
    for batch in BATCHES[1:]:
        assert vectors(encoder, *batch) == expected


@pytest.mark.parametrize(
    ("name", "by_text"),
    [
        ("bert", True),
        ("roberta", True),
        pytest.param("modernbert", True, marks=pytest.mark.slow),
        pytest.param("electra", True, marks=pytest.mark.slow),
        pytest.param("deberta-v2", False, marks=pytest.mark.slow),  # its attention is its own
    ],
)
def test_other_architectures_attend_by_text_where_they_use_the_common_interface(
    tmp_path_factory: pytest.TempPathFactory, name: str, by_text: bool
) -> None:
    checkpoint = load_checkpoint(head_checkpoint(name, tmp_path_factory.mktemp(name) / "checkpoint"))
    encoder = TorchEncoder(checkpoint)
    assert (encoder.batching is None) == by_text
    expected, small = vectors(encoder, 64, 2048), vectors(encoder, 1, 2048)
    if by_text:
        assert small == expected
    for vector, reference in zip(small, expected, strict=True):
        assert vector == pytest.approx(reference, abs=1e-5)


def test_a_model_that_computes_something_else_keeps_its_attention() -> None:
    class Reversed(torch.nn.Module):
        """A model whose texts see one another: the lengths of its rows are not those of the mask."""

        def __init__(self) -> None:
            super().__init__()
            self.inner = tiny_bert()
            self.config, self.device = self.inner.config, self.inner.device

        def set_attn_implementation(self, name: str) -> None:
            self.inner.set_attn_implementation(name)

        def forward(self, input_ids: torch.Tensor, attention_mask: torch.Tensor) -> Any:
            return self.inner(input_ids=input_ids.flip(1), attention_mask=attention_mask.flip(1))

    model = Reversed().eval()
    assert attend_by_text(model) is None
    assert model.config._attn_implementation == "sdpa"


def test_the_checkpoint_keeps_its_attention(shared_models: SharedModels) -> None:
    checkpoint = load_checkpoint(shared_models.checkpoint())
    TorchEncoder(checkpoint)
    assert checkpoint.model.config._attn_implementation == "sdpa"
