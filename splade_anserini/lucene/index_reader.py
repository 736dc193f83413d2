"""Opens Lucene indexes, counts what they contain, and compares their document ids."""

import logging
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from itertools import islice
from pathlib import Path
from typing import Any, Literal

from splade_anserini.artifacts.commits import fingerprint_of_commit
from splade_anserini.artifacts.manifests import Counts, IndexManifest, kind_of_manifest, read_manifest
from splade_anserini.artifacts.sharded_index import is_sharded, require_recorded_shards, shard_directories
from splade_anserini.artifacts.text_index_manifest import TextIndexManifest
from splade_anserini.errors import NOTE, InputError, IntegrityError, MismatchError, SpladeAnseriniError
from splade_anserini.lucene.index_files import IndexFiles
from splade_anserini.lucene.java.abandoned import close_abandoned
from splade_anserini.lucene.java.forks import has_own_java
from splade_anserini.lucene.java.java_errors import java_error, java_errors
from splade_anserini.lucene.java.jvm import start_jvm
from splade_anserini.records import StrPath

ID = "id"
"""The field of the document's id: stored, indexed as one term, and in binary doc values, as in Anserini's indexes."""

CONTENTS = "contents"
"""The field of the tokens; their impacts are its term frequencies."""

RAW = "raw"
"""The field of the original record, if it is stored."""

_DO = "Pass a directory that `splade-anserini index` or Anserini wrote, or rebuild the index."

_REBUILD = "Copy the index again from a whole one, or rebuild it with splade-anserini index --overwrite."

CHECKED_BYTES = 1_000_000_000
"""The files of larger indexes are checked only on demand: reading this many bytes takes about a second."""

_OF_TEXTS = "Add --bm25 to `search`, or pass another index."

_SAMPLE = 1000
"""Documents of each index that `share_ids` looks up in the other, evenly spaced."""


_log = logging.getLogger(__name__)

type IndexKind = Literal["impact", "text"]
"""Whether the term frequencies of an index are impacts, or count words of texts."""

_HIGH_MEAN_FREQUENCY = 8
"""Words of a text are repeated less often than this on average; impacts are usually above it."""

_PREFIXES = [first + second for first in "abcdefghijklmnopqrstuvwxyz" for second in "aeilmoru"]
_TERMS_FOR_EACH_PREFIX = 8
_FEWEST_TERMS, _STEMMED_SHARE = 100, 0.85


def allow_long_queries() -> None:
    """Lift Lucene's limit of 1,024 terms for a query."""
    from jnius import autoclass

    autoclass("org.apache.lucene.search.IndexSearcher").setMaxClauseCount(2**31 - 1)


def count_index(index: StrPath) -> Counts:
    """Count documents, postings and the sum of impacts of an index.

    Raises `InputError` when `index` is not a Lucene index, `IntegrityError` when it is damaged.
    """
    with opened_index(index) as reader:
        return counts_of_reader(reader)


def kind_of_index(index: StrPath) -> IndexKind | None:
    """Say whether an index holds impacts or texts: by its manifest, without one by its terms. None: unclear.

    Raises `InputError` when `index` is not a valid Lucene index.
    """
    check_index_directory(index)
    match kind_of_manifest(index):
        case "index" | "sharded-index":
            return "impact"
        case "text-index":
            return "text"
    with opened_index(index) as reader, java_errors(f"reading {index}"):
        return _kind_by_terms(reader)


def require_impact_index(index: StrPath, *, force: bool = False) -> None:
    """Raise `MismatchError` for an index of texts, in which term frequencies count words; see `kind_of_index`.

    With `force` a warning is logged. An index of which it is not clear passes. Raises `InputError` when `index` is not
    a valid Lucene index.
    """
    if kind_of_index(index) != "text":
        return
    if not force:
        raise MismatchError(f"{index} is a text index.", expected="an impact index", do=_OF_TEXTS)
    _log.warning("%s is a text index, whose term frequencies count words; searching all the same", index)


@contextmanager
def opened_index(index: StrPath) -> Iterator[Any]:
    """Yield the reader that `open_reader` returns, and close it."""
    reader = open_reader(index)
    try:
        yield reader
    finally:
        if has_own_java():
            reader.close()


def open_reader(index: StrPath) -> Any:
    """Return a Lucene `DirectoryReader` of an index whose files and counts were checked, see `check_index_files`.

    For a sharded index it is a `MultiReader` of all shards, in their order. Raises `InputError` when `index` is not a
    Lucene index or lacks a shard, `IntegrityError` when it is damaged, `MismatchError` when a shard was changed.
    """
    index = Path(index)
    while True:
        commit = fingerprint_of_commit(index)
        try:
            return _open_reader(index)
        except (IntegrityError, MismatchError):
            # Reader and manifest may be of two commits when another process makes one in between.
            if fingerprint_of_commit(index) == commit:
                raise


def _open_reader(index: Path) -> Any:
    check_index_files(index)
    require_recorded_shards(index)
    start_jvm()
    close_abandoned()
    reader = _multi_reader(index) if is_sharded(index) else _directory_reader(index)
    try:
        _check_counts(index, reader)
    except BaseException:
        reader.close()
        raise
    return reader


