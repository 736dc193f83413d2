"""Builds impact indexes with Lucene's IndexWriter: what Anserini would write, without repeating any token.

Half of the threads read files and cut them into batches, the others are Java's and index these. Both take about as
long, and each thread of Java's begins a segment of its own, which is merged with the others' at the end: two threads
leave one segment, and nothing to merge.
"""

from collections import deque
from collections.abc import Generator, Iterable, Iterator, Sequence
from contextlib import ExitStack, closing, contextmanager
from pathlib import Path
from queue import Empty, SimpleQueue
from typing import Any

import orjson

from splade_anserini.formats.impacts import impact_files
from splade_anserini.lucene.document_adder import DocumentLane
from splade_anserini.lucene.frequency_text import SEPARATOR, entries
from splade_anserini.lucene.index_options import IndexOptions, default_memory
from splade_anserini.lucene.java import method_handles as h
from splade_anserini.lucene.java.java_errors import java_errors
from splade_anserini.lucene.java.jvm import start_jvm
from splade_anserini.lucene.java.threads import JAVA_LOCK, JavaThreads
from splade_anserini.parallel import prefetch
from splade_anserini.progress import Progress, silent

_BATCH = 256
"""Documents that cross to Java at once: less than a megabyte, and a call for each would cost as much as indexing."""

_BATCHES_AHEAD = 4
"""Batches that each reading thread may have ready."""

_LONGEST_WITH_FREQUENCY = "1024"
"""UTF-16 units of a token with its frequency: Lucene's own limit of 255 is kept by what may be a token."""

_WRITER = "org.apache.lucene.index.IndexWriter"

type Batch = tuple[int, bytes]
"""Documents, and a JSON array of their fields."""


def write_with_lucene(
    documents: Path, index: Path, options: IndexOptions, progress: Progress = silent, *, ours: bool = False
) -> None:
    """Index the impact pseudo-documents in and below the directory `documents`, reporting documents to `progress`.

    With `ours`, the files are what `encode` wrote, and need not be checked again. Raises `RecordError` or `InputError`
    for what Lucene cannot hold, `JavaError` or `OutputError` when writing fails.
    """
    start_jvm()
    readers = options.threads // 2
    with JAVA_LOCK, java_errors(f"indexing {documents}"), _index_writer(index, options) as writer:
        files: SimpleQueue[Path] = SimpleQueue()
        for path in impact_files(documents):
            files.put(path)
        sources = [_batches(files, options, ours=ours) for _ in range(max(1, readers))]
        lanes = [DocumentLane(writer, options) for _ in range(options.threads - readers)]
        if readers == 0:
            for count, fields in sources[0]:
                lanes[0].load(fields).call()
                progress(count)
        elif readers == 1:
            _add(sources[0], lanes, progress)
        else:
            with closing(_in_turn([prefetch(source, _BATCHES_AHEAD) for source in sources])) as batches:
                _add(batches, lanes, progress)


def _add(batches: Iterable[Batch], lanes: list[DocumentLane], progress: Progress) -> None:
    """Index batches, each lane on a thread of Java, while this one goes on reading."""
    with JavaThreads(len(lanes)) as pool:
        running: deque[tuple[DocumentLane, int, Any]] = deque()
        for count, fields in batches:
            lane = lanes.pop() if lanes else _finished(running, progress)
            running.append((lane, count, pool.start(lane.load(fields))))
        while running:
            _finished(running, progress)


def _finished(running: "deque[tuple[DocumentLane, int, Any]]", progress: Progress) -> DocumentLane:
    """Wait for the batch that was begun first; return the lane that it took."""
    lane, count, future = running.popleft()
    future.get()
    progress(count)
    return lane


def _in_turn(sources: Sequence[Generator[Batch]]) -> Generator[Batch]:
    """Yield from each source in turn until all are exhausted."""
    with ExitStack() as stack:
        for source in sources:
            stack.enter_context(closing(source))
        running = deque(sources)
        while running:
            source = running.popleft()
            for batch in source:
                yield batch
                running.append(source)
                break


def lucene_version() -> str:
    """Return the name and version of Lucene: "Lucene 10.4.0"."""
    start_jvm()
    from jnius import autoclass

    return f"Lucene {autoclass('org.apache.lucene.util.Version').LATEST.toString()}"


def _batches(files: "SimpleQueue[Path]", options: IndexOptions, *, ours: bool) -> Iterator[Batch]:
    """Yield the documents of files that are taken one after the other, shared with others who take them too."""
    fields: list[bytes] = []
    count = 0
    while True:
        try:
            path = files.get_nowait()
        except Empty:
            break
        for (id_, text), record in entries(path, ours=ours):
            fields += (b'"', id_, b'","', text, b'"')
            if options.store_text:
                fields += (b",", orjson.dumps(record.decode()))
            fields.append(b",")
            count += 1
            if count == _BATCH:
                yield count, _array(fields)
                fields, count = [], 0
    if count:
        yield count, _array(fields)


def _array(fields: list[bytes]) -> bytes:
    return b"".join((b"[", *fields[:-1], b"]"))


@contextmanager
def _index_writer(index: Path, options: IndexOptions) -> Iterator[Any]:
    """Yield a Lucene IndexWriter; what it was given is committed, or merged, at the end, and dropped after an error."""
    from jnius import autoclass

    lucene = "org.apache.lucene"
    config = autoclass(f"{lucene}.index.IndexWriterConfig")(_analyzer())
    config.setSimilarity(autoclass("io.anserini.search.similarity.ImpactSimilarity")())
    config.setOpenMode(autoclass(f"{lucene}.index.IndexWriterConfig$OpenMode").CREATE)
    config.setRAMBufferSizeMB(float(options.memory or default_memory()))
    config.setUseCompoundFile(False)
    path = autoclass("java.nio.file.Paths").get(str(index.absolute()))
    writer = autoclass(_WRITER)(autoclass(f"{lucene}.store.FSDirectory").open(path), config)
    try:
        yield writer
        _close(writer, options)
    except BaseException:
        writer.rollback()
        raise


def _close(writer: Any, options: IndexOptions) -> None:
    """Merge, if that is wanted, and commit."""
    with JavaThreads(1) as pool:
        if options.optimize:
            merge = h.bound(h.virtual(_WRITER, "forceMerge", "void", "int"), writer)
            pool.finish(h.task(h.bound_int(merge, 0, 1)))
        pool.finish(h.task(h.bound(h.virtual(_WRITER, "close", "void"), writer)))


def _analyzer() -> Any:
    from jnius import autoclass

    def settings(name: str, value: str) -> Any:
        found = autoclass("java.util.HashMap")()
        found.put(name, value)
        return found

    return (
        autoclass("org.apache.lucene.analysis.custom.CustomAnalyzer")
        .builder()
        .withTokenizer("whitespace", settings("maxTokenLen", _LONGEST_WITH_FREQUENCY))
        .addTokenFilter("delimitedTermFrequency", settings("delimiter", SEPARATOR))
        .build()
    )
