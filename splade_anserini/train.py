"""The command `train`: an encoder card and training examples → a SPLADE checkpoint."""

import logging
import os
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal

import typer

from splade_anserini.cli.console import main_of, progress_bar
from splade_anserini.cli.results import Result
from splade_anserini.errors import InputError, counted
from splade_anserini.options import option, options, recorded_options
from splade_anserini.progress import Progress, silent
from splade_anserini.records import StrPath
from splade_anserini.training.options import RecipeOptions, TextLookupOptions, TrainingOptions

if TYPE_CHECKING:
    from splade_anserini.artifacts.outputs import OutputRecord
    from splade_anserini.cards.encoder_card import EncoderCard
    from splade_anserini.formats.examples import Examples
    from splade_anserini.training.validation import Validation

_MEASURES = ("nDCG@10", "R@100")

_log = logging.getLogger(__name__)


def train(
    card: "EncoderCard",
    sources: "Sequence[Examples]",
    output: StrPath,
    options: TrainingOptions | None = None,
    *,
    validation: "Validation | None" = None,
    overwrite: bool = False,
    progress: Progress = silent,
) -> list[dict[str, float]]:
    """Train the card's recipe; write checkpoint, model card, log and a plot of the log into `output`; return the log.

    Checkpoints are written to the directory `<output>.training`, from which an interrupted run resumes with the same
    result; with `overwrite`, output and checkpoints are removed and the run starts over. Raises `InputError` when the
    card has no recipe or the data do not fit it, `MismatchError` when an unfinished run at this output has other
    settings, `TrainingError` when the vectors collapse or do not become sparse.
    """
    from splade_anserini.training.training_run import train as run_training

    options = options or TrainingOptions()
    return run_training(card, sources, output, options, validation=validation, overwrite=overwrite, progress=progress)


@options
class ValidationOptions:
    """The collection and the measures with which a model is validated during training."""

    validation: str | None = option(
        default=None, help="BEIR directory to validate on: DIR, for its split dev, or DIR@SPLIT.", recorded=False
    )
    measures: tuple[str, ...] = option(
        default=(),
        help="Measures of validation; the first decides. Repeat for several.",
        unset=" ".join(_MEASURES),
    )

    def __post_init__(self) -> None:
        if self.validation is None and self.measures:
            raise InputError("--measures needs --validation.", do="Add --validation, or leave --measures out.")


@options
class TrainingOutput:
    """Where the checkpoint goes, and what is printed."""

    output: Path = option(help="Directory of the new checkpoint.")
    format: Literal["table", "json"] = option(default="table", help="How to print the result.")
    overwrite: bool = option(
        default=False, help="Remove the checkpoint or unfinished run that an earlier command wrote, and start over."
    )
    push_to_hub: str | None = option(
        default=None,
        metavar="<str>",
        help="Upload the checkpoint to this repository of the Hugging Face Hub. A new one is private.",
        unset="none",
    )


def command(
    *,
    card: Annotated[
        str, typer.Option(help="Encoder card with a table [training]: a path, or a name.")
    ] = "splade-v2-max",
    data: Annotated[
        list[str],
        typer.Option(
            metavar="<str>",
            help="Examples: BEIR directory (DIR, DIR@SPLIT), .tsv or .jsonl of triples, titles:CORPUS, "
            "sentences:CORPUS, irds:<name>; repeat for several.",
        ),
    ],
    output: TrainingOutput,
    recipe: RecipeOptions,
    lookup: TextLookupOptions,
    validated: ValidationOptions,
    options: TrainingOptions,
    change: Annotated[
        list[str] | None,
        typer.Option("--set", metavar="<str>", help="Change a line of the card: training.seed=1; repeat for several."),
    ] = None,
) -> None:
    """Train a SPLADE model as a card describes it.

    The checkpoint loads in transformers, in encode and export, and in sentence-transformers, with any query side; it
    comes with a model card. If a run is interrupted, the same command resumes it from its last checkpoint. With
    --validation the best checkpoint is kept, else the last.

    \b
    Examples:
      splade-anserini train --card splade-v2-max --data triples.jsonl --corpus collection.tsv --topics queries.tsv \\
        --output encoders/splade-v2-max
      splade-anserini train --backbone my-checkpoint --data nfcorpus --steps 2000 --batch-size 32 \\
        --output encoders/mine
    """
    from splade_anserini.artifacts.files import require_disjoint
    from splade_anserini.training.recipe_changes import changed_card
    from splade_anserini.training.run_directory import run_directory

    if options.patience and validated.validation is None:
        raise InputError("--patience needs --validation.", do="Add --validation, or leave --patience out.")
    encoder = changed_card(card, recipe, change or ())
    inputs = [*data, lookup.corpus, lookup.topics, validated.validation, card]
    require_disjoint([output.output, run_directory(output.output)], inputs)
    if output.push_to_hub:
        from splade_anserini.training.hub import require_hub

        require_hub(output.push_to_hub)
    result = _train_once(encoder, data, output, lookup, validated, options)
    if _is_main_process():
        typer.echo(result.text(output.format, _summary))
        if output.push_to_hub:
            _push(output.output, output.push_to_hub)


