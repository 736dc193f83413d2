"""Exported encoders whose vectors are known exactly: their model looks up each word of a text."""

from collections.abc import Mapping
from pathlib import Path

import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper
from tokenizers import Tokenizer, models, pre_tokenizers

from splade_anserini.artifacts.fingerprints import fingerprint_of_file, fingerprint_of_vocabulary
from splade_anserini.artifacts.manifests import EncoderIdentity, EncoderManifest, write_manifest
from splade_anserini.encoding import DictionaryEncoder
from splade_anserini.records import SparseVector

OPSET = 18

EXPANSIONS = {
    "cats": {"cat": 2.0, "pet": 0.5},
    "dogs": {"dog": 2.0, "pet": 0.75},
    "sleep": {"sleep": 1.5},
    "bark": {"dog": 1.0, "noise": 1.25},
}
ENCODER = DictionaryEncoder(EXPANSIONS)


def write_dictionary_encoder(directory: Path, expansions: Mapping[str, SparseVector], *, scale: float = 100) -> str:
    """Write a directory as `export` does, whose encoder gives the vectors of `DictionaryEncoder`; return its path.

    `expansions` is word → (token → weight). The weight of a token is the maximum over the words of the text, which are
    separated by white space; words without an expansion are ignored.
    """
    directory.mkdir(parents=True)
    tokens = sorted({*expansions, *(token for vector in expansions.values() for token in vector)})
    vocabulary = {token: token_id for token_id, token in enumerate(["[UNK]", *tokens])}
    tokenizer = Tokenizer(models.WordLevel(vocabulary, unk_token="[UNK]"))
    tokenizer.pre_tokenizer = pre_tokenizers.WhitespaceSplit()
    tokenizer.save(str(directory / "tokenizer.json"))
    onnx.save(_lookup_model(vocabulary, expansions), directory / "model.onnx")
    identity = EncoderIdentity(
        name=str(directory),
        weights=fingerprint_of_file(directory / "model.onnx"),
        tokenizer=fingerprint_of_file(directory / "tokenizer.json"),
        vocabulary=fingerprint_of_vocabulary(list(vocabulary)),
        pooling="max",
        precision="fp32",
    )
    manifest = EncoderManifest(identity=identity, source="dictionary", max_length=512, scale=scale, opset=OPSET)
    write_manifest(directory, manifest)
    return str(directory)


def _lookup_model(vocabulary: Mapping[str, int], expansions: Mapping[str, SparseVector]) -> onnx.ModelProto:
    """Return a model from ids [batch, length] to weights [batch, vocabulary]; id 0 is also the padding."""
    width = max(map(len, expansions.values()))
    entries = np.zeros((len(vocabulary), width), dtype=np.int64)
    weights = np.zeros((len(vocabulary), width), dtype=np.float32)
    for word, vector in expansions.items():
        row = vocabulary[word]
        entries[row, : len(vector)] = [vocabulary[token] for token in vector]
        weights[row, : len(vector)] = list(vector.values())
    constants = {
        "entries": entries,
        "weights_of_entries": weights,
        "size": np.array([len(vocabulary)]),
        "flat": np.array([0, -1]),
    }
    nodes = [
        helper.make_node("Gather", ["entries", "input_ids"], ["token_entries"]),
        helper.make_node("Gather", ["weights_of_entries", "input_ids"], ["token_weights"]),
        helper.make_node("Reshape", ["token_entries", "flat"], ["flat_entries"]),
        helper.make_node("Reshape", ["token_weights", "flat"], ["flat_weights"]),
        helper.make_node("Shape", ["input_ids"], ["batch"], start=0, end=1),
        helper.make_node("Concat", ["batch", "size"], ["output_shape"], axis=0),
        helper.make_node("ConstantOfShape", ["output_shape"], ["zeros"]),
        helper.make_node(
            "ScatterElements", ["zeros", "flat_entries", "flat_weights"], ["weights"], axis=1, reduction="max"
        ),
    ]
    graph = helper.make_graph(
        nodes,
        "lookup",
        [helper.make_tensor_value_info("input_ids", TensorProto.INT64, ["batch", "length"])],
        [helper.make_tensor_value_info("weights", TensorProto.FLOAT, ["batch", len(vocabulary)])],
        [numpy_helper.from_array(array, name) for name, array in constants.items()],
    )
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("", OPSET)], ir_version=9)
