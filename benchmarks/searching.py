"""Query vectors → ranked ids and scores: ours, Pyserini's LuceneImpactSearcher, and Lucene's IndexSearcher alone."""

import hashlib
import time
from collections.abc import Callable, Iterable, Iterator, Mapping
from itertools import batched, islice
from pathlib import Path
from typing import Any

from alternate import MEMORY, Contestant, Measure, Race
from settings import Settings, required
from synthetic import synthetic

WARM, SECONDS = 100, 3
"""The first queries are searched repeatedly for this time before the measurement, so that Java compiles the code."""
BATCH = 64
"""Queries in one call of `batch_search`."""
SETTINGS = [(1000, 1), (1000, 2), (10, 1), (10, 2)]
"""Numbers of hits and of threads."""

type Vectors = Mapping[str, Mapping[str, int]]


def _name(hits: int, threads: int) -> str:
    return f"k = {hits:,}, {threads} thread{'s' if threads > 1 else ''}"


RATES = [Measure(_name(hits, threads), "queries/s", digits=0) for hits, threads in SETTINGS]


def ours(index: str, topics: str, queries: int) -> dict[str, Any]:
    """Search with our `ImpactSearcher`."""
    from splade_anserini.lucene import ImpactSearcher

    vectors, results = _vectors(topics, queries), {}
    for hits, threads in SETTINGS:
        with ImpactSearcher(Path(index), threads=threads) as searcher:
            results |= _measured(hits, threads, vectors, lambda queries, hits=hits, s=searcher: s.search(queries, hits))
    return results


def compatible(index: str, topics: str, queries: int) -> dict[str, Any]:
    """Search with our class that has Pyserini's interface."""
    from splade_anserini.lucene import FastLuceneImpactSearcher

    vectors = _vectors(topics, queries)
    with FastLuceneImpactSearcher(index, _LookUp(vectors), min_idf=-1) as searcher:
        return _through(searcher, vectors, read=True)


def pyserini(index: str, topics: str, queries: int, *, read: bool) -> dict[str, Any]:
    """Search with Pyserini; with `read`, read id and score of each hit."""
    from splade_anserini.lucene import start_jvm

    start_jvm()
    from pyserini.search.lucene import LuceneImpactSearcher

    vectors = _vectors(topics, queries)
    return _through(LuceneImpactSearcher(index, _LookUp(vectors), min_idf=-1), vectors, read=read)


def _through(searcher: Any, vectors: Vectors, *, read: bool) -> dict[str, Any]:
    """Use `search` on one thread and `batch_search` on two; the encoder looks up vectors."""
    results: dict[str, Any] = {}
    for hits, threads in SETTINGS:

        def search(queries: Vectors, hits: int = hits, threads: int = threads) -> Iterator[tuple[str, Any]]:
            for ids in batched(queries, 1 if threads == 1 else BATCH):
                rankings = (
                    {ids[0]: searcher.search(ids[0], hits)}
                    if threads == 1
                    else searcher.batch_search(list(ids), list(ids), k=hits, threads=threads)
                )
                for id_ in ids:
                    yield id_, [(hit.docid, hit.score) for hit in rankings[id_]] if read else rankings[id_]

        results |= _measured(hits, threads, vectors, search, digest=read)
    return results


def lucene(index: str, topics: str, queries: int) -> dict[str, Any]:
    """Search with Lucene alone, without building queries or reading hits."""
    from lucene_limit import BareSearcher

    searcher = BareSearcher(Path(index))
    lucene_queries = [searcher.query(vector) for vector in _vectors(topics, queries).values()]
    results = {}
    for hits, threads in SETTINGS:
        _warm_up(lambda hits=hits, threads=threads: searcher.rate(lucene_queries[:WARM], hits, threads))
        results[_name(hits, threads)] = searcher.rate(lucene_queries, hits, threads)
    return results


class _LookUp:
    """A query encoder whose texts are ids of queries."""

    def __init__(self, vectors: Vectors) -> None:
        self.encode = vectors.__getitem__


def _vectors(topics: str, queries: int) -> Vectors:
    from splade_anserini.formats.topics import read_encoded_topics

    return dict(islice(read_encoded_topics(topics).items(), queries))


def _measured(
    hits: int,
    threads: int,
    vectors: Vectors,
    search: Callable[[Vectors], Iterable[tuple[str, Any]]],
    *,
    digest: bool = True,
) -> dict[str, Any]:
    """Warm up, measure the time, and return queries per second and a digest of the first rankings."""
    first = dict(islice(vectors.items(), WARM))
    rankings = [(id_, list(hits)) for id_, hits in search(first)]
    _warm_up(lambda: sum(1 for _ in search(first)))
    begin = time.perf_counter()
    for _ in search(vectors):
        pass
    rate = len(vectors) / (time.perf_counter() - begin)
    name = _name(hits, threads)
    return {name: rate, **({f"hits at {name}": _digest(rankings)} if digest and threads == 1 else {})}


def _warm_up(work: Callable[[], object]) -> None:
    end = time.perf_counter() + SECONDS
    while time.perf_counter() < end:
        work()


def _digest(rankings: Iterable[tuple[str, Iterable[Any]]]) -> str:
    """Return a short digest of ranked ids and rounded scores; a hit is a tuple (…, id, score)."""
    text = repr([(id_, [(hit[-2], round(hit[-1])) for hit in hits]) for id_, hits in rankings])
    return hashlib.sha256(text.encode()).hexdigest()[:12]


def built_index(settings: Settings, documents: int) -> Path:
    """Return an index of synthetic documents; it is built once."""
    from splade_anserini.index import index
    from splade_anserini.lucene import IndexOptions

    directory = settings.work / f"index-{documents}"
    if not directory.exists():
        index(synthetic(settings.data, documents, settings.work), directory, IndexOptions(threads=2))
    return directory


def races(settings: Settings) -> Iterator[Race]:
    """Yield a race for each number of documents."""
    required(settings.vectors, settings.topics)
    for documents in settings.documents():
        queries = 6980 if settings.full else 300
        same = {
            "index": str(built_index(settings, documents)),
            "topics": str(settings.topics),
            "queries": queries if documents <= 100_000 else 1000,
        }
        unread = [Contestant("Pyserini, hits left unread", __name__, "pyserini", {**same, "read": False})]
        yield Race(
            title=f"Search {documents:,} documents",
            contestants=[
                Contestant("splade-anserini", __name__, "ours", same),
                Contestant("FastLuceneImpactSearcher", __name__, "compatible", same),
                Contestant("Pyserini, ids and scores read", __name__, "pyserini", {**same, "read": True}),
                *(unread if settings.full else []),
                Contestant("limit: Lucene's IndexSearcher", __name__, "lucene", same),
            ],
            measures=[*RATES, MEMORY],
            rounds=settings.times(1, 3),
            note=f"{same['queries']:,} real, encoded queries. Pyserini and FastLuceneImpactSearcher: `search` on one "
            f"thread, `batch_search` of {BATCH} queries on two. The limit does not build queries or read hits.",
        )
