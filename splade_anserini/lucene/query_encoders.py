"""Query encoders as Pyserini's searchers use them, and how they are opened by name."""

from collections.abc import Callable, Mapping
from typing import Protocol, cast

from splade_anserini.artifacts.manifests import IndexManifest, read_manifest
from splade_anserini.errors import InputError
from splade_anserini.records import StrPath


class QueryEncoder(Protocol):
    """The interface of Pyserini's query encoders."""

    def encode(self, query: str) -> Mapping[str, int]:
        """Return the impacts of a query's tokens."""
        ...


type EncoderOpener = Callable[[str], QueryEncoder | None]
"""Opens an encoder by its name; returns None for a name that it does not know."""

_openers: list[EncoderOpener] = []


def register_encoder_opener(opener: EncoderOpener) -> None:
    """Let `open_query_encoder_by_name` try `opener`. This package's own encoders are opened by another package."""
    _openers.append(opener)


def open_own_query_encoder(name: str) -> QueryEncoder | None:
    """Open an encoder of this package; return None for a name that is not one, such as that of a Hugging Face model."""
    encoders = (opener(name) for opener in _openers)
    return next((encoder for encoder in encoders if encoder is not None), None)


def check_query_encoder(index: StrPath, query_encoder: object, *, force: bool = False) -> None:
    """Raise `MismatchError` when an encoder of this package does not fit the documents of an index, by its manifest.

    With `force`, or where it is only likely, a warning is logged. Other encoders cannot be compared.
    """
    check = getattr(query_encoder, "check_documents", None)
    manifest = read_manifest(index, IndexManifest) if check else None
    if check and manifest:
        check(manifest, force=force)


def resolve_query_encoder(query_encoder: QueryEncoder | str | None) -> QueryEncoder:
    """Return the encoder itself, or open the one of this name: ours, else Pyserini's. None is Pyserini's default.

    Raises `InputError` for a name that neither knows, and for an object without a method `encode`.
    """
    if query_encoder is not None and not isinstance(query_encoder, str):
        if not hasattr(query_encoder, "encode"):
            raise InputError(
                f"The query encoder {query_encoder!r} has no method encode(text).",
                expected="an object whose encode(text) returns a dictionary from tokens to impacts, or a name",
            )
        return query_encoder
    own = open_own_query_encoder(query_encoder) if query_encoder else None
    encoder = own or _open_pyserinis(query_encoder)
    if encoder is None:
        raise InputError(
            f"There is no query encoder {query_encoder!r}.",
            expected="the name of an encoder card, a directory that export wrote, or a name that Pyserini knows: "
            "a file of encoded queries, or a model whose name contains splade, unicoil or slim",
        )
    return encoder


def _open_pyserinis(name: str | None) -> QueryEncoder | None:
    from splade_anserini.lucene.java.jvm import start_jvm

    start_jvm()
    from pyserini.search.lucene import LuceneImpactSearcher

    # There is no public function for it.
    return cast("QueryEncoder | None", LuceneImpactSearcher._init_query_encoder_from_str(name))  # noqa: SLF001


def integer_weight(token: str, weight: float) -> int:
    """Return the weight of a query token. Raises `InputError` for one that Lucene refuses or Pyserini would cut."""
    if weight < 0 or weight != int(weight):
        raise InputError(
            f"The weight of the query token {token!r} is {weight}.",
            expected="non-negative integers: Lucene rejects negative weights, and Pyserini truncates fractions",
            do="Quantize the query with the scale of the documents, as OnnxQueryEncoder does.",
        )
    return int(weight)
