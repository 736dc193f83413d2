"""Checkpoints as their publisher describes them, in the files of sentence-transformers."""

import json
import math
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from splade_anserini.artifacts.fingerprints import fingerprint_of_file
from splade_anserini.artifacts.manifests import MANIFEST, QUERY_MODEL, CheckpointManifest, read_manifest
from splade_anserini.errors import InputError, MismatchError, counted
from splade_anserini.formats.model_files import ModelFiles
from splade_anserini.formats.sentence_transformers import (
    UNLIMITED,
    SparseEncoderDescription,
    SpladeDescription,
    StaticDescription,
    read_description,
)
from splade_anserini.modeling.checkpoint import Checkpoint, load_checkpoint
from splade_anserini.modeling.vocabulary import lower_case, masked_entries, token_count, vocabulary
from splade_anserini.records import Activation, Pooling, StrPath


def published_description(name: StrPath) -> SparseEncoderDescription | None:
    """Return the description of a Hugging Face id or directory by sentence-transformers; None without one.

    A directory that `train` wrote has a manifest, which says everything: None. Raises `InputError` as
    `read_description` does, `MismatchError` when manifest and description contradict each other.
    """
    trained = read_manifest(Path(name), CheckpointManifest)
    if trained is None:
        return read_description(name)
    try:
        description = read_description(name)
    except InputError:
        return None  # what `train` writes for sentence-transformers cannot say everything
    if description:
        _require_agreement(name, trained, description)
    return None


def _require_agreement(name: StrPath, trained: CheckpointManifest, description: SparseEncoderDescription) -> None:
    """Compare what the model was trained with; lengths are defaults, and may differ."""
    # Weights of 1 are written like all other weights.
    side = "idf" if trained.query_side == "doc" else trained.query_side
    documents, queries = description.documents, description.queries
    directory = QUERY_MODEL if side == "separate" else ""
    query_directory = queries.subfolder if isinstance(queries, SpladeDescription) else directory
    for what, manifest, described in [
        ("pooling", trained.pooling, documents.pooling),
        ("activation", trained.activation, documents.activation),
        ("query side", side, description.query_side),
        # sentence-transformers saves the models of a Router elsewhere, and leaves those that were there.
        ("directory of the model", "", documents.subfolder),
        ("directory of the query model", directory, query_directory),
        ("prompt of documents", trained.prompt, description.prompt),
        ("prompt of queries", trained.query_prompt, description.query_prompt),
    ]:
        if manifest != described:
            raise MismatchError(
                f"{name} has the {what} {manifest!r} in {MANIFEST}, and {described!r} in the files of "
                f"sentence-transformers, such as {documents.pooling_file}.",
                expected=f"the {what} that the model was trained with, in both",
                do=f"If the files of sentence-transformers were saved later, remove {MANIFEST}.",
            )


def load_published(name: StrPath, side: SpladeDescription | None, *, trust_remote_code: bool = False) -> Checkpoint:
    """Load the model that a description names; its tokenizer is as sentence-transformers sets it up.

    Without a description it is the model of that name. Raises the errors of `load_checkpoint`.
    """
    if side is None:
        return load_checkpoint(name, trust_remote_code=trust_remote_code)
    checkpoint = load_checkpoint(name, side.subfolder, trust_remote_code=trust_remote_code)
    set_up_tokenizer(checkpoint.tokenizer, side)
    return checkpoint


def set_up_tokenizer(tokenizer: Any, side: SpladeDescription) -> None:
    """Set up a tokenizer as sentence-transformers does: lower-casing, and the length of the longest text."""
    if side.lower_case:
        lower_case(tokenizer)
    if side.max_length != UNLIMITED:
        tokenizer.model_max_length = max(side.max_length, tokenizer.model_max_length)


