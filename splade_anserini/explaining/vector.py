"""The vector of a document as one reads it."""

from collections.abc import Mapping
from typing import TYPE_CHECKING

from splade_anserini.errors import counted
from splade_anserini.explaining.rendering import section_text
from splade_anserini.explaining.sections import shortened, vector_section

if TYPE_CHECKING:
    import pandas as pd

_SHOWN = 5
"""Entries that are shown in one line."""


class Vector(dict[str, int]):
    """Token → impact, the greatest first, equal ones by token: a dictionary that shows itself."""

    def __init__(self, name: str, impacts: Mapping[str, int]) -> None:
        super().__init__(sorted(impacts.items(), key=lambda entry: (-entry[1], entry[0])))
        self.name = name
        """Whose vector it is, such as the id of a document."""

    def to_pandas(self) -> "pd.DataFrame":
        """Return a row for each entry. Raises `DependencyError` when pandas is not installed."""
        from splade_anserini.artifacts.data_frames import data_frame

        return data_frame(["token", "impact"], list(self.items()))

    def __repr__(self) -> str:
        greatest = ", ".join(f"{token} {impact}" for token, impact in list(self.items())[:_SHOWN])
        more = ", …" if len(self) > _SHOWN else ""
        return f"<Vector of {shortened(self.name)!r}, {counted(len(self), 'entry', 'entries')}: {greatest}{more}>"

    def __str__(self) -> str:
        """Return the entries as bars."""
        return section_text(vector_section(self))

    def _repr_html_(self) -> str:
        from splade_anserini.explaining.html import section_html

        return section_html(vector_section(self))
