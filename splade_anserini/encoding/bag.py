"""Inference-free query encoders: a query is the bag of its own tokens (SPLADE-doc; with query weights, IDF)."""

from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
from tokenizers import Tokenizer

from splade_anserini.artifacts.fingerprints import fingerprint_of_bytes, fingerprint_of_file, fingerprint_of_vocabulary
from splade_anserini.artifacts.manifests import QUERY_WEIGHTS, EncoderIdentity, EncoderManifest, read_manifest
from splade_anserini.cards.finding import EncoderSource
from splade_anserini.encoding.exported import check_file, exported_tokenizer
from splade_anserini.encoding.options import DEFAULT_BATCH_SIZE, EncoderOptions
from splade_anserini.encoding.protocol import Entries
from splade_anserini.encoding.published_onnx import read_published
from splade_anserini.encoding.tokenized import TokenizedEncoder
from splade_anserini.encoding.usage import Usage
from splade_anserini.formats.model_files import ModelFiles
from splade_anserini.formats.query_weights import read_query_weights
from splade_anserini.formats.sentence_transformers import UNLIMITED, StaticDescription
from splade_anserini.modeling.token_batches import TokenBatch
from splade_anserini.modeling.vocabulary import (
    masked_entries,
    plain_tokenizer,
    token_count,
    unindexable_ids,
    vocabulary,
)

ALL_ONE = fingerprint_of_bytes(b"every token of the query weighs 1")
"""The fingerprint of the weights of a bag in which every token has weight 1."""


class BagEncoder(TokenizedEncoder):
    """An inference-free query encoder: the tokens of a query, each once, with weight 1 or a weight of its own.

    SPLADE v2, section 3.2, has weight 1. `weights` is token → weight; a token that it lacks has weight 0, as special
    and unknown tokens always have. No model runs, and queries are read to their end unless `options` say otherwise.
    """

    def __init__(
        self,
        identity: EncoderIdentity,
        tokenizer: Tokenizer,
        vocabulary: Sequence[str],
        weights: Mapping[str, float] | None = None,
        options: EncoderOptions | None = None,
    ) -> None:
        options = options or EncoderOptions()
        super().__init__(
            identity,
            tokenizer,
            vocabulary,
            max_length=options.max_length or UNLIMITED,
            batch_size=options.batch_size or DEFAULT_BATCH_SIZE,
        )
        token_weights = [1.0 if weights is None else weights.get(token, 0.0) for token in vocabulary]
        self._weights: npt.NDArray[np.float32] = np.array(token_weights, dtype=np.float32)
        self._weights[masked_entries(tokenizer, len(vocabulary))] = 0.0

    @property
    def batching(self) -> None:
        """None: a query's weights do not depend on the batch."""
        return

    def _entries(self, batch: TokenBatch) -> list[Entries]:
        distinct = (np.unique(ids[mask > 0]) for ids, mask in zip(batch.ids, batch.mask, strict=True))
        active = (ids[self._weights[ids] > 0] for ids in distinct)
        return [Entries(ids, self._weights[ids]) for ids in active]

    def _contributions(self, batch: TokenBatch, entry_ids: npt.NDArray[np.int64]) -> npt.NDArray[Any]:
        own: npt.NDArray[np.bool_] = batch.ids[0][:, None] == entry_ids
        return own


def open_bag(source: EncoderSource, options: EncoderOptions, usage: Usage) -> BagEncoder:
    """Open the inference-free query encoder of a model, with its query weights for the query side `idf`.

    An exported encoder needs no torch for this; a checkpoint needs transformers, for its tokenizer. Raises `InputError`
    when a file is missing or differs from the manifest.
    """
    static = usage.layout.queries if usage.layout else None
    if isinstance(static, StaticDescription):
        return _open_static(source, options, usage, static)
    identity, tokenizer, tokens = _of_export(source) if source.is_onnx else _of_checkpoint(source, options)
    weights = None
    if usage.query_side == "idf":
        directory = Path(source.location)
        weights = read_query_weights(directory, tokenizer.get_vocab())
        identity = identity.model_copy(update={"weights": fingerprint_of_file(directory / QUERY_WEIGHTS)})
    options = replace(options, max_length=options.max_length or usage.query_max_length)
    return BagEncoder(_with_prompt(identity, usage), tokenizer, tokens, weights, options)


