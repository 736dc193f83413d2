"""From which token of a text each entry of its vector comes, and where its tokens are."""

from collections.abc import Sequence
from typing import NamedTuple, Protocol, runtime_checkable


class Origins(NamedTuple):
    """The tokens of a text, and the one from which each entry of the vector comes.

    With max pooling the weight of an entry is that of one token (SPLADE v2, equation 6); with other poolings the origin
    is the token that contributes most.
    """

    tokens: tuple[str, ...]
    """As the encoder reads them: word pieces, special tokens included."""
    by_entry: dict[str, int]
    """Entry → index in `tokens`; empty when the graph of an encoder does not show it."""


@runtime_checkable
class TracedEncoder(Protocol):
    """An encoder that knows the origins of entries."""

    def origins(self, text: str) -> Origins:
        """Return the origins of the active entries of a text."""
        ...


class TokenSpan(NamedTuple):
    """A token of a text and where it is: `text[start:stop]`."""

    token: str
    start: int
    stop: int


@runtime_checkable
class SpanningEncoder(Protocol):
    """An encoder that knows where the tokens of a text are, and which tokens there are."""

    @property
    def tokens(self) -> Sequence[str]:
        """The vocabulary, by id."""
        ...

    def spans(self, text: str) -> list[TokenSpan]:
        """Return all tokens of a text, also of a long one, without special tokens."""
        ...
