"""What is in a Lucene index, by Lucene's own account."""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from splade_anserini.artifacts.manifests import Counts
from splade_anserini.errors import InputError
from splade_anserini.lucene.java.java_errors import explained
from splade_anserini.lucene.java.jvm import start_jvm
from splade_anserini.lucene.schema import CONTENTS

_DO = "Name a directory that `splade-anserini index` or Anserini wrote, or build it again."


def count_index(directory: Path) -> Counts:
    """Count documents, postings and the sum of impacts. Raises `InputError` when `directory` is no Lucene index."""
    with opened_index(directory) as reader:
        return Counts(
            documents=reader.numDocs(),
            postings=max(0, reader.getSumDocFreq(CONTENTS)),
            impacts=max(0, reader.getSumTotalTermFreq(CONTENTS)),
        )


@contextmanager
def opened_index(directory: Path) -> Iterator[Any]:
    """Yield what `open_reader` returns, and close it."""
    reader = open_reader(directory)
    try:
        yield reader
    finally:
        reader.close()


def open_reader(directory: Path) -> Any:
    """Return a Lucene `DirectoryReader`. Raises `InputError` when `directory` is no Lucene index, or a damaged one."""
    check_index_directory(directory)
    start_jvm()
    from jnius import JavaException, autoclass

    path = autoclass("java.nio.file.Paths").get(str(directory.absolute()))
    try:
        return autoclass("org.apache.lucene.index.DirectoryReader").open(
            autoclass("org.apache.lucene.store.FSDirectory").open(path)
        )
    except JavaException as error:
        name = (error.classname or "").rpartition(".")[2]
        if "OutOfMemory" in name:
            raise explained(f"opening {directory}", name) from error
        raise InputError(f"{directory} is a damaged Lucene index, {name}: {error.innermessage}.", do=_DO) from error


def check_index_directory(directory: Path) -> None:
    """Raise `InputError` unless `directory` looks like a Lucene index. Needs no Java."""
    if not directory.is_dir():
        found = "is a file" if directory.exists() else "does not exist"
        raise InputError(f"The index {directory} {found}.", expected="the directory of a Lucene index", do=_DO)
    if not any(directory.glob("segments_*")):
        found = "has no segments file" if any(directory.iterdir()) else "is empty"
        raise InputError(f"{directory} is no Lucene index: it {found}.", do=_DO)
