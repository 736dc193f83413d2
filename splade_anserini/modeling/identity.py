"""Fingerprints of the parts of a checkpoint."""

import hashlib
from typing import Any

from splade_anserini.artifacts.fingerprints import fingerprint_of_arrays, fingerprint_of_vocabulary
from splade_anserini.artifacts.manifests import EncoderIdentity
from splade_anserini.artifacts.model import EncoderPrecision
from splade_anserini.modeling.checkpoint import Checkpoint
from splade_anserini.modeling.remote_code import remote_code_fingerprint
from splade_anserini.modeling.vocabulary import serialized, unindexable_ids, vocabulary
from splade_anserini.records import Aggregation


def weights_fingerprint(model: Any) -> str:
    """Return the SHA-256 of a model's state (names, types, shapes and bytes), whatever its device."""
    import torch

    return fingerprint_of_arrays(
        (
            name,
            str(tensor.dtype),
            tuple(tensor.shape),
            tensor.detach().cpu().contiguous().reshape(-1).view(torch.uint8).numpy().tobytes(),
        )
        for name, tensor in model.state_dict().items()
    )


def tokenizer_fingerprint(tokenizer: Any) -> str:
    """Return the SHA-256 of the tokenizer.json that `export` writes for a tokenizer."""
    return hashlib.sha256(serialized(tokenizer)).hexdigest()


def vocabulary_fingerprint(checkpoint: Checkpoint) -> str:
    """Return the fingerprint of the tokens in the order of the model's output entries."""
    return fingerprint_of_vocabulary(vocabulary(checkpoint.tokenizer, checkpoint.vocabulary_size))


def identity(checkpoint: Checkpoint, aggregation: Aggregation, precision: EncoderPrecision) -> EncoderIdentity:
    """Return the identity of a checkpoint as an encoder that torch runs."""
    tokens = vocabulary(checkpoint.tokenizer, checkpoint.vocabulary_size)
    return EncoderIdentity(
        name=checkpoint.name,
        weights=weights_fingerprint(checkpoint.model),
        tokenizer=tokenizer_fingerprint(checkpoint.tokenizer),
        vocabulary=fingerprint_of_vocabulary(tokens),
        pooling=aggregation.pooling,
        activation=aggregation.activation,
        precision=precision,
        unindexable_entries=len(unindexable_ids(tokens)),
        remote_code=remote_code_fingerprint(checkpoint.model, checkpoint.model.config, checkpoint.tokenizer),
    )
