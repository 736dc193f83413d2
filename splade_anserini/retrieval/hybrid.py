"""Hybrid search: the rankings of an impact index and of BM25 over a text index, fused."""

import logging
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from splade_anserini.artifacts.commits import time_of_commit
from splade_anserini.artifacts.manifests import IndexManifest, read_manifest
from splade_anserini.errors import InputError, MismatchError
from splade_anserini.records import StrPath

if TYPE_CHECKING:
    from ir_measures import ScoredDoc

    from splade_anserini.lucene import Bm25Options
    from splade_anserini.records import Query
    from splade_anserini.retrieval.fusion import FusionOptions

_log = logging.getLogger(__name__)

_PREFIX = "bm25:"
_DO = "Pass an index of the texts of the same collection, built by splade-anserini index --bm25, Anserini or Pyserini."


def bm25_index(name: str, impacts: StrPath, ids: "Iterable[str] | None" = None, *, verify: bool = False) -> Path:
    """Return the directory of the text index in `name`, which has the form bm25:DIRECTORY.

    With `verify` all of its files are checked for damage, however large it is. Raises `InputError` when there is no
    such index, `MismatchError` when it has no document of `impacts`, `IntegrityError` when it is damaged. `impacts` is
    an index, or documents that are not indexed yet, whose ids are `ids`.
    """
    from splade_anserini.lucene import count_index
    from splade_anserini.lucene.index_reader import check_index_files, holds_any, kind_of_index, share_ids

    if not name.startswith(_PREFIX) or name == _PREFIX:
        raise InputError(f"--hybrid {name!r} is not valid.", expected="bm25: followed by the directory of a text index")
    directory = Path(name.removeprefix(_PREFIX))
    check_index_files(directory, any_size=verify)
    if kind_of_index(directory) == "impact":
        raise InputError(f"{directory} is an impact index; BM25 needs a text index.", do=_DO)
    if not count_index(directory).postings:
        raise InputError(f"{directory} has no text in its field `contents`.", do=_DO)
    if not (share_ids(directory, Path(impacts)) if ids is None else holds_any(directory, ids)):
        raise MismatchError(
            f"{'The indexes ' if ids is None else ''}{directory} and {impacts} have no document in common.",
            expected="two indexes of the same collection" if ids is None else "a text index of the same collection",
            do=_DO,
        )
    if ids is None:
        warn_of_changed_documents(Path(impacts), directory)
    return directory


def warn_of_changed_documents(impacts: Path, text_index: Path) -> None:
    """Log a warning when documents of an impact index were added, replaced or deleted after the text index was built.

    Text indexes cannot be changed, so that BM25 finds the documents of before.
    """
    manifest = read_manifest(impacts, IndexManifest)
    if manifest and manifest.revision and time_of_commit(text_index) < time_of_commit(impacts):
        _log.warning(
            "%s was changed after the text index %s was built: BM25 finds documents that were deleted since, and none "
            "that were added. Build the text index again from all documents: index --bm25.",
            impacts,
            text_index,
        )


def texts_needed(topics: str, option: str = "--hybrid") -> InputError:
    """Return the error for topics that are impact vectors, whose texts BM25 needs."""
    return InputError(
        f"The topics {topics} are impact vectors, but {option} needs their texts for BM25.",
        expected="topics as texts",
        do="Pass the topics that were encoded, or add --not-pre-encoded if these are texts.",
    )


def scores_with_bm25(weight: float, hits: int) -> "FusionOptions":
    """Return how scores of an impact index and of BM25 are fused: each divided by the greatest, BM25's × `weight`."""
    from splade_anserini.retrieval.fusion import FusionOptions

    return FusionOptions(method="interpolation", normalization="max", weights=(1.0, weight), depth=hits, hits=hits)


def with_bm25(
    rankings: "Iterable[tuple[str, Sequence[ScoredDoc]]]",
    queries: "Sequence[Query]",
    index: StrPath,
    fusion: "FusionOptions",
    *,
    threads: int = 1,
    remove_query: bool = False,
    bm25: "Bm25Options | None" = None,
    max_passage: str | None = None,
) -> "Iterator[tuple[str, list[ScoredDoc]]]":
    """Fuse each query's ranking with its best `fusion.hits` documents of BM25, as `fusion` says.

    `rankings` must be in the order of `queries`; weights are those of `rankings` and of BM25. The fused rankings are
    those of both runs, written and fused: scores are as a run has them, without ties. With `remove_query` the document
    with the query's id is left out. With `max_passage`, a separator in ids, `rankings` are of documents and the text
    index is of their passages.
    """
    from splade_anserini.lucene import open_bm25_searcher
    from splade_anserini.retrieval.max_passage import BestPassageSearcher

    with open_bm25_searcher(index, threads, bm25) as opened:
        searcher = opened if max_passage is None else BestPassageSearcher(opened, max_passage)
        bm25_rankings = searcher.search({query.id: query.text for query in queries}, fusion.hits + remove_query)
        for (query_id, ranking), (_, bm25_ranking) in zip(rankings, bm25_rankings, strict=True):
            others = [hit for hit in bm25_ranking if hit.doc_id != query_id] if remove_query else bm25_ranking
            yield query_id, fused(query_id, [ranking, others], fusion)


def fused(query_id: str, rankings: "Sequence[Sequence[ScoredDoc]]", fusion: "FusionOptions") -> "list[ScoredDoc]":
    """Fuse the rankings of a query as `fuse` fuses written runs, whose scores have no ties."""
    from splade_anserini.formats.runs import as_in_a_run
    from splade_anserini.retrieval.fusion import fuse_rankings

    # Reciprocal rank fusion sees no scores.
    as_written = rankings if fusion.method == "rrf" else [as_in_a_run(ranking) for ranking in rankings]
    return fuse_rankings(query_id, as_written, fusion)
