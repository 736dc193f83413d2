"""Options of building an impact index. Importing this module loads nothing heavy."""

from typing import Literal

from splade_anserini.errors import InputError
from splade_anserini.lucene.filter_fields import parse_filter_fields
from splade_anserini.options import option, options
from splade_anserini.parallel import cpu_count
from splade_anserini.records import FilterType

type IndexWriterName = Literal["lucene", "anserini"]

_NOT_ANSERINIS = ("store_fields", "filter_fields")


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
    store_text: bool = option(
        default=False, help="Store the documents: those of --documents, or the texts that the input has."
    )
    store_fields: str | None = option(
        default=None,
        metavar="NAMES",
        help="With --store-text: the fields to store beside the id, as title,contents,url.",
        unset="all",
        recorded="set",
    )
    filter_fields: str | None = option(
        default=None,
        metavar="NAME:TYPE,…",
        help="Fields of the documents for search --filter, as year:int,category:str; also float and date.",
        recorded="set",
    )
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

    def __post_init__(self) -> None:
        if self.store_fields is not None and not self.store_text:
            raise InputError("--store-fields needs --store-text.", do="Add --store-text, or leave --store-fields out.")
        if self.store_fields is not None and not all(self.stored_names):
            raise InputError(f"--store-fields {self.store_fields!r} has an empty name.", expected="as title,contents")
        if self.writer == "anserini" and (names := [name for name in _NOT_ANSERINIS if getattr(self, name)]):
            name = f"--{names[0].replace('_', '-')}"
            raise InputError(
                f"{name} and --writer anserini exclude each other: Anserini stores the record that it indexes.",
                do="Leave one of them out.",
            )
        parse_filter_fields(self.filter_fields)

    @property
    def stored_names(self) -> tuple[str, ...]:
        """The fields to store; () for all."""
        return tuple(map(str.strip, self.store_fields.split(","))) if self.store_fields is not None else ()

    @property
    def filter_types(self) -> dict[str, FilterType]:
        """The types of the fields for filters, by name."""
        return parse_filter_fields(self.filter_fields)

    @property
    def workers(self) -> int:
        """The number of threads, with 0 resolved."""
        return self.threads or cpu_count()


def default_buffer_size() -> int:
    """Return the default of `IndexOptions.memory` in MB: a quarter of Java's heap, at most 2,048."""
    from jnius import autoclass

    return int(min(2048, autoclass("java.lang.Runtime").getRuntime().maxMemory() // 2**20 // 4))
