"""ONNX directories of other tools, such as Optimum's and fastembed's, whose graph ends in the logits of each token."""

import hashlib
import mmap
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import orjson
from tokenizers import Tokenizer

from splade_anserini.artifacts.fingerprints import (
    fingerprint_of_directory,
    fingerprint_of_file,
    fingerprint_of_vocabulary,
)
from splade_anserini.artifacts.manifests import EncoderIdentity
from splade_anserini.artifacts.model import EncoderPrecision
from splade_anserini.cards.finding import find_graph
from splade_anserini.encoding.logit_pooling import pool_logits
from splade_anserini.errors import InputError, MismatchError
from splade_anserini.formats.sentence_transformers import UNLIMITED, read_description
from splade_anserini.modeling.checkpoint import MAX_SPARE_ROWS
from splade_anserini.modeling.vocabulary import token_count, vocabulary
from splade_anserini.records import Aggregation

INPUTS = {
    "input_ids": "ids",
    "attention_mask": "mask",
    "input_mask": "mask",
    "token_type_ids": "token types",
    "segment_ids": "token types",
}
"""The names of a graph's inputs, each with what it is fed."""

_AFTER_PADDING = {
    *("camembert", "data2vec-text", "esm", "ibert", "longformer", "mpnet", "roberta", "roberta-prelayernorm"),
    *("xlm-roberta", "xlm-roberta-xl", "xmod"),
}
"""Types of models whose positions are numbered from the padding id on."""

_DEFAULT_POSITIONS = 512
_INTEGERS = {"tensor(int32)", "tensor(int64)"}


@dataclass(frozen=True, slots=True)
class LogitsOutput:
    """The output of a graph that holds the logits, [batch, length, vocabulary]."""

    name: str
    vocabulary_size: int
    identity: EncoderIdentity
    """The encoder's; it holds how logits become weights."""
    copies: float = 3.0
    """How often the logits of a batch are held at the same time."""

    def weights(self, output: npt.NDArray[Any], mask: npt.NDArray[np.int64]) -> npt.NDArray[np.float32]:
        """Activate and pool the logits [batch, length, vocabulary] of texts; `mask` is [batch, length]."""
        lengths = mask.sum(axis=1).tolist()
        return np.stack(
            [
                pool_logits(logits[:length], self.identity.aggregation)
                for logits, length in zip(output, lengths, strict=True)
            ]
        )


@dataclass(frozen=True, slots=True)
class PublishedOnnx:
    """The files of an ONNX directory that `export` did not write."""

    path: Path
    """The graph."""
    tokenizer: Tokenizer
    max_length: int
    """The longest input of the model, in tokens, special tokens included."""
    vocabulary_size: int | None
    """The size of the vocabulary in config.json."""
    positions_are_known: bool = True
    """Whether config.json has the number of positions, so that it is not assumed."""

    def output(self, session: Any, aggregation: Aggregation) -> LogitsOutput:
        """Return the output with logits in a session of onnxruntime; see `_find_logits` for errors."""
        name, size = _find_logits(session, self)
        identity = EncoderIdentity(
            name=str(self.path),
            weights=_fingerprint_of_graph(self.path),
            tokenizer=self.tokenizer_fingerprint,
            vocabulary=fingerprint_of_vocabulary(vocabulary(self.tokenizer, size)),
            pooling=aggregation.pooling,
            activation=aggregation.activation,
            precision=_precision(self.path),
        )
        return LogitsOutput(name, size, identity)

    @property
    def tokenizer_fingerprint(self) -> str:
        """The SHA-256 of the tokenizer, as of a checkpoint's."""
        return hashlib.sha256(self.tokenizer.to_str(pretty=False).encode()).hexdigest()


def read_published(directory: Path) -> PublishedOnnx:
    """Read the files of an ONNX directory. Raises `InputError` when graph or tokenizer is missing or invalid."""
    path = find_graph(directory)
    if path is None:
        raise InputError(f"{directory} holds no model.onnx.", expected="model.onnx or onnx/model.onnx")
    config, settings = (_json(directory, path, name) for name in ("config.json", "tokenizer_config.json"))
    positions = int(config.get("max_position_embeddings") or _DEFAULT_POSITIONS)
    if config.get("model_type") in _AFTER_PADDING:
        positions -= int(config.get("pad_token_id", 1)) + 1
    limit = int(settings.get("model_max_length") or positions)
    description = read_description(directory)
    if description and description.documents.max_length != UNLIMITED:
        # sentence-transformers reads as many tokens as its own files say, whatever the tokenizer's do.
        limit = max(limit, description.documents.max_length)
    size = config.get("vocab_size")
    return PublishedOnnx(
        path,
        _tokenizer(directory, path),
        min(positions, limit),
        None if size is None else int(size),
        bool(config.get("max_position_embeddings")),
    )


