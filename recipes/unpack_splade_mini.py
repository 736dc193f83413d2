"""Make a checkpoint that can be trained of splade-mini, which ships as an int8 graph.

    python recipes/unpack_splade_mini.py encoders/splade-mini --output build/splade-mini-checkpoint

Integers times their scales are the weights, to seven bits: training goes on from there.
"""

import argparse
from pathlib import Path

import numpy as np
import onnx
import torch
from onnx import numpy_helper
from transformers import BertConfig, BertForMaskedLM, PreTrainedTokenizerFast

from splade_anserini.artifacts.files import whole_directory

LAYER = (
    "attention.self.query",
    "attention.self.key",
    "attention.self.value",
    "attention.output.dense",
    "intermediate.dense",
    "output.dense",
)
"""The layers with int8 weights, in the order of the graph."""
TABLE = "model.cls.predictions.decoder.weight"
HEAD = "cls.predictions.transform.dense.weight"


def weights(graph: onnx.GraphProto) -> dict[str, torch.Tensor]:
    """Return the weights under the names that they have in transformers."""
    arrays = {constant.name: numpy_helper.to_array(constant) for constant in graph.initializer}
    state = {
        name.removeprefix("model."): torch.from_numpy(array.copy())
        for name, array in arrays.items()
        if name.startswith("model.") and array.dtype == np.float32 and not name.endswith(".scales")
    }
    # The last product is the decoder, whose rows are the token embeddings too.
    *products, _decoder = [
        node.input[1].removesuffix(".int8") for node in graph.node if node.op_type == "MatMulInteger"
    ]
    for number, name in enumerate(products):
        layer = f"bert.encoder.layer.{number // len(LAYER)}.{LAYER[number % len(LAYER)]}"
        columns = arrays[f"{name}.int8"] * arrays[f"{name}.scales"]
        state[f"{layer}.weight"] = torch.from_numpy(columns.T.copy())
    rows = torch.from_numpy(arrays[f"{TABLE}.int8"] * arrays[f"{TABLE}.scales"][:, None])
    state["bert.embeddings.word_embeddings.weight"] = state["cls.predictions.decoder.weight"] = rows
    state["cls.predictions.bias"] = state["cls.predictions.decoder.bias"]
    head = [arrays[node.input[1]] for node in graph.node if node.op_type == "MatMul" and node.input[1] in arrays]
    (state[HEAD],) = (torch.from_numpy(array.T.copy()) for array in head if array.ndim == 2)
    return state


def main() -> None:
    """Write the checkpoint."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("encoder", type=Path, help="directory with model.onnx and tokenizer.json")
    parser.add_argument("--output", type=Path, required=True)
    settings = parser.parse_args()
    state = weights(onnx.load(settings.encoder / "model.onnx").graph)
    vocabulary, width = state["cls.predictions.decoder.weight"].shape
    config = BertConfig(
        vocab_size=vocabulary,
        hidden_size=width,
        num_hidden_layers=6,
        num_attention_heads=12,
        intermediate_size=4 * width,
        tie_word_embeddings=True,
        architectures=["BertForMaskedLM"],
    )
    model = BertForMaskedLM(config)
    model.load_state_dict(state)
    tokenizer = PreTrainedTokenizerFast(
        tokenizer_file=str(settings.encoder / "tokenizer.json"),
        model_max_length=512,
        cls_token="[CLS]",
        sep_token="[SEP]",
        pad_token="[PAD]",
        unk_token="[UNK]",
        mask_token="[MASK]",
    )
    with whole_directory(settings.output) as partial:
        model.save_pretrained(partial)
        tokenizer.save_pretrained(partial)


if __name__ == "__main__":
    main()
