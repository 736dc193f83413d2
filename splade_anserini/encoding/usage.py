"""How an encoder is used where no option says it: as in its card, else as in its manifest, else by default."""

from collections.abc import Set
from dataclasses import dataclass, fields, replace
from pathlib import Path
from typing import Any

from splade_anserini.artifacts.manifests import CheckpointManifest, EncoderManifest, read_manifest
from splade_anserini.cards.encoder_card import EncoderCard
from splade_anserini.cards.finding import EncoderSource
from splade_anserini.encoding.options import DEFAULT_MAX_LENGTH
from splade_anserini.errors import MismatchError
from splade_anserini.records import DEFAULT_SCALE, Activation, Pooling, QuerySide


@dataclass(frozen=True, slots=True)
class Usage:
    """How an encoder is used: the fields that a card and a manifest may set."""

    pooling: Pooling = "max"
    activation: Activation = "relu"
    query_side: QuerySide = "splade"
    max_length: int = DEFAULT_MAX_LENGTH
    query_max_length: int = DEFAULT_MAX_LENGTH
    scale: float = DEFAULT_SCALE


_FIELDS = {field.name for field in fields(Usage)}


def usage_of(source: EncoderSource, fallback: Usage | None = None) -> Usage:
    """Return how an encoder is used: by its card, else its manifest, else `fallback`.

    Raises `MismatchError` when card and manifest differ in pooling, activation or query side, which the model was
    trained with.
    """
    card = _values(source.card, source.card.model_fields_set) if source.card else {}
    manifest = _manifest_values(source)
    for name in ("pooling", "activation", "query_side"):
        if card.get(name, manifest.get(name)) != manifest.get(name, card.get(name)):
            raise MismatchError(
                f'The card of {source.name} has {name} = "{card[name]}", the manifest in {source.location} '
                f'"{manifest[name]}".',
                expected=f"the {name} that the model was trained with",
                do=f"Correct {name} in the card, or remove it there.",
            )
    return replace(fallback or Usage(), **(manifest | card))


def _values(described: EncoderCard | CheckpointManifest, names: Set[str]) -> dict[str, Any]:
    return {name: getattr(described, name) for name in _FIELDS & names}


def _manifest_values(source: EncoderSource) -> dict[str, Any]:
    directory = Path(source.location)
    if not source.is_onnx:
        trained = read_manifest(directory, CheckpointManifest)
        return _values(trained, _FIELDS) if trained else {}
    exported = read_manifest(directory, EncoderManifest)
    if exported is None:
        return {}
    values = {
        "pooling": exported.identity.pooling,
        "activation": exported.identity.activation,
        # `splade` is also the value of a checkpoint that had no manifest; a card may still name another.
        "query_side": None if exported.query_side == "splade" else exported.query_side,
        "max_length": exported.default_max_length,
        "query_max_length": exported.default_query_max_length,
        "scale": exported.scale,
    }
    return {name: value for name, value in values.items() if value is not None}
