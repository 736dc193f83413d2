"""Options of building an impact index. Importing this module loads nothing heavy."""

from typing import Literal

from splade_anserini.options import option, options
from splade_anserini.parallel import cpu_count

type IndexWriterName = Literal["lucene", "anserini"]


@options
class IndexOptions:
    """How an impact index is built. Raises `InputError` for invalid values."""

    threads: int = option(default=0, least=0, help="Threads: half read, half index. 0: one per core.")
    optimize: bool = option(default=True, help="Merge into one segment: slower to build, faster to search.")
    memory: int | None = option(
        default=None,
        least=1,
        help="Size of Lucene's indexing buffer in MB.",
        unset="a quarter of Java's heap, at most 2,048",
    )
    store_text: bool = option(default=False, help="Store each record, for searcher.doc(id).raw().")
    store_docvectors: bool = option(default=False, help="Store each document's terms, for pseudo-relevance feedback.")
    writer: IndexWriterName = option(
        default="lucene",
        help="Lucene's IndexWriter, or Anserini's IndexCollection: the same index, several times slower.",
    )
    document_idf: float = option(
        default=0.0,
        least=0,
        greatest=10,
        metavar="ALPHA",
        help="Multiply each impact of a document by idf^ALPHA of the token in the input, which is read twice. 0: do "
        "not.",
        recorded="set",
    )

    @property
    def workers(self) -> int:
        """The number of threads, with 0 resolved."""
        return self.threads or cpu_count()


def default_buffer_size() -> int:
    """Return the default of `IndexOptions.memory` in MB: a quarter of Java's heap, at most 2,048."""
    from jnius import autoclass

    return int(min(2048, autoclass("java.lang.Runtime").getRuntime().maxMemory() // 2**20 // 4))
