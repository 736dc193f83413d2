"""Lucene's IndexSearcher, called as directly as Python can: an upper limit for every searcher that uses it."""

import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

from splade_anserini.lucene import start_jvm
from splade_anserini.records import ImpactVector


class BareSearcher:
    """An IndexSearcher for queries that are built beforehand."""

    def __init__(self, directory: Path) -> None:
        start_jvm()
        from jnius import autoclass

        self.java = autoclass
        path = autoclass("java.nio.file.Paths").get(str(directory.absolute()))
        store = autoclass("org.apache.lucene.store.FSDirectory").open(path)
        reader = autoclass("org.apache.lucene.index.DirectoryReader").open(store)
        signature = "(Lorg/apache/lucene/index/IndexReader;)V"
        self.searcher = autoclass("org.apache.lucene.search.IndexSearcher")(reader, signature=signature)
        self.searcher.setSimilarity(autoclass("io.anserini.search.similarity.ImpactSimilarity")())

    def query(self, vector: ImpactVector) -> Any:
        """Return Lucene's query."""
        term = self.java("org.apache.lucene.index.Term")
        term_query, boost, builder, occur = (
            self.java(f"org.apache.lucene.search.{name}")
            for name in ("TermQuery", "BoostQuery", "BooleanQuery$Builder", "BooleanClause$Occur")
        )
        clauses = builder()
        for token, impact in vector.items():
            clauses.add(boost(term_query(term("contents", token)), float(impact)), occur.SHOULD)
        return clauses.build()

    def rate(self, queries: list[Any], hits: int, threads: int) -> float:
        """Return queries per second; hits are found, but not read."""
        begin = time.perf_counter()
        with ThreadPoolExecutor(threads) as pool:
            for part in [pool.submit(self._search, queries[start::threads], hits) for start in range(threads)]:
                part.result()
        return len(queries) / (time.perf_counter() - begin)

    def _search(self, queries: list[Any], hits: int) -> None:
        import jnius

        for query in queries:
            self.searcher.search(query, hits)
        jnius.detach()
