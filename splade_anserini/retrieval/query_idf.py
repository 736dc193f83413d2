"""Query weights that know the collection: each impact of a query times a power of the token's idf in the index.

An encoder learns weights from its training texts and knows nothing of the collection that is searched. How rare an
entry is there, only the index can tell. In the query the factor costs nothing: documents stay as they are.
"""

from collections.abc import Mapping
from typing import TYPE_CHECKING

from splade_anserini.records import ImpactVector, StrPath
from splade_anserini.vectors.idf import idf, multiplied

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from ir_measures import ScoredDoc

    from splade_anserini.lucene.frequencies import CollectionFrequencies


def weighted_by_idf(queries: Mapping[str, ImpactVector], index: StrPath, alpha: float) -> dict[str, ImpactVector]:
    """Return queries with each impact times idf to the power of `alpha`; 0 leaves them unchanged.

    idf is that of the token in `index`. Raises `InputError` when it is not a valid Lucene index.
    """
    from splade_anserini.lucene.frequencies import document_frequencies

    if not alpha:
        return dict(queries)
    frequencies = document_frequencies(index, (token for vector in queries.values() for token in vector))
    return {query_id: weighted(vector, frequencies, alpha) for query_id, vector in queries.items()}


def weighted(vector: ImpactVector, frequencies: "CollectionFrequencies", alpha: float) -> ImpactVector:
    """Return a query with each impact times idf^alpha, rounded to the nearest integer, halves to the even one.

    Tokens that no document contains, and those whose impact becomes 0, are left out.
    """
    counts = ((token, frequencies.by_token[token]) for token in vector)
    return multiplied(vector, {token: idf(frequencies.documents, count) ** alpha for token, count in counts if count})


def with_exact_scores(
    rankings: "Iterable[tuple[str, list[ScoredDoc]]]",
) -> "Iterator[tuple[str, list[ScoredDoc]]]":
    """Yield the rankings. Raises `InputError` for a score from 2²⁴ up, which float32 may have rounded."""
    from splade_anserini.lucene.query_weights import check_exact

    for query_id, ranking in rankings:
        if ranking:
            check_exact(query_id, ranking[0].score)
        yield query_id, ranking
