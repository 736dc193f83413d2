"""Models of other tools that used to be read otherwise than their makers meant, or ended in a traceback."""

import json
import logging
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
import torch
import transformers
from onnx import TensorProto, helper, numpy_helper
from safetensors.torch import save_file
from tokenizers import Tokenizer

from splade_anserini.encode import encode
from splade_anserini.encoding import EncoderOptions, open_encoder, open_query_encoder
from splade_anserini.encoding.torch_encoder import TorchEncoder
from splade_anserini.errors import NOTE, InputError
from splade_anserini.exporting.anserini_files import require_java_tokenizer
from splade_anserini.formats.corpora import InMemoryCorpus
from splade_anserini.modeling.backbone import load_backbone
from splade_anserini.modeling.checkpoint import Checkpoint, load_checkpoint
from splade_anserini.modeling.headless import cut_output_layer, padding_counts
from splade_anserini.modeling.published import load_static_weights
from splade_anserini.modeling.warm_start import WarmStart, normalized, warm_start
from splade_anserini.records import Document
from tests.cli_runner import run_stage
from tests.tiny import tiny_bert, tiny_checkpoint, tiny_tokenizer, tiny_vocabulary

SIZE = len(tiny_vocabulary())
TABLE = np.random.default_rng(0).normal(-0.5, 1.0, (SIZE, SIZE)).astype(np.float32)
"""The logits of each token, whatever is beside it."""

SMALL = {"vocab_size": SIZE, "hidden_size": 32, "num_hidden_layers": 2, "num_attention_heads": 2}


# ONNX graphs.


def graph_directory(
    directory: Path,
    *,
    operator: str = "Identity",
    shape: tuple[int | str, ...] = ("batch", "length"),
    integers: int = TensorProto.INT64,
    mask: int = TensorProto.INT64,
    positions: int | None = None,
    max_over_length: bool = False,
) -> Path:
    """Write a graph that looks up logits, with an operator after it, and what Optimum puts beside it."""
    nodes = [helper.make_node("Gather", ["table", "input_ids"], ["rows"])]
    constants = [numpy_helper.from_array(TABLE, "table")]
    result = "rows"
    if positions:
        nodes = [
            helper.make_node("Shape", ["input_ids"], ["size"], start=1),
            helper.make_node("Gather", ["places", "last"], ["place"]),
            helper.make_node("Sub", ["size", "one"], ["last"]),
            *nodes,
            helper.make_node("Add", ["rows", "place"], ["sum"]),
        ]
        nodes[1], nodes[2] = nodes[2], nodes[1]
        constants += [
            numpy_helper.from_array(np.zeros(positions, np.float32), "places"),
            numpy_helper.from_array(np.array([1], np.int64), "one"),
        ]
        result = "sum"
    if max_over_length:
        constants.append(numpy_helper.from_array(np.array([1], np.int64), "axis"))
        nodes.append(helper.make_node("ReduceMax", [result, "axis"], ["greatest"], keepdims=1))
        result = "greatest"
    nodes.append(helper.make_node(operator, [result], ["logits"]))
    graph = helper.make_graph(
        nodes,
        "lookup",
        [
            helper.make_tensor_value_info("input_ids", integers, shape),
            helper.make_tensor_value_info("attention_mask", mask, shape),
        ],
        [helper.make_tensor_value_info("logits", TensorProto.FLOAT, [None, None, SIZE])],
        constants,
    )
    directory.mkdir()
    tiny_tokenizer().save_pretrained(directory)
    config: dict[str, Any] = {"model_type": "bert", "vocab_size": SIZE}
    (directory / "config.json").write_text(
        json.dumps(config if positions else config | {"max_position_embeddings": 512})
    )
    onnx.save(
        helper.make_model(graph, opset_imports=[helper.make_opsetid("", 18)], ir_version=9), directory / "model.onnx"
    )
    return directory


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"operator": "Relu"}, "has no number below 0: an activation was applied"),
        ({"max_over_length": True}, "is pooled already"),
        ({"shape": (1, "length")}, r"input_ids of .* is tensor\(int64\) \[1, length\](.|\n)*dynamic axes"),
        ({"shape": ("batch", 16)}, r"is tensor\(int64\) \[batch, 16\]"),
        ({"mask": TensorProto.FLOAT}, r"attention_mask of .* is tensor\(float\)"),
        ({"positions": 40}, "cannot be run on 512 tokens(.|\n)*max_position_embeddings"),
    ],
)
def test_a_graph_that_would_be_misread_or_cannot_run_is_refused(
    tmp_path: Path, settings: dict[str, Any], message: str
) -> None:
    with pytest.raises(InputError, match=message):
        open_encoder(graph_directory(tmp_path / "graph", **settings))


