"""How an encoder is used where no option says it: as in its card, else as its publisher describes it, else by default.

The publisher's word is a manifest of this package, or the description of sentence-transformers.
"""

from collections.abc import Set
from dataclasses import dataclass, fields, replace
from pathlib import Path
from typing import Any

from splade_anserini.artifacts.manifests import CheckpointManifest, EncoderManifest, read_manifest
from splade_anserini.cards.encoder_card import EncoderCard
from splade_anserini.cards.finding import EncoderSource
from splade_anserini.encoding.options import DEFAULT_MAX_LENGTH
from splade_anserini.errors import MismatchError
from splade_anserini.formats.sentence_transformers import (
    SETTINGS,
    UNLIMITED,
    SparseEncoderDescription,
    SpladeDescription,
)
from splade_anserini.records import DEFAULT_SCALE, Activation, Pooling, QuerySide

_TRAINED_WITH = ("pooling", "activation", "query_side", "prompt", "query_prompt")
"""What an encoder was trained with: a card that says something else is wrong."""


@dataclass(frozen=True, slots=True)
class Usage:
    """How an encoder is used: the fields that a card and a manifest may set, and the description of its publisher."""

    pooling: Pooling = "max"
    activation: Activation = "relu"
    query_side: QuerySide = "splade"
    max_length: int = DEFAULT_MAX_LENGTH
    query_max_length: int = UNLIMITED
    """Queries are short: where nothing else is said, all is read that the model can read."""
    query_idf: float = 0.0
    """The power of the collection's idf by which impacts of queries are multiplied."""
    scale: float = DEFAULT_SCALE
    prompt: str = ""
    query_prompt: str = ""
    max_active_dims: int | None = None
    layout: SparseEncoderDescription | None = None
    """The description of sentence-transformers, when it is not superseded by a manifest."""

    @property
    def documents(self) -> "ModelUsage":
        """How the model of the documents is used."""
        model = self.layout.documents if self.layout else None
        return ModelUsage(self.pooling, self.activation, self.max_length, self.prompt, self.max_active_dims, model)

    @property
    def queries(self) -> "ModelUsage":
        """How the model of the queries is used, for the query sides `splade` and `separate`."""
        model = self.layout.queries if self.layout else None
        own = replace(self.documents, max_length=self.query_max_length, prompt=self.query_prompt)
        if not isinstance(model, SpladeDescription):
            return own
        return replace(own, pooling=model.pooling, activation=model.activation, description=model)


@dataclass(frozen=True, slots=True)
class ModelUsage:
    """How one model is used."""

    pooling: Pooling
    activation: Activation
    max_length: int
    prompt: str
    max_active_dims: int | None
    description: SpladeDescription | None
    """The description of sentence-transformers, if that is how the model is published."""


_FIELDS = {field.name for field in fields(Usage)}


def usage_of(source: EncoderSource, fallback: Usage | None = None) -> Usage:
    """Return how an encoder is used: by its card, else by its manifest or description, else `fallback`.

    Raises `MismatchError` when card and publisher differ in what the model was trained with, `InputError` when it is
    published in a form that this package does not encode with (see `read_description`).
    """
    return replace(fallback or Usage(), **_merged(source, _published_values(source)))


def scale_of(source: EncoderSource) -> float:
    """Return the scale in an encoder's card, else in its manifest, else 100; the Hub is not asked.

    Raises `MismatchError` when card and manifest contradict each other.
    """
    return float(_merged(source, _manifest_values(source)).get("scale", DEFAULT_SCALE))


def query_idf_of(source: EncoderSource) -> float:
    """Return the power of idf in an encoder's card, else in its manifest, else 0; the Hub is not asked."""
    return float(_merged(source, _manifest_values(source)).get("query_idf", 0.0))


def query_max_length_of(source: EncoderSource) -> int | None:
    """Return the tokens of a query in an encoder's card, else in its manifest, else None; the Hub is not asked."""
    length = _merged(source, _manifest_values(source)).get("query_max_length")
    return None if length is None or length >= UNLIMITED else int(length)


def _merged(source: EncoderSource, published: dict[str, Any]) -> dict[str, Any]:
    """Return what the card says, else what the publisher says. Raises `MismatchError` when they differ."""
    card = _values(source.card, source.card.model_fields_set) if source.card else {}
    if (published.get("query_side"), card.get("query_side")) == ("idf", "doc") and "layout" in published:
        del card["query_side"]  # weights of 1 are published like all others
    for name in _TRAINED_WITH:
        if card.get(name, published.get(name)) != published.get(name, card.get(name)):
            raise MismatchError(
                f'The card of {source.name} has {name} = "{card[name]}", {_publisher(source, published)} '
                f'"{published[name]}".',
                expected=f"the {name} that the model was trained with",
                do=f"Correct {name} in the card, or remove it there.",
            )
    return published | card


def _values(described: EncoderCard | CheckpointManifest, names: Set[str]) -> dict[str, Any]:
    return {name: getattr(described, name) for name in _FIELDS & names if hasattr(described, name)}


def _publisher(source: EncoderSource, published: dict[str, Any]) -> str:
    if "layout" in published:
        return f"the description of sentence-transformers ({published['layout'].documents.pooling_file}, {SETTINGS})"
    return f"the manifest in {source.location}"


def _published_values(source: EncoderSource) -> dict[str, Any]:
    if source.is_onnx and (values := _manifest_values(source)):
        return values
    from splade_anserini.modeling.published import published_description

    description = published_description(source.location)
    return _described_values(description) if description else _manifest_values(source)


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
        "query_idf": exported.query_idf,
        "scale": exported.scale,
        "prompt": exported.identity.prompt,
        "query_prompt": exported.query_prompt,
        "max_active_dims": exported.identity.max_active_dims,
    }
    return {name: value for name, value in values.items() if value is not None}


def _described_values(description: SparseEncoderDescription) -> dict[str, Any]:
    documents = description.documents
    return {
        "pooling": documents.pooling,
        "activation": documents.activation,
        "query_side": description.query_side,
        "max_length": documents.max_length,
        # Of static weights it is that without special tokens: see `open_bag`.
        "query_max_length": description.queries.max_length,
        "prompt": description.prompt,
        "query_prompt": description.query_prompt,
        "max_active_dims": description.max_active_dims,
        "layout": description,
    }
