"""Two encoders for one text: the tokens that both give it, and those of one alone."""

from dataclasses import dataclass
from typing import TYPE_CHECKING

from splade_anserini.explaining.expansion import ExpandedToken, Expansion
from splade_anserini.explaining.rendering import section_text
from splade_anserini.explaining.sections import encoders_section

if TYPE_CHECKING:
    import pandas as pd


@dataclass(frozen=True, slots=True)
class SharedToken:
    """The weights that two encoders give to a token."""

    token: str
    first: float
    second: float


@dataclass(frozen=True, slots=True, repr=False)
class EncoderComparison:
    """The expansions of a text by two encoders."""

    names: tuple[str, str]
    first: Expansion
    second: Expansion
    shared: tuple[SharedToken, ...]
    """The greatest weight first, equal ones by token."""
    first_only: tuple[ExpandedToken, ...]
    second_only: tuple[ExpandedToken, ...]

    def values(self) -> dict[str, object]:
        """Return the comparison as JSON values."""
        return {
            "encoders": list(self.names),
            "first": self.first.values(),
            "second": self.second.values(),
            "shared": [
                {"token": token.token, "first": round(token.first, 4), "second": round(token.second, 4)}
                for token in self.shared
            ],
            "first_only": [entry.token for entry in self.first_only],
            "second_only": [entry.token for entry in self.second_only],
        }

    def to_pandas(self) -> "pd.DataFrame":
        """Return a row for each token with the weights of both encoders; 0 where one does not have it."""
        from splade_anserini.artifacts.data_frames import data_frame

        rows = [(token.token, token.first, token.second) for token in self.shared]
        rows += [(entry.token, entry.weight, 0.0) for entry in self.first_only]
        rows += [(entry.token, 0.0, entry.weight) for entry in self.second_only]
        return data_frame(["token", "first", "second"], rows)

    def __repr__(self) -> str:
        return f"<EncoderComparison of {self.names[0]} and {self.names[1]}: {len(self.shared)} tokens in both>"

    def __str__(self) -> str:
        """Return the tokens as bars."""
        return section_text(encoders_section(self))

    def _repr_html_(self) -> str:
        from splade_anserini.explaining.html import section_html

        return section_html(encoders_section(self))


def compare_encoders(names: tuple[str, str], first: Expansion, second: Expansion) -> EncoderComparison:
    """Return which tokens two expansions of a text share."""
    weights = {entry.token: entry.weight for entry in second.entries}
    shared = [
        SharedToken(entry.token, entry.weight, weights[entry.token])
        for entry in first.entries
        if entry.token in weights
    ]
    tokens = {token.token for token in shared}
    return EncoderComparison(
        names,
        first,
        second,
        tuple(sorted(shared, key=lambda token: (-max(token.first, token.second), token.token))),
        tuple(entry for entry in first.entries if entry.token not in tokens),
        tuple(entry for entry in second.entries if entry.token not in tokens),
    )