def require_described(
    name: str, side: SpladeDescription, pooling: Pooling | None, activation: Activation | None
) -> None:
    """Raise `MismatchError` when an option contradicts the description."""
    for option, requested, published in [
        ("pooling", pooling, side.pooling),
        ("activation", activation, side.activation),
    ]:
        if requested not in {None, published}:
            raise MismatchError(
                f"--{option} is {requested}, but {name} has the {option} {published}, says {side.pooling_file}.",
                expected=f"the {option} that the model was trained with",
                do=f"Leave out --{option}.",
            )


def load_document_checkpoint(name: StrPath, *, trust_remote_code: bool = False) -> Checkpoint:
    """Load the model that encodes documents of a Hugging Face id or directory. Raises what reading it raises."""
    description = published_description(name)
    side = description.documents if description else None
    return load_published(name, side, trust_remote_code=trust_remote_code)


def static_length(static: StaticDescription, tokenizer: Any) -> int:
    """Return the tokens of a text that a static encoder reads, plus the special ones that this package counts too."""
    return static.max_length + int(tokenizer.num_special_tokens_to_add(pair=False))


def load_token_weights(name: StrPath, file: str, checkpoint: Checkpoint) -> tuple[str, npt.NDArray[np.float32]]:
    """Return the SHA-256 of a file of static weights, and the weights [vocabulary]; see `load_static_weights`."""
    weights = load_static_weights(name, file, checkpoint.tokenizer)
    tokens = vocabulary(checkpoint.tokenizer, checkpoint.vocabulary_size)
    values = np.array([weights.get(token, 0.0) for token in tokens], dtype=np.float32)
    return fingerprint_of_file(_file(name, file)), values


def load_static_weights(name: StrPath, file: str, tokenizer: Any) -> dict[str, float]:
    """Return the weights above 0 of a static encoder, token → weight, without the entries that are always masked.

    Raises `InputError` when the file cannot be read, or a weight is below 0 or not a finite number.
    """
    path = _file(name, file)
    try:
        tokens, weights = _read_weights(path, tokenizer)
    except Exception as error:  # json, numpy, safetensors and torch share no base
        raise InputError(
            f"The weights of SparseStaticEmbedding in {path} cannot be read: {error}.",
            expected="a tensor `weight` with one number for each token, or a JSON object, token → weight",
            do="Download or save the model again.",
        ) from error
    masked = {tokens[token_id] for token_id in masked_entries(tokenizer, len(tokens))}
    kept = {token: weight for token, weight in zip(tokens, weights, strict=True) if token not in masked}
    wrong = [token for token, weight in kept.items() if not 0 <= weight < math.inf]
    if wrong:
        raise InputError(
            f"{path}: {counted(len(wrong), 'weight')} cannot be an impact, such as {kept[wrong[0]]:g} of {wrong[0]!r}.",
            expected="weights from 0, since an index counts occurrences of a token",
        )
    return {token: weight for token, weight in kept.items() if weight > 0}


def _file(name: StrPath, file: str) -> Path:
    path = ModelFiles(name).path(file)
    if path is None:
        raise InputError(f"{name} has no file {file}.", do="Download or save the model again.")
    return path


def _read_weights(path: Path, tokenizer: Any) -> tuple[list[str], list[float]]:
    """Return the tokens in the order of their ids, and the weight of each."""
    if path.suffix == ".json":
        saved = json.loads(path.read_bytes())
        tokens = vocabulary(tokenizer, token_count(tokenizer))
        # Tokens that the tokenizer lacks would weigh for unknown words, which have no weight here.
        return tokens, np.array([saved.get(token, 0.0) for token in tokens], dtype=np.float32).tolist()
    if path.suffix == ".safetensors":
        from safetensors.torch import load_file

        # numpy has no bfloat16.
        weight = load_file(path)["weight"].float().numpy()
    else:
        import torch

        weight = torch.load(path, map_location="cpu", weights_only=True)["weight"].float().numpy()
    return vocabulary(tokenizer, len(weight)), weight.astype(np.float32).tolist()
