"""The command `search`: topics → a run."""

import logging
from collections.abc import Generator, Iterable, Iterator, Mapping
from contextlib import closing
from dataclasses import fields, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import typer

from splade_anserini.cli import options as cli
from splade_anserini.cli.console import main_of, progress_bar
from splade_anserini.errors import NOTE, counted
from splade_anserini.lucene.feedback import Feedback
from splade_anserini.options import recorded_options
from splade_anserini.progress import Progress, silent
from splade_anserini.retrieval.engine_options import EngineOptions
from splade_anserini.retrieval.options import (
    HitsOptions,
    QueryOptions,
    QuerySource,
    RunOptions,
    SearchOptions,
    SearchOutput,
    TwoStepOptions,
)
from splade_anserini.retrieval.search_checks import check_combination, check_text_search

if TYPE_CHECKING:
    from contextlib import AbstractContextManager

    from ir_measures import ScoredDoc

    from splade_anserini.artifacts.outputs import OutputRecord
    from splade_anserini.lucene import ImpactSearcher, PyseriniImpactSearcher, Searcher
    from splade_anserini.lucene.shard_workers import WorkersSearcher
    from splade_anserini.records import ImpactVector, Query
    from splade_anserini.retrieval.overlap import OverlapWithExact
    from splade_anserini.retrieval.query_vectors import QuerySet

_log = logging.getLogger(__name__)

_OF_HYBRID = ("hybrid_method", "hybrid_weight")


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
    yield from _shown(searcher.search(pruned, options.hits + options.remove_query), options, progress)


def command(
    index: cli.Index,
    source: QuerySource,
    written: SearchOutput,
    query: QueryOptions,
    hits: HitsOptions,
    two_step: TwoStepOptions,
    feedback: Feedback,
    engine: EngineOptions,
) -> None:
    """Search a Lucene impact index: write a run, ordered as trec_eval will order it, or show the hits of one query.

    Without --topics and --query, queries are typed at a prompt. With --bm25 the index is a text index, and hits and
    scores are Anserini's.

    \b
    Examples:
      splade-anserini search --index indexes/mine --topics queries.tsv --output run.txt
      splade-anserini search --index indexes/mine --query "pain in the head"
      splade-anserini search --index indexes/mine --query "pain in the head" --format json
      splade-anserini search --bm25 --index indexes/mine-bm25 --topics queries.tsv --output bm25.txt
    """
    from splade_anserini.artifacts.files import require_disjoint
    from splade_anserini.cards.finding import resolve_index
    from splade_anserini.lucene.index_reader import check_index_files
    from splade_anserini.one_query import Searching, at_prompt, require_queries, show

    if source.topics is None:
        require_queries(source)
    else:
        require_disjoint([written.run_options().output], [source.topics])
    directory = resolve_index(index)
    check_index_files(directory, any_size=query.verify)
    if source.topics is None:
        searching = Searching(directory, query, hits.with_default(10), two_step, feedback, engine)
        if source.query is None:
            at_prompt(searching, written)
        else:
            show(source.query, source.query_weights, searching, written)
        return
    topics, run, search_options = source.topics, written.run_options(), hits.with_default(1000)
    if engine.bm25:
        check_text_search(query, search_options, two_step, engine)
        _search_texts(directory, topics, run, query, search_options, feedback, engine)
    else:
        check_combination(search_options, two_step, feedback, engine)
        _search_impacts(directory, topics, run, query, search_options, two_step, feedback, engine)


def _search_impacts(
    index: Path,
    topics: str,
    run: RunOptions,
    query: QueryOptions,
    search_options: SearchOptions,
    two_step: TwoStepOptions,
    feedback: Feedback,
    engine: EngineOptions,
) -> None:
    """Search an impact index and write the run."""
    from splade_anserini.lucene import start_jvm
    from splade_anserini.lucene.feedback import check_document_vectors
    from splade_anserini.lucene.filters import check_filters, parse_filters
    from splade_anserini.lucene.index_reader import require_impact_index
    from splade_anserini.retrieval.hybrid import bm25_index, texts_needed
    from splade_anserini.retrieval.overlap import OverlapWithExact
    from splade_anserini.retrieval.query_idf import with_exact_scores
    from splade_anserini.retrieval.recorded_run import RecordedRun

    require_impact_index(index, force=query.force)
    check_filters(index, parse_filters(engine.filter))
    start_jvm()
    if feedback.method:
        check_document_vectors(index)
    text_index = bm25_index(engine.hybrid, index, verify=query.verify) if engine.hybrid else None
    queries = _load_queries(index, topics, run, query)
    if text_index and queries.texts is None:
        raise texts_needed(topics)
    groups = (search_options, two_step, feedback, engine, run)
    recorded = RecordedRun(run, _record(index, text_index, queries, groups))
    if recorded.is_up_to_date and not two_step.check_exact:
        typer.echo(f"{run.output} is up to date: this command made it before.")
        return
    vectors = _vector_groups(queries, query, engine)
    _log.info("Searching %s for %s", index, counted(len(queries), "query", "queries"))
    overlap = OverlapWithExact((10, search_options.hits)) if two_step.check_exact else None
    with (
        progress_bar("Searching", len(queries), "queries") as progress,
        _open_searcher(index, engine, feedback, query.threads) as searcher,
        closing(vectors),
    ):
        rankings = _searched(vectors, searcher, two_step, search_options, progress, overlap)
        if queries.has_idf:
            rankings = with_exact_scores(rankings)
        if text_index:
            rankings = _with_bm25(rankings, queries, text_index, search_options, engine, query.threads)
        recorded.write(rankings, queries)
    typer.echo(f"{recorded}{f'; {overlap}' if overlap else ''}")


