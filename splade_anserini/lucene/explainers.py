"""Scores term by term from a searcher; another package, which must not be known here, makes them."""

from collections.abc import Callable
from typing import Any

from splade_anserini.records import ImpactVector, StrPath

type Explainer = Callable[[ImpactVector, ImpactVector, str], Any]
"""Explains the score of a document, given the impacts of query and document and the id."""

_explainers: list[Explainer] = []


def register_explainer(explainer: Explainer) -> None:
    """Let searchers explain scores with `explainer`."""
    _explainers.append(explainer)


def explained(index: StrPath, query: ImpactVector, doc_id: str) -> Any:
    """Return why a document of an index has its score for the impacts of a query.

    Raises `InputError` when the index lacks the document.
    """
    from splade_anserini.lucene.doc_vectors import document_vector

    return _explainers[-1](query, document_vector(index, doc_id), doc_id)
