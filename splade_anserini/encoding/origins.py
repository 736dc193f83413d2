"""From which token of a text each entry of its vector comes."""

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
