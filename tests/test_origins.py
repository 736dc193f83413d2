"""From which token of a text each entry comes: the same for ONNX, torch and a computation without our pooling."""

from pathlib import Path

import numpy as np
import pytest

from splade_anserini.encoding import EncoderOptions, open_encoder
from splade_anserini.encoding.onnx_tensors import nodes, with_output
from splade_anserini.encoding.origins import Origins, TracedEncoder
from tests.shared_models import SharedModels

TEXT = "the cats sleep on the sofa"


def origins(name: Path | str, text: str = TEXT) -> Origins:
    encoder = open_encoder(name, EncoderOptions())
    assert isinstance(encoder, TracedEncoder)
    traced = encoder.origins(text)
    (vector,) = encoder.encode([text])
    assert set(traced.by_entry) == set(vector), "every active entry has an origin, and no other"
    return traced


@pytest.mark.slow
@pytest.mark.parametrize("pooling", ["max", "sum"])
def test_torch_and_onnx_agree(shared_models: SharedModels, pooling: str) -> None:
    from splade_anserini.encoding.torch_encoder import TorchEncoder
    from splade_anserini.modeling.checkpoint import load_checkpoint

    checkpoint = load_checkpoint(shared_models.checkpoint())
    torch_encoder = TorchEncoder(checkpoint, EncoderOptions(pooling=pooling))  # type: ignore[arg-type]
    exported = open_encoder(shared_models.export(pooling=pooling))  # type: ignore[arg-type]
    assert isinstance(exported, TracedEncoder)
    assert exported.origins(TEXT) == torch_encoder.origins(TEXT)


@pytest.mark.slow
def test_the_origin_is_the_token_with_the_greatest_logit(shared_models: SharedModels) -> None:
    import torch

    from splade_anserini.modeling.checkpoint import load_checkpoint

    checkpoint = load_checkpoint(shared_models.checkpoint())
    traced = origins(shared_models.checkpoint())
    ids = checkpoint.tokenizer(TEXT, return_tensors="pt")
    with torch.no_grad():
        (logits,) = checkpoint.model(**ids).logits
    vocabulary = checkpoint.tokenizer.get_vocab()
    assert traced.tokens == tuple(checkpoint.tokenizer.convert_ids_to_tokens(ids["input_ids"][0]))
    expected = {entry: int(logits[:, vocabulary[entry]].argmax()) for entry in traced.by_entry}
    assert traced.by_entry == expected


@pytest.mark.slow
def test_int8_encoders_have_origins() -> None:
    traced = origins("splade-mini", "pain in the head")
    assert traced.tokens == ("[CLS]", "pain", "in", "the", "head", "[SEP]")
    sources = {entry: traced.tokens[position] for entry, position in traced.by_entry.items()}
    assert (sources["pain"], sources["skull"], sources["agony"]) == ("pain", "head", "pain")


@pytest.mark.parametrize("text", ["", " "])
@pytest.mark.slow
def test_a_text_without_tokens_has_none(text: str) -> None:
    assert origins("splade-mini", text) == Origins((), {})


@pytest.mark.slow
def test_a_bag_of_tokens_comes_from_itself(shared_models: SharedModels) -> None:
    from splade_anserini.encoding.bag import ALL_ONE, BagEncoder
    from splade_anserini.modeling.vocabulary import vocabulary

    exported = open_encoder(shared_models.export())
    from tokenizers import Tokenizer

    tokenizer = Tokenizer.from_file(str(shared_models.export() / "tokenizer.json"))
    tokens = vocabulary(tokenizer, len(exported.tokens))  # type: ignore[attr-defined]
    bag = BagEncoder(exported.identity.model_copy(update={"weights": ALL_ONE}), tokenizer, tokens)
    traced = bag.origins(TEXT)
    assert all(traced.tokens[position] == entry for entry, position in traced.by_entry.items())


def test_an_output_that_is_appended_is_one_of_the_graph() -> None:
    import onnx
    from onnx import TensorProto, helper

    values = [helper.make_tensor_value_info(name, TensorProto.FLOAT, [2]) for name in ("x", "y")]
    graph = helper.make_graph(
        [helper.make_node("Relu", ["x"], ["inside"]), helper.make_node("Neg", ["inside"], ["y"])],
        "g",
        values[:1],
        values[1:],
    )
    model = helper.make_model(graph, ir_version=8, opset_imports=[helper.make_opsetid("", 18)]).SerializeToString()
    assert [(node.operator, node.inputs) for node in nodes(model)] == [("Relu", ("x",)), ("Neg", ("inside",))]
    merged = onnx.load_model_from_string(with_output(model, "inside"))
    assert [output.name for output in merged.graph.output] == ["y", "inside"]
    import onnxruntime

    session = onnxruntime.InferenceSession(with_output(model, "inside"), providers=["CPUExecutionProvider"])
    y, inside = session.run(None, {"x": np.array([-1, 2], dtype=np.float32)})
    assert (y.tolist(), inside.tolist()) == ([0, -2], [0, 2])


@pytest.mark.parametrize("content", [b"\x3a", b"\x3a\x05ab", b"\x3b", b"\xff"])
def test_what_is_not_a_model_is_an_error(content: bytes) -> None:
    with pytest.raises(ValueError, match=r"file|wire"):
        nodes(content)
