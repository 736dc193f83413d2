"""The time of searches when similar documents have adjacent document numbers in Lucene; the result is in README.md.

Documents are reordered by recursive graph bisection (Dhulipala et al., Compressing Graphs and Indexes with Recursive
Graph Bisection, 2016). Both orders are indexed into one segment each, and searched with Lucene's IndexSearcher.

Run: python benchmarks/reordering.py --data DIR [--documents 100000] [--queries 400]
"""

import argparse
import random
import statistics
import time
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import numba
import numpy as np
import numpy.typing as npt
from lucene_limit import BareSearcher
from settings import Settings
from synthetic import synthetic

from splade_anserini.formats.impacts import ImpactWriter, impact_files, read_impacts
from splade_anserini.formats.topics import read_encoded_topics
from splade_anserini.index import index
from splade_anserini.lucene import IndexOptions
from splade_anserini.records import ImpactDocument, ImpactVector

type Numbers = npt.NDArray[Any]

LEAF = 32
"""Ranges of at most this many documents are not divided further."""
MANAGER = "org.apache.lucene.search.TopScoreDocCollectorManager"
ROUNDS = 20
"""Maximum number of rounds of exchanges between two halves."""


@numba.njit(cache=True)
def bisection(starts: Numbers, terms: Numbers, size: int, leaf: int, rounds: int) -> Numbers:
    """Return an order of documents in which documents with the same terms are close to each other.

    Document i has the terms `terms[starts[i] : starts[i + 1]]`, numbers below `size`.
    """
    order = np.arange(len(starts) - 1)
    left, right = np.zeros(size, np.int64), np.zeros(size, np.int64)
    to_right, to_left = np.zeros(size), np.zeros(size)
    open_ranges = [(0, len(order))]
    while open_ranges:
        first, end = open_ranges.pop()
        if end - first <= leaf:
            continue
        middle = (first + end) // 2
        _divide(starts, terms, order[first:end], (left, right, to_right, to_left), rounds)
        open_ranges.append((first, middle))
        open_ranges.append((middle, end))
    return order


@numba.njit(cache=True)
def _divide(starts: Numbers, terms: Numbers, order: Numbers, counters: Any, rounds: int) -> None:
    """Exchange documents between the halves of `order` as long as the gaps between equal terms get smaller."""
    left, right, to_right, to_left = counters
    half = len(order) // 2
    gains = np.empty(len(order))
    left[:] = 0
    right[:] = 0
    for position, document in enumerate(order):
        side = left if position < half else right
        for i in range(starts[document], starts[document + 1]):
            side[terms[i]] += 1
    for _ in range(rounds):
        _term_gains(left, right, half, len(order) - half, to_right, to_left)
        for position, document in enumerate(order):
            gain_of = to_right if position < half else to_left
            gain = 0.0
            for i in range(starts[document], starts[document + 1]):
                gain += gain_of[terms[i]]
            gains[position] = gain
        if not _exchange(starts, terms, order, gains, left, right):
            return


@numba.njit(cache=True)
def _exchange(starts: Numbers, terms: Numbers, order: Numbers, gains: Numbers, left: Numbers, right: Numbers) -> int:
    """Exchange the documents with the largest gains, pair by pair; return the number of pairs."""
    half = len(order) // 2
    lefts, rights = np.argsort(-gains[:half]), np.argsort(-gains[half:]) + half
    for pair in range(half):
        i, j = lefts[pair], rights[pair]
        if gains[i] + gains[j] <= 0:
            return pair
        for k in range(starts[order[i]], starts[order[i] + 1]):
            left[terms[k]] -= 1
            right[terms[k]] += 1
        for k in range(starts[order[j]], starts[order[j] + 1]):
            left[terms[k]] += 1
            right[terms[k]] -= 1
        order[i], order[j] = order[j], order[i]
    return half


@numba.njit(cache=True)
def _term_gains(left: Numbers, right: Numbers, lefts: int, rights: int, to_right: Numbers, to_left: Numbers) -> None:
    """Set, for each term, the bits of gaps that are saved by moving one document with it to the other side."""
    for term in range(len(left)):
        a, b = left[term], right[term]
        if a + b == 0:
            continue
        now = _bits(a, lefts) + _bits(b, rights)
        to_right[term] = now - _bits(a - 1, lefts) - _bits(b + 1, rights) if a else 0.0
        to_left[term] = now - _bits(a + 1, lefts) - _bits(b - 1, rights) if b else 0.0


