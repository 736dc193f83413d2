"""Joins Lucene indexes of the same kind into one, without reading their documents again.

Documents keep their order: those of the first index come first. Ids are compared by the terms of their field, which
Lucene keeps sorted, so the memory that this takes does not grow with the number of documents.
"""

from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any

from splade_anserini.errors import InputError
from splade_anserini.lucene.index_reader import ID, opened_index
from splade_anserini.lucene.java.java_errors import java_errors
from splade_anserini.lucene.java.jvm import start_jvm
from splade_anserini.lucene.java.method_handles import (
    ARRAY_LIST,
    OBJECT,
    as_callable,
    as_type,
    bind,
    bind_int,
    chain,
    drop_argument,
    less_than,
    list_to_array,
    static_method,
    virtual_method,
    while_true,
)
from splade_anserini.lucene.java.threads import JAVA_LOCK, JavaThreads

_INDEX, _STORE = "org.apache.lucene.index", "org.apache.lucene.store"
_WRITER, _READER = f"{_INDEX}.IndexWriter", f"{_INDEX}.IndexReader"
_TERMS_ENUM, _BYTES_REF = f"{_INDEX}.TermsEnum", "org.apache.lucene.util.BytesRef"
_ITERATOR = "org.apache.lucene.util.BytesRefIterator"
_ADDER = "java.util.concurrent.atomic.LongAdder"
_MOST_SEGMENTS = 10_000
"""Segments that are merged in one pass."""


def merge_indexes(inputs: Sequence[Path], output: Path, *, optimize: bool = True) -> None:
    """Write an index of all documents of `inputs`, in this order; with `optimize` as one segment."""
    start_jvm()
    with (
        JAVA_LOCK,
        java_errors(f"merging into {output}"),
        ExitStack() as stack,
        _writer(output) as writer,
        JavaThreads(1) as pool,
    ):
        if optimize:
            readers = [stack.enter_context(opened_index(path)) for path in inputs]
            segments = [leaf.reader() for reader in readers for leaf in reader.leaves().toArray()]
            _add_indexes(writer, f"{_INDEX}.CodecReader", segments, pool)
        else:
            _add_indexes(writer, f"{_STORE}.Directory", [_directory(path) for path in inputs], pool)


def _add_indexes(writer: Any, kind: str, items: Sequence[Any], pool: JavaThreads) -> None:
    """Add what is of the class `kind`: readers of segments, which become one segment, or directories, to be copied."""
    from jnius import autoclass, cast

    java_list: Any = autoclass(ARRAY_LIST)()
    for item in items:
        java_list.add(cast(kind, item))
    # writer.addIndexes(list.toArray(new Kind[0]));
    array = f"[L{kind};"
    add = as_type(bind(virtual_method(_WRITER, "addIndexes", "long", array), writer), "void", array)
    pool.call(as_callable(chain(list_to_array(java_list, kind), add)))


def refuse_shared_documents(inputs: Sequence[Path], names: Sequence[str] = ()) -> None:
    """Raise `InputError` for an id that two documents of these indexes have, and for deleted documents.

    Lucene counts terms and documents of what was deleted as well. `names` are what the indexes are called, instead of
    their paths.
    """
    start_jvm()
    from jnius import autoclass, cast

    with JAVA_LOCK, java_errors("comparing the ids of documents"), ExitStack() as stack:
        readers = [stack.enter_context(opened_index(path)) for path in inputs]
        for path, reader in zip(inputs, readers, strict=True):
            _require_no_deletions(path, reader)
        documents = sum(int(reader.maxDoc()) for reader in readers)
        # It does not close the readers.
        everything = cast(f"{_INDEX}.IndexReader", autoclass(f"{_INDEX}.MultiReader")(*readers))
        if (terms := _id_terms(everything)) is None or _number_of(terms) == documents:
            return
        shared = _first_shared(_id_terms(everything))
        term = autoclass(f"{_INDEX}.Term")(ID, shared)
        names = names or [str(path) for path in inputs]
        places = [name for name, reader in zip(names, readers, strict=True) if reader.docFreq(term)]
    where = f"in {places[0]} and in {places[1]}" if len(places) > 1 else f"twice in {places[0]}"
    raise InputError(
        f"The document {shared!r} is {where}.",
        expected="ids that only one document has",
        do="Leave one of them out, or use other ids.",
    )


def _id_terms(reader: Any) -> Any:
    """Return an iterator of all ids in order, None when there are no documents."""
    from jnius import autoclass

    terms = autoclass(f"{_INDEX}.MultiTerms").getTerms(reader, ID)
    return None if terms is None else terms.iterator()


def _number_of(terms: Any) -> int:
    """Count the different ids."""
    from jnius import autoclass

    # while (Objects.nonNull(terms.next())) {
    #     adder.increment();
    # }
    adder = autoclass(_ADDER)()
    not_null = as_type(static_method("java.util.Objects", "nonNull", "boolean", OBJECT), "boolean", _BYTES_REF)
    has_next = as_type(chain(virtual_method(_ITERATOR, "next", _BYTES_REF), not_null), "boolean", _TERMS_ENUM)
    count = drop_argument(bind(virtual_method(_ADDER, "increment", "void"), adder), 0, _TERMS_ENUM)
    with JavaThreads(1) as pool:
        pool.call(as_callable(bind(while_true(has_next, count), terms)))
    return int(adder.sum())


def _first_shared(terms: Any) -> str:
    """Return the first id of several documents; there is one."""
    # terms.next();
    # while (Math.min(terms.docFreq(), 2) < 2) {
    #     terms.next();
    # }
    at_most_two = bind_int(static_method("java.lang.Math", "min", "int", "int", "int"), 1, 2)
    is_single = chain(virtual_method(_TERMS_ENUM, "docFreq", "int"), at_most_two, less_than(2))
    advance = as_type(virtual_method(_ITERATOR, "next", _BYTES_REF), "void", _TERMS_ENUM)
    terms.next()
    with JavaThreads(1) as pool:
        pool.call(as_callable(bind(while_true(is_single, advance), terms)))
    return str(terms.term().utf8ToString())


def _require_no_deletions(index: Path, reader: Any) -> None:
    if reader.hasDeletions():
        raise InputError(
            f"The index {index} has deleted documents.",
            expected="an index without them",
            do="Build it again, or merge its segments with Lucene's IndexWriter.forceMergeDeletes.",
        )


@contextmanager
def _writer(output: Path) -> Iterator[Any]:
    """Yield an IndexWriter that keeps the order of documents; at the end it commits, after an error it drops all."""
    from jnius import autoclass

    config = autoclass(f"{_INDEX}.IndexWriterConfig")()
    config.setOpenMode(autoclass(f"{_INDEX}.IndexWriterConfig$OpenMode").CREATE)
    config.setUseCompoundFile(False)
    policy = autoclass(f"{_INDEX}.LogDocMergePolicy")()
    policy.setMergeFactor(_MOST_SEGMENTS)
    policy.setNoCFSRatio(0.0)
    config.setMergePolicy(policy)
    writer = autoclass(_WRITER)(_directory(output), config)
    try:
        yield writer
        writer.close()
    except BaseException:
        writer.rollback()
        raise


def _directory(index: Path) -> Any:
    from jnius import autoclass

    path = autoclass("java.nio.file.Paths").get(str(index.absolute()))
    return autoclass(f"{_STORE}.FSDirectory").open(path)
