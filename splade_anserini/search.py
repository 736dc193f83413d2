"""The command `search`: topics → a run."""

import logging
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Literal

import typer

from splade_anserini.cli import options as cli
from splade_anserini.cli.console import main_of, progress_bar
from splade_anserini.errors import InputError, counted
from splade_anserini.lucene.feedback import Feedback
from splade_anserini.options import option, options, recorded_options
from splade_anserini.progress import Progress, silent
from splade_anserini.retrieval.options import QueryOptions, RunOptions, SearchOptions, TwoStepOptions

if TYPE_CHECKING:
    from ir_measures import ScoredDoc

    from splade_anserini.artifacts.outputs import OutputRecord
    from splade_anserini.lucene import ImpactSearcher, PyseriniImpactSearcher, Searcher
    from splade_anserini.records import ImpactVector
    from splade_anserini.retrieval.query_vectors import QuerySet

_log = logging.getLogger(__name__)


def search(
    queries: "Mapping[str, ImpactVector]",
    searcher: "Searcher",
    options: SearchOptions | None = None,
    *,
    progress: Progress = silent,
) -> "Iterator[tuple[str, list[ScoredDoc]]]":
    """Yield each query's id and its best documents: at most `options.hits` scored hits, best first.

    Queries are pruned as `options` says. With `options.remove_query` the document whose id is the query's is left out.
    With `options.max_passage` the index is one of passages, and the hits are documents.
    """
    from splade_anserini.retrieval.max_passage import BestPassageSearcher
    from splade_anserini.retrieval.query_vectors import prune_queries

    options = options or SearchOptions()
    if options.max_passage is not None:
        searcher = BestPassageSearcher(searcher, options.max_passage)
    pruned = prune_queries(queries, options.query_top_k, options.query_min_impact)
    for query_id, ranking in searcher.search(pruned, options.hits + options.remove_query):
        hits = [hit for hit in ranking if hit.doc_id != query_id] if options.remove_query else ranking
        progress(1)
        yield query_id, hits[: options.hits]


@options
class EngineOptions:
    """What searches."""

    searcher: Literal["lucene", "pyserini"] | None = option(
        default=None,
        help="Lucene's IndexSearcher, or Pyserini's LuceneImpactSearcher: the same run, slower.",
        unset="lucene; with --feedback pyserini",
    )
    hybrid: str | None = option(
        default=None, help="bm25:DIRECTORY, a text index of the same collection: its BM25 ranking is fused in (RRF)."
    )


def command(
    index: cli.Index,
    topics: cli.Topics,
    run: RunOptions,
    query: QueryOptions,
    search_options: SearchOptions,
    two_step: TwoStepOptions,
    feedback: Feedback,
    engine: EngineOptions,
) -> None:
    """Search a Lucene impact index and write a run, ordered as trec_eval will order it.

    \b
    Example:
      splade-anserini search --index indexes/mine --topics queries.tsv --output run.txt
    """
    from splade_anserini.artifacts.files import require_disjoint
    from splade_anserini.artifacts.manifests import IndexManifest, read_manifest
    from splade_anserini.cards.finding import resolve_index
    from splade_anserini.lucene import start_jvm
    from splade_anserini.lucene.feedback import check_document_vectors
    from splade_anserini.lucene.index_reader import check_index_directory
    from splade_anserini.retrieval.hybrid import bm25_index, texts_needed
    from splade_anserini.retrieval.overlap import OverlapWithExact
    from splade_anserini.retrieval.query_vectors import load_queries_for
    from splade_anserini.retrieval.recorded_run import RecordedRun

    _check_combination(search_options, two_step, feedback, engine)
    require_disjoint([run.output], [topics])
    directory = resolve_index(index)
    check_index_directory(directory)
    start_jvm()
    if feedback.method:
        check_document_vectors(directory)
    text_index = bm25_index(engine.hybrid, directory) if engine.hybrid else None
    queries = load_queries_for(topics, read_manifest(directory, IndexManifest), f"Index {directory}", query)
    if text_index and queries.texts is None:
        raise texts_needed(topics)
    groups = (search_options, two_step, feedback, engine, run)
    recorded = RecordedRun(run, _record(directory, text_index, queries, groups))
    if recorded.is_up_to_date and not two_step.check_exact:
        typer.echo(f"{run.output} is up to date: this command made it before.")
        return
    vectors = queries.vectors(query.batch_size, progress_bar)
    _log.info("Searching %s for %s", directory, counted(len(vectors), "query", "queries"))
    overlap = OverlapWithExact((10, search_options.hits))
    with (
        progress_bar("Searching", len(vectors), "queries") as progress,
        _open_searcher(directory, engine, feedback, query.threads) as searcher,
    ):
        rankings = search(vectors, _two_step(searcher, two_step), search_options, progress=progress)
        if two_step.check_exact:
            exact = replace(search_options, query_top_k=None, query_min_impact=1)
            rankings = overlap.watch(rankings, search(vectors, searcher, exact))
        if text_index:
            rankings = _with_bm25(rankings, queries, text_index, search_options, query.threads)
        recorded.write(rankings)
    typer.echo(f"{recorded}{f'; {overlap}' if two_step.check_exact else ''}")


