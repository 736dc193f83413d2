"""Lucene's IndexWriter on an index that exists: documents are added, replaced and deleted, and one commit follows.

Deleted documents are merged away before the commit. Until then Lucene's sums (document frequencies, numbers of postings
and impacts) count them, and so would every idf and every manifest.
"""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import orjson

from splade_anserini.artifacts.commits import fingerprint_of_pending_commit
from splade_anserini.artifacts.manifests import Counts
from splade_anserini.errors import OutputError
from splade_anserini.lucene.batches import BatchReader
from splade_anserini.lucene.index_options import IndexOptions, default_buffer_size
from splade_anserini.lucene.index_reader import ID, counts_of_reader
from splade_anserini.lucene.index_writer import SIMILARITY, add_documents, impact_analyzer
from splade_anserini.lucene.java.json_request import JsonRequest
from splade_anserini.lucene.java.method_handles import (
    ITERATOR,
    LIST,
    STRING,
    as_callable,
    as_type,
    bind,
    bind_string,
    chain,
    constructor,
    next_element,
    virtual_method,
    while_has_next,
)
from splade_anserini.lucene.java.threads import JavaThreads
from splade_anserini.progress import Progress

_INDEX = "org.apache.lucene.index"
_WRITER, _TERM = f"{_INDEX}.IndexWriter", f"{_INDEX}.Term"


class ChangingWriter:
    """An IndexWriter of an index that exists. The caller holds `JAVA_LOCK`."""

    def __init__(self, index: Path, writer: Any, options: IndexOptions) -> None:
        self._index, self._writer, self._options = index, writer, options
        self._ids = JsonRequest()
        self._delete = as_callable(self._compose_delete())

    def add(self, reader: BatchReader, progress: Progress) -> None:
        """Add all documents of a reader."""
        add_documents(reader, self._writer, self._options, progress)

    def delete(self, ids: Sequence[str]) -> None:
        """Delete the documents with these ids, of those that were added before."""
        if ids:
            self._ids.write(orjson.dumps(list(ids)))
            self._delete.call()

    def prepare(self) -> tuple[Counts, str]:
        """Write all that was changed to the disk, and prepare its commit.

        Return the counts of all documents that are left, and the fingerprint that the commit will have.
        """
        with JavaThreads(1) as pool:
            self._call(pool, "flush")
            if self._writer.hasDeletions():
                self._merge_deletions(pool)
            # What the policy wants merged is merged now: after the commit it would be done in vain.
            self._call(pool, "maybeMerge")
            counts = self._counts()
            self._call(pool, "prepareCommit", "long")
        return counts, fingerprint_of_pending_commit(self._index)

    def commit(self) -> None:
        """Make the prepared commit the current one, by renaming one file."""
        with JavaThreads(1) as pool:
            self._call(pool, "commit", "long")

    def _call(self, pool: JavaThreads, method: str, returns: str = "void") -> None:
        pool.call(as_callable(as_type(bind(virtual_method(_WRITER, method, returns), self._writer), "void")))

    def _merge_deletions(self, pool: JavaThreads) -> None:
        from jnius import JavaException

        try:
            self._call(pool, "forceMergeDeletes", f"{_INDEX}.MergePolicy$MergeObserver")
        except JavaException as error:
            # Before Lucene 10.4 it returned nothing.
            if not any(name in f"{error.classname} {error}" for name in ("NoSuchMethod", "ClassNotFound")):
                raise
            self._call(pool, "forceMergeDeletes")

    def _counts(self) -> Counts:
        from jnius import autoclass

        reader = autoclass(f"{_INDEX}.DirectoryReader").open(self._writer)
        try:
            return counts_of_reader(reader)
        finally:
            reader.close()

    def _compose_delete(self) -> Any:
        # for (Iterator<String> ids = stringListReader.readValue(buffer).iterator(); ids.hasNext(); ) {
        #     writer.deleteDocuments(new Term("id", ids.next()));
        # }
        delete = as_type(virtual_method(_WRITER, "deleteDocuments", "long", f"[L{_TERM};"), "void", _WRITER, _TERM)
        term = bind_string(constructor(_TERM, STRING, STRING), 0, ID)
        body = chain(next_element(STRING), term, bind(delete, self._writer))
        return chain(self._ids.parse_list(STRING), virtual_method(LIST, "iterator", ITERATOR), while_has_next(body))


@contextmanager
def changing_writer(index: Path, options: IndexOptions) -> Iterator[ChangingWriter]:
    """Yield a writer of an index that exists; what is not committed in the block is dropped.

    Documents keep their order. Raises `OutputError` when another program writes the index.
    """
    from jnius import JavaException, autoclass

    config = autoclass(f"{_INDEX}.IndexWriterConfig")(impact_analyzer())
    config.setSimilarity(autoclass(SIMILARITY)())
    config.setOpenMode(autoclass(f"{_INDEX}.IndexWriterConfig$OpenMode").APPEND)
    config.setRAMBufferSizeMB(float(options.memory or default_buffer_size()))
    config.setUseCompoundFile(False)
    policy = autoclass(f"{_INDEX}.LogDocMergePolicy")()
    policy.setNoCFSRatio(0.0)
    config.setMergePolicy(policy)
    # Nothing is merged in the background, so that what was counted is what is committed.
    config.setMergeScheduler(autoclass(f"{_INDEX}.SerialMergeScheduler")())
    config.setMaxFullFlushMergeWaitMillis(0)
    config.setCommitOnClose(False)
    path = autoclass("java.nio.file.Paths").get(str(index.absolute()))
    try:
        writer = autoclass(_WRITER)(autoclass("org.apache.lucene.store.FSDirectory").open(path), config)
    except JavaException as error:
        if "LockObtainFailedException" in (error.classname or ""):
            raise OutputError(f"Another program is writing to {index}.", do="Wait for it.") from error
        raise
    try:
        yield ChangingWriter(index, writer, options)
    finally:
        # It closes the writer; of what was committed nothing is lost.
        writer.rollback()
