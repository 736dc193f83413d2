"""Counts of texts that are longer than an encoder reads, and of the tokens that are lost."""

import logging
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from splade_anserini.artifacts.truncation import Truncation
from splade_anserini.errors import NOTE, counted

if TYPE_CHECKING:
    from tokenizers import Encoding

_log = logging.getLogger(__name__)


@dataclass(slots=True)
class TruncationCounts:
    """Counts texts while they are tokenized. One thread at a time may add to it."""

    texts: int = 0
    truncated: int = 0
    tokens_lost: int = 0

    def add(self, encodings: "Sequence[Encoding]", max_length: int, special_tokens: int) -> None:
        """Count texts that a tokenizer has cut at `max_length` tokens; `special_tokens` is how many it adds to each.

        The tokenizer keeps what it cuts off, in pieces that have special tokens of their own. Only the longest texts
        are asked for theirs.
        """
        self.texts += len(encodings)
        for encoding in encodings:
            if len(encoding) >= max_length and (pieces := encoding.overflowing):
                self.truncated += 1
                self.tokens_lost += sum(len(piece) - special_tokens for piece in pieces)

    def record(self) -> Truncation:
        """Return the counts as they are now, for a manifest."""
        return Truncation(texts=self.texts, truncated=self.truncated, tokens_lost=self.tokens_lost)


def log_truncation(truncation: Truncation, max_length: int, singular: str, plural: str = "") -> None:
    """Log the line that says how many texts were cut, if there are any."""
    if truncation.truncated:
        _log.log(NOTE, "%s", truncation_line(truncation, max_length, singular, plural))


def truncation_line(truncation: Truncation, max_length: int, singular: str, plural: str = "") -> str:
    """Return the line that says how many texts were cut, at least one.

    Such as "12 of 1,400 documents (0.9%) are longer than 256 tokens: 3,214 tokens were cut off."
    """
    texts = counted(truncation.texts, singular, plural)
    verb = "is" if truncation.truncated == 1 else "are"
    share = f"{truncation.share:.1%}" if truncation.share >= 0.0005 else "less than 0.1%"
    lost = counted(truncation.tokens_lost, "token")
    were = "was" if truncation.tokens_lost == 1 else "were"
    return (
        f"{truncation.truncated:,} of {texts} ({share}) {verb} longer than {max_length:,} tokens: "
        f"{lost} {were} cut off."
    )
