"""Changing an index: seconds to append, replace and delete documents, beside building it again.

    python benchmarks/changing.py --documents 100000 --changes 10 1000

Documents are those of sharding.py: 40 entries, drawn by Zipf's law. Java runs and everything was done once on a small
index before anything is measured. Each change is made of a copy of one index, in one process, and followed by the
building of an index of the same documents.
"""

import argparse
import logging
import shutil
import time
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import orjson
from sharding import write_impacts

from splade_anserini.formats.impacts import read_impacts
from splade_anserini.index import index
from splade_anserini.indexing.changing import append_documents, delete_documents, update_documents
from splade_anserini.lucene import ImpactSearcher, IndexOptions

OPTIONS = IndexOptions(threads=2)


def main() -> None:
    """Measure, and print a table."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else "")
    parser.add_argument("--documents", type=int, default=100_000)
    parser.add_argument("--changes", type=int, nargs="+", default=[10, 1000])
    parser.add_argument("--work", type=Path, default=Path("build/bench/changing"))
    arguments = parser.parse_args()
    # Vectors without a manifest do not record their scale.
    logging.getLogger("splade_anserini").setLevel(logging.ERROR)
    shutil.rmtree(arguments.work, ignore_errors=True)
    measured(arguments.work / "warm", 1000, [10])
    print("| of | append | update | delete | reopen, ms | build again |")
    print("|---|---|---|---|---|---|")
    for size, times in measured(arguments.work / "index", arguments.documents, arguments.changes).items():
        append, update, delete, reopen, again = times
        print(f"| {size:,} | {append:.2f} | {update:.2f} | {delete:.2f} | {1000 * reopen:.0f} | {again:.1f} |")


def measured(home: Path, documents: int, changes: list[int]) -> dict[int, tuple[float, ...]]:
    """Return the seconds of each kind of change, of reopening after it, and of building, by the size of the change."""
    write_impacts(home / "impacts", documents)
    index(home / "impacts", home / "index", OPTIONS)
    old = list(read_impacts(min((home / "impacts").glob("*.jsonl*"))))
    times = {}
    for size in changes:
        if len(old) < size:
            raise SystemExit(f"The first file has only {len(old):,} documents.")
        chosen = old[:: len(old) // size][:size]
        new = write(home / f"new-{size}.jsonl", {f"new-{document.id}": dict(document.vector) for document in chosen})
        same = write(home / f"same-{size}.jsonl", {document.id: dict(document.vector) for document in chosen})
        options: dict[str, Any] = {"options": OPTIONS, "force": True}
        append, reopen = changed(home, partial(append_documents, impacts=new, **options))
        update, _ = changed(home, partial(update_documents, impacts=same, **options))
        delete, _ = changed(home, partial(delete_documents, ids=[document.id for document in chosen], options=OPTIONS))
        again = timed(partial(index, home / "impacts", home / "again", OPTIONS, overwrite=True))
        times[size] = (append, update, delete, reopen, again)
    return times


def changed(home: Path, change: Callable[[Path], object]) -> tuple[float, float]:
    """Return the seconds of a change of a copy of the index, and of reopening it afterwards."""
    copy = home / "copy"
    shutil.rmtree(copy, ignore_errors=True)
    shutil.copytree(home / "index", copy)
    with ImpactSearcher(copy) as searcher:
        seconds = timed(partial(change, copy))
        return seconds, timed(lambda: searcher.reopened().close())


def write(path: Path, vectors: dict[str, dict[str, int]]) -> Path:
    """Write vectors as JSON lines; return the path."""
    path.write_bytes(b"".join(orjson.dumps({"id": id_, "vector": vector}) + b"\n" for id_, vector in vectors.items()))
    return path


def timed(action: Callable[[], object]) -> float:
    """Return the seconds that an action takes."""
    start = time.perf_counter()
    action()
    return time.perf_counter() - start


if __name__ == "__main__":
    main()
