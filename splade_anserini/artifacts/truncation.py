"""How many texts were cut, as manifests record it."""

from typing import Self

import pydantic


class Truncation(pydantic.BaseModel):
    """How many texts were longer than the encoder reads, and how many tokens were cut off."""

    model_config = pydantic.ConfigDict(frozen=True, extra="forbid")

    texts: int = pydantic.Field(default=0, ge=0)
    """Texts that were tokenized."""
    truncated: int = pydantic.Field(default=0, ge=0)
    """Texts that were cut."""
    tokens_lost: int = pydantic.Field(default=0, ge=0)

    @property
    def share(self) -> float:
        """The share of the texts that were cut."""
        return self.truncated / max(self.texts, 1)

    def __add__(self, other: Self) -> "Truncation":
        return self._combined(other, 1)

    def __sub__(self, other: Self) -> "Truncation":
        return self._combined(other, -1)

    def _combined(self, other: Self, sign: int) -> "Truncation":
        return Truncation(
            **{name: getattr(self, name) + sign * getattr(other, name) for name in Truncation.model_fields}
        )


class TextTruncation(pydantic.BaseModel):
    """The queries and the documents that were cut while a model was trained, each as often as it was read."""

    model_config = pydantic.ConfigDict(frozen=True, extra="forbid")

    queries: Truncation = Truncation()
    documents: Truncation = Truncation()

    def __add__(self, other: Self) -> "TextTruncation":
        return TextTruncation(queries=self.queries + other.queries, documents=self.documents + other.documents)