def _directory_reader(index: Path) -> Any:
    from jnius import JavaException, autoclass

    try:
        return autoclass("org.apache.lucene.index.DirectoryReader").open(_directory(index))
    except JavaException as error:
        raise _opening_error(index, error) from error


def _multi_reader(index: Path) -> Any:
    """Return one reader of all shards; closing it closes them."""
    from jnius import autoclass

    readers: list[Any] = []
    try:
        for directory in shard_directories(index):
            readers.append(_directory_reader(directory))  # noqa: PERF401  # those opened so far are closed on errors
        with java_errors(f"opening {index}"):
            return autoclass("org.apache.lucene.index.MultiReader")(*readers)
    except BaseException:
        for reader in readers:
            reader.close()
        raise


def index_searcher(reader: Any) -> Any:
    """Return a Lucene `IndexSearcher` of a reader. The caller holds `JAVA_LOCK`."""
    from jnius import autoclass

    searcher = autoclass("org.apache.lucene.search.IndexSearcher")
    return searcher(reader, signature="(Lorg/apache/lucene/index/IndexReader;)V")


def check_index_files(index: StrPath, *, any_size: bool = False, again: bool = False) -> None:
    """Compare every file of an index, and of all its shards, with the checksum that Lucene wrote into it.

    What was checked before and not written since is not read again, except with `again`. Files of more than
    `CHECKED_BYTES` together are left unchecked, which a line says, except with `any_size`. Java is started only when a
    file is damaged. Raises `InputError` when `index` is not a Lucene index, `IntegrityError` when it is damaged.
    """
    index = Path(index)
    check_index_directory(index)
    directories = {directory: IndexFiles(directory) for directory in shard_directories(index)}
    unread = {directory: files for directory, files in directories.items() if again or not files.were_checked}
    size_in_bytes = sum(files.size for files in unread.values())
    if size_in_bytes > CHECKED_BYTES and not any_size:
        if index not in _unchecked:
            _unchecked.add(index)
            size = f"{size_in_bytes / 1e9:,.1f} GB"
            _log.log(NOTE, "The files of %s (%s) are not checked for damage; add --verify to do it once.", index, size)
        return
    for directory, files in unread.items():
        _check_files(directory, files, again=again)


def _check_files(index: Path, files: IndexFiles, *, again: bool) -> None:
    damages = files.damages(again=again)
    if damages:
        used = _files_of_last_commit(index)
        for damage in damages:
            # Files that are still being written, or that a writer has left, are not read by a searcher. One that was
            # just finished is read again.
            if damage.file in used and files.is_damaged(damage.file):
                raise IntegrityError(
                    f"{index / damage.file} is damaged: it {damage.problem}.", expected=damage.expected, do=_REBUILD
                )
    files.remember()


_unchecked: set[Path] = set()
"""Large indexes of which this process has said that they are not checked."""


def _check_counts(index: Path, reader: Any) -> None:
    """Raise `IntegrityError` when an index does not hold what its manifest says; one without a manifest passes."""
    if not (expected := _recorded_counts(index)):
        return
    counts = counts_of_reader(reader).model_dump().values()
    differences = [
        f"{name}: {count:,} instead of {recorded:,}"
        for count, (name, recorded) in zip(counts, expected.items(), strict=True)
        if count != recorded
    ]
    if differences:
        raise IntegrityError(
            f"The index {index} does not hold what its manifest says: {'; '.join(differences)}.",
            do="Rebuild it with splade-anserini index --overwrite.",
        )


def _recorded_counts(index: Path) -> dict[str, int]:
    """Return what the manifest of an index says of documents, postings, and impacts or words; nothing without one."""
    if kind_of_manifest(index) == "text-index":
        texts = read_manifest(index, TextIndexManifest)
        return texts.counts.model_dump(include={"documents", "postings", "words"}) if texts else {}
    impacts = read_manifest(index, IndexManifest)
    return impacts.counts.model_dump() if impacts else {}


def counts_of_reader(reader: Any) -> Counts:
    """Return the counts of an open index; Lucene counts postings of deleted documents as well."""
    return Counts(
        documents=reader.numDocs(),
        postings=max(0, reader.getSumDocFreq(CONTENTS)),
        impacts=max(0, reader.getSumTotalTermFreq(CONTENTS)),
    )


def _directory(index: Path) -> Any:
    from jnius import autoclass

    path = autoclass("java.nio.file.Paths").get(str(index.absolute()))
    return autoclass("org.apache.lucene.store.FSDirectory").open(path)


def _files_of_last_commit(index: Path) -> set[str]:
    """Return the names of the files that Lucene reads when it opens an index."""
    start_jvm()
    from jnius import JavaException, autoclass

    try:
        infos = autoclass("org.apache.lucene.index.SegmentInfos").readLatestCommit(_directory(index))
        return set(infos.files(True).toArray())
    except JavaException as error:
        raise _opening_error(index, error) from error