def _vector_groups(
    queries: "QuerySet", query: QueryOptions, engine: EngineOptions
) -> "Generator[Mapping[str, ImpactVector]]":
    """Return the vectors of all queries, in groups where the next ones can be encoded while some are searched."""
    from splade_anserini.parallel import prefetch

    if engine.on_ray:
        from splade_anserini.lucene.shard_workers import GROUP

        return prefetch(queries.vector_groups(GROUP, query.batch_size))
    vectors = queries.vectors(query.batch_size, progress_bar)
    return (group for group in [vectors])


def _searched(
    groups: "Iterable[Mapping[str, ImpactVector]]",
    searcher: "Searcher",
    two_step: TwoStepOptions,
    options: SearchOptions,
    progress: Progress,
    overlap: "OverlapWithExact | None",
) -> "Iterator[tuple[str, list[ScoredDoc]]]":
    """Search for each group; with `overlap` also by an exact search, which it is told of."""
    exact = replace(options, query_top_k=None, query_min_impact=1)
    for vectors in groups:
        rankings = search(vectors, _two_step(searcher, two_step), options, progress=progress)
        yield from overlap.watch(rankings, search(vectors, searcher, exact)) if overlap else rankings


def _load_queries(index: Path, topics: str, run: RunOptions, query: QueryOptions) -> "QuerySet":
    """Read the topics. Raises `InputError` before that when the run cannot hold the ids of the index."""
    from splade_anserini.artifacts.manifests import IndexManifest, read_manifest
    from splade_anserini.retrieval.query_settings import query_idf_for
    from splade_anserini.retrieval.query_vectors import load_queries_for
    from splade_anserini.retrieval.recorded_run import check_ids_for_run

    manifest = read_manifest(index, IndexManifest)
    check_ids_for_run(index, manifest.ids_with_spaces if manifest else 0, run)
    queries = load_queries_for(topics, manifest, f"Index {index}", query)
    queries.multiply_by_idf(index, query_idf_for(manifest, query, f"Index {index}"))
    return queries


def _record(index: Path, text_index: Path | None, queries: "QuerySet", groups: "tuple[object, ...]") -> "OutputRecord":
    """Describe a run by all that decides its content."""
    from splade_anserini.artifacts.outputs import OutputRecord
    from splade_anserini.artifacts.sharded_index import fingerprint_of_index
    from splade_anserini.retrieval.recorded_run import query_inputs

    inputs = {"index": fingerprint_of_index(index)} | query_inputs(queries)
    if text_index:
        inputs["text index"] = fingerprint_of_index(text_index)
    return OutputRecord("search", _recorded(groups), inputs)


def _recorded(groups: "tuple[object, ...]", *, bm25: bool = False) -> "dict[str, Any]":
    """Return the options that decide a run. Those of BM25, newer than others, are left out where they are defaults."""
    settings = recorded_options(*groups)
    for field in fields(EngineOptions):
        if field.name not in {"searcher", "hybrid", *_OF_HYBRID} and settings.get(field.name) == field.default:
            settings.pop(field.name, None)
    # Earlier versions had reciprocal rank fusion only.
    if not settings["hybrid"] or settings["hybrid_method"] == "rrf":
        for name in _OF_HYBRID:
            del settings[name]
    if settings["words_only"] is None:
        settings["words_only"] = bm25 and settings["method"] == "rm3"
    return settings