def _train_once(
    card: "EncoderCard",
    data: Sequence[str],
    output: TrainingOutput,
    lookup: TextLookupOptions,
    validated: ValidationOptions,
    options: TrainingOptions,
) -> Result:
    """Train, unless the same command has made the output before."""
    from splade_anserini.artifacts.outputs import is_up_to_date, read_output_manifest, record_output, recorded
    from splade_anserini.training.run_directory import remove_run_directory

    record = _record(card, data, lookup, validated, options)
    if is_up_to_date(output.output, record, overwrite=output.overwrite):
        manifest = read_output_manifest(output.output)
        if _is_main_process():
            remove_run_directory(output.output)
        return Result(output.output, manifest.counts if manifest else {}, up_to_date=True)
    with recorded(output.output, record):
        values = _train(card, data, output, lookup, validated, options)
    if _is_main_process():
        record_output(output.output, record, values)
    return Result(output.output, values)


def _push(directory: Path, repository: str) -> None:
    from splade_anserini.training.hub import push_to_hub

    _log.info("Pushing %s to %s", directory, repository)
    typer.echo(f"Pushed to {push_to_hub(directory, repository)}", err=True)


def _is_main_process() -> bool:
    """Return whether this process writes the output: the first of those that torchrun starts, or the only one."""
    return os.environ.get("RANK", "0") == "0"


def _record(
    card: "EncoderCard",
    data: Sequence[str],
    lookup: TextLookupOptions,
    validated: ValidationOptions,
    options: TrainingOptions,
) -> "OutputRecord":
    """Describe the checkpoint by the card, the number of devices, and the fingerprints of what the run reads."""
    from splade_anserini.artifacts.outputs import OutputRecord, fingerprints_of_inputs
    from splade_anserini.training.run_directory import NOTES

    recipe = card.training
    models = {
        "backbone": recipe and recipe.backbone,
        "query backbone": recipe and recipe.query_backbone,
        "teacher": recipe and recipe.teacher and recipe.teacher.model,
    }
    numbered = {f"data {number}": name for number, name in enumerate(data, 1)}
    inputs = numbered | lookup.sources | models | {"validation": validated.validation}
    settings: dict[str, Any] = {"card": card.model_dump(mode="json"), "devices": int(os.environ.get("WORLD_SIZE", "1"))}
    settings |= recorded_options(validated, options, lookup)
    return OutputRecord("train", settings, fingerprints_of_inputs(inputs), NOTES)


def _train(
    card: "EncoderCard",
    data: Sequence[str],
    output: TrainingOutput,
    lookup: TextLookupOptions,
    validated: ValidationOptions,
    options: TrainingOptions,
) -> dict[str, float]:
    """Train and return the last values of the log; in processes that do not write it, nothing."""
    from splade_anserini.cli.lookup import open_texts_from_options
    from splade_anserini.evaluation.measures import parse_measures
    from splade_anserini.formats.examples import open_examples
    from splade_anserini.training.run_directory import preflight

    embeddings = options.teacher_embeddings
    steps = preflight(card, output.output, embeddings=embeddings, overwrite=output.overwrite).steps
    measures = parse_measures(validated.measures or _MEASURES)
    # Only from here on are packages and data loaded that take long.
    from splade_anserini.training.validation import open_validation

    validation = open_validation(validated.validation, measures, card) if validated.validation else None
    _log.info("Reading examples %s", ", ".join(data))
    texts = open_texts_from_options(lookup.corpus, lookup.topics, lookup)
    sources = [open_examples(name, texts) for name in data]
    _log.info("Training %s for %s", card.name, counted(steps, "step"))
    with progress_bar("Training", steps, "steps") as progress:
        log = train(
            card,
            sources,
            output.output,
            options,
            validation=validation,
            overwrite=output.overwrite,
            progress=progress,
        )
    return _last_values(log) if log else {}


def _last_values(log: Sequence[Mapping[str, float]]) -> dict[str, float]:
    """Return steps, loss and active entries of the last line of a log, and the best line of validation."""
    steps = [row for row in log if "loss" in row]
    validations = [row for row in log if "loss" not in row]
    last = steps[-1]
    values = {
        "steps": int(last["step"]),
        "loss": last["loss"],
        "query_entries": last["active q"],
        "document_entries": last["active d"],
    }
    if not validations:
        return values
    first = next(name for name in validations[0] if name != "step")
    best = max(validations, key=lambda row: row[first])
    measures = {name: value for name, value in best.items() if name != "step"}
    return values | {"best_step": int(best["step"])} | measures


def _summary(values: Mapping[str, float]) -> str:
    line = (
        f"{values['steps']:,} steps, loss {values['loss']:.4f}, {values['query_entries']:.0f} active entries in a "
        f"query and {values['document_entries']:.0f} in a document"
    )
    names = [*values]
    if "best_step" not in names:
        return line
    measures = ", ".join(f"{name} {values[name]:.4f}" for name in names[names.index("best_step") + 1 :])
    return f"{line}; best at step {values['best_step']:,}: {measures}"


if __name__ == "__main__":
    main_of(command)
