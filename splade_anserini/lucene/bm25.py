"""Searches a BM25 index through Pyserini, as a baseline and for hybrid search."""

from collections.abc import Iterator, Sequence
from itertools import batched
from pathlib import Path
from typing import TYPE_CHECKING

from splade_anserini.lucene.index_reader import opened_index
from splade_anserini.lucene.java.java_errors import java_errors
from splade_anserini.records import Query, StrPath

if TYPE_CHECKING:
    from ir_measures import ScoredDoc

_BATCH_SIZE = 64


def search_bm25(
    index: StrPath, queries: Sequence[Query], hits: int, threads: int = 1, *, k1: float = 0.9, b: float = 0.4
) -> "Iterator[tuple[str, list[ScoredDoc]]]":
    """Yield each query's id and its best `hits` documents, in the order of `queries`, as Anserini ranks them.

    Raises `InputError` when `index` is not a valid Lucene index.
    """
    with opened_index(index):
        pass
    from ir_measures import ScoredDoc
    from pyserini.search.lucene import LuceneSearcher

    doing = f"searching {index}"
    with java_errors(doing):
        searcher = LuceneSearcher(str(Path(index).absolute()))
        searcher.set_bm25(k1, b)
    try:
        for batch in batched(queries, _BATCH_SIZE):
            ids = [query.id for query in batch]
            with java_errors(doing):
                results = searcher.batch_search([query.text for query in batch], ids, k=hits, threads=threads)
                rankings = {
                    query_id: [ScoredDoc(query_id, hit.docid, hit.score) for hit in ranking]
                    for query_id, ranking in results.items()
                }
            for query_id in ids:
                yield query_id, rankings.get(query_id, [])
    finally:
        searcher.close()
