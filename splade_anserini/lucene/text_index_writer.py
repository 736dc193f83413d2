"""Builds text indexes for BM25 with Lucene's IndexWriter: the index that Anserini's IndexCollection would write.

One thread, Python's, reads documents; the others are Java's, and analyze and index them.
"""

from collections.abc import Iterable, Iterator
from pathlib import Path

import orjson

from splade_anserini.artifacts.text_index_manifest import TextCounts
from splade_anserini.lucene.analyzers import analyzer_of
from splade_anserini.lucene.document_adder import DocumentAdder
from splade_anserini.lucene.index_options import IndexOptions
from splade_anserini.lucene.index_reader import count_index
from splade_anserini.lucene.java.java_errors import java_errors
from splade_anserini.lucene.java.jvm import start_jvm
from splade_anserini.lucene.java.threads import JAVA_LOCK
from splade_anserini.lucene.lucene_writer import Batch, add_in_parallel, open_writer
from splade_anserini.lucene.text_options import DEFAULT_LANGUAGE
from splade_anserini.progress import Progress, silent
from splade_anserini.records import Document, Language, StrPath

_BATCH_SIZE = 256
_BATCH_CHARACTERS = 1_000_000
"""A batch of documents is passed to Java when either is reached."""

_SIMILARITY = "org.apache.lucene.search.similarities.BM25Similarity"

_BLANK = "".join(map(chr, range(ord(" ") + 1)))
"""What Java's String.trim removes: Anserini leaves out documents of nothing else."""


def write_text_index(
    documents: Iterable[Document],
    index: StrPath,
    language: Language = DEFAULT_LANGUAGE,
    options: IndexOptions | None = None,
    progress: Progress = silent,
) -> TextCounts:
    """Index titles and texts of documents in the directory `index`; return what Lucene counts in it.

    Documents without text are left out. The order of documents, which is not that of the corpus when several threads
    index, has no effect on searches. `progress` is called with the number of documents that were added. Raises
    `JavaError` or `OutputError` when writing fails.
    """
    start_jvm()
    index, options = Path(index), options or IndexOptions()
    batches = _Batches(documents, with_records=options.store_text)
    with (
        JAVA_LOCK,
        java_errors(f"indexing into {index}"),
        open_writer(index, options, analyzer_of(language), _SIMILARITY) as writer,
    ):
        adders = [DocumentAdder(writer, options) for _ in range(max(1, options.workers - 1))]
        if options.workers == 1:
            for count, fields in batches:
                adders[0].load(fields).call()
                progress(count)
        else:
            add_in_parallel(batches, adders, progress)
    counts = count_index(index)
    return TextCounts(
        documents=counts.documents,
        blank=batches.blank,
        postings=counts.postings,
        words=counts.impacts,
        ids_with_spaces=batches.ids_with_spaces,
    )


class _Batches:
    """Batches of documents, for a `DocumentAdder`; blank ones are counted and left out."""

    def __init__(self, documents: Iterable[Document], *, with_records: bool) -> None:
        self._documents, self._with_records = documents, with_records
        self.blank = self.ids_with_spaces = 0

    def __iter__(self) -> Iterator[Batch]:
        fields: list[str] = []
        count = characters = 0
        for document in self._documents:
            contents = document.contents
            if not contents.strip(_BLANK):
                self.blank += 1
                continue
            self.ids_with_spaces += " " in document.id
            fields += (document.id, contents)
            if self._with_records:
                fields.append(orjson.dumps({"id": document.id, "contents": contents}).decode())
            count += 1
            characters += len(contents)
            if count == _BATCH_SIZE or characters >= _BATCH_CHARACTERS:
                yield count, orjson.dumps(fields)
                fields, count, characters = [], 0, 0
        if count:
            yield count, orjson.dumps(fields)
