"""Stage: topics → a run."""

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

import typer

from splade_anserini.cli import options
from splade_anserini.cli.console import progress_bar, run
from splade_anserini.errors import InputError
from splade_anserini.progress import Progress, silent

if TYPE_CHECKING:
    from ir_measures import ScoredDoc

    from splade_anserini.lucene import Feedback, ImpactSearcher, PyseriniImpactSearcher, Searcher
    from splade_anserini.records import ImpactVector, Query


def search(
    queries: "Mapping[str, ImpactVector]",
    searcher: "Searcher",
    hits: int = 1000,
    *,
    remove_query: bool = False,
    progress: Progress = silent,
) -> "Iterator[tuple[str, list[ScoredDoc]]]":
    """Yield each query's id and its best `hits` documents; with `remove_query` never the one with the query's id."""
    for query_id, ranking in searcher.search(queries, hits + remove_query):
        kept = [hit for hit in ranking if hit.doc_id != query_id] if remove_query else ranking
        progress(1)
        yield query_id, kept[:hits]


def command(
    index: options.Index,
    topics: options.Topics,
    output: Annotated[Path, typer.Option(help="The run to write; gzipped when its name ends in .gz.")],
    encoder: options.QueryEncoder = None,
    pre_encoded: options.PreEncoded = None,
    hits: Annotated[int, typer.Option(min=1, help="Documents for each query.")] = 1000,
    query_top_k: Annotated[
        int | None, typer.Option(min=1, help="Keep the k strongest tokens of a query. [default: all]")
    ] = None,
    query_min_impact: Annotated[int, typer.Option(min=1, help="Keep tokens of a query from this impact up.")] = 1,
    two_phase: Annotated[
        int | None,
        typer.Option(min=1, metavar="TERMS", help="Find candidates by this many tokens of a query, rank them by all."),
    ] = None,
    candidates: Annotated[
        int | None,
        typer.Option(min=1, help="With --two-phase: how many. [default: 10 × hits up to 1,000, or 2 × hits]"),
    ] = None,
    check_exact: Annotated[
        bool, typer.Option("--check-exact", help="Search exactly as well, and say how much of that was found.")
    ] = False,
    feedback: Annotated[
        Literal["rocchio", "rm3"] | None,
        typer.Option(help="Search again, with tokens of the best documents. Needs index --store-docvectors."),
    ] = None,
    feedback_docs: Annotated[
        int | None, typer.Option(min=1, help="With --feedback: documents that give tokens. [default: 10]")
    ] = None,
    feedback_terms: Annotated[
        int | None, typer.Option(min=1, help="With --feedback: tokens that they give. [default: 10]")
    ] = None,
    feedback_weight: Annotated[
        float | None,
        typer.Option(help="Of these: rocchio, where the query's is 1; rm3, a share of 1. [default: 0.75; 0.5]"),
    ] = None,
    feedback_words_only: Annotated[
        bool, typer.Option("--feedback-words-only", help="With rm3: no word pieces, as in Pyserini's --rm3.")
    ] = False,
    threads: Annotated[int, typer.Option(min=0, help="Threads. 0: one per core.")] = 0,
    batch_size: Annotated[int, typer.Option(min=1, help="Queries that are encoded at once.")] = 32,
    max_length: options.QueryLength = None,
    device: options.Device = "auto",
    scale: options.QueryScale = None,
    searcher: Annotated[
        Literal["lucene", "pyserini"] | None,
        typer.Option(
            help="Lucene's IndexSearcher, or Pyserini's LuceneImpactSearcher: the same run, slower. "
            "[default: lucene; with --feedback pyserini]"
        ),
    ] = None,
    output_format: options.RunFormat = "trec",
    tag: options.RunTag = "splade-anserini",
    remove_query: Annotated[
        bool, typer.Option("--remove-query", help="Drop the document whose id is the query's.")
    ] = False,
    hybrid: Annotated[
        str | None,
        typer.Option(help="bm25:DIRECTORY, a text index of the same collection: what BM25 finds there is fused in."),
    ] = None,
    force: Annotated[
        bool, typer.Option("--force", help="Search even if vocabulary or scale are not the index's.")
    ] = False,
) -> None:
    """Search a Lucene impact index and write a run, ordered as trec_eval will order it.

    \b
    Example:
      splade-anserini search --index indexes/mine --topics queries.tsv --output run.txt
    """
    from splade_anserini.artifacts.files import require_apart
    from splade_anserini.cards.finding import resolve_index
    from splade_anserini.encoding import EncoderOptions
    from splade_anserini.formats.runs import write_run
    from splade_anserini.lucene import start_jvm
    from splade_anserini.lucene.counting import check_index_directory
    from splade_anserini.lucene.feedback import check_document_vectors
    from splade_anserini.parallel import cpu_count
    from splade_anserini.retrieval.hybrid import bm25_index, texts_needed, with_bm25
    from splade_anserini.retrieval.overlap import OverlapWithExact
    from splade_anserini.retrieval.query_vectors import (
        encode_queries,
        open_index_query_encoder,
        prune_queries,
        read_vectors,
    )
    from splade_anserini.retrieval.topics import are_encoded, read_topics

    description = _feedback(feedback, feedback_docs, feedback_terms, feedback_weight, words_only=feedback_words_only)
    _check(searcher, hits, two_phase, candidates)
    require_apart(output, [topics])
    _check_feedback(description, searcher, two_phase, check_exact=check_exact)
    directory = resolve_index(index)
    check_index_directory(directory)
    # Topics that go by a name of Pyserini come from Java.
    start_jvm()
    if description:
        check_document_vectors(directory)
    text_index = None if hybrid is None else bm25_index(hybrid, directory)
    queries: list[Query] = []
    if are_encoded(topics) if pre_encoded is None else pre_encoded:
        if text_index:
            raise texts_needed(topics)
        vectors = read_vectors(topics, encoder)
    else:
        options = EncoderOptions(max_length=max_length, device=device, batch_size=batch_size, threads=threads)
        query_encoder = open_index_query_encoder(directory, encoder, scale, options, force=force)
        queries = read_topics(topics)
        with progress_bar("Encoding", len(queries), "queries") as progress:
            vectors = encode_queries(queries, query_encoder, batch_size, progress)
    pruned = prune_queries(vectors, query_top_k, query_min_impact)
    with (
        progress_bar("Searching", len(vectors), "queries") as progress,
        _opened(searcher, directory, threads or cpu_count(), description) as opened,
    ):
        loss = OverlapWithExact((10, hits))
        chosen = _chosen(opened, two_phase, candidates)
        rankings = search(pruned, chosen, hits, remove_query=remove_query, progress=progress)
        if check_exact:
            rankings = loss.watch(rankings, search(vectors, opened, hits, remove_query=remove_query))
        if text_index:
            rankings = with_bm25(
                rankings, queries, text_index, hits, threads=threads or cpu_count(), remove_query=remove_query
            )
        write_run(output, rankings, output_format, tag)
    typer.echo(f"{output}: {len(vectors):,} queries, at most {hits:,} hits each{f'; {loss}' if check_exact else ''}")


