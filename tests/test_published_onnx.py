"""ONNX directories of other tools: logits are pooled and activated here; what is pooled already is refused."""

import json
import shutil
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import onnx
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from onnx import TensorProto, helper, numpy_helper

from splade_anserini.artifacts.manifests import ImpactManifest, read_manifest
from splade_anserini.cards.finding import find_encoder
from splade_anserini.encoding import EncoderOptions, OnnxQueryEncoder, open_encoder, open_query_encoder, quantize
from splade_anserini.encoding.logit_pooling import pool_logits
from splade_anserini.errors import InputError, MismatchError
from splade_anserini.modeling.pooling import pool
from splade_anserini.records import Aggregation, SparseVector
from tests.aggregations import AGGREGATIONS
from tests.cli_runner import run_stage
from tests.shared_models import SharedModels
from tests.tiny import SENTENCES, tiny_tokenizer, tiny_vocabulary
from tests.tiny_heads import head_checkpoint

SIZE = len(tiny_vocabulary())
TABLE = np.random.default_rng(0).normal(-0.5, 1.0, (SIZE, SIZE)).astype(np.float32)
"""The logits of each token, whatever is beside it."""

BERT = {"model_type": "bert", "max_position_embeddings": 512, "vocab_size": SIZE}


def write_directory(
    directory: Path,
    graph: onnx.ModelProto | None = None,
    *,
    config: Mapping[str, Any] = BERT,
    file: str = "model.onnx",
) -> Path:
    """Write a graph, by default one that looks up logits, with the files that Optimum and fastembed put beside it."""
    (directory / file).parent.mkdir(parents=True)
    tiny_tokenizer().save_pretrained(directory)
    (directory / "config.json").write_text(json.dumps(config))
    onnx.save(lookup_graph() if graph is None else graph, directory / file)
    return directory


def lookup_graph(
    table: npt.NDArray[np.float32] = TABLE,
    *,
    inputs: Sequence[str] = ("input_ids", "attention_mask", "token_type_ids"),
    integers: int = TensorProto.INT64,
    name: str = "logits",
    pooled: bool = False,
) -> onnx.ModelProto:
    """Return a graph from token ids [batch, length] to rows of a table, or with `pooled` to their maximum."""
    nodes = [helper.make_node("Gather", ["table", "input_ids"], ["rows" if pooled else name])]
    constants = [numpy_helper.from_array(table, "table")]
    shape: list[str | int] = ["batch", "length", table.shape[1]]
    if pooled:
        constants.append(numpy_helper.from_array(np.array([1]), "axis"))
        nodes.append(helper.make_node("ReduceMax", ["rows", "axis"], [name], keepdims=0))
        del shape[1]
    graph = helper.make_graph(
        nodes,
        "lookup",
        [helper.make_tensor_value_info(tensor, integers, ["batch", "length"]) for tensor in inputs],
        [helper.make_tensor_value_info(name, TensorProto.FLOAT, shape)],
        constants,
    )
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("", 18)], ir_version=9)


def expected_vectors(texts: Sequence[str], aggregation: Aggregation) -> list[SparseVector]:
    tokens = np.array(tiny_vocabulary())
    vectors = []
    for text in texts:
        ids = tiny_tokenizer()(text, truncation=True, max_length=256)["input_ids"]
        weights = pool(torch.from_numpy(TABLE[ids])[None], torch.ones(1, len(ids)), aggregation)[0].numpy()
        weights[[0, 100, 101, 102, 103]] = 0
        vectors.append(dict(zip(tokens[weights > 0].tolist(), weights[weights > 0].tolist(), strict=True)))
    return vectors


def assert_close(vectors: Sequence[SparseVector], expected: Sequence[SparseVector], bound: float = 1e-4) -> None:
    for vector, reference in zip(vectors, expected, strict=True):
        for token in {*vector, *reference}:
            weight = reference.get(token, 0.0)
            assert abs(vector.get(token, 0.0) - weight) <= bound * max(1.0, weight), token


