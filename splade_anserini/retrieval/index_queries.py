"""How queries of an index are encoded and weighted, unless the user says otherwise."""

from collections.abc import Callable
from os import PathLike
from typing import TYPE_CHECKING

from splade_anserini.records import DEFAULT_SCALE, StrPath

if TYPE_CHECKING:
    from splade_anserini.artifacts.manifests import IndexManifest
    from splade_anserini.encoding import Encoder, ImpactQueryEncoder


def query_encoder_opener(
    encoder: "Encoder | StrPath | None", manifest: "IndexManifest | None", source: str, *, force: bool = False
) -> "Callable[[], ImpactQueryEncoder]":
    """Return a function that opens the query encoder of an index; it fails when it does not fit the index."""

    def open_query_encoder() -> "ImpactQueryEncoder":
        from splade_anserini.encoding import ImpactQueryEncoder
        from splade_anserini.encoding.matching import check_match
        from splade_anserini.retrieval.options import QueryOptions
        from splade_anserini.retrieval.query_vectors import open_query_encoder_for

        if encoder is None or isinstance(encoder, str | PathLike):
            options = QueryOptions(encoder=None if encoder is None else str(encoder), force=force)
            return open_query_encoder_for(manifest, source, options, low_latency=True)
        scale = manifest.scale if manifest and manifest.scale else DEFAULT_SCALE
        if manifest:
            check_match(manifest, encoder, scale, force=force)
        return ImpactQueryEncoder(encoder, scale=scale)

    return open_query_encoder


def power_for_queries(
    query_idf: float | None,
    manifest: "IndexManifest | None",
    encoder: "Encoder | StrPath | None",
    source: str = "The index",
    *,
    force: bool = False,
) -> float:
    """Return the power of idf for queries of an index: the one that is given, else as `query_idf_for` says."""
    from splade_anserini.lucene.document_idf import refuse_idf_twice
    from splade_anserini.retrieval.options import QueryOptions
    from splade_anserini.retrieval.query_settings import query_idf_for

    if query_idf is not None:
        refuse_idf_twice(manifest.document_idf if manifest else None, query_idf, source, force=force)
        return query_idf
    name = str(encoder) if isinstance(encoder, str | PathLike) else None
    return query_idf_for(manifest, QueryOptions(encoder=name), source)