def _opening_error(index: Path, error: Any) -> SpladeAnseriniError:
    """Translate the exception of Java that was raised when an index was opened."""
    name = (error.classname or "").rpartition(".")[2]
    if "OutOfMemory" in name:
        return java_error(f"opening {index}", name)
    from jnius import autoclass

    version, message = autoclass("org.apache.lucene.util.Version").LATEST.toString(), error.innermessage.rstrip(".")
    if name == "IndexFormatTooOldException":
        return InputError(
            f"The index {index} was written by a Lucene that is too old, or is damaged: {message}.",
            expected=f"an index that Lucene {version} can read",
            do="Rebuild the index.",
        )
    if name == "IndexFormatTooNewException":
        return InputError(
            f"The index {index} was written by a newer Lucene than {version}.",
            expected=f"an index of Lucene {version} or older",
            do="Upgrade Pyserini, which brings Lucene, or rebuild the index.",
        )
    return IntegrityError(f"{index} is a damaged Lucene index, {name}: {message}.", do=_REBUILD)


def check_index_directory(index: StrPath) -> None:
    """Raise `InputError` unless `index` looks like the directory of a Lucene index. Does not start Java."""
    index = Path(index)
    if not index.is_dir():
        problem = "is a file" if index.exists() else "does not exist"
        raise InputError(f"The index {index} {problem}.", expected="the directory of a Lucene index", do=_DO)
    if not any(index.glob("segments_*")) and not is_sharded(index):
        problem = "has no segments file" if any(index.iterdir()) else "is empty"
        raise InputError(f"{index} is not a Lucene index: it {problem}.", do=_DO)


def share_ids(first: StrPath, second: StrPath) -> bool:
    """Return whether two indexes have a document id in common, judging by a thousand documents of each.

    Raises `InputError` when one of them is not a valid Lucene index.
    """
    with (
        opened_index(first) as first_reader,
        opened_index(second) as second_reader,
        java_errors(f"comparing {first} and {second}"),
    ):
        return _has_id_of(first_reader, second_reader) or _has_id_of(second_reader, first_reader)


def holds_any(index: StrPath, ids: Iterable[str]) -> bool:
    """Return whether an index has one of the documents with these ids, judging by the first thousand.

    Raises `InputError` when it is not a valid Lucene index.
    """
    from jnius import autoclass

    with opened_index(index) as reader, java_errors(f"looking for documents in {index}"):
        term = autoclass("org.apache.lucene.index.Term")
        return any(reader.docFreq(term(ID, id_)) > 0 for id_ in islice(ids, _SAMPLE))


def _has_id_of(reader: Any, other: Any) -> bool:
    """Return whether `other` has a document whose id is in the sample of `reader`."""
    from jnius import autoclass

    term, stored_fields = autoclass("org.apache.lucene.index.Term"), reader.storedFields()
    documents = reader.maxDoc()
    for doc in range(0, documents, max(1, documents // _SAMPLE)):
        id_ = stored_fields.document(doc).get(ID)
        if id_ is not None and other.docFreq(term(ID, id_)) > 0:
            return True
    return False


def _kind_by_terms(reader: Any) -> IndexKind | None:
    """Judge the terms of the largest segment: word pieces and high frequencies are impacts, stemmed words are text."""
    from jnius import autoclass

    segments = [leaf.reader() for leaf in reader.leaves().toArray()]
    terms = max(segments, key=lambda segment: segment.maxDoc()).terms(CONTENTS) if segments else None
    if terms is None:
        return None
    if terms.hasPositions():
        return "text"
    mean_frequency = reader.getSumTotalTermFreq(CONTENTS) / max(1, reader.getSumDocFreq(CONTENTS))
    if mean_frequency >= _HIGH_MEAN_FREQUENCY or any(_terms_from(terms, "##", 1)):
        return "impact"
    words = {word for prefix in _PREFIXES for word in _terms_from(terms, prefix, _TERMS_FOR_EACH_PREFIX)}
    words = {word for word in words if len(word) > 3 and word.isascii() and word.isalpha()}
    if len(words) < _FEWEST_TERMS:
        return None
    # The analyzer of English text leaves most of its own words as they are. It shortens many words of a vocabulary.
    analyzer = autoclass("io.anserini.analysis.DefaultEnglishAnalyzer").newDefaultInstance()
    analyzed = autoclass("io.anserini.analysis.AnalyzerUtils").analyze(analyzer, " ".join(sorted(words)))
    unchanged = words & set(analyzed.toArray())
    return "text" if len(unchanged) >= _STEMMED_SHARE * len(words) else None


def _terms_from(terms: Any, prefix: str, limit: int) -> Iterator[str]:
    """Yield the first `limit` terms that begin with `prefix`."""
    from jnius import autoclass

    iterator = terms.iterator()
    start = autoclass("org.apache.lucene.util.BytesRef")(prefix, signature="(Ljava/lang/CharSequence;)V")
    if iterator.seekCeil(start).toString() == "END":
        return
    for _ in range(limit):
        term = iterator.term().utf8ToString()
        if not term.startswith(prefix):
            return
        yield term
        if iterator.next() is None:
            return