def _search_texts(
    index: Path,
    topics: str,
    run: RunOptions,
    query: QueryOptions,
    options: SearchOptions,
    feedback: Feedback,
    engine: EngineOptions,
) -> None:
    """Search a text index with BM25 and write the run."""
    from splade_anserini.artifacts.manifests import read_manifest
    from splade_anserini.artifacts.outputs import OutputRecord
    from splade_anserini.artifacts.sharded_index import fingerprint_of_index
    from splade_anserini.artifacts.text_index_manifest import TextIndexManifest
    from splade_anserini.lucene import open_bm25_searcher
    from splade_anserini.lucene.index_reader import kind_of_index
    from splade_anserini.parallel import cpu_count
    from splade_anserini.retrieval.max_passage import BestPassageSearcher
    from splade_anserini.retrieval.query_vectors import QuerySet
    from splade_anserini.retrieval.recorded_run import RecordedRun, check_ids_for_run, query_inputs

    if kind_of_index(index) == "text" and (manifest := read_manifest(index, TextIndexManifest)):
        check_ids_for_run(index, manifest.counts.ids_with_spaces, run)
    queries = _read_texts(topics, query)
    inputs = {"index": fingerprint_of_index(index)} | query_inputs(QuerySet(topics, queries))
    settings = _recorded((options, feedback, engine, run), bm25=True)
    recorded = RecordedRun(run, OutputRecord("search", settings, inputs))
    with open_bm25_searcher(index, query.threads or cpu_count(), engine.bm25_options, feedback) as opened:
        if recorded.is_up_to_date:
            typer.echo(f"{run.output} is up to date: this command made it before.")
            return
        _log.info("Searching %s with BM25 for %s", index, counted(len(queries), "query", "queries"))
        with progress_bar("Searching", len(queries), "queries") as progress:
            searcher = opened if options.max_passage is None else BestPassageSearcher(opened, options.max_passage)
            texts = {query.id: query.text for query in queries}
            rankings = searcher.search(texts, options.hits + options.remove_query)
            recorded.write(_shown(rankings, options, progress))
    typer.echo(str(recorded))


def _read_texts(topics: str, options: QueryOptions) -> "list[Query]":
    """Read topics as texts. Raises `InputError` for impact vectors without texts."""
    from splade_anserini.formats.topic_encoding import Kind
    from splade_anserini.retrieval.hybrid import texts_needed
    from splade_anserini.retrieval.topics import open_topics

    source = open_topics(topics, options.topics_field)
    if options.pre_encoded is None:
        reading = source.reading
        # Records with vectors may have texts as well.
        encoded = reading.kind is Kind.VECTORS and not reading.has_vectors
    else:
        encoded = options.pre_encoded
    if encoded:
        raise texts_needed(topics, "--bm25")
    queries = source.texts()
    _log.log(NOTE, "Topics %s: %s, texts for BM25.", topics, counted(len(queries), "query", "queries"))
    return queries


def _shown(
    rankings: "Iterable[tuple[str, list[ScoredDoc]]]", options: SearchOptions, progress: Progress
) -> "Iterator[tuple[str, list[ScoredDoc]]]":
    """Yield the hits of each query that `options` ask for."""
    for query_id, ranking in rankings:
        hits = [hit for hit in ranking if hit.doc_id != query_id] if options.remove_query else ranking
        progress(1)
        yield query_id, hits[: options.hits]


def _open_searcher(
    index: Path, engine: EngineOptions, feedback: Feedback, threads: int
) -> "AbstractContextManager[ImpactSearcher | PyseriniImpactSearcher | WorkersSearcher]":
    from splade_anserini.lucene import ImpactSearcher, PyseriniImpactSearcher
    from splade_anserini.parallel import cpu_count

    threads = threads or cpu_count()
    if options := engine.on_ray:
        from splade_anserini.lucene.shard_workers import open_on_ray

        return open_on_ray(index, options, engine.filter)
    if engine.searcher == "pyserini" or feedback.method:
        return PyseriniImpactSearcher(index, threads, feedback if feedback.method else None)
    return ImpactSearcher(index, threads).filtered(engine.filter)


def _two_step(searcher: "Searcher", two_step: TwoStepOptions) -> "Searcher":
    from splade_anserini.lucene import ImpactSearcher, TwoStepSearcher
    from splade_anserini.lucene.shard_workers import WorkersSearcher

    if two_step.two_step is None:
        return searcher
    if isinstance(searcher, WorkersSearcher):
        return searcher.in_two_steps(two_step.two_step, two_step.candidates)
    return (
        TwoStepSearcher(searcher, two_step.two_step, two_step.candidates)
        if isinstance(searcher, ImpactSearcher)
        else searcher
    )


def _with_bm25(
    rankings: "Iterable[tuple[str, list[ScoredDoc]]]",
    queries: "QuerySet",
    text_index: Path,
    options: SearchOptions,
    engine: EngineOptions,
    threads: int,
) -> "Iterator[tuple[str, list[ScoredDoc]]]":
    from splade_anserini.parallel import cpu_count
    from splade_anserini.retrieval.hybrid import with_bm25

    return with_bm25(
        rankings,
        queries.texts or (),
        text_index,
        engine.fusion(options.hits),
        threads=threads or cpu_count(),
        remove_query=options.remove_query,
        bm25=engine.bm25_options,
        max_passage=options.max_passage,
    )


if __name__ == "__main__":
    main_of(command)
