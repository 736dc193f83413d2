"""From topics to the impact vectors that an index understands."""

import logging
from collections.abc import Callable, Mapping, Sequence
from itertools import batched
from pathlib import Path
from typing import TYPE_CHECKING

from splade_anserini.artifacts.manifests import EncoderIdentity, EncodeSettings, IndexManifest, read_manifest
from splade_anserini.cli.console import progress_bar
from splade_anserini.errors import InputError, MismatchError
from splade_anserini.progress import Progress, silent

if TYPE_CHECKING:
    from splade_anserini.encoding import EncoderOptions, ImpactQueryEncoder
    from splade_anserini.records import ImpactVector, Query

_logger = logging.getLogger(__name__)


def open_index_query_encoder(
    index: Path, name: str | None, scale: str | None, options: "EncoderOptions", *, force: bool = False
) -> "ImpactQueryEncoder":
    """Open the encoder of that name for the queries of an index, as `open_query_encoder_for` does with its manifest."""
    return open_query_encoder_for(
        read_manifest(index, IndexManifest), f"The index {index}", name, scale, options, force=force
    )


def open_query_encoder_for(
    documents: IndexManifest | EncodeSettings | None,
    what: str,
    name: str | None,
    scale: str | None,
    options: "EncoderOptions",
    *,
    force: bool = False,
) -> "ImpactQueryEncoder":
    """Open the encoder of that name for queries; by default the one that `what` says of its `documents`.

    Raises `InputError` when there is no such encoder, `MismatchError` when it does not fit (see `check_match`).
    """
    from splade_anserini.encoding import ImpactQueryEncoder, default_scale, open_query_encoder, parse_scale

    known = documents.encoder.name if documents and documents.encoder else None
    wanted = name or known
    if wanted is None:
        raise InputError(f"{what} does not say how its documents were encoded.", do="Name the encoder with --encoder.")
    try:
        opened = open_query_encoder(wanted, options)
        number = parse_scale(scale) if scale else (documents and documents.scale) or default_scale(wanted)
    except InputError as error:
        if name:
            raise
        raise InputError(
            f"{what} was made with the encoder {known}, which cannot be opened: {error}",
            do="Name the encoder with --encoder.",
        ) from error
    if documents:
        check_match(documents, opened.identity, number, force=force)
    return ImpactQueryEncoder(opened, scale=number)


def check_match(
    documents: IndexManifest | EncodeSettings, encoder: EncoderIdentity, scale: float, *, force: bool = False
) -> None:
    """Raise `MismatchError` unless queries encoded so fit the index; with `force` only log what differs."""
    problems = []
    if documents.encoder and documents.encoder.vocabulary != encoder.vocabulary:
        problems.append(f"The encoder {encoder.name} has another vocabulary than {documents.encoder.name}")
    if documents.scale is not None and documents.scale != scale:
        problems.append(f"The scale of the queries is {scale:g}, that of the documents {documents.scale:g}")
    if problems and not force:
        raise MismatchError(
            f"The queries do not fit the documents. {'. '.join(problems)}.",
            expected="queries that are encoded as the documents were",
            do="Leave out --encoder and --scale to use the index's own, or add --force if you mean it.",
        )
    for problem in problems:
        _logger.warning("%s: searching all the same", problem)
    if documents.encoder and documents.encoder.weights != encoder.weights:
        _logger.info("the queries' encoder %s has other weights than the documents'", encoder.name)


def encode_queries(
    queries: "Sequence[Query]", encoder: "ImpactQueryEncoder", batch_size: int = 32, progress: Progress = silent
) -> "dict[str, ImpactVector]":
    """Return the impact vector of each query by its id, in order; logs how many are empty."""
    from splade_anserini.encoding import quantize

    vectors: dict[str, ImpactVector] = {}
    for batch in batched(queries, batch_size):
        encoded = encoder.encoder.encode([query.text for query in batch])
        for query, vector in zip(batch, encoded, strict=True):
            vectors[query.id] = quantize(vector, encoder.scale)
        progress(len(batch))
    _report_empty(vectors)
    return vectors


def prune_queries(
    vectors: "Mapping[str, ImpactVector]", top_k: int | None = None, min_impact: int = 1
) -> "dict[str, ImpactVector]":
    """Keep the `top_k` strongest tokens of each query, of impacts from `min_impact` up; logs how many become empty."""
    from splade_anserini.vectors.pruning import prune_below, prune_top_k

    pruned = {query_id: prune_below(prune_top_k(vector, top_k), min_impact) for query_id, vector in vectors.items()}
    emptied = [query_id for query_id, vector in pruned.items() if vectors[query_id] and not vector]
    if emptied:
        _logger.warning(
            "%d queries have no token of an impact of %d or more and find nothing, the first is %s",
            len(emptied),
            min_impact,
            emptied[0],
        )
    return pruned


def topic_vectors(
    topics: str, opened: "Callable[[], ImpactQueryEncoder]", pre_encoded: bool | None = None, named: str | None = None
) -> "Mapping[str, ImpactVector]":
    """Read topics that are impact vectors already, or encode texts; `opened` is called only for these.

    Whether they are is seen from the topics unless `pre_encoded` says it. `named` as in `read_vectors`.
    """
    from splade_anserini.retrieval.topics import are_encoded, read_topics

    if are_encoded(topics) if pre_encoded is None else pre_encoded:
        return read_vectors(topics, named)
    encoder, queries = opened(), read_topics(topics)
    with progress_bar("Encoding", len(queries), "queries") as progress:
        return encode_queries(queries, encoder, progress=progress)


def read_vectors(topics: str, encoder: str | None = None) -> "dict[str, ImpactVector]":
    """Read pre-encoded topics. Raises `InputError` when an encoder is named as well."""
    from splade_anserini.retrieval.topics import read_encoded_topics

    if encoder:
        raise InputError(
            f"The topics {topics} are encoded already and need no --encoder, but {encoder} was named.",
            do="Leave --encoder out, or add --not-pre-encoded if they are texts.",
        )
    return read_encoded_topics(topics)


def _report_empty(vectors: "Mapping[str, ImpactVector]") -> None:
    empty = [query_id for query_id, vector in vectors.items() if not vector]
    if empty:
        _logger.warning("%d queries have an empty vector and find nothing, the first is %s", len(empty), empty[0])
