"""What a served index is to requests, and the encoder of its queries."""

from collections.abc import Iterable, Mapping, Sequence
from functools import cached_property
from typing import TYPE_CHECKING, Protocol

if TYPE_CHECKING:
    from splade_anserini.artifacts.manifests import IndexManifest
    from splade_anserini.encoding import ImpactQueryEncoder
    from splade_anserini.explaining import Expansion
    from splade_anserini.explaining.snippets import SpansOf
    from splade_anserini.explaining.vocabulary import Vocabulary
    from splade_anserini.records import ImpactVector
    from splade_anserini.retrieval.options import QueryOptions
    from splade_anserini.serving.options import ServedOptions


class ServedIndex(Protocol):
    """What requests are checked against."""

    @property
    def name(self) -> str:
        """The name by which requests call it."""
        ...

    @property
    def generation(self) -> int:
        """How often it was opened."""
        ...

    @property
    def can_encode(self) -> bool:
        """Whether texts can be searched for, not only vectors."""
        ...

    @property
    def has_texts(self) -> bool:
        """Whether it has a text index, for the engines bm25 and hybrid."""
        ...

    def description(self) -> dict[str, object]:
        """Return what a client may know of it."""
        ...


class ServedEncoder:
    """An open encoder of queries."""

    def __init__(self, encoder: "ImpactQueryEncoder") -> None:
        self.encoder = encoder

    @property
    def encodes_together(self) -> bool:
        """Whether the encoder runs several texts at once: one in int8 does not."""
        return self.encoder.encoder.identity.precision != "int8"

    def encode(self, texts: Sequence[str]) -> "list[ImpactVector]":
        """Return the impacts of queries, before they are multiplied by idf."""
        from splade_anserini.vectors.quantization import quantize

        return [quantize(vector, self.encoder.scale) for vector in self.encoder.encoder.encode(texts)]

    def expand(self, text: str) -> "Expansion":
        """Return what a query becomes: its tokens, their weights before idf, and from which word each comes."""
        from splade_anserini.explaining import expand

        return expand(text, self.encoder.encoder, self.encoder.scale)

    def edited(self, vector: "ImpactVector", weights: Mapping[str, float]) -> "ImpactVector":
        """Return a query with other weights of some tokens: 0 drops a token, one that is not there is added.

        Raises `InputError` for a token that the encoder does not have.
        """
        from splade_anserini.vectors.quantization import impact

        self.check(token for token in weights if token not in vector)
        edited = dict(vector) | {token: impact(weight, self.encoder.scale) for token, weight in weights.items()}
        return {token: value for token, value in edited.items() if value}

    def check(self, tokens: Iterable[str]) -> None:
        """Raise `InputError` for a token that the encoder does not have."""
        if self._vocabulary:
            self._vocabulary.check(tokens)

    @cached_property
    def _vocabulary(self) -> "Vocabulary | None":
        from splade_anserini.explaining.vocabulary import Vocabulary

        return Vocabulary.of(self.encoder.encoder)

    @cached_property
    def spans_of(self) -> "SpansOf | None":
        """What finds the tokens of the encoder in texts, if anything does."""
        from splade_anserini.explaining.vocabulary import spans_of

        return spans_of(self.encoder.encoder)


def can_encode(manifest: "IndexManifest | None", options: "ServedOptions") -> bool:
    """Return whether the queries of an index can be encoded."""
    return bool(options.encoder or (manifest and manifest.encoder))


def query_options(options: "ServedOptions", query_idf: float | None) -> "QueryOptions":
    """Return how queries of an index are encoded: each on one processor."""
    from splade_anserini.retrieval.options import QueryOptions

    return QueryOptions(
        encoder=options.encoder,
        query_idf=query_idf,
        device=options.device,
        threads=1,
        trust_remote_code=options.trust_remote_code,
        force=options.force,
    )
