"""Lucene's IndexWriter: opened, filled on several threads of Java, merged and committed."""

from collections import deque
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from splade_anserini.lucene.document_adder import DocumentAdder
from splade_anserini.lucene.index_options import IndexOptions, default_buffer_size
from splade_anserini.lucene.java.method_handles import as_callable, bind, bind_int, virtual_method
from splade_anserini.lucene.java.threads import JavaThreads
from splade_anserini.progress import Progress

_WRITER = "org.apache.lucene.index.IndexWriter"

type Batch = tuple[int, bytes]
"""The number of documents, and a JSON array of their fields."""


def add_in_parallel(batches: Iterable[Batch], idle: list[DocumentAdder], progress: Progress) -> None:
    """Index batches, each adder on a thread of Java, while this thread continues to read."""
    with JavaThreads(len(idle)) as pool:
        running: deque[tuple[DocumentAdder, int, Any]] = deque()
        for count, fields in batches:
            adder = idle.pop() if idle else _wait_for_oldest(running, progress)
            running.append((adder, count, pool.start(adder.load(fields))))
        while running:
            _wait_for_oldest(running, progress)


def _wait_for_oldest(running: "deque[tuple[DocumentAdder, int, Any]]", progress: Progress) -> DocumentAdder:
    """Wait for the batch that was started first; return its adder, which is now free."""
    adder, count, future = running.popleft()
    future.get()
    progress(count)
    return adder


@contextmanager
def open_writer(index: Path, options: IndexOptions, analyzer: Any, similarity: str) -> Iterator[Any]:
    """Yield a Lucene IndexWriter; at the end its documents are merged and committed, after an error dropped.

    `similarity` is the Java class that computes the norms, which hold the lengths of documents.
    """
    from jnius import autoclass

    lucene = "org.apache.lucene"
    config = autoclass(f"{lucene}.index.IndexWriterConfig")(analyzer)
    config.setSimilarity(autoclass(similarity)())
    config.setOpenMode(autoclass(f"{lucene}.index.IndexWriterConfig$OpenMode").CREATE)
    config.setRAMBufferSizeMB(float(options.memory or default_buffer_size()))
    config.setUseCompoundFile(False)
    path = autoclass("java.nio.file.Paths").get(str(index.absolute()))
    writer = autoclass(_WRITER)(autoclass(f"{lucene}.store.FSDirectory").open(path), config)
    try:
        yield writer
        _merge_and_close(writer, options)
    except BaseException:
        writer.rollback()
        raise


def _merge_and_close(writer: Any, options: IndexOptions) -> None:
    """Merge into one segment if `options` say so, and commit."""
    with JavaThreads(1) as pool:
        if options.optimize:
            # writer.forceMerge(1);
            merge = bind(virtual_method(_WRITER, "forceMerge", "void", "int"), writer)
            pool.call(as_callable(bind_int(merge, 0, 1)))
        # writer.close();
        pool.call(as_callable(bind(virtual_method(_WRITER, "close", "void"), writer)))
