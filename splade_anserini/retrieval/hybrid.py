"""Impacts and BM25 together: each query's rankings from two indexes, fused."""

from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from splade_anserini.artifacts.manifests import IndexManifest, read_manifest
from splade_anserini.errors import InputError, MismatchError

if TYPE_CHECKING:
    from ir_measures import ScoredDoc

    from splade_anserini.records import Query

_BM25 = "bm25:"
_DO = "Name an index of the collection's texts, as Anserini or Pyserini builds it."


def bm25_index(name: str, impacts: Path) -> Path:
    """Return the text index that `name`, bm25:DIRECTORY, names, to be searched beside the index `impacts`.

    Raises `InputError` when there is none there, `MismatchError` when the two hold different collections.
    """
    from splade_anserini.lucene import count_index
    from splade_anserini.lucene.counting import check_index_directory
    from splade_anserini.lucene.id_overlap import share_ids

    if not name.startswith(_BM25) or name == _BM25:
        raise InputError(
            f"There is nothing to search that is called {name!r}.", expected="bm25: and the directory of a text index"
        )
    directory = Path(name.removeprefix(_BM25))
    check_index_directory(directory)
    if read_manifest(directory, IndexManifest):
        raise InputError(f"{directory} is an impact index, in which BM25 means nothing.", do=_DO)
    if not count_index(directory).postings:
        raise InputError(f"{directory} has no text to search in its field contents.", do=_DO)
    if not share_ids(directory, impacts):
        raise MismatchError(
            f"No document of {directory} is in {impacts}.", expected="two indexes of the same collection", do=_DO
        )
    return directory


def texts_needed(topics: str) -> InputError:
    """Return the error for topics that are impact vectors already."""
    return InputError(
        f"The topics {topics} are encoded already, but --hybrid needs their texts for BM25.",
        expected="topics as texts",
        do="Name those that these were made of, or add --not-pre-encoded if they are texts.",
    )


def with_bm25(
    rankings: "Iterable[tuple[str, Sequence[ScoredDoc]]]",
    queries: "Sequence[Query]",
    index: Path,
    hits: int,
    *,
    threads: int = 1,
    remove_query: bool = False,
) -> "Iterator[tuple[str, list[ScoredDoc]]]":
    """Fuse the rankings of the queries, in their order, with what BM25 finds, by reciprocal ranks with k = 60.

    From BM25 come as many `hits`, and with `remove_query` never the document with the query's id.
    """
    from splade_anserini.lucene import search_bm25
    from splade_anserini.retrieval.fusion import FusionOptions, fused

    options = FusionOptions(depth=hits, hits=hits)
    lexical = search_bm25(index, queries, hits + remove_query, threads)
    for (query_id, ranking), (_, found) in zip(rankings, lexical, strict=True):
        kept = [hit for hit in found if hit.doc_id != query_id] if remove_query else found
        yield query_id, fused(query_id, [ranking, kept], options)
