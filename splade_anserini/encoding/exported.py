"""Reading the encoder directories that `export` writes, and checking their files against their manifest."""

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
from tokenizers import Tokenizer

from splade_anserini.artifacts.fingerprints import fingerprint_of_file
from splade_anserini.artifacts.manifests import EncoderIdentity, EncoderManifest
from splade_anserini.errors import InputError
from splade_anserini.records import Aggregation


@dataclass(frozen=True, slots=True)
class WeightsOutput:
    """The output of a graph that `export` wrote: weights [batch, vocabulary]."""

    vocabulary_size: int
    identity: EncoderIdentity
    name: str = "weights"
    copies: float = 2.0
    """How often the logits of a batch are held at the same time."""

    def weights(self, output: npt.NDArray[np.float32], _mask: npt.NDArray[np.int64]) -> npt.NDArray[np.float32]:
        """Return the output: the graph pools."""
        return output


@dataclass(frozen=True, slots=True)
class ExportedGraph:
    """A graph that `export` wrote, its tokenizer, and its manifest."""

    path: Path
    tokenizer: Tokenizer
    manifest: EncoderManifest

    @property
    def max_length(self) -> int:
        """The longest input of the graph, in tokens, special tokens included."""
        return self.manifest.max_length

    def output(self, session: Any, _aggregation: Aggregation) -> WeightsOutput:
        """Return the output of the graph in a session of onnxruntime."""
        return WeightsOutput(session.get_outputs()[0].shape[-1], self.manifest.identity)


def read_exported(directory: Path, manifest: EncoderManifest) -> ExportedGraph:
    """Read an encoder directory. Raises `InputError` when a file is missing or differs from the manifest."""
    path = directory / "model.onnx"
    check_file(path, manifest.identity.weights)
    return ExportedGraph(path, exported_tokenizer(directory, manifest.identity.tokenizer), manifest)


def check_file(path: Path, fingerprint: str) -> None:
    """Raise `InputError` unless a file has the fingerprint that the manifest records."""
    if not path.is_file() or fingerprint_of_file(path) != fingerprint:
        raise InputError(f"{path} is missing or differs from the manifest beside it.", do="Export the encoder again.")


def exported_tokenizer(directory: Path, fingerprint: str) -> Tokenizer:
    """Return the tokenizer of an encoder directory. Raises `InputError` unless it has this fingerprint."""
    path = directory / "tokenizer.json"
    check_file(path, fingerprint)
    try:
        return Tokenizer.from_file(str(path))
    except Exception as error:  # tokenizers raises nothing narrower
        raise InputError(f"{path} is not a valid tokenizer: {error}.", do="Export the encoder again.") from error