@pytest.fixture(scope="module")
def directory(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_directory(tmp_path_factory.mktemp("published") / "lookup")


@pytest.mark.parametrize("aggregation", AGGREGATIONS)
@settings(max_examples=25)
@given(seed=st.integers(0, 2**31), length=st.integers(1, 40), size=st.floats(0.01, 100))
def test_logits_are_pooled_in_numpy_as_in_torch(aggregation: Aggregation, seed: int, length: int, size: float) -> None:
    logits = (np.random.default_rng(seed).standard_normal((length, 7)) * size).astype(np.float32)
    expected = pool(torch.from_numpy(logits)[None], torch.ones(1, length), aggregation)[0].numpy()
    np.testing.assert_allclose(pool_logits(logits, aggregation), expected, rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize("aggregation", AGGREGATIONS)
def test_logits_are_pooled_and_activated_as_the_options_say(directory: Path, aggregation: Aggregation) -> None:
    options = EncoderOptions(pooling=aggregation.pooling, activation=aggregation.activation)
    encoder = open_encoder(directory, options)
    assert_close(encoder.encode(SENTENCES), expected_vectors(SENTENCES, aggregation))
    assert encoder.identity.aggregation == aggregation


def test_without_options_they_are_pooled_by_maximum_and_relu(directory: Path) -> None:
    expected = expected_vectors(SENTENCES, Aggregation("max", "relu"))
    assert_close(open_encoder(directory).encode(SENTENCES), expected)
    queries = OnnxQueryEncoder(directory)
    assert queries.encode(SENTENCES[1]) == quantize(open_query_encoder(directory).encode([SENTENCES[1]])[0], 100)


@pytest.mark.parametrize("options", [EncoderOptions(batch_size=1, threads=1), EncoderOptions(low_latency=True)])
def test_the_vector_of_a_text_does_not_depend_on_the_batch(directory: Path, options: EncoderOptions) -> None:
    assert open_encoder(directory, options).encode(SENTENCES) == open_encoder(directory).encode(SENTENCES)


def test_a_text_without_tokens_has_an_empty_vector(directory: Path) -> None:
    assert open_encoder(directory).encode(["", "headache"])[0] == {}


def test_the_card_says_pooling_activation_and_lengths(directory: Path, tmp_path: Path) -> None:
    card = tmp_path / "theirs.toml"
    card.write_text(
        f'name = "theirs"\ndescription = "A test."\nlicense = "MIT"\nsource = "{directory}"\npooling = "sum"\n'
        'activation = "log1p_relu"\nmax_length = 12\nquery_max_length = 6\n'
    )
    assert open_encoder(card).identity.aggregation == Aggregation("sum", "log1p_relu")
    assert (open_encoder(card).max_length, open_query_encoder(card).max_length) == (12, 6)


@pytest.mark.parametrize("file", ["model.onnx", "onnx/model.onnx"])
def test_the_files_of_sentence_transformers_say_pooling_activation_and_length(tmp_path: Path, file: str) -> None:
    source = write_directory(tmp_path / "model", file=file)
    types = ["MLMTransformer", "SpladePooling"]
    modules = [
        {"idx": index, "name": str(index), "path": path, "type": f"sentence_transformers.sparse_encoder.models.{name}"}
        for index, (path, name) in enumerate(zip(["", "1_SpladePooling"], types, strict=True))
    ]
    (source / "1_SpladePooling").mkdir()
    files = {
        "modules.json": modules,
        "sentence_bert_config.json": {"max_seq_length": 40, "do_lower_case": False},
        "1_SpladePooling/config.json": {"pooling_strategy": "sum", "activation_function": "log1p_relu"},
    }
    for name, content in files.items():
        (source / name).write_text(json.dumps(content))
    encoder = open_encoder(source)
    assert (encoder.identity.aggregation, encoder.max_length) == (Aggregation("sum", "log1p_relu"), 40)
    assert_close(encoder.encode(SENTENCES[:7]), expected_vectors(SENTENCES[:7], Aggregation("sum", "log1p_relu")))
    with pytest.raises(MismatchError, match="pooling"):
        open_encoder(source, EncoderOptions(pooling="max"))


def test_a_bag_of_tokens_needs_only_the_tokenizer(directory: Path, tmp_path: Path) -> None:
    card = tmp_path / "doc.toml"
    card.write_text(
        f'name = "doc"\ndescription = "A test."\nlicense = "MIT"\nsource = "{directory}"\nquery_side = "doc"\n'
    )
    queries = open_query_encoder(card)
    assert queries.encode(["headache"]) == [{"headache": 1.0}]
    assert queries.identity.vocabulary == open_encoder(card).identity.vocabulary


@pytest.mark.parametrize("file", ["model.onnx", "onnx/model.onnx"])
def test_both_layouts_are_recognized(tmp_path: Path, file: str) -> None:
    source = write_directory(tmp_path / "model", file=file)
    assert find_encoder(source).is_onnx
    assert len(open_encoder(source).encode(["headache"])[0]) > 10


@pytest.mark.parametrize("weights", ["model.safetensors", "pytorch_model.bin", "model-00001-of-00002.safetensors"])
def test_weights_for_torch_are_preferred_to_a_graph_below_onnx(tmp_path: Path, weights: str) -> None:
    source = write_directory(tmp_path / "model", file="onnx/model.onnx")
    (source / weights).touch()
    assert not find_encoder(source).is_onnx


def test_the_fingerprints_are_those_of_the_files(tmp_path: Path, directory: Path, shared_models: SharedModels) -> None:
    identity = open_encoder(directory).identity
    of_torch = open_encoder(shared_models.checkpoint()).identity
    assert (identity.tokenizer, identity.vocabulary) == (of_torch.tokenizer, of_torch.vocabulary)
    other = shutil.copytree(directory, tmp_path / "other")
    assert open_encoder(other).identity.weights == identity.weights
    # Weights in a file of their own, as graphs of more than two gigabytes have.
    (other / "model.onnx_data").write_bytes(b"weights")
    with_data = open_encoder(other).identity.weights
    (other / "model.onnx_data").write_bytes(b"others")
    assert len({identity.weights, with_data, open_encoder(other).identity.weights}) == 3


def test_rows_without_a_token_and_entries_with_white_space_have_no_weight(tmp_path: Path) -> None:
    table = np.concatenate([TABLE, np.full((SIZE, 10), 5.0, dtype=np.float32)], axis=1)
    source = write_directory(tmp_path / "model", lookup_graph(table))
    path = source / "tokenizer.json"
    content = json.loads(path.read_text())
    last = tiny_vocabulary()[-1]
    content["model"]["vocab"]["a b"] = content["model"]["vocab"].pop(last)
    path.write_text(json.dumps(content))
    encoder = open_encoder(source)
    assert_close(
        encoder.encode([SENTENCES[0]]),
        [
            {token: weight for token, weight in vector.items() if token != last}
            for vector in expected_vectors([SENTENCES[0]], Aggregation("max", "relu"))
        ],
    )
    assert encoder.identity.unindexable_entries == 1


@pytest.mark.parametrize(
    ("inputs", "integers"),
    [
        (["input_ids"], TensorProto.INT64),
        (["input_ids", "input_mask", "segment_ids"], TensorProto.INT64),
        (["attention_mask", "input_ids"], TensorProto.INT32),
    ],
    ids=str,
)
def test_inputs_have_the_names_and_the_type_of_the_graph(
    tmp_path: Path, directory: Path, inputs: list[str], integers: int
) -> None:
    source = write_directory(tmp_path / "model", lookup_graph(inputs=inputs, integers=integers))
    assert open_encoder(source).encode(SENTENCES) == open_encoder(directory).encode(SENTENCES)


@pytest.mark.parametrize(
    ("config", "settings", "longest"),
    [
        ({"model_type": "bert", "max_position_embeddings": 300}, {"model_max_length": 512}, 300),
        ({"model_type": "bert", "max_position_embeddings": 600}, {"model_max_length": 512}, 512),
        ({"model_type": "bert", "max_position_embeddings": 400}, {"model_max_length": 10**30}, 400),
        ({"model_type": "roberta", "max_position_embeddings": 514, "pad_token_id": 1}, {}, 512),
        ({}, {}, 512),
    ],
    ids=str,
)
def test_the_longest_input_is_that_of_the_model_and_its_tokenizer(
    tmp_path: Path, config: dict[str, Any], settings: dict[str, Any], longest: int
) -> None:
    source = write_directory(tmp_path / "model", config=config)
    (source / "tokenizer_config.json").write_text(json.dumps(settings))
    assert open_encoder(source, EncoderOptions(max_length=10_000)).max_length == longest
    assert open_encoder(source).max_length == 256


@pytest.mark.parametrize(
    ("graph", "error", "message"),
    [
        (lookup_graph(pooled=True), InputError, r"is pooled already \(logits \[1, 374\](.|\n)*no manifest says how"),
        (lookup_graph(TABLE[:, :32], name="last_hidden_state"), MismatchError, r"no logits(.|\n)*\[1, 3, 32\]"),
        (lookup_graph(TABLE[:, :32], pooled=True), MismatchError, "has no logits"),
        (lookup_graph(inputs=["input_ids", "pixel_values"]), InputError, "has the input pixel_values"),
    ],
    ids=["pooled", "hidden states", "dense", "inputs"],
)
def test_a_graph_without_logits_is_refused_with_the_reason(
    tmp_path: Path, graph: onnx.ModelProto, error: type[Exception], message: str
) -> None:
    source = write_directory(tmp_path / "model", graph)
    with pytest.raises(error, match=message):
        open_encoder(source)


def test_a_directory_without_a_tokenizer_is_refused(tmp_path: Path) -> None:
    source = write_directory(tmp_path / "model")
    (source / "tokenizer.json").unlink()
    with pytest.raises(InputError, match=r"holds model.onnx but no tokenizer.json"):
        open_encoder(source)


def test_a_precision_that_the_graph_does_not_have_is_refused(directory: Path) -> None:
    with pytest.raises(InputError, match="precision fp32, not int8"):
        open_encoder(directory, EncoderOptions(precision="int8"))


def test_encode_records_how_logits_were_pooled(directory: Path, tmp_path: Path) -> None:
    (tmp_path / "corpus.jsonl").write_text(json.dumps({"id": "d0", "text": "headache"}))
    arguments = ["--corpus", tmp_path / "corpus.jsonl", "--encoder", directory, "--output", tmp_path / "out"]
    done = run_stage("encode", *arguments, "--pooling", "sum", "--activation", "log1p_relu")
    assert (done.code, done.complaints) == (0, "")
    manifest = read_manifest(tmp_path / "out", ImpactManifest)
    assert manifest is not None
    assert manifest.settings.encoder.aggregation == Aggregation("sum", "log1p_relu")


def export_logits(checkpoint: Path, output: Path, file: str) -> Path:
    """Export a checkpoint as Optimum does: the logits of each token, with files of the checkpoint beside the graph."""
    from splade_anserini.modeling.checkpoint import load_checkpoint
    from splade_anserini.modeling.transformers_logging import quiet_transformers

    class Logits(torch.nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.model = loaded.model

        def forward(self, input_ids: torch.Tensor, attention_mask: torch.Tensor) -> Any:
            return self.model(input_ids=input_ids, attention_mask=attention_mask).logits

    loaded = load_checkpoint(checkpoint)
    loaded.model.set_attn_implementation("eager")
    names = ["input_ids", "attention_mask"]
    axes = {0: torch.export.Dim("batch"), 1: torch.export.Dim("sequence")}
    (output / file).parent.mkdir(parents=True)
    with quiet_transformers():
        torch.onnx.export(
            Logits().eval(),
            (),
            output / file,
            kwargs={name: torch.ones((2, 7), dtype=torch.int64) for name in names},
            input_names=names,
            output_names=["logits"],
            dynamic_shapes=dict.fromkeys(names, axes),
            dynamo=True,
            verbose=False,
        )
    for path in checkpoint.glob("*.json"):
        shutil.copy(path, output)
    return output


@pytest.mark.slow
@pytest.mark.parametrize(
    ("name", "file"), [("bert", "model.onnx"), ("roberta", "onnx/model.onnx"), ("modernbert", "model.onnx")]
)
def test_an_export_of_logits_gives_the_vectors_of_torch(tmp_path: Path, name: str, file: str) -> None:
    checkpoint = head_checkpoint(name, tmp_path / "checkpoint")
    source = export_logits(checkpoint, tmp_path / "onnx", file)
    texts = [*SENTENCES, "two  spaces   and    more", "search " * 300, ""]
    for aggregation in (Aggregation("max", "relu"), Aggregation("sum", "log1p_relu"), Aggregation("norm", "relu")):
        options = EncoderOptions(pooling=aggregation.pooling, activation=aggregation.activation)
        theirs, ours = open_encoder(source, options), open_encoder(checkpoint, options)
        assert_close(theirs.encode(texts), ours.encode(texts))
        assert theirs.max_length == ours.max_length == 128
        for field in ("tokenizer", "vocabulary", "unindexable_entries", "pooling", "activation", "precision"):
            assert getattr(theirs.identity, field) == getattr(ours.identity, field)


@pytest.mark.slow
def test_a_dynamically_quantized_graph_runs_one_text_at_a_time(tmp_path: Path) -> None:
    from onnxruntime.quantization import quantize_dynamic

    checkpoint = head_checkpoint("bert", tmp_path / "checkpoint")
    source = export_logits(checkpoint, tmp_path / "fp32", "model.onnx")
    quantized = shutil.copytree(source, tmp_path / "int8", ignore=lambda _, names: [n for n in names if "onnx" in n])
    quantize_dynamic(source / "model.onnx", Path(quantized) / "model.onnx")
    encoder = open_encoder(quantized)
    assert encoder.identity.precision == "int8"
    assert encoder.encode(SENTENCES) == [encoder.encode([text])[0] for text in SENTENCES]
