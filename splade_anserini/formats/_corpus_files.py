"""Corpora in files: .jsonl, .json and .tsv, each also .gz."""

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from splade_anserini.formats.parsing.fields import checked_id, optional_text, record_id, record_text
from splade_anserini.formats.parsing.json_records import json_records
from splade_anserini.formats.parsing.lines import Place, text_lines
from splade_anserini.records import Document

SUFFIXES = (".jsonl", ".json", ".tsv")
TEXT_KEYS = ("text", "contents")


def is_corpus_file(path: Path) -> bool:
    """Say whether the name is one of a file that can be read here."""
    return not path.name.startswith(".") and path.name.removesuffix(".gz").endswith(SUFFIXES)


@dataclass(frozen=True)
class FileCorpus:
    """The documents of some files, one file after the other."""

    name: str
    files: tuple[Path, ...]

    def __iter__(self) -> Iterator[Document]:
        return (document for _, document in self.placed())

    def placed(self) -> Iterator[tuple[Place, Document]]:
        """Yield each document with the line it stands at. Raises `RecordError` for one that is none."""
        for path in self.files:
            yield from _tsv(path) if path.name.removesuffix(".gz").endswith(".tsv") else _json(path)


def _json(path: Path) -> Iterator[tuple[Place, Document]]:
    for place, record in json_records(path):
        yield (
            place,
            Document(
                record_id(record, place),
                optional_text(record, place, "title"),
                record_text(record, place, TEXT_KEYS),
            ),
        )


def _tsv(path: Path) -> Iterator[tuple[Place, Document]]:
    for place, line in text_lines(path):
        match line.split("\t"):
            case [id_, text]:
                yield place, Document(checked_id(id_, place), "", text)
            case [id_, title, text]:
                yield place, Document(checked_id(id_, place), title, text)
            case columns:
                raise place.error(
                    f"{len(columns)} column{'s' * (len(columns) > 1)}",
                    expected="id<TAB>text or id<TAB>title<TAB>text",
                    do="Separate the columns by one tab each, and replace tabs inside the text.",
                )