@numba.njit(cache=True)
def _bits(frequency: int, documents: int) -> float:
    """Return the bits of the gaps of a term with this frequency, if it is spread evenly over a range of documents."""
    return frequency * np.log2(documents / (frequency + 1))


def reorder(documents: Sequence[ImpactDocument]) -> list[ImpactDocument]:
    """Return the documents in the order of `bisection`."""
    numbers: dict[str, int] = {}
    starts = np.cumsum([0, *(len(document.vector) for document in documents)])
    terms = np.array([numbers.setdefault(term, len(numbers)) for document in documents for term in document.vector])
    begin = time.perf_counter()
    order = bisection(starts, terms.astype(np.int32), len(numbers), LEAF, ROUNDS)
    print(
        f"reordering {len(order):,} documents: {time.perf_counter() - begin:.1f} s (compilation included)", flush=True
    )
    return [documents[i] for i in order]


def build(documents: Sequence[ImpactDocument], directory: Path) -> Path:
    """Index the documents in the given order, into one segment; return the index."""
    target = directory / "index"
    if not target.exists():
        with ImpactWriter(directory / "impacts" / "documents.jsonl") as writer:
            for document in documents:
                writer.write(document)
        index(directory / "impacts", target, IndexOptions(threads=1))
    return target


def _milliseconds(searcher: BareSearcher, query: Any, manager: Any) -> float:
    begin = time.perf_counter()
    searcher.searcher.search(query, manager)
    return 1000 * (time.perf_counter() - begin)


def measure(indexes: dict[str, Path], vectors: Sequence[ImpactVector]) -> Iterator[str]:
    """Yield the rows of a table; the indexes take turns, query by query, in three passes of which the last counts."""
    searchers = {name: BareSearcher(directory) for name, directory in indexes.items()}
    queries = {name: [searcher.query(vector) for vector in vectors] for name, searcher in searchers.items()}
    for hits, threshold in ((10, 1), (10, 1000), (1000, 1), (1000, 1000)):
        times: dict[str, list[float]] = {}
        for _ in range(3):
            times = {name: [] for name in searchers}
            for query_index in range(len(vectors)):
                for name, searcher in searchers.items():
                    manager = searcher.java(MANAGER)(hits, None, threshold)
                    times[name].append(_milliseconds(searcher, queries[name][query_index], manager))
        means = [statistics.mean(values) for values in times.values()]
        medians = [statistics.median(values) for values in times.values()]
        cells = [f"{mean:.2f} ({median:.2f})" for mean, median in zip(means, medians, strict=True)]
        yield f"| {hits:,} | {threshold:,} | {' | '.join(cells)} | {means[0] / means[-1]:.2f} × |"


def main() -> None:
    """Print a table in Markdown."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--data", type=Path, required=True)
    parser.add_argument("--work", type=Path, default=Path("build") / "bench")
    parser.add_argument("--documents", type=int, default=100_000)
    parser.add_argument("--queries", type=int, default=400)
    parser.add_argument("--topics", type=Path, help="encoded queries [default: those of MS MARCO]")
    arguments = parser.parse_args()
    directory = synthetic(arguments.data, arguments.documents, arguments.work)
    documents = [document for file in impact_files(directory) for document in read_impacts(file)]
    random.Random(0).shuffle(documents)
    settings = Settings(arguments.data, arguments.work)
    topics = read_encoded_topics(str(arguments.topics or settings.topics))
    home = arguments.work / f"reordering-{arguments.documents}"
    indexes = {
        "arbitrary": build(documents, home / "arbitrary"),
        "reordered": build(reorder(documents), home / "reordered"),
    }
    for name, directory in indexes.items():
        size = sum(file.stat().st_size for file in directory.iterdir() if file.is_file())
        print(f"{name}: {size / 1e6:.1f} MB", flush=True)
    print("| hits | counted | arbitrary order, ms, mean (median) | reordered | ratio |\n|---|---|---|---|---|")
    for row in measure(indexes, list(topics.values())[: arguments.queries]):
        print(row, flush=True)


if __name__ == "__main__":
    main()
