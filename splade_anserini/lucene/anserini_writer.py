"""Builds Lucene indexes with Anserini's IndexCollection, inside the Java virtual machine of this process."""

import os
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

from splade_anserini.errors import JavaError
from splade_anserini.lucene.index_options import IndexOptions, default_buffer_size
from splade_anserini.lucene.java.java_errors import disk_full, java_error, java_errors
from splade_anserini.lucene.java.jvm import anserini_jar, start_jvm
from splade_anserini.lucene.java.output_capture import captured_output
from splade_anserini.progress import Progress, silent
from splade_anserini.records import StrPath

_LAST_ERRORS = 5
"""Lines of Anserini's errors that an error message includes."""


def write_with_anserini(documents: Path, index: Path, options: IndexOptions, progress: Progress = silent) -> None:
    """Index the impact pseudo-documents in and below the directory `documents`, reporting documents to `progress`.

    Anserini skips records that it cannot read without an error: compare the counts before and after.
    """
    arguments = {
        "collectionClass": "JsonVectorCollection",
        "generatorClass": "DefaultLuceneDocumentGenerator",
        "input": str(documents.absolute()),
        "index": str(index.absolute()),
        "threads": options.workers,
        "memoryBuffer": options.memory,
        "impact": True,
        "pretokenized": True,
        "optimize": options.optimize,
        "storeRaw": options.store_text,
        "storeDocvectors": options.store_docvectors,
    }
    _index_collection(arguments, progress)


def build_bm25_index(documents: StrPath, index: StrPath, threads: int = 1, progress: Progress = silent) -> None:
    """Build a BM25 index of the text of JSON files, with Anserini's default analyzer.

    `documents` is a directory of JSON files whose records have the fields "id" and "contents".
    """
    arguments = {
        "collectionClass": "JsonCollection",
        "generatorClass": "DefaultLuceneDocumentGenerator",
        "input": str(Path(documents).absolute()),
        "index": str(Path(index).absolute()),
        "threads": threads,
        "memoryBuffer": None,
        "optimize": True,
    }
    _index_collection(arguments, progress)


def anserini_version() -> str:
    """Return name and version of Anserini: "Anserini 2.2.0"."""
    return f"Anserini {anserini_jar(os.environ).name.removeprefix('anserini-').removesuffix('-fatjar.jar')}"


def _index_collection(arguments: dict[str, Any], progress: Progress) -> None:
    start_jvm()
    from jnius import autoclass

    doing = f"indexing {arguments['input']}"
    java_arguments = autoclass("io.anserini.index.IndexCollection$Args")()
    for name, value in arguments.items():
        setattr(java_arguments, name, value or default_buffer_size() if name == "memoryBuffer" else value)
    with captured_output() as output:
        try:
            with java_errors(doing):
                _run_with_progress(autoclass("io.anserini.index.IndexCollection")(java_arguments), progress)
        except JavaError as error:
            trace = str(error.__cause__)
            first_line = trace.partition("\n")[0].removeprefix("JVM exception occurred: ")
            raise java_error(doing, "\n".join([first_line, *_last_errors(output())]), trace) from error
        # Anserini only logs errors that occur while it closes the index.
        if not any(Path(arguments["index"]).glob("segments_*")) or disk_full(output()):
            raise java_error(doing, "\n".join(_last_errors(output())))


def _last_errors(output: str) -> list[str]:
    return [line for line in output.splitlines() if line.startswith(("ERROR", "FATAL", "java."))][-_LAST_ERRORS:]


def _run_with_progress(indexer: Any, progress: Progress) -> None:
    """Run the indexer on another thread, while this one reports its progress and receives Ctrl-C."""
    errors: list[BaseException] = []
    worker = threading.Thread(target=_run, args=(indexer.run, errors), daemon=True)
    worker.start()
    counter, reported = indexer.getCounters().indexed, 0
    while worker.is_alive():
        worker.join(timeout=0.1)
        indexed = counter.get()
        progress(indexed - reported)
        reported = indexed
    if errors:
        raise errors[0]


def _run(task: Callable[[], None], errors: list[BaseException]) -> None:
    import jnius

    try:
        task()
    except BaseException as error:  # raised again in the thread that waits
        errors.append(error)
    finally:
        jnius.detach()
