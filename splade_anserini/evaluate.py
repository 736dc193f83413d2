"""Stage: runs and judgements → measures, tests of their differences, a picture."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from splade_anserini.cli import options
from splade_anserini.cli.console import main_of
from splade_anserini.errors import InputError
from splade_anserini.evaluation.evaluation import evaluate
from splade_anserini.evaluation.measures import MEASURES, Preset, chosen_measures
from splade_anserini.evaluation.rendering import Format, rendered
from splade_anserini.evaluation.sampling import PERMUTATIONS, SEED, Sampling

if TYPE_CHECKING:
    from splade_anserini.evaluation.comparison import Comparison

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
        Path | None, typer.Option(help="Picture of recall, and of each query against the baseline: .png or .svg.")
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
    from splade_anserini.artifacts.figures import require_picture
    from splade_anserini.artifacts.files import require_disjoint, whole_file
    from splade_anserini.evaluation.comparison import compare
    from splade_anserini.evaluation.measures import recall_at_depths
    from splade_anserini.evaluation.plots import draw
    from splade_anserini.evaluation.run_names import baseline_label, named_runs
    from splade_anserini.formats.qrels import read_qrels
    from splade_anserini.formats.runs import read_run

    runs = named_runs(run)
    base = None if baseline is None else baseline_label(baseline, runs)
    sampling = _sampling(permutations, seed, tested=base is not None)
    chosen = chosen_measures(preset, measures)
    for place in (output, plot):
        if place is not None:
            require_disjoint([place], [*runs.values(), qrels])
    if plot is not None:
        require_picture(plot)
        if output is not None and output.absolute() == plot.absolute():
            raise InputError(f"--output and --plot both name {plot}.", expected="a file for each")
    recall = recall_at_depths(chosen) if plot is not None else []
    judgements, computed = read_qrels(qrels), list(dict.fromkeys([*chosen, *recall]))
    evaluations = {
        label: evaluate(read_run(path), judgements, computed, label=label if len(runs) > 1 else "")
        for label, path in runs.items()
    }
    comparison = compare(evaluations, [str(measure) for measure in chosen], base, sampling)
    text = _rendered(comparison, format, per_query=per_query)
    if output is None:
        typer.echo(text, nl=False)
    else:
        with whole_file(output) as file:
            file.write(text.encode())
    if plot is not None:
        draw(comparison, recall, plot)


def _sampling(permutations: int | None, seed: int | None, *, tested: bool) -> Sampling:
    if not tested and (permutations is not None or seed is not None):
        raise InputError(f"{'--seed' if permutations is None else '--permutations'} is given without --baseline.")
    return Sampling(PERMUTATIONS if permutations is None else permutations, SEED if seed is None else seed)


def _rendered(comparison: "Comparison", format: Format, *, per_query: bool) -> str:  # noqa: A002  # as the option
    from splade_anserini.evaluation.comparison_rendering import rendered_comparison

    match [*comparison.evaluations.values()]:
        case [evaluation]:
            return rendered(evaluation, comparison.measures, format, per_query=per_query)
        case _:
            return rendered_comparison(comparison, format, per_query=per_query)


if __name__ == "__main__":
    main_of(command)
