"""A trained model as a directory: a Hugging Face checkpoint that this package and sentence-transformers read."""

import json
from pathlib import Path
from typing import Any

from splade_anserini.manifests import CheckpointManifest, Pooling, write_manifest
from splade_anserini.modeling.checkpoint import Checkpoint
from splade_anserini.modeling.quiet import quiet

QUERY = "query"
"""The directory of the query model, beside that of the documents', for the query side `separate`."""


def save_checkpoint(checkpoint: Checkpoint, directory: Path) -> None:
    """Write model and tokenizer, ready to be loaded by transformers."""
    tokenizer = checkpoint.tokenizer
    with quiet():
        checkpoint.model.save_pretrained(directory)
        tokenizer.model_max_length = checkpoint.max_length
        tokenizer.save_pretrained(directory)


def save_for_sentence_transformers(directory: Path, pooling: Pooling, checkpoint: Checkpoint, max_length: int) -> None:
    """Write what makes the directory a `SparseEncoder` too; of the poolings, it knows max and sum."""
    if pooling not in {"max", "sum"}:
        return
    modules: list[dict[str, Any]] = [
        {
            "idx": 0,
            "name": "0",
            "path": "",
            "type": "sentence_transformers.sparse_encoder.models.MLMTransformer",
        },
        {
            "idx": 1,
            "name": "1",
            "path": "1_SpladePooling",
            "type": "sentence_transformers.sparse_encoder.models.SpladePooling",
        },
    ]
    pooled = {
        "pooling_strategy": pooling,
        "activation_function": "relu",
        "word_embedding_dimension": checkpoint.vocabulary_size,
    }
    (directory / "1_SpladePooling").mkdir()
    _write(directory / "modules.json", modules)
    _write(directory / "1_SpladePooling" / "config.json", pooled)
    _write(directory / "sentence_bert_config.json", {"max_seq_length": max_length, "do_lower_case": False})
    _write(
        directory / "config_sentence_transformers.json",
        {"model_type": "SparseEncoder", "prompts": {}, "default_prompt_name": None, "similarity_fn_name": "dot"},
    )


def save_manifest(directory: Path, manifest: CheckpointManifest) -> None:
    """Say how the checkpoint is used."""
    write_manifest(directory, manifest)


def _write(path: Path, content: object) -> None:
    path.write_text(json.dumps(content, indent=2) + "\n", encoding="utf-8")
