"""Comparing the weights of an exported graph with those of the checkpoint that it was exported from."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from tokenizers import Tokenizer

from splade_anserini.artifacts.parity_report import ParityReport
from splade_anserini.modeling.splade import Splade
from splade_anserini.modeling.token_batches import padded
from splade_anserini.vectors.quantization import rounded

type Weights = npt.NDArray[np.float32]

BATCH_SIZE = 8
"""Texts in a padded batch."""


@dataclass(frozen=True, slots=True)
class TokenizedTexts:
    """Token ids of texts, truncated, each text with its special tokens."""

    ids: tuple[tuple[int, ...], ...]

    @classmethod
    def of(cls, texts: Sequence[str], tokenizer: Tokenizer, max_length: int) -> "TokenizedTexts":
        """Tokenize texts and truncate them to `max_length` tokens."""
        truncating = Tokenizer.from_str(tokenizer.to_str())
        truncating.enable_truncation(max_length)
        return cls(tuple(tuple(encoding.ids) for encoding in truncating.encode_batch(list(texts))))

    def feed(self, start: int, stop: int) -> dict[str, npt.NDArray[np.int64]]:
        """Return the model's inputs for a slice of the texts, padded to the longest of them."""
        rows = self.ids[start:stop]
        ids, mask = padded(rows, max(map(len, rows)))
        return {"input_ids": ids, "attention_mask": mask, "token_type_ids": np.zeros_like(ids)}


def weights_of_torch(splade: Splade, texts: TokenizedTexts) -> Weights:
    """Return the model's weights [texts, vocabulary], computed one text at a time."""
    rows = []
    with torch.inference_mode():
        for text_index in range(len(texts.ids)):
            feed = texts.feed(text_index, text_index + 1)
            rows.append(splade(torch.from_numpy(feed["input_ids"]), torch.from_numpy(feed["attention_mask"])).numpy())
    return np.concatenate(rows)


def weights_of_graph(path: Path, texts: TokenizedTexts, batch_size: int) -> Weights:
    """Return a graph's weights [texts, vocabulary], computed `batch_size` texts at a time."""
    session = open_graph(path)
    names = [tensor.name for tensor in session.get_inputs()]
    rows = []
    for start in range(0, len(texts.ids), batch_size):
        feed = texts.feed(start, start + batch_size)
        rows.append(session.run(["weights"], {name: feed[name] for name in names})[0])
    return np.concatenate(rows)


def weights_of_anserini_graph(path: Path, texts: TokenizedTexts, vocabulary_size: int) -> Weights:
    """Return the weights [texts, vocabulary] of a graph whose outputs are its active entries."""
    session = open_graph(path)
    rows = np.zeros((len(texts.ids), vocabulary_size), dtype=np.float32)
    for text_index in range(len(texts.ids)):
        ids, weights = session.run(["output_idx", "output_weights"], texts.feed(text_index, text_index + 1))
        rows[text_index, ids] = weights
    return rows


def open_graph(path: Path) -> Any:
    """Open a graph with onnxruntime on the CPU, with its warnings turned off."""
    import onnxruntime

    options = onnxruntime.SessionOptions()
    options.log_severity_level = 3
    # Waiting threads that spin for long slow everything down while another program needs a processor.
    options.add_session_config_entry("session.intra_op.spin_duration_us", "20")
    return onnxruntime.InferenceSession(path, options, providers=["CPUExecutionProvider"])


def compare(expected: Weights, exported: Weights, *, scale: float, bound: float) -> ParityReport:
    """Compare the weights [texts, vocabulary] of a checkpoint with those of its export."""
    active = (expected > 0) | (exported > 0)
    difference = np.abs(expected - exported)
    equal = rounded(expected, scale) == rounded(exported, scale)
    return ParityReport(
        texts=len(expected),
        max_difference=float((difference / np.maximum(expected, 1)).max(initial=0)),
        mean_difference=float(difference.sum() / max(expected.sum(), np.finfo(np.float32).tiny)),
        bound=bound,
        equal_impacts=float(equal[active].mean()) if active.any() else 1.0,
        scale=scale,
    )