def test_a_graph_without_a_number_of_positions_may_have_enough(tmp_path: Path) -> None:
    encoder = open_encoder(graph_directory(tmp_path / "graph", positions=600), EncoderOptions(max_length=600))
    assert encoder.max_length == 512


@pytest.mark.parametrize("file", ["model_quantized.onnx", "onnx/model_fp16.onnx"])
def test_a_graph_of_another_name_is_named(tmp_path: Path, file: str) -> None:
    directory = graph_directory(tmp_path / "graph")
    (directory / file).parent.mkdir(exist_ok=True)
    (directory / "model.onnx").rename(directory / file)
    with pytest.raises(InputError, match=f"has no model.onnx, but {file}"):
        open_encoder(directory)


def test_a_graph_reads_as_many_tokens_as_sentence_transformers_says(tmp_path: Path) -> None:
    directory = graph_directory(tmp_path / "graph")
    config = json.loads((directory / "tokenizer_config.json").read_text())
    (directory / "tokenizer_config.json").write_text(json.dumps(config | {"model_max_length": 128}))
    assert open_encoder(directory, EncoderOptions(max_length=300)).max_length == 128
    types = {"": "MLMTransformer", "1_SpladePooling": "SpladePooling"}
    modules = [
        {"idx": place, "name": str(place), "path": path, "type": f"sentence_transformers.sparse_encoder.models.{name}"}
        for place, (path, name) in enumerate(types.items())
    ]
    (directory / "modules.json").write_text(json.dumps(modules))
    (directory / "sentence_bert_config.json").write_text('{"max_seq_length": 300, "do_lower_case": false}')
    (directory / "1_SpladePooling").mkdir()
    pooling = {"pooling_strategy": "max", "activation_function": "relu", "word_embedding_dimension": SIZE}
    (directory / "1_SpladePooling" / "config.json").write_text(json.dumps(pooling))
    assert open_encoder(directory).max_length == 300


# Checkpoints.


def test_a_warm_start_ties_the_head_to_the_embeddings_of_a_body_that_does_not() -> None:
    body = tiny_bert(seed=3).bert
    body.config.tie_word_embeddings = False
    model = warm_start(body, tiny_tokenizer(), WarmStart(threshold=0.5, scale=2.0, shift=12.0))
    assert not body.config.tie_word_embeddings
    ids = torch.tensor([[101, 120, 130, 102]])
    with torch.no_grad():
        hidden = normalized(body(ids).last_hidden_state, body.config.layer_norm_eps)
        expected = 2 * (hidden @ body.embeddings.word_embeddings.weight.T - 0.5)
        torch.testing.assert_close(model(ids).logits[..., 104:], expected[..., 104:], atol=1e-3, rtol=1e-4)


def test_a_warm_start_lower_cases_as_sentence_transformers_says(tmp_path: Path) -> None:
    tiny_bert().bert.save_pretrained(tmp_path)
    tokenizer = tiny_tokenizer()
    tokenizer.backend_tokenizer.normalizer = None
    tokenizer.save_pretrained(tmp_path)
    word = next(token for token in tiny_vocabulary()[104:] if token.isalpha())
    assert load_backbone(str(tmp_path)).tokenizer.tokenize(word.upper()) != [word]
    (tmp_path / "sentence_bert_config.json").write_text('{"max_seq_length": 64, "do_lower_case": true}')
    assert load_backbone(str(tmp_path)).tokenizer.tokenize(word.upper()) == [word]


def test_texts_are_encoded_one_by_one_where_padding_counts(caplog: pytest.LogCaptureFixture) -> None:
    torch.manual_seed(0)
    config = transformers.ConvBertConfig(**SMALL, intermediate_size=64, embedding_size=32)
    model = transformers.ConvBertForMaskedLM(config).eval()
    assert padding_counts(model)
    assert not padding_counts(tiny_bert())
    with caplog.at_level(NOTE):
        encoder = TorchEncoder(Checkpoint(model, tiny_tokenizer(), "conv"))
    assert "Texts are encoded one by one" in caplog.text
    words = [token for token in tiny_vocabulary()[104:] if token.isalpha()][:12]
    texts = [words[0], " ".join(words)]
    beside = encoder.encode(texts)[0]
    alone = encoder.encode(texts[:1])[0]
    assert beside == alone != {}


def test_a_head_that_cannot_do_without_its_output_layer_keeps_it() -> None:
    config = transformers.MobileBertConfig(
        **SMALL, intermediate_size=64, embedding_size=16, intra_bottleneck_size=32, true_hidden_size=32
    )
    model = transformers.MobileBertForMaskedLM(config).eval()
    layer = model.get_output_embeddings()
    assert cut_output_layer(model) is None
    assert model.get_output_embeddings() is layer


