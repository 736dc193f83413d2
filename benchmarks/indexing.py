"""Impact pseudo-documents → a Lucene index of one segment: ours, Anserini's IndexCollection, and reading the files.

Another race indexes files without our manifest, as other tools write them, with the start of the process: ours checks
and counts them while it indexes.
"""

import gzip
import json
import time
from collections.abc import Iterator
from concurrent.futures import ProcessPoolExecutor
from pathlib import Path
from typing import Any

from alternate import HEAP, MEMORY, PROCESS, Contestant, Measure, Race
from contestant import peak_heap
from settings import Settings, required
from synthetic import synthetic

LARGE = 100_000
"""Collections of more documents are indexed only once."""
RATE = Measure("documents/s", digits=0)


def ours(impacts: str, index: str, threads: int, document_idf: float = 0.0) -> dict[str, Any]:
    """Run our `index`, its checks included."""
    from splade_anserini.index import index as build
    from splade_anserini.lucene import IndexOptions, start_jvm

    start_jvm()
    begin = time.perf_counter()
    manifest = build(
        Path(impacts), Path(index), IndexOptions(threads=threads, document_idf=document_idf), overwrite=True
    )
    seconds = time.perf_counter() - begin
    return {RATE.name: manifest.counts.documents / seconds, HEAP.name: peak_heap(), "index": str(manifest.counts)}


def anserini(impacts: str, index: str, threads: int) -> dict[str, Any]:
    """Run IndexCollection with the options that its documentation gives for impacts, on the same JVM."""
    from splade_anserini.lucene import count_index, start_jvm

    start_jvm()
    from jnius import autoclass

    arguments = autoclass("io.anserini.index.IndexCollection$Args")()
    options = {
        "collectionClass": "JsonVectorCollection",
        "generatorClass": "DefaultLuceneDocumentGenerator",
        "input": str(Path(impacts).absolute()),
        "index": str(Path(index).absolute()),
        "threads": threads,
        "impact": True,
        "pretokenized": True,
        "optimize": True,
    }
    for name, value in options.items():
        setattr(arguments, name, value)
    begin = time.perf_counter()
    autoclass("io.anserini.index.IndexCollection")(arguments).run()
    seconds = time.perf_counter() - begin
    heap, counts = peak_heap(), count_index(Path(index))
    return {RATE.name: counts.documents / seconds, HEAP.name: heap, "index": str(counts)}


def gunzip(impacts: str, threads: int) -> dict[str, Any]:
    """Read and decompress the files."""
    return _rate(_lines_of, impacts, threads)


def parse(impacts: str, threads: int) -> dict[str, Any]:
    """Read, decompress and parse the files."""
    return _rate(_records_of, impacts, threads)


def _rate(work: Any, impacts: str, threads: int) -> dict[str, Any]:
    files = sorted(Path(impacts).glob("*.gz"))
    with ProcessPoolExecutor(threads) as pool:
        list(pool.map(abs, range(threads)))  # starts the processes
        begin = time.perf_counter()
        documents = sum(pool.map(work, files))
        return {RATE.name: documents / (time.perf_counter() - begin)}


def _lines_of(file: Path) -> int:
    with gzip.open(file) as lines:
        return sum(1 for _ in lines)


def _records_of(file: Path) -> int:
    import orjson

    with gzip.open(file) as lines:
        return sum(1 for line in lines if orjson.loads(line))


JAVA = """
import os, sys
from splade_anserini.lucene.java.jvm import anserini_jar
from splade_anserini.lucene.java.runtime import find_java
java = str(find_java(os.environ).home / "bin" / "java")
os.execv(java, [java, "-cp", str(anserini_jar(os.environ)), "io.anserini.index.IndexCollection", *sys.argv[1:]])
"""
"""Replaces the process by Anserini's command."""


def foreign(impacts: Path) -> Path:
    """Return a directory with the same documents without a manifest, as Python's json writes them, with spaces."""
    import orjson

    directory = impacts.with_name(f"{impacts.name}-foreign")
    if not directory.is_dir():
        partial = directory.with_name(f"{directory.name}.partial")
        partial.mkdir(exist_ok=True)
        for file in sorted(impacts.glob("*.gz")):
            with gzip.open(file) as lines, gzip.open(partial / file.name, "wb", compresslevel=4) as copy:
                for line in lines:
                    copy.write(json.dumps(orjson.loads(line)).encode() + b"\n")
        partial.rename(directory)
    return directory


def whole_processes(settings: Settings, documents: int) -> Race:
    """Return the race of commands, from the start of the process to its end, over files without a manifest."""
    impacts = synthetic(settings.data, documents, settings.work)
    theirs = str(foreign(impacts))
    index = {name: str(settings.work / f"index-{documents}-{name}") for name in ("foreign", "listed", "java")}
    ours = ["-m", "splade_anserini", "index", "--threads", "2", "--overwrite", "--index"]
    arguments = ["-collection", "JsonVectorCollection", "-generator", "DefaultLuceneDocumentGenerator"]
    arguments += ["-threads", "2", "-impact", "-pretokenized", "-optimize", "-input", theirs, "-index", index["java"]]
    return Race(
        title=f"Index {documents:,} documents, from the start of the process to its end",
        contestants=[
            Contestant(
                "splade-anserini index, without a manifest", python=[*ours, index["foreign"], "--input", theirs]
            ),
            Contestant(
                "splade-anserini index, with a manifest", python=[*ours, index["listed"], "--input", str(impacts)]
            ),
            Contestant("Anserini's IndexCollection", python=["-c", JAVA, *arguments]),
        ],
        measures=[PROCESS],
        rounds=settings.times(1, 3),
        note="Without a manifest, records, ids and counts are checked while they are indexed. 2 threads.",
    )


def races(settings: Settings) -> Iterator[Race]:
    """Yield a race for each number of documents and threads."""
    required(settings.vectors)
    for documents in settings.documents():
        for threads in (1, 2) if settings.full else (2,):
            same = {"impacts": str(synthetic(settings.data, documents, settings.work)), "threads": threads}
            built = {name: str(settings.work / f"index-{documents}-{name}") for name in ("ours", "idf", "anserini")}
            yield Race(
                title=f"Index {documents:,} documents, {threads} thread{'s' if threads > 1 else ''}",
                contestants=[
                    Contestant("splade-anserini", __name__, "ours", {**same, "index": built["ours"]}),
                    Contestant(
                        "splade-anserini, --document-idf 0.5",
                        __name__,
                        "ours",
                        {**same, "index": built["idf"], "document_idf": 0.5},
                    ),
                    Contestant(
                        "Anserini's IndexCollection", __name__, "anserini", {**same, "index": built["anserini"]}
                    ),
                    Contestant("limit: read and gunzip (Python)", __name__, "gunzip", same),
                    Contestant("limit: read, gunzip, parse (orjson)", __name__, "parse", same),
                ],
                measures=[RATE, HEAP, MEMORY],
                rounds=settings.times(1, 3) if documents <= LARGE else 1,
            )
        if documents <= LARGE:
            yield whole_processes(settings, documents)