def _feedback(
    method: Literal["rocchio", "rm3"] | None,
    documents: int | None,
    terms: int | None,
    weight: float | None,
    *,
    words_only: bool,
) -> "Feedback | None":
    from splade_anserini.lucene import Feedback

    if method is not None:
        # Those that are not given have the same defaults as in Python.
        given = {"documents": documents, "terms": terms}
        return Feedback(
            method,
            weight=weight,
            words_only=words_only,
            **{name: number for name, number in given.items() if number is not None},
        )
    for value, option in (
        (documents, "docs"),
        (terms, "terms"),
        (weight, "weight"),
        (words_only or None, "words-only"),
    ):
        if value is not None:
            raise InputError(f"--feedback-{option} is given without --feedback.", expected="--feedback rocchio or rm3")
    return None


def _check(searcher: str | None, hits: int, two_phase: int | None, candidates: int | None) -> None:
    from splade_anserini.lucene.two_phase import check_candidates

    if two_phase is not None and searcher == "pyserini":
        raise InputError("--two-phase is given with --searcher pyserini.", expected="--searcher lucene")
    if candidates is not None and two_phase is None:
        raise InputError("--candidates is given without --two-phase.", expected="both, or neither")
    check_candidates(candidates, hits)


def _check_feedback(
    feedback: "Feedback | None", searcher: str | None, two_phase: int | None, *, check_exact: bool
) -> None:
    """Refuse what cannot go with feedback, which is Pyserini's."""
    if feedback is None:
        return
    if searcher == "lucene":
        raise InputError("--feedback is given with --searcher lucene.", expected="--searcher pyserini, or none")
    if two_phase is not None:
        raise InputError("--feedback is given with --two-phase.", expected="one of them")
    if check_exact:
        raise InputError(
            "--check-exact is given with --feedback, which searches for something else than the query.",
            expected="one of them",
        )


def _opened(
    searcher: str | None, index: Path, threads: int, feedback: "Feedback | None"
) -> "ImpactSearcher | PyseriniImpactSearcher":
    from splade_anserini.lucene import ImpactSearcher, PyseriniImpactSearcher

    if searcher == "pyserini" or feedback:
        return PyseriniImpactSearcher(index, threads, feedback)
    return ImpactSearcher(index, threads)


def _chosen(
    searcher: "ImpactSearcher | PyseriniImpactSearcher", two_phase: int | None, candidates: int | None
) -> "Searcher":
    from splade_anserini.lucene import PyseriniImpactSearcher, TwoPhaseSearcher

    if two_phase is None or isinstance(searcher, PyseriniImpactSearcher):
        return searcher
    return TwoPhaseSearcher(searcher, two_phase, candidates)


if __name__ == "__main__":
    run(command)
