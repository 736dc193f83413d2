"""The command `train`: an encoder card and training examples → a SPLADE checkpoint."""

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from splade_anserini.cli.console import main_of, progress_bar
from splade_anserini.errors import InputError
from splade_anserini.options import option, options
from splade_anserini.progress import Progress, silent
from splade_anserini.records import StrPath
from splade_anserini.training.options import TextLookupOptions, TrainingOptions

if TYPE_CHECKING:
    from splade_anserini.cards.encoder_card import EncoderCard
    from splade_anserini.formats.examples import Examples
    from splade_anserini.training.validation import Validation


def train(
    card: "EncoderCard",
    sources: "Sequence[Examples]",
    output: StrPath,
    options: TrainingOptions | None = None,
    *,
    validation: "Validation | None" = None,
    progress: Progress = silent,
) -> list[dict[str, float]]:
    """Train the card's recipe; write the checkpoint, its log and a plot of the log into `output`; return the log.

    Checkpoints are written to the directory `<output>.training`, from which an interrupted run resumes with the same
    result. Raises `InputError` when the card has no recipe or the data do not fit it, `MismatchError` when an
    unfinished run at this output has other settings, `TrainingError` when the vectors collapse or do not become sparse.
    """
    from splade_anserini.training.training_run import train as run_training

    return run_training(card, sources, output, options or TrainingOptions(), validation=validation, progress=progress)


@options
class ValidationOptions:
    """The collection and the measures with which a model is validated during training."""

    validation: str | None = option(
        default=None, help="BEIR directory to validate on: DIR, for its split dev, or DIR@SPLIT."
    )
    measures: tuple[str, ...] = option(
        default=(), help="Measures of validation; the first decides. Repeat for several.", unset="nDCG@10 R@100"
    )


def command(
    card: Annotated[str, typer.Option(help="Encoder card with a table [training]: a path, or a name.")],
    data: Annotated[
        list[str],
        typer.Option(
            help="Examples: BEIR directory (DIR, DIR@SPLIT), .tsv or .jsonl of triples, titles:CORPUS, "
            "sentences:CORPUS, irds:<name>; may be given several times."
        ),
    ],
    output: Annotated[Path, typer.Option(help="Directory of the new checkpoint.")],
    lookup: TextLookupOptions,
    validated: ValidationOptions,
    options: TrainingOptions,
    change: Annotated[
        list[str] | None,
        typer.Option("--set", help="Change a line of the card: training.seed=1; may be given several times."),
    ] = None,
) -> None:
    """Train a SPLADE model as a card describes it.

    The checkpoint loads in transformers, in encode and export, and in sentence-transformers. If a run is interrupted,
    the same command resumes it from its last checkpoint. With --validation the best checkpoint is kept, else the last.

    \b
    Example:
      splade-anserini train --card splade-v2-max --data triples.jsonl --corpus collection.tsv --topics queries.tsv \\
        --output encoders/splade-v2-max
    """
    from splade_anserini.cards.finding import find_encoder_card
    from splade_anserini.cli.lookup import open_texts_from_options
    from splade_anserini.evaluation.measures import parse_measures
    from splade_anserini.formats.examples import open_examples
    from splade_anserini.training.run_directory import preflight

    if validated.validation is None and (options.patience or validated.measures):
        raise InputError(
            f"{'--patience' if options.patience else '--measures'} needs --validation.",
            do="Add --validation, or leave it out.",
        )
    encoder = find_encoder_card(card, change or ())
    steps = preflight(encoder, output).steps
    measures = parse_measures(validated.measures or ("nDCG@10", "R@100"))
    # Only from here on are packages and data loaded that take long.
    from splade_anserini.training.validation import open_validation

    validation = open_validation(validated.validation, measures, encoder) if validated.validation else None
    texts = open_texts_from_options(lookup.corpus, lookup.topics)
    sources = [open_examples(name, texts) for name in data]
    with progress_bar("Training", steps, "steps") as progress:
        log = train(encoder, sources, output, options, validation=validation, progress=progress)
    if log:
        typer.echo(f"{output}: {_summary(log)}")


def _summary(log: Sequence[dict[str, float]]) -> str:
    steps = [row for row in log if "loss" in row]
    validations = [row for row in log if "loss" not in row]
    last = steps[-1]
    line = (
        f"{int(last['step']):,} steps, loss {last['loss']:.4f}, {last['active q']:.0f} active entries in a query and "
        f"{last['active d']:.0f} in a document"
    )
    if not validations:
        return line
    names = [name for name in validations[0] if name != "step"]
    best = max(validations, key=lambda row: row[names[0]])
    return f"{line}; best at step {int(best['step']):,}: " + ", ".join(f"{name} {best[name]:.4f}" for name in names)


if __name__ == "__main__":
    main_of(command)
