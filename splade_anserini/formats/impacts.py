"""Impact pseudo-documents, the JSON that Anserini indexes: `{"id": "d0", "contents": "…", "vector": {"cat": 215}}`.

Anserini drops what it cannot use without a word (a record without a vector takes the rest of its file with it), so
here every record is checked.
"""

import os
from collections.abc import Iterator
from pathlib import Path

from splade_anserini.artifacts.manifests import Counts
from splade_anserini.errors import InputError
from splade_anserini.formats._impact_writer import ImpactWriter, impact_line
from splade_anserini.formats.parsing.duplicates import DuplicateFinder, refuse_duplicates
from splade_anserini.formats.parsing.fields import optional_text, record_id
from splade_anserini.formats.parsing.json_records import Record, json_record, json_records
from splade_anserini.formats.parsing.lines import Place
from splade_anserini.formats.tokens import VectorCheck
from splade_anserini.progress import Progress, silent
from splade_anserini.records import ImpactDocument

__all__ = ["ImpactWriter", "count_impacts", "impact_files", "impact_line", "read_impact", "read_impacts"]

SUFFIXES = (".json", ".jsonl", ".gz")


def impact_files(directory: Path) -> list[Path]:
    """Return the files under `directory` that Anserini would read, by name; links are followed, as it does."""
    found = (Path(root) / name for root, _, names in os.walk(directory, followlinks=True) for name in names)
    return sorted(path for path in found if path.name.endswith(SUFFIXES))


def read_impacts(path: Path) -> Iterator[ImpactDocument]:
    """Yield each document of a file. Raises `RecordError` for one that Anserini would drop or change."""
    return (document for _, document in _placed(path, VectorCheck()))


def read_impact(line: bytes, place: Place, check: VectorCheck) -> ImpactDocument:
    """Return the document in one line of JSON. Raises `RecordError` when Anserini would drop or change it."""
    return _document(json_record(line, place), place, check)


def count_impacts(directory: Path, progress: Progress = silent) -> tuple[Counts, int]:
    """Check every record under `directory`; return what an index of it holds, and the number of empty vectors.

    Memory does not grow with the collection. Raises `RecordError` for a bad record or a duplicate id, `InputError`
    when there are no files or no records.
    """
    files = impact_files(directory)
    if not files:
        raise InputError(
            f"{directory} holds no impact pseudo-documents."
            if directory.is_dir()
            else f"The directory {directory} does not exist.",
            expected="a directory of .json, .jsonl or .gz files, as encode writes them",
        )
    documents = postings = impacts = empty = 0
    with DuplicateFinder() as ids:
        for _, document in _placed_in(files):
            ids.add(document.id)
            documents += bool(document.vector)
            empty += not document.vector
            postings += len(document.vector)
            impacts += sum(document.vector.values())
            progress(1)
        if not documents + empty:
            raise InputError(f"The files of {directory} are empty.", expected="at least one record")
        refuse_duplicates(ids, lambda: ((place, document.id) for place, document in _placed_in(files)), "document id")
    return Counts(documents=documents, postings=postings, impacts=impacts), empty


def _placed_in(files: list[Path]) -> Iterator[tuple[Place, ImpactDocument]]:
    check = VectorCheck()
    for path in files:
        yield from _placed(path, check)


def _placed(path: Path, check: VectorCheck) -> Iterator[tuple[Place, ImpactDocument]]:
    for place, record in json_records(path):
        yield place, _document(record, place, check)


def _document(record: Record, place: Place, check: VectorCheck) -> ImpactDocument:
    id_ = record_id(record, place, ("id",))
    if "vector" not in record:
        raise place.error(
            "no vector",
            expected='a record {"id": …, "vector": {"token": impact, …}}',
            do="Encode the texts first: Anserini would skip the rest of the file.",
        )
    return ImpactDocument(id_, check(record["vector"], place), optional_text(record, place, "contents"))
