"""Stored documents and filters: seconds and megabytes that they add to an index, milliseconds that a filter takes.

    python benchmarks/storing.py --documents 50000 --rounds 3

Vectors are those of sharding.py: 40 entries, drawn by Zipf's law. Each document of the corpus has a text of 55 words, a
year and an address; its records are in the order of the vectors, or shuffled. Ways of indexing take turns in one
process, and so do searches with and without a filter; medians are printed.
"""

import argparse
import json
import logging
import random
import shutil
import time
from collections.abc import Mapping
from pathlib import Path
from statistics import median
from typing import TYPE_CHECKING, Any

from sharding import write_impacts

from splade_anserini.formats.impacts import read_impacts
from splade_anserini.index import index
from splade_anserini.lucene import ImpactSearcher, IndexOptions

if TYPE_CHECKING:
    from splade_anserini.records import ImpactVector

QUERIES, HITS = 300, 100
FILTERS = {"all": (), "90 %": "year>=1993", "half": "year>=2005", "1 in 30": "year=2000"}


def main() -> None:
    """Measure, and print two tables."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else "")
    parser.add_argument("--documents", type=int, default=50_000)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--work", type=Path, default=Path("build/bench/storing"))
    arguments = parser.parse_args()
    # Vectors without a manifest do not record their scale.
    logging.getLogger("splade_anserini").setLevel(logging.ERROR)
    shutil.rmtree(arguments.work, ignore_errors=True)
    write_impacts(arguments.work / "impacts", arguments.documents)
    ids = [
        document.id for path in sorted((arguments.work / "impacts").glob("*.jsonl*")) for document in read_impacts(path)
    ]
    corpus, shuffled = write_corpora(arguments.work, ids)
    ways: Mapping[str, tuple[Mapping[str, Any], Path | None]] = {
        "neither": ({}, None),
        "filter fields": ({"filter_fields": "year:int"}, corpus),
        "documents": ({"store_text": True}, corpus),
        "documents, shuffled": ({"store_text": True}, shuffled),
    }
    seconds: dict[str, list[float]] = {name: [] for name in ways}
    for name, (options, documents) in [*ways.items()] * arguments.rounds:
        start = time.perf_counter()
        index(
            *(arguments.work / "impacts", arguments.work / name, IndexOptions(threads=2, **options)),
            documents=documents,
            overwrite=True,
        )
        seconds[name].append(time.perf_counter() - start)
    print("| stored | seconds | megabytes |\n|---|---|---|")
    for name, times in seconds.items():
        size = sum(path.stat().st_size for path in (arguments.work / name).iterdir())
        print(f"| {name} | {median(times):.1f} | {size / 1e6:.0f} |")
    print("\n| documents that fulfil the filter | ms for each query |\n|---|---|")
    for name, milliseconds in searched(arguments.work / "filter fields", arguments.rounds).items():
        print(f"| {name} | {milliseconds:.2f} |")


def write_corpora(home: Path, ids: list[str]) -> tuple[Path, Path]:
    """Write the corpus in the order of the vectors, and shuffled; return both paths."""
    chance = random.Random(1)
    words = [f"word{number}" for number in range(30_000)]
    lines = [
        json.dumps({"id": id_, "text": " ".join(chance.choices(words, k=55)), "year": 1990 + number % 30, "url": id_})
        for number, id_ in enumerate(ids)
    ]
    paths = home / "corpus.jsonl", home / "shuffled.jsonl"
    for path in paths:
        path.write_text("".join(f"{line}\n" for line in lines))
        chance.shuffle(lines)
    return paths


def searched(directory: Path, rounds: int) -> dict[str, float]:
    """Return the milliseconds of a query with each filter; queries are documents cut to 20 tokens."""
    source = min((directory.parent / "impacts").glob("*.jsonl*"))
    documents = [document.vector for document, _ in zip(read_impacts(source), range(QUERIES), strict=False)]
    queries: dict[str, ImpactVector] = {str(n): dict([*vector.items()][:20]) for n, vector in enumerate(documents)}
    times: dict[str, list[float]] = {name: [] for name in FILTERS}
    with ImpactSearcher(directory) as searcher:
        for name, filters in [*FILTERS.items()] * (rounds + 1):
            view = searcher.filtered(filters)
            start = time.perf_counter()
            for _ in view.rankings(queries.items(), HITS):
                pass
            times[name].append(1000 * (time.perf_counter() - start) / QUERIES)
    # The first round warms up.
    return {name: median(each[1:]) for name, each in times.items()}


if __name__ == "__main__":
    main()
