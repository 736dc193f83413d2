"""The encoders of documents and of queries that belong together, as a verification compares them."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import partial

from splade_anserini.encoding.opening import open_encoder, open_query_encoder
from splade_anserini.encoding.options import EncoderOptions
from splade_anserini.encoding.protocol import Encoder, StagedEncoder
from splade_anserini.encoding.tokenized import TokenizedEncoder
from splade_anserini.records import Side, SparseVector, StrPath
from splade_anserini.verification.verification import VerifiedEncoder


@dataclass(frozen=True, slots=True)
class EncoderPair:
    """The encoders of documents and of queries of one name."""

    name: str
    documents: Encoder
    queries: Encoder

    @classmethod
    def open(cls, name: StrPath, options: EncoderOptions, query_max_length: int | None) -> "EncoderPair":
        """Open both. Raises what `open_encoder` and `open_query_encoder` raise."""
        query_options = replace(options, max_length=query_max_length)
        return cls(str(name), open_encoder(name, options), open_query_encoder(name, query_options))

    @property
    def lengths(self) -> dict[Side, int]:
        """Tokens of a text that are read."""
        return {"document": self.documents.max_length, "query": self.queries.max_length}

    def encode(self, texts: Sequence[str], side: Side) -> Sequence[SparseVector]:
        """Return the vector of each text."""
        return self._of(side).encode(texts)

    def verified(self) -> dict[Side, VerifiedEncoder]:
        """Return what a verification needs of both."""
        return {"document": _verified(self.documents), "query": _verified(self.queries)}

    def _of(self, side: Side) -> Encoder:
        return self.queries if side == "query" else self.documents


def _verified(encoder: Encoder) -> VerifiedEncoder:
    masked = encoder.masked if isinstance(encoder, TokenizedEncoder) else frozenset()
    return VerifiedEncoder(encoder.encode, partial(_have_tokens, encoder), masked)


def _have_tokens(encoder: Encoder, texts: Sequence[str]) -> list[bool]:
    """Say of each text whether it has tokens other than special ones."""
    if not isinstance(encoder, StagedEncoder):
        return [True for _ in texts]
    empty = {position for batch in encoder.prepare(texts) if not batch.ids.shape[1] for position in batch.positions}
    return [position not in empty for position in range(len(texts))]
