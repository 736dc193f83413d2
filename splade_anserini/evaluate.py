"""The command `evaluate`: runs and judgements → measures, significance tests, a figure."""

from pathlib import Path
from typing import Annotated

import typer

from splade_anserini.cli import options
from splade_anserini.cli.console import main_of
from splade_anserini.errors import InputError
from splade_anserini.evaluation.evaluation import evaluate
from splade_anserini.evaluation.measures import MEASURES, Preset, chosen_measures
from splade_anserini.evaluation.options import PERMUTATIONS, SEED, Format, RandomizationOptions

__all__ = ["command", "evaluate"]


def command(
    run: Annotated[
        list[str],
        typer.Option(help="Run file, TREC or MS MARCO (.gz too), or LABEL=FILE; repeated to compare runs."),
    ],
    qrels: options.Qrels,
    measures: Annotated[
        list[str] | None,
        typer.Option(help=f"ir_measures names, by space or comma, or repeated. [default: {' '.join(MEASURES)}]"),
    ] = None,
    preset: Annotated[
        Preset | None, typer.Option(help="The measures that are quoted for a collection; --measures adds to them.")
    ] = None,
    baseline: Annotated[
        str | None, typer.Option(help="Label or file of the run that the others are tested against.")
    ] = None,
    permutations: Annotated[
        int | None, typer.Option(help=f"Samples of the randomization test. [default: {PERMUTATIONS}]")
    ] = None,
    seed: Annotated[int | None, typer.Option(help=f"The same seed draws the same samples. [default: {SEED}]")] = None,
    per_query: Annotated[bool, typer.Option("--per-query", help="Show each query too.")] = False,
    format: Annotated[Format, typer.Option(help="How to print.")] = Format.TABLE,  # noqa: A002  # the option's name
    output: Annotated[Path | None, typer.Option(help="File to write to. [default: standard output]")] = None,
    plot: Annotated[
        Path | None, typer.Option(help="Figure of recall, and of each query against the baseline: .png, .svg or .pdf.")
    ] = None,
) -> None:
    """Evaluate runs against relevance judgements, and test whether they differ from a baseline.

    All judged queries count: one that a run does not answer has 0, as trec_eval -c has it.

    \b
    Example:
      splade-anserini evaluate --run runs/mine.txt --qrels qrels/test.tsv --measures "nDCG@10 RR@10"
      splade-anserini evaluate --run bm25=runs/bm25.txt --run runs/mine.txt --baseline bm25 \\
        --qrels qrels/test.tsv --preset beir --plot differences.png
    """
    from splade_anserini.artifacts.figures import require_figure_format
    from splade_anserini.artifacts.files import require_disjoint, whole_file
    from splade_anserini.evaluation.comparison import compare
    from splade_anserini.evaluation.measures import recall_at_depths
    from splade_anserini.evaluation.plots import plot_comparison
    from splade_anserini.evaluation.rendering import render
    from splade_anserini.evaluation.run_names import baseline_label, named_runs
    from splade_anserini.formats.qrels import read_qrels
    from splade_anserini.formats.runs import read_run

    runs = named_runs(run)
    base = None if baseline is None else baseline_label(baseline, runs)
    sampling = _sampling(permutations, seed, tested=base is not None)
    chosen = chosen_measures(preset, measures)
    require_disjoint([output, plot], [*runs.values(), qrels])
    if plot is not None:
        require_figure_format(plot)
    recall = recall_at_depths(chosen) if plot is not None else []
    judgements, computed = read_qrels(qrels), list(dict.fromkeys([*chosen, *recall]))
    evaluations = {
        label: evaluate(read_run(path), judgements, computed, label=label if len(runs) > 1 else "")
        for label, path in runs.items()
    }
    comparison = compare(evaluations, [str(measure) for measure in chosen], base, sampling)
    text = render(comparison, format, per_query=per_query)
    if output is None:
        typer.echo(text, nl=False)
    else:
        with whole_file(output) as file:
            file.write(text.encode())
    if plot is not None:
        plot_comparison(comparison, recall, plot)


def _sampling(permutations: int | None, seed: int | None, *, tested: bool) -> RandomizationOptions:
    if not tested and (permutations is not None or seed is not None):
        raise InputError(f"{'--seed' if permutations is None else '--permutations'} needs --baseline.")
    return RandomizationOptions(PERMUTATIONS if permutations is None else permutations, SEED if seed is None else seed)


if __name__ == "__main__":
    main_of(command)
