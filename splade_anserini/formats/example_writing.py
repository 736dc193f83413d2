"""Training examples, written."""

from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Literal

from splade_anserini.errors import InputError
from splade_anserini.formats.example_records import ExampleRecord
from splade_anserini.formats.parsing.writing import open_whole

type ExampleFormat = Literal["jsonl", "margin-tsv"]


def write_examples(
    path: Path,
    records: Iterable[ExampleRecord],
    format: ExampleFormat = "jsonl",  # noqa: A002  # the option's name
) -> int:
    """Write records as they come and return their number; the file appears whole, gzipped if its name ends in .gz.

    As margin-tsv, each negative has a line: score of positive and of negative, ids of query, positive and negative
    (Hofstätter et al. 2020). Raises `InputError` for a record without scores or ids, which that format needs, or when
    there are no records.
    """
    count = 0
    with open_whole(path) as file:
        for record in records:
            lines = [record.json_line()] if format == "jsonl" else _margins(record, count + 1)
            file.writelines(line + b"\n" for line in lines)
            count += 1
        if not count:
            raise InputError(f"There are no examples to write to {path}.", expected="at least one")
    return count


def _margins(record: ExampleRecord, number: int) -> Iterator[bytes]:
    passages = (record.query, record.positive, *record.negatives)
    query, positive, *negatives = [passage.id or "" for passage in passages]
    if record.scores is None or not all((query, positive, *negatives)):
        raise InputError(
            f"Example {number} cannot be written as margin-tsv: it has no "
            + ("scores." if record.scores is None else "ids."),
            expected="scores, and ids of query, positive and negatives",
            do="Write jsonl, which holds texts too.",
        )
    first, *others = record.scores
    for negative, score in zip(negatives, others, strict=True):
        yield f"{first!r}\t{score!r}\t{query}\t{positive}\t{negative}".encode()
