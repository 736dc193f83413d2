"""Exact search compared with two-step search and with query pruning.

Two-step search finds candidates with the strongest tokens of a query and rescores them with all; scores are exact.
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
"""Numbers of tokens of a query that are used, in the first step or at all."""
SECONDS = 3
"""The queries are searched repeatedly for this time before the measurement, so that Java compiles the code."""
MEASURES = [
    *(Measure(f"k = {hits:,}, ms a query", more_is_better=False, digits=2) for hits in HITS),
    *(Measure(f"share of the exact {hits:,}", digits=4, compared=False) for hits in HITS),
]

type Vectors = Mapping[str, Mapping[str, int]]
type Search = Callable[[Vectors, int], Iterator[tuple[str, list[Any]]]]


def exact(index: str, topics: str, queries: int) -> dict[str, Any]:
    """Search with all tokens."""
    return _measured(index, topics, queries, lambda searcher: searcher.search)


def two_step(index: str, topics: str, queries: int, tokens: int) -> dict[str, Any]:
    """Find candidates with this many tokens, and rescore them with all."""
    from splade_anserini.lucene import TwoStepSearcher

    return _measured(index, topics, queries, lambda searcher: TwoStepSearcher(searcher, tokens).search)


def strongest(index: str, topics: str, queries: int, tokens: int) -> dict[str, Any]:
    """Search with only this many tokens, as `--query-top-k` does."""
    from splade_anserini.retrieval.query_vectors import prune_queries

    def search_with(searcher: Any) -> Search:
        return lambda vectors, hits: searcher.search(prune_queries(vectors, tokens), hits)

    return _measured(index, topics, queries, search_with)


def _measured(index: str, topics: str, queries: int, search_with: Callable[[Any], Search]) -> dict[str, Any]:
    """Warm up, measure the time of all queries one after the other, and compare the hits with the exact ones."""
    from splade_anserini.formats.topics import read_encoded_topics
    from splade_anserini.lucene import ImpactSearcher
    from splade_anserini.retrieval.overlap import overlap

    vectors = dict(islice(read_encoded_topics(topics).items(), queries))
    results: dict[str, Any] = {}
    with ImpactSearcher(Path(index), threads=1) as searcher:
        search = search_with(searcher)
        for hits in HITS:
            end = time.perf_counter() + SECONDS
            rankings = _ids(search, vectors, hits)
            while time.perf_counter() < end:
                _ids(search, vectors, hits)
            begin = time.perf_counter()
            _ids(search, vectors, hits)
            results[f"k = {hits:,}, ms a query"] = 1000 * (time.perf_counter() - begin) / len(vectors)
            exact_rankings = _ids(searcher.search, vectors, hits)
            shares = [overlap(rankings[id_], ids, hits) for id_, ids in exact_rankings.items() if ids]
            results[f"share of the exact {hits:,}"] = float(np.mean(shares))
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
        title=f"Two-step search: {title}",
        contestants=[
            Contestant("exact", __name__, "exact", same),
            *(Contestant(f"two-step, {n} tokens", __name__, "two_step", {**same, "tokens": n}) for n in TOKENS),
            *(Contestant(f"{n} tokens alone", __name__, "strongest", {**same, "tokens": n}) for n in TOKENS),
        ],
        measures=[*MEASURES, MEMORY],
        rounds=settings.times(1, 3),
        note=f"{queries:,} encoded queries, one after the other, on one thread. Two-step search has 100 candidates for "
        "10 hits and 2,000 for 1,000. The last columns are the share of the first k exact hits that is found.",
    )
