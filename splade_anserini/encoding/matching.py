"""Whether an encoder of queries belongs to the encoder that the documents of an index were encoded with.

docs/decisions/0044 says what belongs together. Nearly all SPLADE models share the vocabulary of BERT, so that a search
with another model finds something, and what it finds means nothing.
"""

import logging
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

from splade_anserini.artifacts.manifests import (
    EncoderIdentity,
    EncoderManifest,
    EncodeSettings,
    IndexManifest,
    read_manifest,
)
from splade_anserini.cards.finding import EncoderSource, find_encoder
from splade_anserini.errors import InputError, MismatchError
from splade_anserini.records import Aggregation

_log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class DocumentEncoder:
    """The encoder of documents to which an encoder of queries belongs."""

    name: str
    source: str
    """Where the weights come from: the checkpoint that was exported, or else the directory or Hugging Face id."""
    is_described: bool
    """Whether a card, a manifest or the files of sentence-transformers say how it is used."""
    is_checkpoint: bool
    """Whether the SHA-256 of its weights is that of a checkpoint, not that of a file with a graph."""
    aggregation: Aggregation
    identity: Callable[[bool], EncoderIdentity | None]
    """Returns its identity, or None. With True it loads the model for that, if the weights are on this machine."""


class IdentifiedEncoder(Protocol):
    """An encoder of queries, as far as it is compared. It may have an attribute `document_encoder`."""

    @property
    def identity(self) -> EncoderIdentity:
        """Fingerprints of weights, tokenizer and vocabulary."""
        ...


@dataclass(frozen=True, slots=True)
class _Problem:
    text: str
    is_certain: bool
    """Whether cards or manifests say so; else it is only likely."""


def check_match(
    documents: IndexManifest | EncodeSettings,
    encoder: IdentifiedEncoder,
    scale: float,
    *,
    force: bool = False,
) -> None:
    """Raise `MismatchError` when queries encoded so do not fit the documents, as cards or manifests say.

    With `force`, or where it is only likely, a warning is logged for each problem.
    """
    problems = [] if documents.encoder is None else _problems(documents.encoder, encoder)
    if documents.scale is not None and documents.scale != scale:
        text = f"The scale of the queries is {scale:g}, that of the documents {documents.scale:g}"
        problems.append(_Problem(text, is_certain=True))
    if not force and any(problem.is_certain for problem in problems):
        raise MismatchError(
            f"The queries do not fit the documents. {'. '.join(problem.text for problem in problems)}.",
            expected="queries that are encoded as the documents were",
            do="Leave out --encoder and --scale to use the index's own, or add --force to search all the same.",
        )
    for problem in problems:
        _log.warning("%s; searching all the same", problem.text)


def _problems(documents: EncoderIdentity, encoder: IdentifiedEncoder) -> list[_Problem]:
    identity = encoder.identity
    if documents.vocabulary != identity.vocabulary:
        text = f"Encoder {identity.name} has another vocabulary than {documents.name}"
        return [_Problem(text, is_certain=True)]
    own: DocumentEncoder | None = getattr(encoder, "document_encoder", None)
    if own is None:
        if _have_same_weights(documents, identity):
            return []
        return [_other_weights(documents, identity.name, is_certain=False)]
    return _problems_of_model(documents, own)


def _problems_of_model(documents: EncoderIdentity, own: DocumentEncoder) -> list[_Problem]:
    is_named = own.name == documents.name
    # Of the encoder that the index names, no model is loaded that queries do not need.
    today = own.identity(not is_named)
    is_same = is_named if today is None else _have_same_weights(documents, today)
    problems = [] if is_same else _problems_of_weights(documents, own, today)
    if (is_same or is_named or own.is_described) and documents.aggregation != own.aggregation:
        text = (
            f"The documents were encoded with pooling {documents.pooling} and activation {documents.activation}, and "
            f"{own.name} has pooling {own.aggregation.pooling} and activation {own.aggregation.activation}"
        )
        problems.append(_Problem(text, is_certain=True))
    if is_same and today is not None:
        problems += _problems_of_settings(documents, own, today)
    return problems


def _problems_of_settings(documents: EncoderIdentity, own: DocumentEncoder, today: EncoderIdentity) -> list[_Problem]:
    return [
        _Problem(
            f"The documents were encoded with {name} {getattr(documents, name)!r}, and {own.name} has "
            f"{getattr(today, name)!r} now",
            is_certain=False,
        )
        for name in ("prompt", "max_active_dims")
        if getattr(documents, name) != getattr(today, name)
    ]


def _problems_of_weights(
    documents: EncoderIdentity, own: DocumentEncoder, today: EncoderIdentity | None
) -> list[_Problem]:
    if own.name == documents.name:
        text = f"{own.name} has other weights now than when the documents were encoded"
        return [_Problem(text, is_certain=False)]
    recorded = _recorded_source(documents)
    are_known = (
        today is not None
        and (own.is_checkpoint or today.checkpoint is not None)
        and (documents.checkpoint is not None or (recorded is not None and recorded.is_checkpoint))
    )
    if are_known:
        return [_other_weights(documents, own.name, is_certain=own.is_described)]
    # Exports of earlier versions do not record the weights of their checkpoint.
    if recorded is None:
        return [_other_weights(documents, own.name, is_certain=False)]
    if recorded.source == own.source and not Path(own.source).is_absolute():
        return []  # an id of the Hugging Face Hub; what is in a directory may have changed
    differs = Path(recorded.source).name != Path(own.source).name
    return [_other_weights(documents, own.name, is_certain=own.is_described and differs)]


def _other_weights(documents: EncoderIdentity, name: str, *, is_certain: bool) -> _Problem:
    why = (
        "cards or manifests say that they are two models"
        if is_certain
        else "nothing says that they come from the same checkpoint"
    )
    text = f"Encoder {name} has other weights than {documents.name}, which encoded the documents, and {why}"
    return _Problem(text, is_certain=is_certain)


def _have_same_weights(first: EncoderIdentity, second: EncoderIdentity) -> bool:
    """Say whether two encoders are the same checkpoint, or exports of it."""
    fingerprints = [{each.weights, each.checkpoint} - {None} for each in (first, second)]
    return not fingerprints[0].isdisjoint(fingerprints[1])


@dataclass(frozen=True, slots=True)
class _RecordedSource:
    source: str
    is_checkpoint: bool


def _recorded_source(documents: EncoderIdentity) -> _RecordedSource | None:
    """Return where the weights of the documents' encoder come from; None when it is not there any more."""
    try:
        source = find_encoder(documents.name)
    except InputError:
        return None
    exported = exported_manifest(source)
    if exported is not None:
        is_same = exported.identity.weights == documents.weights
        return _RecordedSource(origin_of(source, exported), is_checkpoint=False) if is_same else None
    return _RecordedSource(origin_of(source, None), is_checkpoint=not source.is_onnx)


def exported_manifest(source: EncoderSource) -> EncoderManifest | None:
    """Return the manifest that `export` wrote; None for other encoders."""
    return read_manifest(Path(source.location), EncoderManifest) if source.is_onnx else None


def origin_of(source: EncoderSource, exported: EncoderManifest | None) -> str:
    """Return the checkpoint that was exported, or the location of an encoder that was not; paths are absolute."""
    origin = exported.source if exported else source.location
    is_id = origin.count("/") == 1 and not origin.startswith((".", "/", "~")) and not Path(origin).exists()
    return origin if is_id else str(Path(origin).resolve())
