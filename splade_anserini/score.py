"""The command `score`: training examples → the same examples with teachers' scores."""

import logging
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

import typer

from splade_anserini.cli.console import main_of, progress_bar
from splade_anserini.cli.results import make_once
from splade_anserini.errors import counted
from splade_anserini.options import option, options, recorded_options
from splade_anserini.progress import Progress, silent
from splade_anserini.training.options import TeacherOptions, TextLookupOptions

if TYPE_CHECKING:
    from splade_anserini.artifacts.outputs import OutputRecord
    from splade_anserini.formats.example_records import ExampleRecord
    from splade_anserini.formats.examples import LineExamples
    from splade_anserini.training.teachers.dense import Teacher

_log = logging.getLogger(__name__)


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


@options
class ScoreOutput:
    """Where and how scored examples are written."""

    output: Path = option(help="Scored examples to write; gzipped when the name ends in .gz.", recorded=False)
    format: Literal["jsonl", "margin-tsv"] = option(
        default="jsonl",
        help="jsonl, or margin-tsv: for each negative the scores of positive and negative, and the ids of query, "
        "positive and negative.",
    )
    overwrite: bool = option(default=False, help="Replace an output that exists.", recorded=False)


def command(
    examples: Annotated[
        str, typer.Option(help="Examples: .jsonl or .tsv (.gz too), BEIR directory, titles:CORPUS, irds:<name> …")
    ],
    teacher: Annotated[
        list[str],
        typer.Option(
            metavar="<str>",
            help="Hugging Face id or directory of a cross-encoder or sentence encoder, package:<module>, or "
            "splade:ENCODER; cross: and dense: before a name say of which kind it is. Repeat for several: their mean.",
        ),
    ],
    output: ScoreOutput,
    lookup: TextLookupOptions,
    options: TeacherOptions,
) -> None:
    """Score the query of each training example with its positive and with its negatives.

    \b
    Example:
      splade-anserini score --examples triples.jsonl --corpus corpus.jsonl --topics queries.jsonl \\
        --teacher cross-encoder/ms-marco-MiniLM-L6-v2 --output scored.jsonl
    """
    from splade_anserini.artifacts.files import require_disjoint

    require_disjoint([output.output], [examples, lookup.corpus, lookup.topics, *teacher])

    def make() -> dict[str, int]:
        return _score(examples, teacher, output, lookup, options)

    def summary(counts: Mapping[str, int]) -> str:
        return f"{counted(counts['examples'], 'example')}, scored by {', '.join(teacher)}"

    record = _record(examples, teacher, output, lookup, options)
    typer.echo(make_once(output.output, record, make, overwrite=output.overwrite).text("table", summary))


def _score(
    examples: str, names: Sequence[str], output: ScoreOutput, lookup: TextLookupOptions, options: TeacherOptions
) -> dict[str, int]:
    """Write the scored examples; return their number, and how many texts the teachers have cut."""
    from splade_anserini.cli.lookup import open_texts_from_options
    from splade_anserini.formats.example_records import write_examples
    from splade_anserini.formats.examples import open_examples
    from splade_anserini.training.teachers.opening import open_teacher
    from splade_anserini.training.teachers.scoring import log_truncated_texts

    _log.info("Reading examples %s", examples)
    source = open_examples(examples, open_texts_from_options(lookup.corpus, lookup.topics, lookup))
    teachers = [open_teacher(name, options) for name in names]
    _log.info("Scoring %s with %s", counted(len(source), "example"), ", ".join(names))
    with progress_bar("Scoring", len(source) * len(teachers), "examples") as progress:
        written = write_examples(output.output, score(source, teachers, progress), output.format)
    return {"examples": written} | log_truncated_texts(teachers, options.max_length)


def _record(
    examples: str, teachers: Sequence[str], output: ScoreOutput, lookup: TextLookupOptions, options: TeacherOptions
) -> "OutputRecord":
    from splade_anserini.artifacts.outputs import OutputRecord, fingerprints_of_inputs

    numbered = {f"teacher {number}": name for number, name in enumerate(teachers, 1)}
    inputs = fingerprints_of_inputs({"examples": examples, **lookup.sources, **numbered})
    return OutputRecord("score", recorded_options(output, options, lookup), inputs)


if __name__ == "__main__":
    main_of(command)
