"""Builds impact indexes: with Lucene's IndexWriter, or through Anserini's IndexCollection.

With Lucene's IndexWriter the index is the one that Anserini would write, but no token has to be repeated. Half of the
threads are Python's: they read files and cut them into batches. The others are Java's and index the batches. Both take
about the same time. Each of Java's threads starts a segment of its own, and the segments are merged at the end; with
two threads there is only one segment and nothing to merge.
"""

import gzip
from collections.abc import Iterator
from contextlib import closing, contextmanager
from itertools import batched
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import orjson

from splade_anserini._version import __version__
from splade_anserini.errors import InputError
from splade_anserini.formats.impacts import SUFFIXES, count_impacts, impact_files
from splade_anserini.formats.vector_files import read_vectors
from splade_anserini.lucene.anserini_writer import anserini_version, write_with_anserini
from splade_anserini.lucene.batches import BatchReader, ReadCounts, check_files_and_ids
from splade_anserini.lucene.document_adder import DocumentAdder
from splade_anserini.lucene.frequency_text import SEPARATOR
from splade_anserini.lucene.index_options import IndexOptions
from splade_anserini.lucene.java.java_errors import java_errors
from splade_anserini.lucene.java.jvm import start_jvm
from splade_anserini.lucene.java.threads import JAVA_LOCK
from splade_anserini.lucene.lucene_writer import add_in_parallel, open_writer
from splade_anserini.lucene.sources import ImpactSource, nothing_to_index
from splade_anserini.lucene.stored_fields import StoredFields
from splade_anserini.progress import Progress, silent
from splade_anserini.records import StrPath

_LONGEST_WITH_FREQUENCY = "1024"
"""Maximum length of a token with its frequency, in UTF-16 units; valid tokens alone are within Lucene's limit, 255."""

_BATCHES_IN_FILE = 40
"""Batches in each file that is written for Anserini, whose threads read one file each."""

SIMILARITY = "io.anserini.search.similarity.ImpactSimilarity"


def write_impact_index(
    source: ImpactSource, index: StrPath, options: IndexOptions, progress: Progress = silent
) -> ReadCounts | None:
    """Index the vectors of `source` with the writer that `options` names; return their counts without a manifest.

    `progress` is called with the number of documents that were added.
    """
    index = Path(index)
    if options.writer == "lucene":
        return write_with_lucene(source, index, options, progress)
    if source.idf:
        return _write_products_with_anserini(source, index, options, progress)
    if source.is_checked:
        check_files_and_ids(source)
    counted = None if source.is_checked else _count_for_anserini(source)
    with _linked_files(source) as documents:
        write_with_anserini(documents, index, options, progress)
    return counted


def _write_products_with_anserini(
    source: ImpactSource, index: Path, options: IndexOptions, progress: Progress
) -> ReadCounts | None:
    """Write pseudo-documents of the products into the directory of the index, for Anserini; they are removed again."""
    index.mkdir(exist_ok=True)
    with (
        TemporaryDirectory(prefix="pseudo-documents-", dir=index) as name,
        BatchReader(source, with_records=True) as reader,
    ):
        for number, batches in enumerate(batched(reader.batches(1), _BATCHES_IN_FILE)):
            with gzip.open(Path(name) / f"{number:05}.jsonl.gz", "wb", compresslevel=1) as file:
                for _, fields in batches:
                    # The id, the text and the record of each document.
                    file.writelines(f"{record}\n".encode() for record in orjson.loads(fields)[2::3])
        counts = reader.counts()
        write_with_anserini(Path(name), index, options, progress)
    return counts


def _count_for_anserini(source: ImpactSource) -> ReadCounts:
    """Read all records, as Anserini skips what it cannot read. Raises `InputError` for what it does not read at all."""
    is_plain = source.reading.are_defaults and source.read_file is read_vectors
    if not is_plain or any(not path.name.endswith(SUFFIXES) for path in source.files.files):
        raise InputError(
            f"{source.path} holds what Anserini does not read: other files than .json, .jsonl and .gz, or weights.",
            expected="impact pseudo-documents for --writer anserini",
            do="Use --writer lucene, or convert it first with `splade-anserini convert`.",
        )
    counts, empty = count_impacts(source.path)
    if not counts.documents:
        raise nothing_to_index(source)
    return ReadCounts(counts, empty)


@contextmanager
def _linked_files(source: ImpactSource) -> Iterator[Path]:
    """Yield a directory with the files of `source` only: its own one, or one of links to some of its files."""
    if source.path.is_dir() and set(impact_files(source.path)) == set(source.files.files):
        yield source.path
        return
    with TemporaryDirectory(prefix="splade-anserini-") as name:
        for number, path in enumerate(source.files.files):
            (Path(name) / f"{number:05}-{path.name}").symlink_to(path.absolute())
        yield Path(name)


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
    source: ImpactSource,
    index: Path,
    options: IndexOptions,
    progress: Progress = silent,
    *,
    may_be_empty: bool = False,
) -> ReadCounts | None:
    """Index the vectors of `source`, reporting documents to `progress`; return their counts without a manifest.

    Raises `RecordError` or `InputError` for documents that Lucene cannot hold, a duplicate id or, unless it
    `may_be_empty`, no documents, `JavaError` or `OutputError` when writing fails.
    """
    start_jvm()
    with (
        JAVA_LOCK,
        java_errors(f"indexing {source.path}"),
        BatchReader(source, StoredFields.of(options)) as reader,
        open_writer(index, options, impact_analyzer(), SIMILARITY) as writer,
    ):
        add_documents(reader, writer, options, progress)
        return reader.counts(may_be_empty=may_be_empty)


def add_documents(reader: BatchReader, writer: Any, options: IndexOptions, progress: Progress) -> None:
    """Add all documents of a reader to an IndexWriter, on as many threads as `options` say."""
    readers = options.workers // 2
    contents = StoredFields.of(options).stores_contents
    adders = [DocumentAdder(writer, options, stores_contents=contents) for _ in range(options.workers - readers)]
    with closing(reader.batches(max(1, readers))) as batches:
        if readers:
            add_in_parallel(batches, adders, progress)
        else:
            for count, fields in batches:
                adders[0].load(fields).call()
                progress(count)


def impact_analyzer() -> Any:
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
