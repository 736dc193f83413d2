"""Options of building an impact index."""

from dataclasses import dataclass
from typing import Literal, get_args

from splade_anserini.errors import InputError

type IndexWriterName = Literal["lucene", "anserini"]


@dataclass(frozen=True, slots=True)
class IndexOptions:
    """How an impact index is built. Raises `InputError` for invalid values."""

    threads: int = 1
    """Indexing threads; each takes one file at a time."""
    optimize: bool = True
    """Merge the index into one segment at the end: slower to build, faster to search."""
    memory: int | None = None
    """Size of Lucene's indexing buffer in MB; None for a quarter of Java's heap, at most 2,048."""
    store_text: bool = False
    """Store each record, for `searcher.doc(id).raw()`."""
    store_docvectors: bool = False
    """Store each document's terms, for pseudo-relevance feedback."""
    writer: IndexWriterName = "lucene"
    """Lucene's IndexWriter, or Anserini's IndexCollection, which builds the same index several times slower."""

    def __post_init__(self) -> None:
        if self.writer not in get_args(IndexWriterName.__value__):
            raise InputError(f"--writer must be lucene or anserini, got {self.writer!r}.")
        if self.threads < 1:
            raise InputError(f"--threads must be at least 1, got {self.threads}.")


def default_buffer_size() -> int:
    """Return the default of `IndexOptions.memory` in MB: a quarter of Java's heap, at most 2,048."""
    from jnius import autoclass

    return int(min(2048, autoclass("java.lang.Runtime").getRuntime().maxMemory() // 2**20 // 4))
