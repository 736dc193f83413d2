"""SPLADE encoders as teachers."""

from collections.abc import Iterable, Sequence

from splade_anserini.encoding import Encoder
from splade_anserini.records import SparseVector
from splade_anserini.training.teachers.inputs import Pair


class SpladeTeacher:
    """Any encoder of sparse vectors: the score is the dot product of query and document, before quantization."""

    def __init__(self, name: str, queries: Encoder, documents: Encoder) -> None:
        self.name = name
        self._queries = queries
        self._documents = documents

    def score(self, pairs: Sequence[Pair]) -> list[float]:
        """Return a score for each pair; each text is read once."""
        queries = _vectors(self._queries, (query for query, _ in pairs))
        documents = _vectors(self._documents, (document for _, document in pairs))
        return [_dot(queries[query], documents[document]) for query, document in pairs]


def _vectors(encoder: Encoder, texts: Iterable[str]) -> dict[str, SparseVector]:
    distinct = list(dict.fromkeys(texts))
    return dict(zip(distinct, encoder.encode(distinct), strict=True))


def _dot(query: SparseVector, document: SparseVector) -> float:
    return sum(weight * document.get(token, 0.0) for token, weight in query.items())
