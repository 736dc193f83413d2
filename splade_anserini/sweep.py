"""Stage: impact pseudo-documents, topics and judgements → what cheaper searches lose."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

import typer

from splade_anserini.cli import options
from splade_anserini.cli.console import progress_bar, run
from splade_anserini.errors import InputError, OutputError
from splade_anserini.evaluation.measures import MEASURES, Preset, chosen_measures

if TYPE_CHECKING:
    from splade_anserini.encoding import ImpactQueryEncoder
    from splade_anserini.tradeoffs.settings import Space

_PRUNING = "top-k=K,… min-impact=I,… mass=SHARE,… or quantile=SHARE,…; repeat for several."


def command(
    input: Annotated[  # noqa: A002  # as index
        Path, typer.Option(help="Directory of impact pseudo-documents, as encode writes it.")
    ],
    topics: options.Topics,
    qrels: options.Qrels,
    output: Annotated[Path, typer.Option(help="Directory for sweep.csv, a picture, and what is needed to go on.")],
    documents: Annotated[list[str] | None, typer.Option(help=f"Prune documents: {_PRUNING}")] = None,
    bits: Annotated[list[int] | None, typer.Option(min=1, help="Bits of a document's impacts; repeat.")] = None,
    queries: Annotated[list[str] | None, typer.Option(help="Prune queries, in the same words.")] = None,
    two_phase: Annotated[
        list[int] | None, typer.Option(min=1, metavar="TERMS", help="Tokens of a query in a first phase; repeat.")
    ] = None,
    candidates: Annotated[
        int | None, typer.Option(min=1, help="Of a first phase. [default: 10 × hits up to 1,000, or 2 × hits]")
    ] = None,
    grid: Annotated[bool, typer.Option("--grid", help="All combinations. [default: each value alone]")] = False,
    encoder: Annotated[
        str | None, typer.Option(help="Of the topics: card name, directory, or Hugging Face id. [default: --input's]")
    ] = None,
    pre_encoded: options.PreEncoded = None,
    measures: Annotated[
        list[str] | None,
        typer.Option(help=f"ir_measures names; the front is of the first. [default: {' '.join(MEASURES)}]"),
    ] = None,
    preset: Annotated[Preset | None, typer.Option(help="The measures that are quoted for a collection.")] = None,
    hits: Annotated[int, typer.Option(min=1, help="Documents for each query.")] = 1000,
    samples: Annotated[int, typer.Option(min=0, help="Timed queries of each setting.")] = 500,
    seed: Annotated[int, typer.Option(help="Of the order of the timed queries.")] = 0,
    threads: Annotated[int, typer.Option(min=0, help="Threads of indexing. 0: one per core.")] = 0,
    picture: Annotated[Literal["png", "svg", "none"], typer.Option(help="Kind of the picture.")] = "png",
    keep_indexes: Annotated[bool, typer.Option("--keep-indexes", help="Leave each index in --output.")] = False,
    max_length: options.QueryLength = None,
    device: options.Device = "auto",
    scale: options.QueryScale = None,
    force: Annotated[
        bool, typer.Option("--force", help="Begin anew over a sweep of other inputs; accept an encoder that differs.")
    ] = False,
) -> None:
    """Measure what searches lose when documents, impacts or queries are made smaller, and what they save.

    Without --documents, --bits, --queries and --two-phase some values of each are tried. A sweep that was
    interrupted goes on; one that is done takes up more values.

    \b
    Example:
      splade-anserini sweep --input impacts/mine --topics queries.tsv --qrels qrels/test.tsv --output sweeps/mine
      splade-anserini sweep --input impacts/mine --topics queries.tsv --qrels qrels/test.tsv --output sweeps/mine \\
        --documents top-k=32,64,128 --documents mass=0.8,0.9 --queries top-k=8,16 --grid
    """
    from splade_anserini.encoding import EncoderOptions
    from splade_anserini.formats.qrels import read_qrels
    from splade_anserini.lucene import start_jvm
    from splade_anserini.lucene.sources import open_impacts
    from splade_anserini.parallel import cpu_count
    from splade_anserini.retrieval.query_vectors import open_query_encoder_for, topic_vectors
    from splade_anserini.tradeoffs.measuring import QueryWorkload
    from splade_anserini.tradeoffs.running import ExecutionOptions, sweep
    from splade_anserini.tradeoffs.table import as_table

    settings = _space(documents, bits, queries, two_phase).settings(grid=grid)
    chosen = chosen_measures(preset, measures)
    _check(input, output, hits, candidates)
    with progress_bar("Checking", None, "documents") as progress:
        source = open_impacts(input, progress)
    # Topics that go by a name of Pyserini come from Java.
    start_jvm()

    def opened() -> "ImpactQueryEncoder":
        options = EncoderOptions(max_length=max_length, device=device, threads=cpu_count())
        return open_query_encoder_for(source.settings, str(input), encoder, scale, options, force=force)

    vectors = topic_vectors(topics, opened, pre_encoded, encoder)
    asked = QueryWorkload(vectors, read_qrels(qrels), chosen, hits, candidates, samples, seed)
    means = ExecutionOptions(threads or cpu_count(), picture, keep_indexes, force)
    with progress_bar("Sweeping", len(settings), "settings") as progress:
        rows = sweep(source, asked, settings, output, means, progress)
    typer.echo(as_table(rows, [str(measure) for measure in chosen]), nl=False)


def _space(
    documents: list[str] | None, bits: list[int] | None, queries: list[str] | None, two_phase: list[int] | None
) -> "Space":
    from splade_anserini.tradeoffs.settings import DEFAULT, Space, parse_prunings

    if not (documents or bits or queries or two_phase):
        return DEFAULT
    return Space(
        parse_prunings(documents or ()),
        list(dict.fromkeys(bits or ())),
        parse_prunings(queries or ()),
        list(dict.fromkeys(two_phase or ())),
    )


def _check(impacts: Path, output: Path, hits: int, candidates: int | None) -> None:
    from splade_anserini.lucene.two_phase import check_candidates

    check_candidates(candidates, hits)
    if output.exists() and not output.is_dir():
        raise InputError(f"The output {output} is a file.", expected="a directory", do="Choose another place.")
    one, other = impacts.absolute(), output.absolute()
    if one == other or other.is_relative_to(one):
        raise OutputError(f"The output {output} lies in the input {impacts}.", do="Choose another place.")


if __name__ == "__main__":
    run(command)
