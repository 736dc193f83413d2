"""What `profile` counts of an index: one pass over all postings, inside Java."""

import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from alternate import MEMORY, Contestant, Measure, Race
from searching import built_index
from settings import Settings, required


def postings(index: str) -> dict[str, Any]:
    """Count once, as `profile` does: what Java has not compiled yet is part of it."""
    from splade_anserini.lucene import start_jvm
    from splade_anserini.lucene.statistics import index_statistics

    start_jvm()
    begin = time.perf_counter()
    found = index_statistics(Path(index))
    seconds = time.perf_counter() - begin
    return {"s": seconds, "million postings/s": found.postings / seconds / 1e6, "postings": str(found.postings)}


def races(settings: Settings) -> Iterator[Race]:
    """Yield a race of one for each number of documents."""
    required(settings.vectors)
    for documents in settings.documents():
        yield Race(
            title=f"Count the postings of {documents:,} documents",
            contestants=[
                Contestant("profile's pass", __name__, "postings", {"index": str(built_index(settings, documents))})
            ],
            measures=[Measure("s", more_is_better=False, digits=2), Measure("million postings/s"), MEMORY],
            rounds=settings.times(3, 5),
            note="Document frequencies of all tokens and lengths of all documents, for FLOPS and active entries.",
        )
