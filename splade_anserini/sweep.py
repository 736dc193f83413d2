"""The command `sweep`: impact pseudo-documents, topics and qrels → effectiveness–efficiency trade-offs."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

import typer

from splade_anserini.cli import options as cli
from splade_anserini.cli.console import main_of, progress_bar
from splade_anserini.errors import InputError
from splade_anserini.evaluation.measures import MEASURES, Preset
from splade_anserini.options import option, options
from splade_anserini.retrieval.options import QueryOptions

if TYPE_CHECKING:
    from collections.abc import Sequence

    from splade_anserini.tradeoffs.settings import Setting

_PRUNING = "top-k=K,… min-impact=I,… mass=SHARE,… or quantile=SHARE,…; repeat for several."


@options
class SweepOptions:
    """The settings that are compared."""

    documents: tuple[str, ...] = option(default=(), help=f"Prune documents: {_PRUNING}")
    bits: tuple[int, ...] = option(default=(), least=1, help="Bits of a document's impacts; repeat for several.")
    queries: tuple[str, ...] = option(default=(), help="Prune queries, in the same words.")
    two_step: tuple[int, ...] = option(
        default=(), least=1, metavar="TERMS", help="Two-step search: tokens of the first step; repeat for several."
    )
    candidates: int | None = option(
        default=None, least=1, help="With two-step search: candidates.", unset="10 × hits up to 1,000, or 2 × hits"
    )
    grid: bool = option(default=False, help="Try all combinations, not each value alone.")

    def settings(self) -> "Sequence[Setting]":
        """Return the settings, the default ones when no value is given."""
        from splade_anserini.tradeoffs.settings import DEFAULT, Space, parse_prunings

        if not (self.documents or self.bits or self.queries or self.two_step):
            return DEFAULT.settings(grid=self.grid)
        space = Space(
            parse_prunings(self.documents),
            list(dict.fromkeys(self.bits)),
            parse_prunings(self.queries),
            list(dict.fromkeys(self.two_step)),
        )
        return space.settings(grid=self.grid)


@options
class SweepMeasures:
    """What is measured of each setting."""

    measures: tuple[str, ...] = option(
        default=(),
        help="ir_measures names; table and CSV mark the Pareto front of the first.",
        unset=" ".join(MEASURES),
    )
    preset: Preset | None = option(default=None, help="The measures that are reported for a collection.")
    hits: int = option(default=1000, least=1, help="Documents for each query.")
    samples: int = option(default=500, least=0, help="Timed queries of each setting.")
    seed: int = option(default=0, help="Seed of the order of the timed queries.")


@options
class SweepOutput:
    """Where the results go."""

    output: Path = option(help="Directory for sweep.csv, sweep.png, and what is needed to resume.")
    plot: Path | None = option(
        default=None, help="Plot: .png, .svg or .pdf; none for no plot.", unset="OUTPUT/sweep.png"
    )
    keep_indexes: bool = option(default=False, help="Keep the index of each setting in --output.")
    format: Literal["table", "json"] = option(default="table", help="How to print.")
    overwrite: bool = option(default=False, help="Start over: remove the results in --output.")


def command(
    input: Annotated[  # noqa: A002  # as index
        Path, typer.Option(help="Directory of impact pseudo-documents, as encode writes it.")
    ],
    topics: cli.Topics,
    qrels: cli.Qrels,
    space: SweepOptions,
    measured: SweepMeasures,
    query: QueryOptions,
    output: SweepOutput,
) -> None:
    """Measure effectiveness–efficiency trade-offs: smaller documents, impacts or queries, and two-step search.

    Without --documents, --bits, --queries and --two-step some values of each are tried. A sweep that was
    interrupted resumes; one that is finished takes more values.

    \b
    Example:
      splade-anserini sweep --input impacts/mine --topics queries.tsv --qrels qrels/test.tsv --output sweeps/mine
      splade-anserini sweep --input impacts/mine --topics queries.tsv --qrels qrels/test.tsv --output sweeps/mine \\
        --documents top-k=32,64,128 --documents mass=0.8,0.9 --queries top-k=8,16 --grid
    """
    from splade_anserini.artifacts.files import require_disjoint
    from splade_anserini.evaluation.measures import chosen_measures
    from splade_anserini.evaluation.rendering import as_json as to_json
    from splade_anserini.formats.qrels import read_qrels
    from splade_anserini.lucene import start_jvm
    from splade_anserini.lucene.sources import open_impacts
    from splade_anserini.lucene.two_step import check_candidates
    from splade_anserini.parallel import cpu_count
    from splade_anserini.retrieval.query_vectors import load_queries_for
    from splade_anserini.tradeoffs.measuring import QueryWorkload
    from splade_anserini.tradeoffs.running import ExecutionOptions, sweep
    from splade_anserini.tradeoffs.table import as_json, as_table

    if query.query_idf:
        raise InputError("sweep has no --query-idf yet.", do="Leave it out, or compare runs of search --query-idf.")
    settings = space.settings()
    measures = chosen_measures(measured.preset, list(measured.measures) or None)
    check_candidates(space.candidates, measured.hits)
    if output.output.exists() and not output.output.is_dir():
        raise InputError(f"--output {output.output} is a file.", expected="a directory", do="Choose another path.")
    require_disjoint([output.output], [input], nested=True)
    with progress_bar("Checking", None, "documents") as progress:
        source = open_impacts(input, progress)
    start_jvm()
    queries = load_queries_for(topics, source.settings, str(input), query)
    vectors = queries.vectors(query.batch_size, progress_bar)
    workload = QueryWorkload(
        vectors, read_qrels(qrels), measures, measured.hits, space.candidates, measured.samples, measured.seed
    )
    plot = None if output.plot == Path("none") else output.plot or output.output / "sweep.png"
    execution = ExecutionOptions(
        query.threads or cpu_count(), plot, output.keep_indexes, output.overwrite, verify=query.verify
    )
    with progress_bar("Sweeping", len(settings), "settings") as progress:
        results = sweep(source, workload, settings, output.output, execution, progress)
    names = workload.measure_names
    typer.echo(as_table(results, names) if output.format == "table" else to_json(as_json(results, names)), nl=False)


if __name__ == "__main__":
    main_of(command)
