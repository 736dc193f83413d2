"""Exact search beside searches that save work: two phases, and only the strongest tokens of a query.

Two phases find candidates by the strongest tokens and rank them by all of them; what is found has exact scores.
"""

import time
from collections.abc import Callable, Iterator, Mapping
from itertools import islice
from pathlib import Path
from typing import Any

import numpy as np
from alternate import MEMORY, Contestant, Measure, Race
from engines import nfcorpus
from searching import built_index
from settings import Settings, required

HITS = (10, 1000)
TOKENS = (2, 4, 8, 16)
"""Of a query, in its first phase or at all."""
SECONDS = 3
"""So long all queries are searched before the clock starts: Java compiles what is used much."""
MEASURES = [
    *(Measure(f"k = {hits:,}, ms a query", more_is_better=False, digits=2) for hits in HITS),
    *(Measure(f"of the exact {hits:,}", digits=4, compared=False) for hits in HITS),
]

type Vectors = Mapping[str, Mapping[str, int]]
type Search = Callable[[Vectors, int], Iterator[tuple[str, list[Any]]]]


def exact(index: str, topics: str, queries: int) -> dict[str, Any]:
    """Search with all tokens."""
    return _measured(index, topics, queries, lambda searcher: searcher.search)


def two_phase(index: str, topics: str, queries: int, tokens: int) -> dict[str, Any]:
    """Search for candidates with so many tokens, and rank them by all."""
    from splade_anserini.lucene import TwoStepSearcher

    return _measured(index, topics, queries, lambda searcher: TwoStepSearcher(searcher, tokens).search)


def strongest(index: str, topics: str, queries: int, tokens: int) -> dict[str, Any]:
    """Search with so many tokens, as `--query-top-k` does."""
    from splade_anserini.retrieval.query_vectors import prune_queries

    def of(searcher: Any) -> Search:
        return lambda vectors, hits: searcher.search(prune_queries(vectors, tokens), hits)

    return _measured(index, topics, queries, of)


def _measured(index: str, topics: str, queries: int, of: Callable[[Any], Search]) -> dict[str, Any]:
    """Warm up, take the time of all queries one after the other, and compare what is found with the exact search."""
    from splade_anserini.formats.topics import read_encoded_topics
    from splade_anserini.lucene import ImpactSearcher
    from splade_anserini.retrieval.overlap import overlap

    vectors = dict(islice(read_encoded_topics(topics).items(), queries))
    results: dict[str, Any] = {}
    with ImpactSearcher(Path(index), threads=1) as searcher:
        search = of(searcher)
        for hits in HITS:
            end = time.perf_counter() + SECONDS
            found = _ids(search, vectors, hits)
            while time.perf_counter() < end:
                _ids(search, vectors, hits)
            begin = time.perf_counter()
            _ids(search, vectors, hits)
            results[f"k = {hits:,}, ms a query"] = 1000 * (time.perf_counter() - begin) / len(vectors)
            wanted = _ids(searcher.search, vectors, hits)
            shares = [overlap(found[id_], ids, hits) for id_, ids in wanted.items() if ids]
            results[f"of the exact {hits:,}"] = float(np.mean(shares))
    return results


def _ids(search: Search, vectors: Vectors, hits: int) -> dict[str, list[str]]:
    return {id_: [doc.doc_id for doc in ranking] for id_, ranking in search(vectors, hits)}


def races(settings: Settings) -> Iterator[Race]:
    """Yield a race over NFCorpus, and one for each number of synthetic documents."""
    real = settings.vectors.parent / "topics.test.tsv.gz"
    required(settings.vectors, settings.topics, real)
    yield _race("NFCorpus, SPLADE-v3", nfcorpus(settings)[1], real, 323, settings)
    for documents in settings.documents():
        title = f"{documents:,} synthetic documents"
        yield _race(title, built_index(settings, documents), settings.topics, 300, settings)


def _race(title: str, index: Path, topics: Path, queries: int, settings: Settings) -> Race:
    same = {"index": str(index), "topics": str(topics), "queries": queries}
    return Race(
        title=f"Two phases: {title}",
        contestants=[
            Contestant("exact", __name__, "exact", same),
            *(Contestant(f"two phases, {n} tokens", __name__, "two_phase", {**same, "tokens": n}) for n in TOKENS),
            *(Contestant(f"{n} tokens alone", __name__, "strongest", {**same, "tokens": n}) for n in TOKENS),
        ],
        measures=[*MEASURES, MEMORY],
        rounds=settings.times(1, 3),
        note=f"{queries:,} queries, encoded before, one thread, one after the other. Two phases look at 100 candidates "
        "for 10 hits, 2,000 for 1,000. The last columns: which share of the first k of the exact search is found.",
    )
