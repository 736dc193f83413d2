"""The command `sweep`: impact pseudo-documents or an index, topics and qrels → effectiveness–efficiency trade-offs."""

from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

import typer

from splade_anserini.cli import options as cli
from splade_anserini.cli.console import main_of, progress_bar
from splade_anserini.errors import InputError
from splade_anserini.evaluation.measures import MEASURES, Preset
from splade_anserini.lucene.text_options import Bm25Options
from splade_anserini.options import changed_options, option, options
from splade_anserini.retrieval.options import QueryOptions

if TYPE_CHECKING:
    from collections.abc import Sequence

    from splade_anserini.artifacts.manifests import EncodeSettings
    from splade_anserini.artifacts.manifests import IndexManifest as Manifest
    from splade_anserini.lucene.sources import ImpactSource
    from splade_anserini.retrieval.query_vectors import QuerySet
    from splade_anserini.tradeoffs.documents import FinishedIndex
    from splade_anserini.tradeoffs.settings import Space
    from splade_anserini.tradeoffs.text_search import TextSearch

_GREATEST_IDF = 10
"""As of search --query-idf."""

_PRUNING = "top-k=K,… min-impact=I,… mass=SHARE,… or quantile=SHARE,…; repeat for several."


@options
class SweepOptions(Bm25Options):
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
    query_idf: tuple[str, ...] = option(
        default=(),
        metavar="ALPHA,…",
        help="Powers of idf by which impacts of queries are multiplied, as 0.25,0.5,0.75.",
    )
    hybrid: str | None = option(
        default=None, help="bm25:DIRECTORY, a text index of the same collection: its scores are fused in, as by search."
    )
    hybrid_weight: tuple[str, ...] = option(
        default=(), metavar="WEIGHT,…", help="With --hybrid: weights of BM25.", unset="0.25,0.5,1"
    )
    grid: bool = option(default=False, help="Try all combinations, not each value alone.")

    def __post_init__(self) -> None:
        if self.hybrid:
            return
        names = {"--hybrid-weight", "--k1", "--b", "--language"}.intersection(changed_options(self))
        if name := min(names, default=None):
            raise InputError(f"{name} needs --hybrid.", do=f"Leave {name} out, or add --hybrid.")

    @property
    def bm25_options(self) -> Bm25Options:
        """How BM25 scores."""
        return Bm25Options(k1=self.k1, b=self.b, language=self.language)

    def space(self, *, finished: bool = False) -> "Space":
        """Return the values to try, the default ones when none is given.

        With `finished` the index is there already, and the default ones vary queries only.
        """
        from splade_anserini.tradeoffs.settings import DEFAULT, Space, parse_prunings, parse_values

        if finished and (self.documents or self.bits):
            name = "--documents" if self.documents else "--bits"
            raise InputError(
                f"{name} needs the vectors of the documents, but --index is given.",
                do="Pass --input with impact pseudo-documents instead.",
            )
        if not (self.documents or self.bits or self.queries or self.two_step or self.query_idf or self.hybrid):
            return replace(DEFAULT, documents=(), bits=()) if finished else DEFAULT
        return Space(
            parse_prunings(self.documents),
            list(dict.fromkeys(self.bits)),
            parse_prunings(self.queries),
            list(dict.fromkeys(self.two_step)),
            parse_values("--query-idf", self.query_idf, _GREATEST_IDF),
            parse_values("--hybrid-weight", self.hybrid_weight or ("0.25,0.5,1",)) if self.hybrid else (),
        )