def _open_static(source: EncoderSource, options: EncoderOptions, usage: Usage, static: StaticDescription) -> BagEncoder:
    """Open the query encoder `SparseStaticEmbedding` of sentence-transformers."""
    from splade_anserini.modeling.checkpoint import load_tokenizer
    from splade_anserini.modeling.published import load_static_weights, static_length

    tokenizer = load_tokenizer(source.location, static.subfolder, trust_remote_code=options.trust_remote_code)
    weights = load_static_weights(source.location, static.weights, tokenizer)
    model = usage.documents.description
    identity, plain, tokens = _of_checkpoint(source, options, tokenizer, model.subfolder if model else "")
    path = ModelFiles(source.location).path(static.weights)
    identity = identity.model_copy(update={"weights": fingerprint_of_file(path)}) if path else identity
    of_card = source.card is not None and "query_max_length" in source.card.model_fields_set
    length = usage.query_max_length if of_card else static_length(static, tokenizer)
    options = replace(options, max_length=options.max_length or length)
    return BagEncoder(_with_prompt(identity, usage), plain, tokens, weights, options)


def _with_prompt(identity: EncoderIdentity, usage: Usage) -> EncoderIdentity:
    return identity.model_copy(update={"prompt": usage.query_prompt, "max_active_dims": usage.max_active_dims})


def _of_export(source: EncoderSource) -> tuple[EncoderIdentity, Tokenizer, list[str]]:
    directory = Path(source.location)
    manifest = read_manifest(directory, EncoderManifest)
    if manifest is None:
        return _of_published(source)
    if manifest.query_weights:
        check_file(directory / QUERY_WEIGHTS, manifest.query_weights)
    tokenizer = exported_tokenizer(directory, manifest.identity.tokenizer)
    # The model may have more entries than the tokenizer has tokens; no query activates those.
    tokens = vocabulary(tokenizer, token_count(tokenizer))
    return _identity(source.name, manifest.identity.tokenizer, manifest.identity.vocabulary, tokens), tokenizer, tokens


def _of_published(source: EncoderSource) -> tuple[EncoderIdentity, Tokenizer, list[str]]:
    """Read the tokenizer of an ONNX directory that `export` did not write."""
    model = read_published(Path(source.location))
    tokens = vocabulary(model.tokenizer, model.vocabulary_size or token_count(model.tokenizer))
    identity = _identity(source.name, model.tokenizer_fingerprint, fingerprint_of_vocabulary(tokens), tokens)
    return identity, model.tokenizer, tokens


def _of_checkpoint(
    source: EncoderSource, options: EncoderOptions, tokenizer: Any = None, subfolder: str = ""
) -> tuple[EncoderIdentity, Tokenizer, list[str]]:
    """Read the tokenizer, unless it is given, and the vocabulary of the checkpoint in a subfolder."""
    from splade_anserini.modeling.checkpoint import load_tokenizer, vocabulary_size
    from splade_anserini.modeling.identity import tokenizer_fingerprint

    trust = options.trust_remote_code
    tokenizer = tokenizer or load_tokenizer(source.location, subfolder, trust_remote_code=trust)
    tokens = vocabulary(tokenizer, vocabulary_size(source.location, subfolder, trust_remote_code=trust))
    identity = _identity(source.name, tokenizer_fingerprint(tokenizer), fingerprint_of_vocabulary(tokens), tokens)
    return identity, plain_tokenizer(tokenizer), tokens


def _identity(name: str, tokenizer: str, vocabulary: str, tokens: Sequence[str]) -> EncoderIdentity:
    """Return the identity of a bag by the fingerprints of its tokenizer and vocabulary, and its tokens."""
    return EncoderIdentity(
        name=name,
        weights=ALL_ONE,
        tokenizer=tokenizer,
        vocabulary=vocabulary,
        pooling="max",  # a token that occurs twice counts once
        precision="fp32",
        unindexable_entries=len(unindexable_ids(tokens)),
    )
