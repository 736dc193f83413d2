"""The time of the pass in which `profile` counts all postings of an index, inside Java."""

import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from alternate import MEMORY, Contestant, Measure, Race
from searching import built_index
from settings import Settings, required


def count_postings(index: str) -> dict[str, Any]:
    """Count once, as `profile` does, without warm-up."""
    from splade_anserini.lucene import start_jvm
    from splade_anserini.lucene.statistics import index_statistics

    start_jvm()
    begin = time.perf_counter()
    postings = index_statistics(Path(index)).postings
    seconds = time.perf_counter() - begin
    return {"s": seconds, "million postings/s": postings / seconds / 1e6, "postings": str(postings)}


def races(settings: Settings) -> Iterator[Race]:
    """Yield a race with one contestant for each number of documents."""
    required(settings.vectors)
    for documents in settings.documents():
        yield Race(
            title=f"Count the postings of {documents:,} documents",
            contestants=[
                Contestant(
                    "profile's pass", __name__, "count_postings", {"index": str(built_index(settings, documents))}
                )
            ],
            measures=[Measure("s", more_is_better=False, digits=2), Measure("million postings/s"), MEMORY],
            rounds=settings.times(3, 5),
            note="Document frequencies of all tokens and lengths of all documents, for FLOPS and active entries.",
        )