@options
class SweepQueryOptions(QueryOptions):
    """How topics become impact vectors, for any power of idf."""

    query_idf: float | None = option(default=None, help="SweepOptions has several.", python_only=True)

    def __post_init__(self) -> None:
        super().__post_init__()


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
    *,
    input: Annotated[  # noqa: A002  # as index
        Path | None, typer.Option(help="Directory of impact pseudo-documents, as encode writes it.")
    ] = None,
    index: Annotated[
        str | None,
        typer.Option(help="In place of --input: an impact index, or the name of an index card, to vary queries only."),
    ] = None,
    topics: cli.Topics,
    qrels: cli.Qrels,
    varied: SweepOptions,
    measured: SweepMeasures,
    query: SweepQueryOptions,
    output: SweepOutput,
) -> None:
    """Measure effectiveness–efficiency trade-offs: smaller documents, impacts or queries, two-step search, the idf of
    queries, and BM25 beside the impacts.

    Without any of them, some values of --documents, --bits, --queries and --two-step are tried. A sweep that was
    interrupted resumes; one that is finished takes more values.

    \b
    Examples:
      splade-anserini sweep --input impacts/mine --topics queries.tsv --qrels qrels/test.tsv --output sweeps/mine
      splade-anserini sweep --input impacts/mine --topics queries.tsv --qrels qrels/test.tsv --output sweeps/mine \\
        --documents top-k=32,64,128 --documents mass=0.8,0.9 --queries top-k=8,16 --grid
      splade-anserini sweep --index indexes/mine --topics nfcorpus@dev --qrels nfcorpus@dev --output sweeps/idf \\
        --query-idf 0.25,0.5,0.75,1 --hybrid bm25:indexes/mine-bm25 --grid
    """
    from splade_anserini.evaluation.measures import chosen_measures
    from splade_anserini.evaluation.rendering import as_json as to_json
    from splade_anserini.formats.qrels import read_qrels
    from splade_anserini.lucene.two_step import check_candidates
    from splade_anserini.parallel import cpu_count
    from splade_anserini.tradeoffs.measuring import QueryWorkload
    from splade_anserini.tradeoffs.running import ExecutionOptions, sweep
    from splade_anserini.tradeoffs.table import as_json, as_table

    space = varied.space(finished=index is not None)
    measures = chosen_measures(measured.preset, list(measured.measures) or None)
    check_candidates(varied.candidates, measured.hits)
    if output.output.exists() and not output.output.is_dir():
        raise InputError(f"--output {output.output} is a file.", expected="a directory", do="Choose another path.")
    source, queries, usual_idf = _open(input, index, topics, query, output.output, space.query_idf)
    settings = replace(space, usual_idf=usual_idf).settings(grid=varied.grid)
    texts = _text_search(varied, source, queries, measured.hits, query)
    vectors = queries.vectors(query.batch_size, progress_bar)
    workload = QueryWorkload(
        vectors, read_qrels(qrels), measures, measured.hits, varied.candidates, measured.samples, measured.seed, texts
    )
    plot = None if output.plot == Path("none") else output.plot or output.output / "sweep.png"
    execution = ExecutionOptions(
        query.threads or cpu_count(), plot, output.keep_indexes, output.overwrite, verify=query.verify
    )
    with progress_bar("Sweeping", len(settings), "settings") as progress:
        results = sweep(source, workload, settings, output.output, execution, progress)
    if texts:
        texts.close()
    names = workload.measure_names
    typer.echo(as_table(results, names) if output.format == "table" else to_json(as_json(results, names)), nl=False)


def _open(
    input_: Path | None, index: str | None, topics: str, query: QueryOptions, output: Path, powers: "Sequence[float]"
) -> "tuple[ImpactSource | FinishedIndex, QuerySet, float]":
    """Open the documents or their index, and the queries; return also the usual power of idf."""
    from splade_anserini.artifacts.files import require_disjoint
    from splade_anserini.artifacts.manifests import IndexManifest, read_manifest
    from splade_anserini.cards.finding import resolve_index
    from splade_anserini.lucene import start_jvm
    from splade_anserini.lucene.document_idf import refuse_idf_twice
    from splade_anserini.lucene.index_reader import check_index_files, require_impact_index
    from splade_anserini.lucene.sources import open_impacts
    from splade_anserini.retrieval.query_settings import query_idf_for
    from splade_anserini.retrieval.query_vectors import load_queries_for
    from splade_anserini.tradeoffs.documents import open_index

    if (input_ is None) == (index is None):
        raise InputError(
            "Neither --input nor --index is given." if index is None else "--input and --index exclude each other.",
            expected="impact pseudo-documents as --input, or an impact index as --index",
        )
    source: ImpactSource | FinishedIndex
    settings: EncodeSettings | Manifest | None
    if input_ is not None:
        require_disjoint([output], [input_], nested=True)
        with progress_bar("Checking", None, "documents") as progress:
            source = open_impacts(input_, progress)
        settings, name = source.settings, str(input_)
        start_jvm()
    else:
        directory = resolve_index(index or "")
        require_disjoint([output], [directory], nested=True)
        check_index_files(directory, any_size=query.verify)
        start_jvm()
        require_impact_index(directory, force=query.force)
        source, settings, name = open_index(directory), read_manifest(directory, IndexManifest), f"Index {directory}"
    refuse_idf_twice(settings.document_idf if settings else None, max(powers, default=0.0), name, force=query.force)
    return source, load_queries_for(topics, settings, name, query), query_idf_for(settings, query, name)


def _text_search(
    varied: SweepOptions, source: "ImpactSource | FinishedIndex", queries: "QuerySet", hits: int, query: QueryOptions
) -> "TextSearch | None":
    """Open the text index of hybrid settings. Raises `InputError` when the topics are impact vectors."""
    from splade_anserini.parallel import cpu_count
    from splade_anserini.retrieval.hybrid import bm25_index, texts_needed
    from splade_anserini.tradeoffs.documents import FinishedIndex
    from splade_anserini.tradeoffs.text_search import TextSearch

    if varied.hybrid is None:
        return None
    ids = None if isinstance(source, FinishedIndex) else (document.id for document in source.documents())
    directory = bm25_index(varied.hybrid, source.path, ids, verify=query.verify)
    if queries.texts is None:
        raise texts_needed(queries.source)
    return TextSearch(directory, queries.texts, hits, varied.bm25_options, threads=query.threads or cpu_count())


if __name__ == "__main__":
    main_of(command)
