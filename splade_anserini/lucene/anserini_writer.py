"""Builds Lucene indexes with Anserini's IndexCollection, inside the virtual machine of this process."""

import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

from splade_anserini.errors import JavaError
from splade_anserini.lucene.index_options import IndexOptions, default_memory
from splade_anserini.lucene.java.java_errors import disk_full, explained, java_errors
from splade_anserini.lucene.java.jvm import start_jvm
from splade_anserini.lucene.java.output_capture import captured_chatter
from splade_anserini.progress import Progress, silent

_TAIL = 5
"""Lines of Anserini's complaints that go into an error's message."""


def write_with_anserini(documents: Path, index: Path, options: IndexOptions, progress: Progress = silent) -> None:
    """Index the impact pseudo-documents in and below the directory `documents`, reporting documents to `progress`.

    Records that Anserini cannot read are lost without an error: count before and after.
    """
    settings = {
        "collectionClass": "JsonVectorCollection",
        "generatorClass": "DefaultLuceneDocumentGenerator",
        "input": str(documents.absolute()),
        "index": str(index.absolute()),
        "threads": options.threads,
        "memoryBuffer": options.memory,
        "impact": True,
        "pretokenized": True,
        "optimize": options.optimize,
        "storeRaw": options.store_text,
        "storeDocvectors": options.store_docvectors,
    }
    _index_collection(settings, progress)


def build_bm25_index(documents: Path, index: Path, threads: int = 1, progress: Progress = silent) -> None:
    """Index the text of the JSON files in `documents`, records of "id" and "contents", with Anserini's analysis."""
    settings = {
        "collectionClass": "JsonCollection",
        "generatorClass": "DefaultLuceneDocumentGenerator",
        "input": str(documents.absolute()),
        "index": str(index.absolute()),
        "threads": threads,
        "memoryBuffer": None,
        "optimize": True,
    }
    _index_collection(settings, progress)


def anserini_version() -> str:
    """Return the name and version of Anserini: "Anserini 2.2.0"."""
    import os

    from splade_anserini.lucene.java.jvm import anserini_jar

    return f"Anserini {anserini_jar(os.environ).name.removeprefix('anserini-').removesuffix('-fatjar.jar')}"


def _index_collection(settings: dict[str, Any], progress: Progress) -> None:
    start_jvm()
    from jnius import autoclass

    doing = f"indexing {settings['input']}"
    arguments = autoclass("io.anserini.index.IndexCollection$Args")()
    for name, value in settings.items():
        setattr(arguments, name, value or default_memory() if name == "memoryBuffer" else value)
    with captured_chatter() as chatter:
        try:
            with java_errors(doing):
                _watch(autoclass("io.anserini.index.IndexCollection")(arguments), progress)
        except JavaError as error:
            trace = str(error.__cause__)
            first = trace.partition("\n")[0].removeprefix("JVM exception occurred: ")
            raise explained(doing, "\n".join([first, *_complaints(chatter())]), trace) from error
        # Anserini logs what goes wrong as it closes the index, and leaves it at that.
        if not any(Path(settings["index"]).glob("segments_*")) or disk_full(chatter()):
            raise explained(doing, "\n".join(_complaints(chatter())))


def _complaints(chatter: str) -> list[str]:
    return [line for line in chatter.splitlines() if line.startswith(("ERROR", "FATAL", "java."))][-_TAIL:]


def _watch(indexer: Any, progress: Progress) -> None:
    """Run the indexer beside this thread, which reports its progress and hears Ctrl-C."""
    outcome: list[BaseException] = []
    worker = threading.Thread(target=_run, args=(indexer.run, outcome), daemon=True)
    worker.start()
    indexed, seen = indexer.getCounters().indexed, 0
    while worker.is_alive():
        worker.join(timeout=0.1)
        now = indexed.get()
        progress(now - seen)
        seen = now
    if outcome:
        raise outcome[0]


def _run(task: Callable[[], None], outcome: list[BaseException]) -> None:
    import jnius

    try:
        task()
    except BaseException as error:  # raised again in the thread that waits
        outcome.append(error)
    finally:
        jnius.detach()