def _check_combination(
    search_options: SearchOptions, two_step: TwoStepOptions, feedback: Feedback, engine: EngineOptions
) -> None:
    """Raise `InputError` for options that exclude one another."""
    from splade_anserini.lucene.two_step import check_candidates

    check_candidates(two_step.candidates, search_options.hits)
    if two_step.two_step is not None and engine.searcher == "pyserini":
        raise InputError("--two-step needs --searcher lucene, got pyserini.")
    if two_step.candidates is not None and search_options.max_passage is not None:
        raise InputError(
            "--candidates and --max-passage exclude each other: passages are searched until there are enough.",
            do="Leave --candidates out.",
        )
    if feedback.method is None:
        return
    if engine.searcher == "lucene":
        raise InputError("--feedback needs --searcher pyserini, got lucene.", do="Leave --searcher out.")
    if two_step.two_step is not None:
        raise InputError("--feedback and --two-step exclude each other.", do="Leave one of them out.")
    if two_step.check_exact:
        raise InputError(
            "--check-exact and --feedback exclude each other: feedback changes the query.", do="Leave one of them out."
        )


def _record(index: Path, text_index: Path | None, queries: "QuerySet", groups: "tuple[object, ...]") -> "OutputRecord":
    """Describe a run by all that decides its content."""
    from splade_anserini.artifacts.fingerprints import fingerprint_of_index
    from splade_anserini.artifacts.outputs import OutputRecord
    from splade_anserini.retrieval.recorded_run import query_inputs

    inputs = {"index": fingerprint_of_index(index)} | query_inputs(queries)
    if text_index:
        inputs["text index"] = fingerprint_of_index(text_index)
    return OutputRecord("search", recorded_options(*groups), inputs)


def _open_searcher(
    index: Path, engine: EngineOptions, feedback: Feedback, threads: int
) -> "ImpactSearcher | PyseriniImpactSearcher":
    from splade_anserini.lucene import ImpactSearcher, PyseriniImpactSearcher
    from splade_anserini.parallel import cpu_count

    threads = threads or cpu_count()
    if engine.searcher == "pyserini" or feedback.method:
        return PyseriniImpactSearcher(index, threads, feedback if feedback.method else None)
    return ImpactSearcher(index, threads)


def _two_step(searcher: "ImpactSearcher | PyseriniImpactSearcher", two_step: TwoStepOptions) -> "Searcher":
    from splade_anserini.lucene import PyseriniImpactSearcher, TwoStepSearcher

    if two_step.two_step is None or isinstance(searcher, PyseriniImpactSearcher):
        return searcher
    return TwoStepSearcher(searcher, two_step.two_step, two_step.candidates)


def _with_bm25(
    rankings: "Iterable[tuple[str, list[ScoredDoc]]]",
    queries: "QuerySet",
    text_index: Path,
    options: SearchOptions,
    threads: int,
) -> "Iterator[tuple[str, list[ScoredDoc]]]":
    from splade_anserini.parallel import cpu_count
    from splade_anserini.retrieval.hybrid import with_bm25

    return with_bm25(
        rankings,
        queries.texts or (),
        text_index,
        options.hits,
        threads=threads or cpu_count(),
        remove_query=options.remove_query,
    )


if __name__ == "__main__":
    main_of(command)
