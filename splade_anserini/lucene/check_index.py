"""Lucene's own check of an index, CheckIndex."""

import re
from pathlib import Path

from splade_anserini.lucene.index_reader import check_index_directory
from splade_anserini.lucene.java.java_errors import java_errors
from splade_anserini.lucene.java.jvm import start_jvm
from splade_anserini.lucene.java.threads import JAVA_LOCK
from splade_anserini.records import StrPath

_FAILED = re.compile(r"^\s*(?:test: .*?)?(FAILED|ERROR)\b.*|^.*(?:Exception|Error): .*", re.MULTILINE)
_SHOWN = 3
"""Lines of its output that a problem quotes."""


def check_index(index: StrPath, level: int = 1) -> list[str]:
    """Run CheckIndex and return the problems that it finds; none is repaired, and no lock is taken.

    Level 1 compares the checksum of every file, level 2 reads all structures, level 3 compares them with one another.
    Raises `InputError` when `index` is not the directory of a Lucene index.
    """
    index = Path(index)
    check_index_directory(index)
    start_jvm()
    from jnius import JavaException, autoclass

    path = autoclass("java.nio.file.Paths").get(str(index.absolute()))
    no_locks = autoclass("org.apache.lucene.store.NoLockFactory").INSTANCE
    output = autoclass("java.io.ByteArrayOutputStream")()
    with JAVA_LOCK, java_errors(f"checking {index}"):
        directory = autoclass("org.apache.lucene.store.FSDirectory").open(path, no_locks)
        checker = autoclass("org.apache.lucene.index.CheckIndex")(directory)
        try:
            checker.setInfoStream(autoclass("java.io.PrintStream")(output, True))
            checker.setLevel(level)
            status = checker.checkIndex()
        except JavaException as error:
            return [f"{(error.classname or '').rpartition('.')[2]}: {error.innermessage}"]
        finally:
            checker.close()
            directory.close()
    if status.clean:
        return []
    lines = [" ".join(match[0].split()) for match in _FAILED.finditer(str(output.toString()))]
    return list(dict.fromkeys(lines))[:_SHOWN] or ["CheckIndex reports a damaged index"]
