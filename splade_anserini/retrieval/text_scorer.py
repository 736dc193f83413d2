"""Exact scores of given documents from their texts, without an index."""

from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING

from splade_anserini.errors import InputError
from splade_anserini.progress import Progress, silent
from splade_anserini.records import Document, ImpactDocument, ImpactVector
from splade_anserini.vectors.dot_product import dot_product

if TYPE_CHECKING:
    from splade_anserini.encoding import SpladeDocumentEncoder
    from splade_anserini.formats.texts import TextLookup


class TextScorer:
    """A `Scorer` of documents that are encoded once; their vectors are kept in an unnamed temporary file.

    Raises `InputError` when one of `ids` has no text.
    """

    def __init__(
        self,
        ids: Iterable[str],
        texts: "TextLookup",
        encoder: "SpladeDocumentEncoder",
        progress: Progress = silent,
    ) -> None:
        import orjson

        from splade_anserini.formats.texts import SpooledTexts

        unique_ids = list(dict.fromkeys(ids))
        _refuse_missing(unique_ids, texts)
        encoded = encoder.encode(Document(id_, "", texts[id_]) for id_ in unique_ids)
        vectors = (
            (document.id, orjson.dumps(document.vector).decode()) for document in _with_progress(encoded, progress)
        )
        self._vectors = SpooledTexts("document", "the documents that were encoded", vectors)

    def scores(self, query: ImpactVector, ids: Sequence[str]) -> list[float]:
        """Return the dot product of the impacts of the query and of each document, in float32."""
        from splade_anserini.lucene.searcher import float32

        return [float32(dot_product(query, self._vector(id_))) for id_ in ids]

    def _vector(self, id_: str) -> ImpactVector:
        import orjson

        vector: dict[str, int] = orjson.loads(self._vectors[id_])
        return vector


def _with_progress(documents: Iterable[ImpactDocument], progress: Progress) -> Iterable[ImpactDocument]:
    for document in documents:
        progress(1)
        yield document


def _refuse_missing(ids: Sequence[str], texts: "TextLookup") -> None:
    missing = [wrong for id_ in ids if (wrong := texts.problem_with(id_))]
    if missing:
        raise InputError(
            f"{len(missing):,} of {len(ids):,} documents have no text: {missing[0]}.",
            expected="a corpus that holds all of them",
        )