def _find_logits(session: Any, model: PublishedOnnx) -> tuple[str, int]:
    """Return the name of the output with logits and the size of their vocabulary; the graph runs on a few tokens.

    Raises `InputError` when the graph has an input that we do not know, or an output that is pooled already,
    `MismatchError` when it has no logits of the tokenizer's vocabulary.
    """
    types = {tensor.name: tensor.type for tensor in session.get_inputs()}
    if unknown := sorted(set(types) - set(INPUTS)):
        raise InputError(
            f"The graph {model.path} has the input {unknown[0]}.", expected=f"inputs among {', '.join(INPUTS)}"
        )
    ids = np.array([model.tokenizer.encode("search").ids[:4]], dtype=np.int64)
    _require_any_size(session, model)
    outputs = _run(session, model, types, ids)
    if not model.positions_are_known:
        _run(session, model, types, np.resize(ids, (1, model.max_length)))
    count = token_count(model.tokenizer)
    fits = range(count, count + MAX_SPARE_ROWS + 1)
    logits = [
        name
        for name, array in outputs.items()
        if array.ndim == 3 and array.shape[1] == ids.size and array.shape[2] in fits
    ]
    if logits:
        name = "logits" if "logits" in logits else logits[0]
        _require_logits(outputs[name], name, model)
        return name, outputs[name].shape[2]
    shapes = ", ".join(f"{name} [{', '.join(map(str, array.shape))}]" for name, array in outputs.items())
    if any(array.ndim == 1 or array.shape[-1] in fits for array in outputs.values()):
        raise InputError(
            f"The output of {model.path} is pooled already ({shapes} for {ids.size} tokens), and no manifest says how.",
            expected="logits [batch, length, vocabulary], or a directory that splade-anserini export wrote",
            do="Export the checkpoint that it was made from: splade-anserini export.",
        )
    raise MismatchError(
        f"The graph {model.path} has no logits: its outputs are {shapes} for {ids.size} tokens.",
        expected=f"logits [batch, length, vocabulary] of the {count:,} tokens of its tokenizer",
        do="Export the model with its masked-language-model head.",
    )


def _run(
    session: Any, model: PublishedOnnx, types: dict[str, str], ids: npt.NDArray[np.int64]
) -> dict[str, npt.NDArray[Any]]:
    """Return the outputs of a graph by their names. Raises `InputError` when it does not run."""
    names = [tensor.name for tensor in session.get_outputs()]
    try:
        outputs = session.run(names, feed(types, ids, np.ones_like(ids)))
    except Exception as error:  # onnxruntime raises several kinds
        reason = str(error).splitlines()[0]
        raise InputError(
            f"The graph {model.path} cannot be run on {ids.size} tokens: {reason}",
            expected=f"a graph for texts of up to {model.max_length} tokens",
            do="Put config.json beside it, which says how many positions it has (max_position_embeddings).",
        ) from error
    return dict(zip(names, outputs, strict=True))


def _require_any_size(session: Any, model: PublishedOnnx) -> None:
    """Raise `InputError` for inputs that are not integers, or cannot have any batch and length."""
    for tensor in session.get_inputs():
        fixed = [size for size in tensor.shape if isinstance(size, int)]
        if fixed or tensor.type not in _INTEGERS:
            shape = ", ".join(map(str, tensor.shape))
            raise InputError(
                f"The input {tensor.name} of {model.path} is {tensor.type} [{shape}].",
                expected="integers of 32 or 64 bits [batch, length], both of any size",
                do="Export the model again with dynamic axes for batch and length.",
            )


def _require_logits(output: npt.NDArray[Any], name: str, model: PublishedOnnx) -> None:
    """Raise `InputError` for an output that cannot be logits."""
    if not np.isfinite(output).all():
        raise InputError(f"The output {name} of {model.path} is not finite.", expected="logits, which are numbers")
    if not (output < 0).any():
        raise InputError(
            f"The output {name} of {model.path} has no number below 0: an activation was applied to it already.",
            expected="the logits of a masked-language-model head, most of which are below 0",
            do="Export the checkpoint that it was made from: splade-anserini export.",
        )


def feed(types: dict[str, str], ids: npt.NDArray[np.int64], mask: npt.NDArray[np.int64]) -> dict[str, npt.NDArray[Any]]:
    """Return the inputs of a graph, whose names and types are `types`, for a batch [batch, length]."""
    values = {"ids": ids, "mask": mask, "token types": np.zeros_like(ids)}
    arrays = {name: values[INPUTS[name]] for name in types}
    return {name: array.astype(np.int32) if types[name] == "tensor(int32)" else array for name, array in arrays.items()}


def _tokenizer(directory: Path, path: Path) -> Tokenizer:
    """Return the tokenizer of a directory, without padding and truncation."""
    file = next(
        (home / "tokenizer.json" for home in (directory, path.parent) if (home / "tokenizer.json").is_file()), None
    )
    if file is None:
        raise InputError(f"{directory} holds {path.name} but no tokenizer.json.", expected="both in one directory")
    try:
        tokenizer = Tokenizer.from_file(str(file))
    except Exception as error:  # tokenizers raises nothing narrower
        raise InputError(f"{file} is not a valid tokenizer: {error}.") from error
    tokenizer.no_padding()
    tokenizer.no_truncation()
    return tokenizer


def _json(directory: Path, path: Path, name: str) -> dict[str, Any]:
    """Return the content of a JSON file in the directory or beside the graph; {} when there is none."""
    for file in (directory / name, path.parent / name):
        if file.is_file():
            try:
                content = orjson.loads(file.read_bytes())
            except orjson.JSONDecodeError as error:
                raise InputError(f"{file} is not valid JSON: {error.msg}, line {error.lineno}.") from error
            if isinstance(content, dict):
                return content
    return {}


def _fingerprint_of_graph(path: Path) -> str:
    """Return the fingerprint of a graph, and of the files with its weights where they are beside it."""
    files = [file for file in path.parent.glob(f"{path.name}*") if file.is_file()]
    return fingerprint_of_file(path) if files == [path] else fingerprint_of_directory(path.parent, files)


def _precision(path: Path) -> EncoderPrecision:
    """Return int8 for a dynamically quantized graph, in which the texts of a batch may change each other's weights."""
    with path.open("rb") as file, mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ) as content:
        found = any(content.find(operator) >= 0 for operator in (b"DynamicQuantizeLinear", b"MatMulInteger"))
        return "int8" if found else "fp32"
