"""How an encoder is used unless options say otherwise: as its card says, or its manifest, or as most encoders are."""

from dataclasses import dataclass, fields, replace
from pathlib import Path
from typing import Any

from splade_anserini.artifacts.manifests import CheckpointManifest, EncoderManifest, read_manifest
from splade_anserini.cards.finding import EncoderSource
from splade_anserini.encoding.options import LONGEST
from splade_anserini.errors import MismatchError
from splade_anserini.records import DEFAULT_SCALE, Pooling, QuerySide


@dataclass(frozen=True, slots=True)
class Usage:
    """What a card may say of how an encoder is used."""

    pooling: Pooling = "max"
    query_side: QuerySide = "splade"
    max_length: int = LONGEST
    query_max_length: int = LONGEST
    scale: float = DEFAULT_SCALE


_SAYABLE = {field.name for field in fields(Usage)}


def usage_of(source: EncoderSource, unsaid: Usage | None = None) -> Usage:
    """Return how an encoder is used: its card's word goes before its manifest's, and that before `unsaid`.

    Raises `MismatchError` when the card has another pooling or query side: these are the model's own.
    """
    card = source.card.model_dump(include=_SAYABLE & source.card.model_fields_set) if source.card else {}
    manifest = _said_by_manifest(source)
    for name in ("pooling", "query_side"):
        if card.get(name, manifest.get(name)) != manifest.get(name, card.get(name)):
            raise MismatchError(
                f'The card of {source.name} says {name} = "{card[name]}", the manifest in {source.location} '
                f'"{manifest[name]}".',
                expected="a card that says of a model what it was made with",
                do="Correct the card, or leave the line out.",
            )
    return replace(unsaid or Usage(), **(manifest | card))


def _said_by_manifest(source: EncoderSource) -> dict[str, Any]:
    directory = Path(source.location)
    if not source.is_onnx:
        trained = read_manifest(directory, CheckpointManifest)
        return trained.model_dump(include=_SAYABLE) if trained else {}
    exported = read_manifest(directory, EncoderManifest)
    if exported is None:
        return {}
    said = {
        "pooling": exported.identity.pooling,
        # An export of a checkpoint that says nothing says nothing either.
        "query_side": None if exported.query_side == "splade" else exported.query_side,
        "max_length": exported.default_max_length,
        "query_max_length": exported.default_query_max_length,
        "scale": exported.scale,
    }
    return {name: value for name, value in said.items() if value is not None}
