"""The files of a corpus: which of a directory are read, and how each is."""

import logging
import re
from collections.abc import Callable, Iterator
from itertools import islice
from pathlib import Path

from splade_anserini.errors import InputError, counted
from splade_anserini.formats.beir import SHIPPED, BeirDirectory
from splade_anserini.formats.corpus_fields import CorpusOptions, Observer, choose_fields, document_of_row, is_known
from splade_anserini.formats.corpus_json import read_json
from splade_anserini.formats.corpus_tables import Located, read_csv, read_tsv
from splade_anserini.formats.hf_datasets import choose_split, saved_files, split_of
from splade_anserini.formats.parsing.archives import files_below, is_file
from splade_anserini.formats.parsing.arrow import arrow_rows, column_names, is_arrow
from splade_anserini.formats.parsing.compression import beginning, without_compression_suffix

EXPECTED = (
    "a BEIR directory or its zip archive, a .jsonl, .json, .tsv, .csv, .parquet or .arrow file, a directory of such "
    f"files, irds:<name>, hf:<name>, or {SHIPPED}"
)

type Reader = Callable[[Path, CorpusOptions, Observer], Iterator[Located]]


def _read_arrow(path: Path, options: CorpusOptions, observer: Observer) -> Iterator[Located]:
    roots = {name.partition(".")[0] for name in options.named} | set(options.named)
    names = column_names(path)
    fields = choose_fields(tuple(names), options)
    if not (fields.id and fields.texts):
        raise InputError(
            f"{path} has no column of {'the text' if fields.id else 'ids'}: its columns are {', '.join(names)}.",
            expected="columns such as id, title and text",
            do="Name columns by --id-field, --title-field and --text-fields.",
        )
    for location, row in islice(arrow_rows(path, lambda _: True), 1):
        observer.on_first(location, row)
    for location, row in arrow_rows(path, lambda name: options.keeps_fields or name in roots or is_known(name)):
        yield location, document_of_row(row, location, options)


_READERS: dict[str, Reader] = {
    ".jsonl": read_json,
    ".json": read_json,
    ".ndjson": read_json,
    ".jsonlines": read_json,
    ".jl": read_json,
    ".tsv": read_tsv,
    ".tab": read_tsv,
    ".csv": read_csv,
    ".parquet": _read_arrow,
    ".pq": _read_arrow,
    ".arrow": _read_arrow,
    ".feather": _read_arrow,
    ".ipc": _read_arrow,
}
SUFFIXES = tuple(_READERS)
"""The suffixes of corpora, before those of compressed files; other files are recognized by their content."""

_NO_DOCUMENTS = re.compile(
    r"(.*[._-])?(queries|topics|qrels)([._-].*)?|dataset_infos?\.json|state\.json|dataset_dict\.json"
)
"""Names of files and directories that certainly hold no documents."""
_SHOWN = 10

_log = logging.getLogger(__name__)


def read_file(path: Path, options: CorpusOptions, observer: Observer) -> Iterator[Located]:
    """Yield the documents of a file. Raises `RecordError` for a malformed record."""
    return reader_of(path)(path, options, observer)


def reader_of(path: Path) -> Reader:
    """Return the function that reads a file, by the suffix of its name, else by its content.

    Raises `InputError` when it is not known.
    """
    if reader := _READERS.get(_suffix(path)) or _sniffed(path):
        return reader
    if not is_file(path):
        raise InputError(f"The corpus {path} is a pipe or device.", expected="a file, as a corpus is read twice")
    start = beginning(path, 1 << 12).lstrip()[:5].upper()
    if start.startswith((b"<DOC>", b"<DOC ")):
        raise InputError(
            f"The corpus {path} has TREC's markup (<DOC>).",
            expected=EXPECTED,
            do="Convert it to JSON lines, or name it as irds:<name> if ir_datasets has it.",
        )
    raise InputError(f"The corpus {path} has an unknown format.", expected=EXPECTED, do="Rename or convert it.")


def directory_files(directory: Path, split: str = "") -> tuple[Path, ...]:
    """Return the files of documents in a directory, or in a folder of an archive, sorted by path.

    These are a corpus.jsonl, what `save_to_disk` wrote, what is in a folder `corpus`, or all files of known formats in
    and below it. A warning names the files that are not read. Raises `InputError` when there are none, and for several
    collections or splits.
    """
    if (files := saved_files(directory, split)) is not None:
        return tuple(files)
    everything = files_below(directory)
    if not split and (path := BeirDirectory(directory).corpus_file):
        return (path,)
    top = [path for path in everything if path.parent == directory]
    named = [path for path in top if without_compression_suffix(path.name).rpartition(".")[0] == "corpus"]
    named = named or [path for path in everything if path.relative_to(directory).parts[0] == "corpus" != path.name]
    candidates = named or everything
    files = [path for path in candidates if _is_read(path, directory)]
    if not named:
        _refuse_collections(directory, files)
    files = _of_split(directory, files, split)
    if not files:
        raise InputError(f"The directory {directory} contains no corpus.", expected=EXPECTED)
    unread = [path.relative_to(directory).as_posix() for path in candidates if path not in set(files)]
    if unread and not split:
        more = f" and {counted(len(unread) - _SHOWN, 'other')}" if len(unread) > _SHOWN else ""
        were = "was" if len(unread) == 1 else "were"
        shown = ", ".join(unread[:_SHOWN])
        _log.warning("%s in %s %s not read: %s%s", counted(len(unread), "file"), directory, were, shown, more)
    return tuple(files)


def _of_split(directory: Path, files: list[Path], split: str) -> list[Path]:
    """Return the files of a split, where they are named as the Hub names shards."""
    splits = sorted({split_of(path.name) for path in files} - {""})
    if not split and len(splits) < 2:
        return files
    chosen = choose_split(str(directory), splits, split)
    return [path for path in files if split_of(path.name) == chosen]


def _refuse_collections(directory: Path, files: list[Path]) -> None:
    """Raise `InputError` for a directory of BEIR directories, whose ids are unique in each alone."""
    names = sorted(
        {
            path.parent.relative_to(directory).as_posix()
            for path in files
            if path.parent != directory and without_compression_suffix(path.name) == "corpus.jsonl"
        }
    )
    if len(names) > 1:
        raise InputError(
            f"The directory {directory} contains {counted(len(names), 'collection')}: {', '.join(names[:20])}.",
            expected="one corpus",
            do=f"Name one of them, for example {directory / names[0]}",
        )


def _is_read(path: Path, directory: Path) -> bool:
    names = path.relative_to(directory).parts
    if any(_NO_DOCUMENTS.fullmatch(without_compression_suffix(name)) for name in names):
        return False
    if _suffix(path):
        return _suffix(path) in _READERS
    return _sniffed(path) is read_json


def _suffix(path: Path) -> str:
    return Path(without_compression_suffix(path.name)).suffix.lower()


def _sniffed(path: Path) -> Reader | None:
    """Return the function that reads a file whose name does not say what it is, by its first bytes, if that is clear.

    MS MARCO's msmarco_passage_00.gz and Spark's part-00000 are such files.
    """
    if not is_file(path):
        return None
    if is_arrow(path):
        return _read_arrow
    start = beginning(path, 1 << 16).removeprefix(b"\xef\xbb\xbf").lstrip()
    if start.startswith((b"{", b"[{")):
        return read_json
    return read_tsv if b"\t" in start.partition(b"\n")[0] else None
