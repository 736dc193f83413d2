"""Stage: training examples → the same with teachers' scores."""

from collections.abc import Iterator, Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

import typer

from splade_anserini.cli import options
from splade_anserini.cli.console import main_of, progress_bar
from splade_anserini.progress import Progress, silent

if TYPE_CHECKING:
    from splade_anserini.formats.example_records import ExampleRecord
    from splade_anserini.formats.examples import LineExamples
    from splade_anserini.training.teachers.dense import Teacher


def score(
    examples: "LineExamples", teachers: Sequence["Teacher"], progress: Progress = silent
) -> Iterator["ExampleRecord"]:
    """Yield each example with the score of its positive and of each negative; scores that it had are replaced.

    Of several teachers the mean is taken, see `mean_scores`; so all examples are scored before the first is yielded.
    """
    from splade_anserini.training.teachers.scoring import ScoreTable, mean_scores, teacher_scores

    tables = [ScoreTable(teacher.name, teacher_scores(examples, teacher, progress)) for teacher in teachers]
    for number in range(len(examples)):
        yield replace(examples.record(number), scores=mean_scores(tables, number))


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
    corpus: Annotated[str | None, typer.Option(help="Where the ids of documents in a file are looked up.")] = None,
    topics: Annotated[str | None, typer.Option(help="Where the ids of queries in a file are looked up.")] = None,
    batch_size: Annotated[int, typer.Option(help="Texts, or pairs, that a teacher reads at once.")] = 64,
    max_length: Annotated[int, typer.Option(help="Tokens of a text, or of a pair, that are read.")] = 256,
    dense_scale: Annotated[
        float | None,
        typer.Option(help="Factor of a sentence encoder's dot products. [default: 20 if normalized, else 1]"),
    ] = None,
    precision: Annotated[Literal["fp32", "bf16"], typer.Option(help="What teachers compute in.")] = "fp32",
    device: options.Device = "auto",
    output_format: Annotated[
        Literal["jsonl", "margin-tsv"],
        typer.Option(
            "--format", help="jsonl, or 5 columns a negative: score+, score−, ids of query, positive, negative."
        ),
    ] = "jsonl",
) -> None:
    """Let teachers score the query of each training example with its positive and negatives.

    \b
    Example:
      splade-anserini score --examples triples.jsonl --corpus corpus.jsonl --topics queries.jsonl
        --teacher cross-encoder/ms-marco-MiniLM-L6-v2 --output scored.jsonl
    """
    from splade_anserini.cli.lookup import open_texts_from_options
    from splade_anserini.formats.example_records import write_examples
    from splade_anserini.formats.examples import open_examples
    from splade_anserini.training.teachers.inputs import TeacherOptions
    from splade_anserini.training.teachers.opening import open_teacher

    options = TeacherOptions(max_length, batch_size, device, precision == "bf16", dense_scale)
    opened = open_examples(examples, open_texts_from_options(corpus, topics))
    teachers = [open_teacher(name, options) for name in teacher]
    with progress_bar("Scoring", len(opened) * len(teachers), "examples") as progress:
        count = write_examples(output, score(opened, teachers, progress), output_format)
    typer.echo(f"{output}: {count:,} examples, scored by {', '.join(teacher)}")


if __name__ == "__main__":
    main_of(command)
