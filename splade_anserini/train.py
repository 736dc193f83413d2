"""Stage: a card and examples → a SPLADE checkpoint."""

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from splade_anserini.cli.console import main_of, progress_bar
from splade_anserini.progress import Progress, silent

if TYPE_CHECKING:
    from splade_anserini.cards.encoder_card import EncoderCard
    from splade_anserini.formats.examples import Examples
    from splade_anserini.training.loop import LoopOptions
    from splade_anserini.training.validation import Validation

WORK = ".training"
"""What is added to the output's name for the directory of checkpoints and log, which goes when training is done."""


def train(
    card: "EncoderCard",
    sources: "Sequence[Examples]",
    output: Path,
    options: "LoopOptions",
    *,
    validation: "Validation | None" = None,
    progress: Progress = silent,
) -> list[dict[str, float]]:
    """Train as the card's recipe says; write the checkpoint, its log and a plot of it into `output`; return the log.

    A run that was interrupted goes on from its last checkpoint, to the same result. Raises `InputError` when the card
    has no recipe or the data cannot serve it, `MismatchError` when a run with other settings has begun at this output,
    `TrainingError` when the vectors collapse or fill up.
    """
    from splade_anserini.training.training_run import train as fit

    return fit(card, sources, output, options, validation=validation, progress=progress)


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
    corpus: Annotated[str | None, typer.Option(help="Where ids of documents in --data are looked up.")] = None,
    topics: Annotated[str | None, typer.Option(help="Where ids of queries in --data are looked up.")] = None,
    change: Annotated[
        list[str] | None,
        typer.Option("--set", help="Change a line of the card: training.seed=1; may be given several times."),
    ] = None,
    validation: Annotated[
        str | None, typer.Option(help="BEIR directory to validate on: DIR for its split dev, or DIR@SPLIT.")
    ] = None,
    measures: Annotated[
        list[str] | None, typer.Option(help="Measures of validation; the first decides. [default: nDCG@10 R@100]")
    ] = None,
    validate_every: Annotated[int, typer.Option(help="Steps from one validation to the next.")] = 1000,
    patience: Annotated[
        int, typer.Option(help="Stop after so many validations without a better one. 0: train to the end.")
    ] = 0,
    checkpoint_every: Annotated[int, typer.Option(help="Steps from one checkpoint, to go on from, to the next.")] = 500,
    log_every: Annotated[int, typer.Option(help="Steps whose mean is one line of the log.")] = 10,
) -> None:
    """Train a SPLADE model as a card says.

    The checkpoint loads in transformers, in encode and export, and in sentence-transformers. When a run is interrupted,
    the same command goes on from its last checkpoint. With --validation the best checkpoint is kept, else the last.

    \b
    Example:
      splade-anserini train --card splade-v2-max --data triples.jsonl --corpus collection.tsv --topics queries.tsv \\
        --output encoders/splade-v2-max
    """
    from splade_anserini.cards.finding import find_encoder_card
    from splade_anserini.cli.lookup import open_texts_from_options
    from splade_anserini.errors import InputError
    from splade_anserini.evaluation.measures import parse_measures
    from splade_anserini.formats.examples import open_examples
    from splade_anserini.training.preflight import require_ready

    if min(validate_every, checkpoint_every, log_every) < 1 or patience < 0:
        raise InputError("A number of steps is out of its range.", expected="1 or more; --patience may be 0")
    if validation is None and (patience or measures):
        raise InputError(f"{'--patience' if patience else '--measures'} is given without --validation.")
    chosen = find_encoder_card(card, change or ())
    steps = require_ready(chosen, output).steps
    judged_by = parse_measures(measures or ["nDCG@10", "R@100"])
    # Only now what takes long.
    from splade_anserini.training.loop import LoopOptions
    from splade_anserini.training.validation import open_validation

    judge = open_validation(validation, judged_by, chosen) if validation else None
    texts = open_texts_from_options(corpus, topics)
    sources = [open_examples(name, texts) for name in data]
    options = LoopOptions(
        output.with_name(output.name + WORK),
        checkpoint_every=checkpoint_every,
        log_every=log_every,
        validate_every=validate_every if validation else 0,
        patience=patience,
    )
    with progress_bar("train", steps, "steps") as progress:
        log = train(chosen, sources, output, options, validation=judge, progress=progress)
    if log:
        typer.echo(f"{output}: {_summary(log)}")


def _summary(log: Sequence[dict[str, float]]) -> str:
    steps = [row for row in log if "loss" in row]
    validated = [row for row in log if "loss" not in row]
    last = steps[-1]
    line = (
        f"{int(last['step']):,} steps, loss {last['loss']:.4f}, active entries {last['active q']:.0f} a query and "
        f"{last['active d']:.0f} a document"
    )
    if not validated:
        return line
    names = [name for name in validated[0] if name != "step"]
    best = max(validated, key=lambda row: row[names[0]])
    return f"{line}; best at step {int(best['step']):,}: " + ", ".join(f"{name} {best[name]:.4f}" for name in names)


if __name__ == "__main__":
    main_of(command)
