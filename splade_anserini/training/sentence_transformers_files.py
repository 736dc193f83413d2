"""The files with which sentence-transformers opens a trained checkpoint as a `SparseEncoder` (docs/decisions/0029).

The model of the documents stays in the directory itself. Queries without it have a route of their own: a table of
weights, or the query model in its subdirectory. Module names are those that sentence-transformers 5.0 and later load.
"""

import copy
import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

from splade_anserini.artifacts.manifests import QUERY_MODEL
from splade_anserini.cards.encoder_card import EncoderCard
from splade_anserini.formats.sentence_transformers import MODULES, SETTINGS
from splade_anserini.modeling.checkpoint import Checkpoint
from splade_anserini.modeling.transformers_logging import quiet_transformers
from splade_anserini.modeling.vocabulary import vocabulary

_ROUTER = "sentence_transformers.models.Router"
_MODULES = "sentence_transformers.sparse_encoder.models"
_TRANSFORMER, _POOLING = f"{_MODULES}.MLMTransformer", f"{_MODULES}.SpladePooling"
_STATIC = f"{_MODULES}.SparseStaticEmbedding"

_STATIC_DIRECTORY = "query_0_SparseStaticEmbedding"
"""Subdirectory with the weights of query tokens; the names of subdirectories are those that the Router gives."""
_DOCUMENT_POOLING, _QUERY_POOLING = "document_1_SpladePooling", "query_1_SpladePooling"


def write_one_model(directory: Path, documents: Checkpoint, card: EncoderCard) -> None:
    """Describe a checkpoint whose model encodes queries too.

    Where queries are read to another length, sentence-transformers needs version 6.0; earlier ones raise `TypeError`.
    """
    query_length = {} if card.query_max_length == card.max_length else {"query_length": card.query_max_length}
    _write_settings(directory, card)
    _write_transformer(directory, card.max_length, **query_length)
    _write_pooling(directory / "1_SpladePooling", documents, card)
    _write_modules(directory, {"": _TRANSFORMER, "1_SpladePooling": _POOLING})


def write_static_queries(
    directory: Path, documents: Checkpoint, card: EncoderCard, weights: Mapping[str, float], *, learned: bool
) -> None:
    """Describe a checkpoint whose queries are their own tokens with these weights, token → weight."""
    static = directory / _STATIC_DIRECTORY
    static.mkdir()
    _write_static_tokenizer(static, documents, card.query_max_length)
    _write_static_weights(static / "model.safetensors", documents, weights)
    _write_json(static / "config.json", {"frozen": not learned})
    _write_settings(directory, card)
    _write_transformer(directory, card.max_length)
    _write_pooling(directory / _DOCUMENT_POOLING, documents, card)
    document_route, query_route = {"": _TRANSFORMER, _DOCUMENT_POOLING: _POOLING}, {_STATIC_DIRECTORY: _STATIC}
    _write_router(directory, query_route, document_route)


def write_two_models(directory: Path, documents: Checkpoint, queries: Checkpoint, card: EncoderCard) -> None:
    """Describe a checkpoint with a query model in its subdirectory."""
    _write_settings(directory, card)
    _write_transformer(directory, card.max_length)
    _write_transformer(directory / QUERY_MODEL, card.query_max_length)
    _write_pooling(directory / _DOCUMENT_POOLING, documents, card)
    _write_pooling(directory / _QUERY_POOLING, queries, card)
    document_route = {"": _TRANSFORMER, _DOCUMENT_POOLING: _POOLING}
    query_route = {QUERY_MODEL: _TRANSFORMER, _QUERY_POOLING: _POOLING}
    _write_router(directory, query_route, document_route)


def _write_settings(directory: Path, card: EncoderCard) -> None:
    settings: dict[str, Any] = {"model_type": "SparseEncoder", "similarity_fn_name": "dot"}
    if card.prompt or card.query_prompt:
        settings["prompts"] = {"query": card.query_prompt, "document": card.prompt}
    _write_json(directory / SETTINGS, settings)


def _write_transformer(directory: Path, max_length: int, **settings: int) -> None:
    content = {"max_seq_length": max_length, "do_lower_case": False, **settings}
    _write_json(directory / "sentence_bert_config.json", content)


def _write_pooling(directory: Path, checkpoint: Checkpoint, card: EncoderCard) -> None:
    """Write pooling and activation. sentence-transformers has no pooling `norm`, and refuses it with `ValueError`."""
    content = {
        "pooling_strategy": card.pooling,
        "activation_function": card.activation,
        "word_embedding_dimension": checkpoint.vocabulary_size,
    }
    _write_json(directory / "config.json", content)


def _write_modules(directory: Path, types: Mapping[str, str]) -> None:
    """Write which modules follow one another, subdirectory → class."""
    modules = [
        {"idx": index, "name": str(index), "path": path, "type": type_}
        for index, (path, type_) in enumerate(types.items())
    ]
    _write_json(directory / MODULES, modules)


def _write_router(directory: Path, queries: Mapping[str, str], documents: Mapping[str, str]) -> None:
    """Write the modules of queries and those of documents, each subdirectory → class."""
    content = {
        "types": {**queries, **documents},
        "structure": {"query": [*queries], "document": [*documents]},
        "parameters": {"default_route": "document", "allow_empty_key": True},
    }
    _write_json(directory / "router_config.json", content)
    _write_modules(directory, {"": _ROUTER})


def _write_static_tokenizer(directory: Path, documents: Checkpoint, query_max_length: int) -> None:
    # sentence-transformers tokenizes these queries without special tokens, which this package counts.
    special = documents.tokenizer.num_special_tokens_to_add(pair=False)
    tokenizer = copy.deepcopy(documents.tokenizer)
    tokenizer.model_max_length = query_max_length - special
    with quiet_transformers():
        tokenizer.save_pretrained(directory)


def _write_static_weights(path: Path, documents: Checkpoint, weights: Mapping[str, float]) -> None:
    from safetensors.numpy import save_file

    # sentence-transformers expects a weight for each token, though the model may have more rows.
    tokens = vocabulary(documents.tokenizer, len(documents.tokenizer.get_vocab()))
    values = np.array([weights.get(token, 0.0) for token in tokens], dtype=np.float32)
    save_file({"weight": values}, path)


def _write_json(path: Path, content: Any) -> None:
    path.parent.mkdir(exist_ok=True)
    path.write_text(json.dumps(content, indent=2) + "\n", encoding="utf-8")
