"""The vector of a text as one reads it: its own tokens, the added ones, and where each comes from."""

from collections.abc import Mapping
from dataclasses import astuple, dataclass, field
from typing import TYPE_CHECKING

from splade_anserini.encoding.origins import TracedEncoder
from splade_anserini.errors import InputError, counted
from splade_anserini.explaining.rendering import section_text
from splade_anserini.explaining.sections import expansion_section, shortened
from splade_anserini.explaining.vocabulary import Vocabulary
from splade_anserini.records import ImpactVector
from splade_anserini.vectors.quantization import quantize

if TYPE_CHECKING:
    import pandas as pd

    from splade_anserini.encoding import Encoder


@dataclass(frozen=True, slots=True)
class ExpandedToken:
    """An entry of the vector of a text."""

    token: str
    weight: float
    impact: int
    """round(weight × scale)"""
    own: bool
    """Whether it is a token of the text."""
    origin: str | None
    """The token of the text from which its weight comes; None when that is not known, or it was added by hand."""


@dataclass(frozen=True, slots=True, repr=False)
class Expansion:
    """The entries of a text, the greatest first, equal ones by token."""

    text: str
    tokens: tuple[str, ...]
    """The tokens that the encoder read, special tokens included; empty when it does not say."""
    entries: tuple[ExpandedToken, ...]
    scale: float
    vocabulary: Vocabulary | None = field(default=None, compare=False, repr=False)
    """What else may be an entry; None when the encoder does not say it."""

    @property
    def impacts(self) -> ImpactVector:
        """Token → impact, as it is searched."""
        return {entry.token: entry.impact for entry in self.entries if entry.impact}

    def edited(self, weights: Mapping[str, float]) -> "Expansion":
        """Return the expansion with other weights of some tokens: 0 drops a token, one that is not there is added.

        Raises `InputError` for a negative weight, and for a token that is not in the vocabulary.
        """
        for token, weight in weights.items():
            if not 0 <= weight < float("inf"):
                raise InputError(f"The weight of {token!r} is {weight:g}.", expected="a number of at least 0")
        before = {entry.token: entry for entry in self.entries}
        if self.vocabulary:
            self.vocabulary.check(token for token in weights if token not in before)
        after = {token: entry.weight for token, entry in before.items()} | dict(weights)
        entries = [
            ExpandedToken(
                token,
                weight,
                round(weight * self.scale),
                own=before[token].own if token in before else token in self.tokens,
                origin=before[token].origin if token in before else None,
            )
            for token, weight in after.items()
            if weight
        ]
        return Expansion(self.text, self.tokens, _sorted(entries), self.scale, self.vocabulary)

    def values(self) -> dict[str, object]:
        """Return the expansion as JSON values."""
        return {
            "text": self.text,
            "tokens": list(self.tokens),
            "scale": self.scale,
            "entries": [
                {
                    "token": entry.token,
                    "weight": round(entry.weight, 4),
                    "impact": entry.impact,
                    "own": entry.own,
                    "origin": entry.origin,
                }
                for entry in self.entries
            ],
        }

    def to_pandas(self) -> "pd.DataFrame":
        """Return a row for each entry."""
        from splade_anserini.artifacts.data_frames import data_frame

        columns = ["token", "weight", "impact", "own", "origin"]
        return data_frame(columns, [astuple(entry) for entry in self.entries])

    def __repr__(self) -> str:
        return f"<Expansion of {shortened(self.text)!r}: {counted(len(self.entries), 'entry', 'entries')}>"

    def __str__(self) -> str:
        """Return the entries as bars."""
        return section_text(expansion_section(self))

    def _repr_html_(self) -> str:
        from splade_anserini.explaining.html import section_html

        return section_html(expansion_section(self))


def expand(text: str, encoder: "Encoder", scale: float) -> Expansion:
    """Encode a text; impact = round(weight × `scale`)."""
    (vector,) = encoder.encode([text])
    traced = encoder.origins(text) if isinstance(encoder, TracedEncoder) else None
    tokens = traced.tokens if traced else ()
    origins = {entry: tokens[position] for entry, position in traced.by_entry.items()} if traced else {}
    impacts = quantize(vector, scale)
    entries = [
        ExpandedToken(token, weight, impacts.get(token, 0), own=token in tokens, origin=origins.get(token))
        for token, weight in vector.items()
    ]
    return Expansion(text, tokens, _sorted(entries), scale, Vocabulary.of(encoder))


def _sorted(entries: list[ExpandedToken]) -> tuple[ExpandedToken, ...]:
    return tuple(sorted(entries, key=lambda entry: (-entry.weight, entry.token)))