def test_an_adapter_beside_a_model_is_not_left_out_in_silence(tmp_path: Path) -> None:
    directory = tiny_checkpoint(tmp_path / "model")
    (directory / "adapter_config.json").write_text("{}")
    with pytest.raises(InputError, match=r"has an adapter(.|\n)*merge_and_unload"):
        open_encoder(directory)


def test_weights_of_queries_that_nothing_names_are_not_left_out_in_silence(tmp_path: Path) -> None:
    directory = tiny_checkpoint(tmp_path / "model")
    (directory / "idf.json").write_text('{"cat": 2.5}')
    open_encoder(directory)
    with pytest.raises(InputError, match=r"has idf.json(.|\n)*modules.json"):
        open_query_encoder(directory)


def test_a_model_whose_vectors_depend_on_padding_is_exported_for_one_text_at_a_time(tmp_path: Path) -> None:
    torch.manual_seed(0)
    config = transformers.ConvBertConfig(**SMALL, intermediate_size=64, embedding_size=32)
    transformers.ConvBertForMaskedLM(config).save_pretrained(tmp_path / "model")
    tiny_tokenizer().save_pretrained(tmp_path / "model")
    outcome = run_stage("export", "--encoder", tmp_path / "model", "--output", tmp_path / "exported")
    assert outcome.code == 2
    assert "cannot be exported with --precision fp32: padding changes its vectors" in outcome.err
    assert not (tmp_path / "exported").exists()


def test_a_tokenizer_that_truncates_on_the_left_is_refused(tmp_path: Path) -> None:
    directory = tiny_checkpoint(tmp_path / "model")
    file = directory / "tokenizer_config.json"
    file.write_text(json.dumps(json.loads(file.read_text()) | {"truncation_side": "left"}))
    with pytest.raises(InputError, match="truncates on the left"):
        load_checkpoint(directory)


def test_weights_that_are_no_numbers_are_an_error_of_the_model(tmp_path: Path) -> None:
    model = tiny_bert()
    model.cls.predictions.bias.data[:] = float("inf")
    encoder = TorchEncoder(Checkpoint(model, tiny_tokenizer(), "broken"))
    corpus = InMemoryCorpus("texts", [Document("d1", "", " ".join(tiny_vocabulary()[110:114]))])
    with pytest.raises(InputError, match="A weight is not finite"):
        encode(corpus, encoder, tmp_path / "impacts")


def test_static_weights_in_bf16_are_read(tmp_path: Path) -> None:
    weights = torch.rand(SIZE) + 0.5
    save_file({"weight": weights.to(torch.bfloat16)}, tmp_path / "model.safetensors")
    read = load_static_weights(tmp_path, "model.safetensors", tiny_tokenizer())
    token = tiny_vocabulary()[120]
    assert read[token] == weights[120].to(torch.bfloat16).item()


# Anserini's Java encoder.


def java_tokenizer(vocabulary: list[str]) -> Tokenizer:
    content = json.loads(tiny_tokenizer().backend_tokenizer.to_str())
    ids = {token: index for index, token in enumerate(vocabulary)}
    content["model"]["vocab"] = ids
    content["added_tokens"] = [entry | {"id": ids[entry["content"]]} for entry in content["added_tokens"]]
    for special in content["post_processor"].get("special_tokens", {}).values():
        special["ids"] = [ids[special["id"]]]
    for side in ("cls", "sep"):
        if side in content["post_processor"]:
            content["post_processor"][side][1] = ids[content["post_processor"][side][0]]
    return Tokenizer.from_str(json.dumps(content))


def test_words_that_queries_in_java_would_lose_are_refused(caplog: pytest.LogCaptureFixture) -> None:
    vocabulary = tiny_vocabulary()
    require_java_tokenizer(java_tokenizer(vocabulary))
    special = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]"]
    reordered = special + [token for token in vocabulary if token not in special]
    while reordered[101].startswith("["):
        reordered.insert(5, reordered.pop())
    with caplog.at_level(logging.WARNING), pytest.raises(InputError, match="have ids that Anserini leaves out"):
        require_java_tokenizer(java_tokenizer(reordered))


def test_added_tokens_that_java_splits_are_refused() -> None:
    tokenizer = java_tokenizer(tiny_vocabulary())
    tokenizer.add_tokens(["foxjump"])
    require_java_tokenizer(tokenizer)
    tokenizer.add_tokens(["covid-19"])
    with pytest.raises(InputError, match="Anserini splits the added tokens 'covid-19'"):
        require_java_tokenizer(tokenizer)
