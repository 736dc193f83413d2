"""The command `rescore`: a run → the same documents with their exact impact scores."""

import logging
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, nullcontext
from pathlib import Path
from typing import TYPE_CHECKING

import typer

from splade_anserini.cli import options as cli
from splade_anserini.cli.console import main_of, progress_bar
from splade_anserini.errors import NOTE, InputError
from splade_anserini.formats.corpus_fields import CorpusOptions
from splade_anserini.options import option, options, recorded_options
from splade_anserini.progress import Progress, ProgressBars, no_bars, silent
from splade_anserini.records import StrPath
from splade_anserini.retrieval.options import QueryOptions, RunOptions

if TYPE_CHECKING:
    from ir_measures import ScoredDoc

    from splade_anserini.lucene import Scorer
    from splade_anserini.records import ImpactVector
    from splade_anserini.retrieval.query_vectors import QuerySet
    from splade_anserini.retrieval.text_scorer import TextScorer

_log = logging.getLogger(__name__)


def rescore(
    candidates: Iterable[tuple[str, Sequence[str]]],
    queries: "Mapping[str, ImpactVector]",
    scorer: "Scorer",
    progress: Progress = silent,
) -> "Iterator[tuple[str, list[ScoredDoc]]]":
    """Yield each query's id and exactly its candidates, ranked by their scores as a search ranks them.

    Raises `InputError` for a query that is not among `queries`, or a document that `scorer` does not have.
    """
    from ir_measures import ScoredDoc

    from splade_anserini.ordering import best

    for query_id, ids in candidates:
        if query_id not in queries:
            raise InputError(
                f"Query {query_id!r} of the candidates is not among the topics.", expected="topics with all queries"
            )
        scores = scorer.scores(queries[query_id], ids)
        progress(1)
        yield query_id, [ScoredDoc(query_id, id_, score) for id_, score in best(zip(ids, scores, strict=True))]


@options
class CandidateOptions:
    """Which pairs of query and document are scored."""

    run: Path | None = option(default=None, help="Score the pairs of this run (TREC, MS MARCO, …).", recorded=False)
    qrels: str | None = option(
        default=None, help="Score the pairs of these judgements, of any relevance.", recorded=False
    )

    def __post_init__(self) -> None:
        if (self.run is None) == (self.qrels is None):
            problem = "Neither --run nor --qrels is" if self.run is None else "Both --run and --qrels are"
            raise InputError(f"{problem} given.", expected="one of them: the pairs to score")


@options
class DocumentOptions(CorpusOptions):
    """Where the vectors of the documents come from."""

    index: str | None = option(
        default=None, help="Read document vectors from this Lucene impact index, or index card.", recorded=False
    )
    corpus: str | None = option(
        default=None, help="Instead of --index: encode these texts with --encoder. Needs no Java.", recorded=False
    )
    top_k: int | None = option(
        default=None, least=1, help="With --corpus: keep the k greatest weights of a document.", unset="all"
    )

    def __post_init__(self) -> None:
        super().__post_init__()
        if (self.index is None) == (self.corpus is None):
            problem = "Neither --index nor --corpus is" if self.index is None else "Both --index and --corpus are"
            raise InputError(f"{problem} given.", expected="one of them: where the documents are")
        if self.index is not None and self.top_k is not None:
            raise InputError("--top-k needs --corpus: an index is not pruned here.", do="Leave --top-k out.")
        if self.index is not None and self.named:
            raise InputError("--id-field, --title-field and --text-fields need --corpus.", do="Leave them out.")


def read_candidates(run: StrPath | None, qrels: str | None) -> Iterator[tuple[str, list[str]]]:
    """Yield the id and the documents of each query of a run, or of judgements of any relevance.

    Raises `InputError` when the run is empty, `RecordError` where `read_rankings` and `read_qrels` do.
    """
    from splade_anserini.formats.qrels import read_qrels
    from splade_anserini.formats.runs import read_rankings

    if run is not None:
        empty = True
        for query_id, ranking in read_rankings(Path(run)):
            empty = False
            yield query_id, [doc.doc_id for doc in ranking]
        if empty:
            raise InputError(f"Run {run} is empty.", expected="at least one query")
    elif qrels is not None:
        judged: dict[str, list[str]] = {}
        for qrel in read_qrels(qrels):
            judged.setdefault(qrel.query_id, []).append(qrel.doc_id)
        yield from judged.items()


