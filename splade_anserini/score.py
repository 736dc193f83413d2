"""The command `score`: training examples → the same examples with teachers' scores."""

from collections.abc import Iterator, Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

import typer

from splade_anserini.cli.console import main_of, progress_bar
from splade_anserini.progress import Progress, silent
from splade_anserini.training.options import TeacherOptions, TextLookupOptions

if TYPE_CHECKING:
    from splade_anserini.formats.example_records import ExampleRecord
    from splade_anserini.formats.examples import LineExamples
    from splade_anserini.training.teachers.dense import Teacher


def score(
    examples: "LineExamples", teachers: Sequence["Teacher"], progress: Progress = silent
) -> Iterator["ExampleRecord"]:
    """Yield each example with the scores of its positive and of each negative, in place of any it had.

    With several teachers these are the means, see `mean_scores`; all examples are then scored before the first is
    yielded.
    """
    from splade_anserini.training.teachers.scoring import ScoreTable, mean_scores, teacher_scores

    tables = [ScoreTable(teacher.name, teacher_scores(examples, teacher, progress)) for teacher in teachers]
    for index in range(len(examples)):
        yield replace(examples.record(index), scores=mean_scores(tables, index))


def command(
    examples: Annotated[
        str, typer.Option(help="Examples: .jsonl or .tsv (.gz too), BEIR directory, titles:CORPUS, irds:<name> …")
    ],
    teacher: Annotated[
        list[str],
        typer.Option(
            help="Hugging Face id or directory of a cross-encoder or sentence encoder, package:<module>, or "
            "splade:ENCODER; cross: and dense: force the kind. May be given several times: the mean."
        ),
    ],
    output: Annotated[Path, typer.Option(help="The scored examples to write; gzipped when its name ends in .gz.")],
    lookup: TextLookupOptions,
    options: TeacherOptions,
    output_format: Annotated[
        Literal["jsonl", "margin-tsv"],
        typer.Option(
            "--format", help="jsonl, or 5 columns a negative: score+, score−, ids of query, positive, negative."
        ),
    ] = "jsonl",
) -> None:
    """Score the query of each training example with its positive and with its negatives.

    \b
    Example:
      splade-anserini score --examples triples.jsonl --corpus corpus.jsonl --topics queries.jsonl
        --teacher cross-encoder/ms-marco-MiniLM-L6-v2 --output scored.jsonl
    """
    from splade_anserini.cli.lookup import open_texts_from_options
    from splade_anserini.formats.example_records import write_examples
    from splade_anserini.formats.examples import open_examples
    from splade_anserini.training.teachers.opening import open_teacher

    source = open_examples(examples, open_texts_from_options(lookup.corpus, lookup.topics))
    teachers = [open_teacher(name, options) for name in teacher]
    with progress_bar("Scoring", len(source) * len(teachers), "examples") as progress:
        count = write_examples(output, score(source, teachers, progress), output_format)
    typer.echo(f"{output}: {count:,} examples, scored by {', '.join(teacher)}")


if __name__ == "__main__":
    main_of(command)
