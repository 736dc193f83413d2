"""Builds impact indexes: with Lucene's IndexWriter, or through Anserini's IndexCollection.

With Lucene's IndexWriter the index is the one that Anserini would write, but no token has to be repeated. Half of the
threads are Python's: they read files and cut them into batches. The others are Java's and index the batches. Both take
about the same time. Each of Java's threads starts a segment of its own, and the segments are merged at the end; with
two threads there is only one segment and nothing to merge.
"""

from collections import deque
from collections.abc import Generator, Iterator, Sequence
from contextlib import ExitStack, closing
from pathlib import Path
from queue import Empty, SimpleQueue
from typing import Any

import orjson

from splade_anserini._version import __version__
from splade_anserini.formats.impacts import impact_files
from splade_anserini.lucene.anserini_writer import anserini_version, write_with_anserini
from splade_anserini.lucene.document_adder import DocumentAdder
from splade_anserini.lucene.frequency_text import SEPARATOR, entries
from splade_anserini.lucene.index_options import IndexOptions
from splade_anserini.lucene.java.java_errors import java_errors
from splade_anserini.lucene.java.jvm import start_jvm
from splade_anserini.lucene.java.threads import JAVA_LOCK
from splade_anserini.lucene.lucene_writer import Batch, add_in_parallel, open_writer
from splade_anserini.lucene.sources import ImpactSource
from splade_anserini.parallel import prefetch
from splade_anserini.progress import Progress, silent
from splade_anserini.records import StrPath

_BATCH_SIZE = 256
"""Documents that are passed to Java at once: less than a megabyte. A call for each would cost as much as indexing."""

_BATCHES_AHEAD = 4
"""Batches that each reading thread prepares in advance."""

_LONGEST_WITH_FREQUENCY = "1024"
"""Maximum length of a token with its frequency, in UTF-16 units; valid tokens alone are within Lucene's limit, 255."""

_SIMILARITY = "io.anserini.search.similarity.ImpactSimilarity"


def write_impact_index(
    source: ImpactSource, index: StrPath, options: IndexOptions, progress: Progress = silent
) -> None:
    """Index the impact pseudo-documents of `source` with the writer that `options` names.

    `progress` is called with the number of documents that were added.
    """
    index = Path(index)
    if options.writer == "anserini":
        write_with_anserini(source.directory, index, options, progress)
    else:
        write_with_lucene(source.directory, index, options, progress, trusted=source.settings is not None)


def writer_version(options: IndexOptions) -> str:
    """Return name and version of the index writer: "splade-anserini 0.1.0 on Lucene 10.4.0", "Anserini 2.2.0"."""
    if options.writer == "anserini":
        return anserini_version()
    return f"splade-anserini {__version__} on {lucene_version()}"


def lucene_version() -> str:
    """Return name and version of Lucene: "Lucene 10.4.0"."""
    start_jvm()
    from jnius import autoclass

    return f"Lucene {autoclass('org.apache.lucene.util.Version').LATEST.toString()}"


def write_with_lucene(
    documents: Path, index: Path, options: IndexOptions, progress: Progress = silent, *, trusted: bool = False
) -> None:
    """Index the impact pseudo-documents in and below the directory `documents`, reporting documents to `progress`.

    `trusted` files were written by `encode` and are not checked again. Raises `RecordError` or `InputError` for
    documents that Lucene cannot hold, `JavaError` or `OutputError` when writing fails.
    """
    start_jvm()
    readers = options.workers // 2
    with (
        JAVA_LOCK,
        java_errors(f"indexing {documents}"),
        open_writer(index, options, _analyzer(), _SIMILARITY) as writer,
    ):
        files: SimpleQueue[Path] = SimpleQueue()
        for path in impact_files(documents):
            files.put(path)
        sources = [_read_batches(files, options, trusted=trusted) for _ in range(max(1, readers))]
        adders = [DocumentAdder(writer, options) for _ in range(options.workers - readers)]
        if readers == 0:
            for count, fields in sources[0]:
                adders[0].load(fields).call()
                progress(count)
        elif readers == 1:
            add_in_parallel(sources[0], adders, progress)
        else:
            with closing(_round_robin([prefetch(source, _BATCHES_AHEAD) for source in sources])) as batches:
                add_in_parallel(batches, adders, progress)


def _round_robin(sources: Sequence[Generator[Batch]]) -> Generator[Batch]:
    """Yield one batch from each source in turn until all are exhausted."""
    with ExitStack() as stack:
        for source in sources:
            stack.enter_context(closing(source))
        remaining = deque(sources)
        while remaining:
            source = remaining.popleft()
            for batch in source:
                yield batch
                remaining.append(source)
                break


def _read_batches(files: "SimpleQueue[Path]", options: IndexOptions, *, trusted: bool) -> Iterator[Batch]:
    """Yield the documents of the files in a queue that several readers share."""
    fields: list[bytes] = []
    count = 0
    while True:
        try:
            path = files.get_nowait()
        except Empty:
            break
        for (id_, text), record in entries(path, trusted=trusted):
            fields += (b'"', id_, b'","', text, b'"')
            if options.store_text:
                fields += (b",", orjson.dumps(record.decode()))
            fields.append(b",")
            count += 1
            if count == _BATCH_SIZE:
                yield count, _json_array(fields)
                fields, count = [], 0
    if count:
        yield count, _json_array(fields)


def _json_array(fields: list[bytes]) -> bytes:
    return b"".join((b"[", *fields[:-1], b"]"))


def _analyzer() -> Any:
    """Return an analyzer that splits at white space and takes each token's frequency from after `SEPARATOR`."""
    from jnius import autoclass

    def parameters(name: str, value: str) -> Any:
        java_map = autoclass("java.util.HashMap")()
        java_map.put(name, value)
        return java_map

    return (
        autoclass("org.apache.lucene.analysis.custom.CustomAnalyzer")
        .builder()
        .withTokenizer("whitespace", parameters("maxTokenLen", _LONGEST_WITH_FREQUENCY))
        .addTokenFilter("delimitedTermFrequency", parameters("delimiter", SEPARATOR))
        .build()
    )
