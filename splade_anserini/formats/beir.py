"""BEIR directories: corpus.jsonl, queries.jsonl, and the judgements of each split in qrels/SPLIT.tsv.

The files may be compressed, and the directory may be in a zip archive, as BEIR's downloads are.
"""

import os
from dataclasses import dataclass
from difflib import get_close_matches
from pathlib import Path
from typing import Self

from splade_anserini.cards.shipped import cranfield
from splade_anserini.errors import InputError
from splade_anserini.formats.parsing.archives import as_directory, glob_files
from splade_anserini.formats.parsing.compression import without_compression_suffix
from splade_anserini.records import StrPath

SPLIT_SEPARATOR = "@"
SHIPPED = "cranfield"
"""The name of the collection that ships with the package, as corpus, topics and qrels."""


def source_path(source: StrPath) -> Path:
    """Return the path that a source names: of the collection that ships, if it is its name and no path that exists."""
    path = Path(source)
    return cranfield() if os.fspath(source) == SHIPPED and not os.path.lexists(path) else path


def collections_in(source: StrPath) -> dict[str, str]:
    """Return the collections in a directory that has no judgements itself by their names, each as a source of qrels.

    `DIR@SPLIT` names that split of each. The result is empty for any other source.
    """
    path, suffix = _directory_and_suffix(source)
    if path is None or (directory := BeirDirectory(path)).available_splits:
        return {}
    return {name: f"{path / name}{suffix}" for name in directory.sub_collections}


def _directory_and_suffix(source: StrPath) -> tuple[Path | None, str]:
    """Return the directory that `source` names, or None, and what follows it: "" or "@SPLIT+SPLIT".

    A path that exists is taken as it is, even if its name contains "@".
    """
    path, suffix = source_path(source), ""
    if not path.exists() and as_directory(path) is None:
        name, separator, splits = os.fspath(source).rpartition(SPLIT_SEPARATOR)
        if not name:
            return None, ""
        path, suffix = source_path(name), separator + splits
    directory = as_directory(path)
    return (directory, suffix) if directory else (None, "")


@dataclass(frozen=True, slots=True)
class BeirDirectory:
    """A directory and the splits named with it: `DIR`, `DIR@SPLIT` or `DIR@SPLIT+SPLIT`."""

    path: Path
    splits: tuple[str, ...] = ()

    @classmethod
    def parse(cls, source: StrPath) -> Self | None:
        """Return the directory and splits that `source` names, or None when it does not name a directory.

        Raises `InputError` for a split that the directory does not have.
        """
        path, suffix = _directory_and_suffix(source)
        if path is None:
            return None
        splits = suffix.removeprefix(SPLIT_SEPARATOR).split("+") if suffix else ()
        return cls(path, tuple(dict.fromkeys(splits)))

    def __post_init__(self) -> None:
        self._find(self.splits)

    @property
    def corpus_file(self) -> Path | None:
        """The file of documents, if there is one."""
        return self._first_file("corpus.jsonl")

    @property
    def queries_file(self) -> Path | None:
        """The file of queries of all splits, if there is one."""
        return self._first_file("queries.jsonl")

    @property
    def available_splits(self) -> dict[str, Path]:
        """The files of judgements by the names of their splits, in alphabetical order."""
        names = {
            path: without_compression_suffix(path.name) for path in reversed(glob_files(self.path, "qrels/*.tsv*"))
        }
        splits = {name.removesuffix(".tsv"): path for path, name in names.items() if name.endswith(".tsv")}
        return dict(sorted(splits.items()))

    def qrels_files(self, default_split: str) -> list[Path]:
        """Return the files of judgements of the named splits, or of the default split when none is named.

        Raises `InputError` when it does not have them.
        """
        return self._find(self.splits or (default_split,))

    @property
    def sub_collections(self) -> list[str]:
        """The names of the directories in it that have judgements of their own, as those of CQADupStack."""
        return sorted({path.parent.parent.name for path in glob_files(self.path, "*/qrels/*.tsv*")})

    def _find(self, splits: tuple[str, ...]) -> list[Path]:
        available = self.available_splits
        for split in splits:
            if split not in available:
                raise self._unknown_split(split, list(available))
        return [available[split] for split in splits]

    def _first_file(self, name: str) -> Path | None:
        """Return the file of this name, perhaps with a suffix of compressed files; first the one without."""
        files = glob_files(self.path, f"{name}*")
        return next((path for path in files if without_compression_suffix(path.name) == name), None)

    def _unknown_split(self, split: str, available: list[str]) -> InputError:
        problem = f"The directory {self.path} has no split {split!r}: there is no qrels/{split}.tsv."
        if not available and self.sub_collections:
            return InputError(
                problem,
                expected=f"one of the collections in it: {', '.join(self.sub_collections)}",
                do=f"Name one, for example {self.path / self.sub_collections[0]}; `evaluate` takes them all.",
            )
        if not available:
            return InputError(problem, expected="a BEIR directory with judgements in qrels/SPLIT.tsv")
        similar = get_close_matches(split, available, n=1)
        return InputError(
            problem,
            expected=f"one or more of its splits: {', '.join(available)}",
            do=f"Did you mean {self.path}{SPLIT_SEPARATOR}{similar[0]}?"
            if similar
            else f"Name one or more, for example {self.path}{SPLIT_SEPARATOR}{'+'.join(available[:2])}.",
        )
