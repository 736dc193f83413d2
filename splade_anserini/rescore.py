"""Stage: a run → the same documents with their exact impact scores."""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from splade_anserini.cli import options
from splade_anserini.cli.console import progress_bar
from splade_anserini.cli.console import run as run_command
from splade_anserini.errors import InputError
from splade_anserini.progress import Progress, silent

if TYPE_CHECKING:
    from ir_measures import ScoredDoc

    from splade_anserini.encoding import EncoderOptions
    from splade_anserini.lucene import Scorer
    from splade_anserini.records import ImpactVector
    from splade_anserini.retrieval.text_scorer import TextScorer


def rescore(
    candidates: Iterable[tuple[str, Sequence[str]]],
    queries: "Mapping[str, ImpactVector]",
    scorer: "Scorer",
    progress: Progress = silent,
) -> "Iterator[tuple[str, list[ScoredDoc]]]":
    """Yield each query's id and exactly its candidates, by score, equal ones by id, as a search ranks them.

    Raises `InputError` for a query that is not among `queries`, or a document that `scorer` does not know.
    """
    from ir_measures import ScoredDoc

    for query_id, ids in candidates:
        if query_id not in queries:
            raise InputError(
                f"The candidates are also for the query {query_id!r}, which is not among the topics.",
                expected="topics with all of their queries",
            )
        scores = scorer.scores(queries[query_id], ids)
        ranked = sorted(zip(scores, ids, strict=True), key=lambda pair: (-pair[0], pair[1]))
        progress(1)
        yield query_id, [ScoredDoc(query_id, id_, score) for score, id_ in ranked]


def read_candidates(run: Path | None, qrels: str | None) -> Iterator[tuple[str, list[str]]]:
    """Yield the id and the documents of each query of a run, or of judgements of any relevance: one of them is given.

    Raises `InputError` when none or both are, or it is empty, `RecordError` where `read_rankings` and `read_qrels` do.
    """
    from splade_anserini.formats.qrels import read_qrels
    from splade_anserini.formats.runs import read_rankings

    if (run is None) == (qrels is None):
        raise InputError(
            f"{'Neither' if run is None else 'Both'} --run and --qrels are given.",
            expected="one of them: what to score",
        )
    if run is not None:
        empty = True
        for query_id, ranking in read_rankings(run):
            empty = False
            yield query_id, [doc.doc_id for doc in ranking]
        if empty:
            raise InputError(f"The run {run} is empty.", expected="at least one query")
    elif qrels is not None:
        judged: dict[str, list[str]] = {}
        for qrel in read_qrels(qrels):
            judged.setdefault(qrel.query_id, []).append(qrel.doc_id)
        yield from judged.items()


def command(
    topics: options.Topics,
    output: Annotated[Path, typer.Option(help="The run to write; gzipped when its name ends in .gz.")],
    run: Annotated[Path | None, typer.Option(help="What to score: the pairs of a run, TREC or MS MARCO.")] = None,
    qrels: Annotated[str | None, typer.Option(help="What to score: the pairs of judgements, of any relevance.")] = None,
    index: Annotated[
        str | None, typer.Option(help="Where the vectors of documents are: a Lucene impact index, or its card's name.")
    ] = None,
    corpus: Annotated[
        str | None, typer.Option(help="Instead of --index: where the texts are, which --encoder encodes.")
    ] = None,
    encoder: options.QueryEncoder = None,
    pre_encoded: options.PreEncoded = None,
    scale: options.QueryScale = None,
    top_k: Annotated[
        int | None, typer.Option(min=1, help="With --corpus: keep the k greatest weights of a document. [default: all]")
    ] = None,
    batch_size: Annotated[int, typer.Option(min=1, help="Texts that are encoded at once.")] = 32,
    device: options.Device = "auto",
    threads: Annotated[int, typer.Option(min=0, help="Threads of the encoder. 0: one per core.")] = 0,
    output_format: options.RunFormat = "trec",
    tag: options.RunTag = "splade-anserini",
    force: Annotated[
        bool, typer.Option("--force", help="Score even if vocabulary or scale are not the index's.")
    ] = False,
) -> None:
    """Score the documents of a run, or of judgements, as an exact search would; none is added, none left out.

    Documents that share no token with their query are kept, with score 0.

    \b
    Example:
      splade-anserini rescore --index indexes/mine --topics queries.tsv --run bm25.txt --output rescored.txt
    """
    from contextlib import nullcontext

    from splade_anserini.artifacts.files import require_apart
    from splade_anserini.cards.finding import resolve_index
    from splade_anserini.encoding import EncoderOptions
    from splade_anserini.formats.runs import write_run
    from splade_anserini.lucene import ImpactSearcher, start_jvm
    from splade_anserini.lucene.counting import check_index_directory
    from splade_anserini.retrieval.query_vectors import open_index_query_encoder, open_query_encoder_for, topic_vectors

    options = EncoderOptions(device=device, batch_size=batch_size, threads=threads)
    _check(index, corpus, encoder, top_k)
    require_apart(output, [run, qrels, topics, corpus])
    directory = resolve_index(index) if index else None
    if directory:
        check_index_directory(directory)
    # Topics that go by a name of Pyserini come from Java.
    start_jvm()
    if directory:
        queries = topic_vectors(
            topics,
            lambda: open_index_query_encoder(directory, encoder, scale, options, force=force),
            pre_encoded,
            encoder,
        )
    else:
        queries = topic_vectors(
            topics, lambda: open_query_encoder_for(None, f"The corpus {corpus}", encoder, scale, options), pre_encoded
        )
    with (
        ImpactSearcher(directory)
        if directory
        else nullcontext(
            _encoded(read_candidates(run, qrels), str(corpus), str(encoder), scale, top_k, options)
        ) as scorer,
        progress_bar("Scoring", None, "queries") as progress,
    ):
        write_run(output, rescore(read_candidates(run, qrels), queries, scorer, progress), output_format, tag)
    typer.echo(f"{output}: the pairs of {run or qrels}, scored")


def _check(index: str | None, corpus: str | None, encoder: str | None, top_k: int | None) -> None:
    if (index is None) == (corpus is None):
        raise InputError(
            f"{'Neither' if index is None else 'Both'} --index and --corpus are given.",
            expected="one of them: where the documents are",
        )
    if corpus is not None and encoder is None:
        raise InputError("--corpus is given without --encoder.", expected="the encoder of its documents")
    if index is not None and top_k is not None:
        raise InputError("--top-k is given with --index, whose vectors are what they are.", do="Leave it out.")


def _encoded(
    candidates: Iterable[tuple[str, Sequence[str]]],
    corpus: str,
    name: str,
    scale: str | None,
    top_k: int | None,
    options: "EncoderOptions",
) -> "TextScorer":
    """Encode the documents of all candidates."""
    from splade_anserini.encoding import SpladeDocumentEncoder, default_scale, open_encoder, parse_scale
    from splade_anserini.formats.texts import open_documents
    from splade_anserini.retrieval.text_scorer import TextScorer

    number = parse_scale(scale) if scale else default_scale(name)
    encoder = SpladeDocumentEncoder(open_encoder(name, options), scale=number, top_k=top_k, contents=False)
    ids = (id_ for _, some in candidates for id_ in some)
    with progress_bar("Encoding", None, "documents") as progress:
        return TextScorer(ids, open_documents(corpus), encoder, progress)


if __name__ == "__main__":
    run_command(command)