def command(
    topics: cli.Topics, run: RunOptions, candidates: CandidateOptions, documents: DocumentOptions, query: QueryOptions
) -> None:
    """Score the documents of a run, or of judgements, as an exact search would; none is added, none left out.

    Documents that share no token with their query are kept, with score 0.

    \b
    Example:
      splade-anserini rescore --index indexes/mine --topics queries.tsv --run bm25.txt --output rescored.txt
    """
    from splade_anserini.artifacts.files import require_disjoint
    from splade_anserini.artifacts.outputs import OutputRecord
    from splade_anserini.cards.finding import resolve_index
    from splade_anserini.retrieval.query_idf import with_exact_scores
    from splade_anserini.retrieval.recorded_run import RecordedRun, query_inputs

    if documents.corpus is not None and query.encoder is None:
        raise InputError("--corpus needs --encoder: the encoder of its documents.", do="Add --encoder.")
    if query.verify and documents.index is None:
        raise InputError("--verify needs --index.", do="Leave --verify out.")
    require_disjoint([run.output], [candidates.run, candidates.qrels, topics, documents.corpus])
    index = resolve_index(documents.index) if documents.index else None
    queries = _queries(topics, index, documents, query)
    inputs = query_inputs(queries) | _inputs(index, documents, candidates)
    recorded = RecordedRun(run, OutputRecord("rescore", recorded_options(run, documents), inputs))
    if recorded.is_up_to_date:
        typer.echo(f"{run.output} is up to date: this command made it before.")
        return
    vectors = queries.vectors(query.batch_size, progress_bar)
    with (
        _open_scorer(index, documents, candidates, query, progress_bar) as scorer,
        progress_bar("Scoring", len(vectors), "queries") as progress,
    ):
        rankings = rescore(read_candidates(candidates.run, candidates.qrels), vectors, scorer, progress)
        if queries.has_idf:
            rankings = with_exact_scores(rankings)
        recorded.write(rankings, queries)
    typer.echo(f"{recorded}, rescored")


def _queries(topics: str, index: Path | None, documents: DocumentOptions, query: QueryOptions) -> "QuerySet":
    from splade_anserini.artifacts.manifests import IndexManifest, read_manifest
    from splade_anserini.lucene.index_reader import check_index_files, require_impact_index
    from splade_anserini.retrieval.query_settings import query_idf_for, query_idf_of_encoder
    from splade_anserini.retrieval.query_vectors import load_queries, load_queries_for, open_query_encoder_for

    if index is not None:
        check_index_files(index, any_size=query.verify)
        require_impact_index(index, force=query.force)
        manifest = read_manifest(index, IndexManifest)
        queries = load_queries_for(topics, manifest, f"Index {index}", query)
        queries.multiply_by_idf(index, query_idf_for(manifest, query, f"Index {index}"))
        return queries
    if query.query_idf:
        raise InputError(
            "--query-idf needs --index, whose documents are counted; --corpus is given.", do="Leave one of them out."
        )
    if power := query_idf_of_encoder(query.encoder):
        _log.log(
            NOTE,
            "Impacts of queries are not multiplied by idf^%g, as a search in an index would: a corpus has no counts.",
            power,
        )
    # --encoder is the documents' encoder, so encoded topics may go with it.
    source = f"Corpus {documents.corpus}"
    return load_queries(topics, lambda: open_query_encoder_for(None, source, query), query)


def _inputs(index: Path | None, documents: DocumentOptions, candidates: CandidateOptions) -> dict[str, str]:
    from splade_anserini.artifacts.fingerprints import fingerprint_of_file
    from splade_anserini.artifacts.sharded_index import fingerprint_of_index

    pairs = fingerprint_of_file(candidates.run) if candidates.run else str(candidates.qrels)
    return {"pairs": pairs, "documents": fingerprint_of_index(index) if index else str(documents.corpus)}


def _open_scorer(
    index: Path | None,
    documents: DocumentOptions,
    candidates: CandidateOptions,
    query: QueryOptions,
    bars: ProgressBars = no_bars,
) -> "AbstractContextManager[Scorer]":
    if index is None:
        pairs = read_candidates(candidates.run, candidates.qrels)
        return nullcontext(_encode_candidates(pairs, documents, query, bars))
    from splade_anserini.lucene import ImpactSearcher

    return ImpactSearcher(index)


def _encode_candidates(
    candidates: Iterable[tuple[str, Sequence[str]]], documents: DocumentOptions, query: QueryOptions, bars: ProgressBars
) -> "TextScorer":
    """Encode the documents of all candidates."""
    from splade_anserini.encoding import (
        EncoderOptions,
        SpladeDocumentEncoder,
        default_scale,
        open_encoder,
    )
    from splade_anserini.encoding.truncation import log_truncation
    from splade_anserini.formats.texts import open_documents
    from splade_anserini.retrieval.text_scorer import TextScorer

    name = str(query.encoder)
    options = EncoderOptions(
        device=query.device,
        batch_size=query.batch_size,
        threads=query.threads,
        trust_remote_code=query.trust_remote_code,
    )
    encoder = SpladeDocumentEncoder(
        open_encoder(name, options),
        scale=query.scale or default_scale(name),
        top_k=documents.top_k,
        contents=False,
    )
    ids = list(dict.fromkeys(id_ for _, doc_ids in candidates for id_ in doc_ids))
    _log.info("Encoding %d documents of %s", len(ids), documents.corpus)
    with bars("Encoding", len(ids), "documents") as progress:
        scorer = TextScorer(ids, open_documents(str(documents.corpus), documents), encoder, progress)
    if encoder.truncation:
        log_truncation(encoder.truncation.record(), encoder.encoder.max_length, "document")
    return scorer


if __name__ == "__main__":
    main_of(command)
