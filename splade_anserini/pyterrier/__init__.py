"""PyTerrier transformers: encoders of documents and queries, an indexer, a retriever, a re-ranker and a scorer.

They need the extra `pyterrier`, and none of Terrier's own Java.
"""

from splade_anserini.errors import DependencyError

try:
    import pyterrier  # noqa: F401
except ModuleNotFoundError as error:
    raise DependencyError.missing("PyTerrier", "pyterrier") from error

from splade_anserini.pyterrier.encoders import DocumentEncoder, QueryEncoder
from splade_anserini.pyterrier.indexer import ImpactIndexer
from splade_anserini.pyterrier.retrieval import ImpactReranker, ImpactRetriever
from splade_anserini.pyterrier.scorer import ImpactScorer

__all__ = [
    "DocumentEncoder",
    "ImpactIndexer",
    "ImpactReranker",
    "ImpactRetriever",
    "ImpactScorer",
    "QueryEncoder",
]
