"""How close an exported graph is to the checkpoint that it came from."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from tokenizers import Tokenizer

from splade_anserini.artifacts.manifests import ParityReport
from splade_anserini.modeling.padding import padded
from splade_anserini.modeling.splade import Splade

type Weights = npt.NDArray[np.float32]

BATCH = 8


@dataclass(frozen=True, slots=True)
class Texts:
    """Token ids of texts, cut to a length, each with its special tokens."""

    ids: tuple[tuple[int, ...], ...]

    @classmethod
    def of(cls, texts: Sequence[str], tokenizer: Tokenizer, max_length: int) -> "Texts":
        """Tokenize."""
        cutting = Tokenizer.from_str(tokenizer.to_str())
        cutting.enable_truncation(max_length)
        return cls(tuple(tuple(encoding.ids) for encoding in cutting.encode_batch(list(texts))))

    def feed(self, start: int, stop: int) -> dict[str, npt.NDArray[np.int64]]:
        """Return the model's inputs for a slice of the texts, padded to its longest."""
        rows = self.ids[start:stop]
        ids, mask = padded(rows, max(map(len, rows)))
        return {"input_ids": ids, "attention_mask": mask, "token_type_ids": np.zeros_like(ids)}


def weights_of_torch(splade: Splade, texts: Texts) -> Weights:
    """Return the model's weights [texts, vocabulary], one text at a time."""
    rows = []
    with torch.inference_mode():
        for number in range(len(texts.ids)):
            feed = texts.feed(number, number + 1)
            rows.append(splade(torch.from_numpy(feed["input_ids"]), torch.from_numpy(feed["attention_mask"])).numpy())
    return np.concatenate(rows)


def weights_of_graph(path: Path, texts: Texts, batch: int) -> Weights:
    """Return a graph's weights [texts, vocabulary], `batch` texts at a time."""
    session = open_graph(path)
    names = [tensor.name for tensor in session.get_inputs()]
    rows = []
    for start in range(0, len(texts.ids), batch):
        feed = texts.feed(start, start + batch)
        rows.append(session.run(["weights"], {name: feed[name] for name in names})[0])
    return np.concatenate(rows)


def weights_of_anserini_graph(path: Path, texts: Texts, vocabulary_size: int) -> Weights:
    """Return the weights [texts, vocabulary] of a graph that names its active entries."""
    session = open_graph(path)
    rows = np.zeros((len(texts.ids), vocabulary_size), dtype=np.float32)
    for number in range(len(texts.ids)):
        index, values = session.run(["output_idx", "output_weights"], texts.feed(number, number + 1))
        rows[number, index] = values
    return rows


def open_graph(path: Path) -> Any:
    """Open a graph on the CPU, without a word."""
    import onnxruntime

    options = onnxruntime.SessionOptions()
    options.log_severity_level = 3
    return onnxruntime.InferenceSession(path, options, providers=["CPUExecutionProvider"])


def compare(expected: Weights, found: Weights, *, scale: float, bound: float) -> ParityReport:
    """Compare the weights [texts, vocabulary] of a checkpoint with those of its export."""
    active = (expected > 0) | (found > 0)
    difference = np.abs(expected - found)
    equal = _impacts(expected, scale) == _impacts(found, scale)
    return ParityReport(
        texts=len(expected),
        max_difference=float((difference / np.maximum(expected, 1)).max(initial=0)),
        mean_difference=float(difference.sum() / max(expected.sum(), np.finfo(np.float32).tiny)),
        bound=bound,
        equal_impacts=float(equal[active].mean()) if active.any() else 1.0,
        scale=scale,
    )


def _impacts(weights: Weights, scale: float) -> npt.NDArray[np.float64]:
    rounded: npt.NDArray[np.float64] = np.floor(weights.astype(np.float64) * scale + 0.5)
    return rounded
