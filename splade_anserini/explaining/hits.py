"""What a search in Python returns: a list of hits, which notebooks show as a table."""

from typing import TYPE_CHECKING, NamedTuple, Self, SupportsIndex, overload

from splade_anserini.explaining.sections import shortened

if TYPE_CHECKING:
    import pandas as pd

    from splade_anserini.records import JsonDocument

_SHOWN = 300
"""Characters of a text that a notebook shows."""


class _Hit(NamedTuple):
    id: str
    score: float
    """The dot product of the impacts of query and document."""
    text: str | None
    """None when the index does not store texts."""


class Hit(_Hit):
    """A document that a search found: its id, score and text."""

    document: "JsonDocument | None" = None
    """The document with all fields that the index stores; None when it stores none."""

    @classmethod
    def of(cls, id_: str, score: float, document: "JsonDocument | None") -> Self:
        """Return the hit of a document with its stored record."""
        from splade_anserini.lucene.stored_documents import text_of

        hit = cls(id_, score, text_of(document))
        hit.document = document
        return hit


class Hits(list[Hit]):
    """The hits of a query, best first: a list."""

    @overload
    def __getitem__(self, index: SupportsIndex) -> Hit: ...
    @overload
    def __getitem__(self, index: slice) -> "Hits": ...
    def __getitem__(self, index: SupportsIndex | slice) -> "Hit | Hits":
        return Hits(super().__getitem__(index)) if isinstance(index, slice) else super().__getitem__(index)

    def to_pandas(self) -> "pd.DataFrame":
        """Return a row for each hit, with its rank from 1. Raises `DependencyError` when pandas is not installed."""
        from splade_anserini.artifacts.data_frames import data_frame

        rows = [(rank, hit.id, hit.score, hit.text) for rank, hit in enumerate(self, 1)]
        return data_frame(["rank", "id", "score", "text"], rows)

    def _repr_html_(self) -> str:
        from splade_anserini.artifacts.html import HtmlColumn, html_fragment, html_table

        columns = [HtmlColumn("rank"), HtmlColumn("id", is_text=True), HtmlColumn("score")]
        columns.append(HtmlColumn("text", is_text=True, is_long=True))
        rows = [
            (str(rank), hit.id, f"{hit.score:,g}", shortened(hit.text or "", _SHOWN))
            for rank, hit in enumerate(self, 1)
        ]
        return html_fragment(html_table(columns, rows), "Hits")
