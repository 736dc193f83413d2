"""Fingerprints of what a checkpoint holds."""

import hashlib
from typing import Any

from splade_anserini.artifacts.fingerprints import fingerprint_of_arrays, fingerprint_of_vocabulary
from splade_anserini.artifacts.manifests import EncoderIdentity
from splade_anserini.modeling.checkpoint import Checkpoint
from splade_anserini.modeling.vocabulary import serialized, vocabulary
from splade_anserini.records import Pooling


def weights_fingerprint(model: Any) -> str:
    """Return the SHA-256 of a model's state, wherever it lies: names, types, shapes and bytes."""
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
    """Return the SHA-256 that its tokenizer.json has, as `export` writes it."""
    return hashlib.sha256(serialized(tokenizer)).hexdigest()


def vocabulary_fingerprint(checkpoint: Checkpoint) -> str:
    """Return the fingerprint of the tokens in the order of the model's output entries."""
    return fingerprint_of_vocabulary(vocabulary(checkpoint.tokenizer, checkpoint.vocabulary_size))


def identity(checkpoint: Checkpoint, pooling: Pooling, precision: str) -> EncoderIdentity:
    """Describe the checkpoint as an encoder that torch runs."""
    return EncoderIdentity(
        name=checkpoint.name,
        weights=weights_fingerprint(checkpoint.model),
        tokenizer=tokenizer_fingerprint(checkpoint.tokenizer),
        vocabulary=vocabulary_fingerprint(checkpoint),
        pooling=pooling,
        precision=precision,
    )
