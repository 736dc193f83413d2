"""The command `evaluate`: runs and judgements → measures, significance tests, a figure."""

import logging
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from splade_anserini.cli import options as cli
from splade_anserini.cli.console import main_of
from splade_anserini.cli.results import print_or_write
from splade_anserini.errors import InputError
from splade_anserini.evaluation.evaluation import evaluate
from splade_anserini.evaluation.measures import MEASURES, Preset, chosen_measures
from splade_anserini.evaluation.options import BootstrapOptions, Format, RandomizationOptions
from splade_anserini.options import changed_options, option, options

if TYPE_CHECKING:
    from ir_measures import Measure

    from splade_anserini.evaluation.comparison import Comparison
    from splade_anserini.evaluation.evaluation import Evaluation

__all__ = ["command", "evaluate"]

_log = logging.getLogger(__name__)


@options
class EvaluateOptions:
    """What is measured and compared."""

    measures: tuple[str, ...] = option(
        default=(), help="ir_measures or trec_eval names, by space or comma, or repeated.", unset=" ".join(MEASURES)
    )
    preset: Preset | None = option(
        default=None, help="The measures that are reported for a collection; --measures adds to them."
    )
    baseline: str | None = option(default=None, help="Label or file of the run that the others are tested against.")
    per_query: bool = option(default=False, help="Show each query too.")


@options
class EvaluateOutput:
    """Where the results go."""

    format: Format = option(default=Format.TABLE, help="Format of the result.")
    output: Path | None = option(default=None, help="File to write to.", unset="standard output")
    plot: Path | None = option(
        default=None, help="Plot of recall, and of each query against the baseline: .png, .svg or .pdf."
    )
    overwrite: bool = option(default=False, help="Replace output files that exist.")


def command(
    run: Annotated[
        list[str],
        typer.Option(
            metavar="<str>", help="Run file, TREC, MS MARCO or another form, or LABEL=FILE; repeat to compare runs."
        ),
    ],
    qrels: cli.Qrels,
    options: EvaluateOptions,
    randomization: RandomizationOptions,
    bootstrap: BootstrapOptions,
    output: EvaluateOutput,
) -> None:
    """Evaluate runs against relevance judgements, and test whether they differ from a baseline.

    All judged queries count: one that a run does not answer has 0, as trec_eval -c has it.

    \b
    Example:
      splade-anserini evaluate --run runs/mine.txt --qrels qrels/test.tsv --measures "nDCG@10 RR@10"
      splade-anserini evaluate --run bm25=runs/bm25.txt --run runs/mine.txt --baseline bm25 \\
        --qrels qrels/test.tsv --preset beir --plot differences.png
      splade-anserini evaluate --run bm25=runs/bm25.txt --run runs/mine.txt --baseline bm25 \\
        --qrels qrels/test.tsv --preset beir --confidence 0.95 --format latex
    """
    from splade_anserini.evaluation.comparison import compare
    from splade_anserini.evaluation.measures import recall_at_depths
    from splade_anserini.evaluation.run_names import baseline_label, named_runs

    runs = named_runs(run)
    baseline = None if options.baseline is None else baseline_label(options.baseline, runs)
    _check_unused(baseline, randomization, bootstrap)
    if options.per_query and output.format in {Format.LATEX, Format.MARKDOWN}:
        raise InputError(f"--per-query has no effect with --format {output.format}.", do="Use table, json or csv.")
    measures = chosen_measures(options.preset, options.measures)
    _check_output(output, [*runs.values(), qrels])
    recall = recall_at_depths(measures) if output.plot is not None else []
    evaluations = _evaluate(runs, qrels, [*measures, *recall])
    comparison = compare(evaluations, [str(measure) for measure in measures], baseline, randomization, bootstrap)
    _write(comparison, recall, output, per_query=options.per_query)


def _check_unused(baseline: str | None, randomization: RandomizationOptions, bootstrap: BootstrapOptions) -> None:
    """Raise `InputError` for an option of tests without a baseline, or of intervals without a confidence."""
    changed = [name for name in changed_options(randomization) if name != "--seed" or bootstrap.confidence is None]
    if baseline is None and changed:
        raise InputError(f"{changed[0]} needs --baseline.", do=f"Add --baseline, or leave {changed[0]} out.")
    if bootstrap.confidence is None and (changed := changed_options(bootstrap)):
        raise InputError(f"{changed[0]} needs --confidence.", do=f"Add --confidence, or leave {changed[0]} out.")


def _check_output(output: EvaluateOutput, inputs: Sequence[Path | str]) -> None:
    from splade_anserini.artifacts.figures import require_figure_format
    from splade_anserini.artifacts.files import require_disjoint
    from splade_anserini.artifacts.outputs import require_new_file

    require_disjoint([output.output, output.plot], inputs)
    if output.plot is not None:
        require_figure_format(output.plot)
    for path in (output.output, output.plot):
        if path is not None:
            require_new_file(path, overwrite=output.overwrite)


def _evaluate(runs: dict[str, Path], qrels: str, measures: Sequence["Measure"]) -> "dict[str, Evaluation]":
    """Return the evaluation of each run by its label."""
    from splade_anserini.formats.beir import collections_in

    measures = list(dict.fromkeys(measures))
    if collections := collections_in(qrels):
        return _evaluate_collections(runs, collections, measures)
    return _evaluate_runs(runs, qrels, measures, labelled=len(runs) > 1)


def _evaluate_runs(
    runs: dict[str, Path], qrels: str, measures: Sequence["Measure"], *, labelled: bool
) -> "dict[str, Evaluation]":
    from splade_anserini.formats.qrels import read_qrels
    from splade_anserini.formats.runs import read_run

    _log.info("Reading judgements %s", qrels)
    judgements = read_qrels(qrels)
    evaluations = {}
    for label, path in runs.items():
        _log.info("Evaluating run %s", path)
        evaluations[label] = evaluate(read_run(path), judgements, measures, label=label if labelled else "")
    return evaluations


def _evaluate_collections(
    runs: dict[str, Path], collections: dict[str, str], measures: Sequence["Measure"]
) -> "dict[str, Evaluation]":
    """Return the mean of the collections for each run, which is a directory with a run of each collection."""
    from splade_anserini.evaluation.evaluation import combine
    from splade_anserini.evaluation.run_names import runs_of_collections

    files = {label: runs_of_collections(directory, collections) for label, directory in runs.items()}
    parts: dict[str, dict[str, Evaluation]] = {label: {} for label in runs}
    for name, qrels in collections.items():
        of_collection = {f"{label}, {name}" if len(runs) > 1 else name: files[label][name] for label in runs}
        evaluations = _evaluate_runs(of_collection, qrels, measures, labelled=True)
        for label, evaluation in zip(runs, evaluations.values(), strict=True):
            parts[label][name] = evaluation
    return {label: combine(evaluations, measures) for label, evaluations in parts.items()}


def _write(comparison: "Comparison", recall: Sequence["Measure"], output: EvaluateOutput, *, per_query: bool) -> None:
    from splade_anserini.evaluation.plots import plot_comparison
    from splade_anserini.evaluation.rendering import render

    print_or_write(render(comparison, output.format, per_query=per_query), output.output)
    if output.plot is not None:
        plot_comparison(comparison, recall, output.plot)


if __name__ == "__main__":
    main_of(command)
