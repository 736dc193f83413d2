"""The tokens that may be entries of a vector."""

from collections.abc import Iterable
from functools import cached_property
from typing import TYPE_CHECKING, Self

from splade_anserini.encoding.origins import SpanningEncoder
from splade_anserini.errors import InputError
from splade_anserini.suggestions import did_you_mean, nearest

if TYPE_CHECKING:
    from splade_anserini.encoding import Encoder
    from splade_anserini.explaining.snippets import SpansOf


class Vocabulary:
    """The tokens of an encoder."""

    def __init__(self, encoder: SpanningEncoder) -> None:
        self._encoder = encoder

    @classmethod
    def of(cls, encoder: "Encoder") -> Self | None:
        """Return the vocabulary of an encoder; None when it does not say which tokens there are."""
        return cls(encoder) if isinstance(encoder, SpanningEncoder) else None

    @cached_property
    def _known(self) -> frozenset[str]:
        return frozenset(self._encoder.tokens)

    def check(self, tokens: Iterable[str]) -> None:
        """Raise `InputError` for a token that the encoder does not have, with those that may be meant."""
        for token in tokens:
            if token not in self._known:
                pieces = [span.token for span in self._encoder.spans(token)]
                hint = did_you_mean(nearest(token, self._encoder.tokens))
                split = f"The encoder reads it as {' '.join(pieces)}." if len(pieces) > 1 else ""
                raise InputError(
                    f"{token!r} is not a token of the encoder.",
                    expected="tokens of its vocabulary",
                    do=" ".join(filter(None, (split, hint))) or "Leave it out.",
                )


def spans_of(encoder: "Encoder") -> "SpansOf | None":
    """Return what finds the tokens of an encoder in texts; None when its tokenizer does not show where they are."""
    return encoder.spans if isinstance(encoder, SpanningEncoder) else None
