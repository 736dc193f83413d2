"""How an impact index is built."""

from dataclasses import dataclass
from typing import Literal, get_args

from splade_anserini.errors import InputError

type IndexWriterName = Literal["lucene", "anserini"]


@dataclass(frozen=True, slots=True)
class IndexOptions:
    """How an impact index is built. Raises `InputError` for what cannot be."""

    threads: int = 1
    """Each takes a file at a time."""
    optimize: bool = True
    """Merge into one segment at the end: slower to build, faster to search."""
    memory: int | None = None
    """Megabytes that Lucene gathers before it writes; None for a quarter of Java's heap, at most 2,048."""
    store_text: bool = False
    """Keep each record, for `searcher.doc(id).raw()`."""
    store_docvectors: bool = False
    """Keep each document's terms, for feedback methods."""
    writer: IndexWriterName = "lucene"
    """Lucene's IndexWriter, or Anserini's IndexCollection around it: the same index, several times slower."""

    def __post_init__(self) -> None:
        if self.writer not in get_args(IndexWriterName.__value__):
            raise InputError(f"There is no index writer {self.writer!r}.", expected="lucene or anserini")
        if self.threads < 1:
            raise InputError(f"{self.threads} threads.", expected="at least 1")


def default_memory() -> int:
    """Return the megabytes that Lucene gathers before it writes: a quarter of Java's heap, at most 2,048."""
    from jnius import autoclass

    return int(min(2048, autoclass("java.lang.Runtime").getRuntime().maxMemory() // 2**20 // 4))
