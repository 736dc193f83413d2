"""From topics to the impact vectors that an index understands."""

import logging
from collections.abc import Callable, Iterator, Mapping, Sequence
from itertools import batched
from typing import TYPE_CHECKING

from splade_anserini.artifacts.fingerprints import fingerprint_of_bytes
from splade_anserini.artifacts.manifests import EncodeSettings, IndexManifest
from splade_anserini.encoding.matching import check_match
from splade_anserini.errors import NOTE, InputError, counted
from splade_anserini.progress import Progress, ProgressBars, no_bars, silent
from splade_anserini.records import StrPath
from splade_anserini.retrieval.options import QueryOptions

if TYPE_CHECKING:
    from splade_anserini.artifacts.truncation import Truncation
    from splade_anserini.encoding import ImpactQueryEncoder
    from splade_anserini.encoding.truncation import TruncationCounts
    from splade_anserini.formats.topics import Topics
    from splade_anserini.records import ImpactVector, Query

_log = logging.getLogger(__name__)


class QuerySet:
    """The queries of a search: texts that are encoded when their vectors are first needed, or vectors as they are."""

    def __init__(
        self,
        source: str,
        texts: "Sequence[Query] | None" = None,
        encoder: "ImpactQueryEncoder | None" = None,
        vectors: "Mapping[str, ImpactVector] | None" = None,
    ) -> None:
        self.source = source
        """The topics, as they were named."""
        self.texts = texts
        """None for topics that were encoded before."""
        self.encoder = encoder
        self.truncation: Truncation | None = None
        """The queries that were longer than the encoder reads; None before they are encoded, and for vectors."""
        self.query_idf = 0.0
        """The power of idf by which impacts are multiplied; see `retrieval.query_idf`."""
        self.document_idf = 0.0
        """The power of idf by which impacts of the documents were multiplied."""
        self._vectors = vectors
        self._index: StrPath | None = None

    def multiply_by_idf(self, index: StrPath, alpha: float) -> None:
        """Multiply the impacts that `vectors` returns by idf^`alpha` of their tokens in `index`."""
        from splade_anserini.lucene.document_idf import document_idf_in

        self._index, self.query_idf = index, alpha
        of_documents = document_idf_in(index)
        self.document_idf = of_documents.alpha if of_documents else 0.0

    @property
    def has_idf(self) -> bool:
        """Whether impacts of queries or documents are multiplied by idf, so that scores may be great."""
        return bool(self.query_idf or self.document_idf)

    def __len__(self) -> int:
        return len(self.texts if self.texts is not None else self._vectors or ())

    def vectors(self, batch_size: int = 32, bars: ProgressBars = no_bars) -> "Mapping[str, ImpactVector]":
        """Return the impact vector of each query by its id, in order; texts are encoded once."""
        if self._vectors is None:
            with bars("Encoding queries", len(self), "queries") as progress:
                for _ in self._encoded(len(self), batch_size, progress):
                    pass
        return self._weighted(self._vectors or {})

    def vector_groups(self, size: int, batch_size: int = 32) -> "Iterator[Mapping[str, ImpactVector]]":
        """Yield what `vectors` returns, `size` queries at a time; texts are encoded as groups are drawn."""
        if self._vectors is None:
            groups = self._encoded(size, batch_size, silent)
        else:
            groups = map(dict, batched(self._vectors.items(), size))
        yield from map(self._weighted, groups)

    def _weighted(self, vectors: "Mapping[str, ImpactVector]") -> "Mapping[str, ImpactVector]":
        if self._index is None or not self.query_idf:
            return vectors
        from splade_anserini.retrieval.query_idf import weighted_by_idf

        return weighted_by_idf(vectors, self._index, self.query_idf)

    def _encoded(self, size: int, batch_size: int, progress: Progress) -> "Iterator[dict[str, ImpactVector]]":
        """Encode the texts, and yield `size` of them at a time; when all are, keep their vectors and truncation."""
        if self.texts is None or self.encoder is None:
            raise ValueError("a query set needs vectors, or texts and their encoder")
        from splade_anserini.encoding.truncation import TruncationCounts

        counts = TruncationCounts()
        vectors: dict[str, ImpactVector] = {}
        for texts in batched(self.texts, max(size, 1)):
            group = _encode(texts, self.encoder, batch_size, progress, counts)
            vectors |= group
            yield group
        _log_encoding(self.texts, vectors, counts.record(), self.encoder)
        self._vectors = vectors
        self.truncation = counts.record() if counts.texts == len(self.texts) else None

    def fingerprint(self) -> str:
        """Return the SHA-256 of the queries: ids and texts, or ids and vectors."""
        if self.texts is not None:
            return fingerprint_of_bytes(*(part.encode() for query in self.texts for part in (query.id, query.text)))
        vectors = self._vectors or {}
        return fingerprint_of_bytes(
            *(part.encode() for id_, vector in vectors.items() for part in (id_, repr(dict(vector))))
        )


def load_queries(
    topics: str,
    open_encoder: "Callable[[], ImpactQueryEncoder]",
    options: QueryOptions | None = None,
    *,
    encoder_name: str | None = None,
) -> QuerySet:
    """Read topics; `open_encoder` is called for texts only. A note says what the topics were taken for.

    Whether topics are encoded already is detected unless `options.pre_encoded` says so. Raises `InputError` when they
    are and `encoder_name`, the encoder that the user named, is not None, and when they may be either; and as `Topics`
    does.
    """
    from splade_anserini.retrieval.topics import open_topics

    options = options or QueryOptions()
    source = open_topics(topics, options.topics_field)
    if not (source.are_encoded() if options.pre_encoded is None else options.pre_encoded):
        # The encoder first: a name that leads nowhere is reported before topics are downloaded.
        encoder = open_encoder()
        queries = QuerySet(topics, source.texts(), encoder)
        _note_reading(topics, queries, "texts to encode", options, "--pre-encoded if they are impact vectors")
        return queries
    if encoder_name:
        raise InputError(
            f"Topics {topics} are {_impact_vectors(source, options)}, but --encoder {encoder_name} is given.",
            do="Leave --encoder out, or add --not-pre-encoded if they are texts.",
        )
    queries = QuerySet(topics, vectors=source.vectors(options.scale))
    reading = _impact_vectors(source, options)
    _note_reading(topics, queries, reading, options, "--not-pre-encoded if they are texts")
    return queries


def _impact_vectors(topics: "Topics", options: QueryOptions) -> str:
    """Return what topics were taken for with the reason, or are because `options` says so."""
    return "impact vectors" if options.pre_encoded else f"impact vectors, as {topics.reading.reason}"


def _note_reading(topics: str, queries: QuerySet, reading: str, options: QueryOptions, otherwise: str) -> None:
    """Log what topics were taken for, by whose decision, and how to say otherwise."""
    how = f"taken for {reading}; add {otherwise}" if options.pre_encoded is None else f"given as {reading}"
    _log.log(NOTE, "Topics %s: %s, %s.", topics, counted(len(queries), "query", "queries"), how)


def load_queries_for(
    topics: str, documents: IndexManifest | EncodeSettings | None, source: str, options: QueryOptions | None = None
) -> QuerySet:
    """Read topics for a search of `documents`: texts are to be encoded as `documents` says they were, unless `options`
    says otherwise. `source` names the documents in messages.

    Raises what `load_queries` and `open_query_encoder_for` raise.
    """
    options = options or QueryOptions()
    return load_queries(
        topics,
        lambda: open_query_encoder_for(documents, source, options),
        options,
        encoder_name=options.encoder,
    )


def open_query_encoder_for(
    documents: IndexManifest | EncodeSettings | None,
    source: str,
    options: QueryOptions,
    *,
    low_latency: bool = False,
) -> "ImpactQueryEncoder":
    """Open the query encoder that `options` names, by default the one that `documents` were encoded with.

    Raises `InputError` when there is no such encoder, `MismatchError` when it does not fit (see `check_match`).
    """
    from splade_anserini.encoding import (
        EncoderOptions,
        ImpactQueryEncoder,
        default_scale,
        open_query_encoder,
    )
    from splade_anserini.retrieval.query_settings import query_max_length_for

    recorded = documents.encoder.name if documents and documents.encoder else None
    name = options.encoder or recorded
    if name is None:
        raise InputError(
            f"{source} does not record which encoder its documents were encoded with.",
            do="Add --encoder, or --pre-encoded if the topics are impact vectors.",
        )
    encoder_of_index = documents.encoder if documents and name == recorded else None
    scale = options.scale or (documents and documents.scale)
    try:
        encoder = open_query_encoder(
            name,
            EncoderOptions(
                max_length=query_max_length_for(documents, options),
                device=options.device,
                batch_size=options.batch_size,
                threads=options.threads,
                low_latency=low_latency,
                trust_remote_code=options.trust_remote_code,
            ),
            documents=encoder_of_index,
        )
        scale = scale or default_scale(name)
    except InputError as error:
        if options.encoder:
            raise
        raise InputError(
            f"{source} was encoded with {recorded}, which cannot be opened: {error}",
            do="Name the encoder with --encoder.",
        ) from error
    if documents:
        check_match(documents, encoder, scale, force=options.force)
    return ImpactQueryEncoder(encoder, scale=scale)


def encode_queries(
    queries: "Sequence[Query]",
    encoder: "ImpactQueryEncoder",
    batch_size: int = 32,
    progress: Progress = silent,
    truncation: "TruncationCounts | None" = None,
) -> "dict[str, ImpactVector]":
    """Return the impact vector of each query by its id, in order; logs how many are empty although texts are not, and
    how many were cut.

    Queries that are longer than the encoder reads are added to `truncation`.
    """
    from splade_anserini.encoding.truncation import TruncationCounts

    counts = truncation or TruncationCounts()
    before = counts.record()
    vectors = _encode(queries, encoder, batch_size, progress, counts)
    _log_encoding(queries, vectors, counts.record() - before, encoder)
    return vectors


def _encode(
    queries: "Sequence[Query]",
    encoder: "ImpactQueryEncoder",
    batch_size: int,
    progress: Progress,
    truncation: "TruncationCounts",
) -> "dict[str, ImpactVector]":
    """Return the impact vector of each query; those longer than the encoder reads are added to `truncation`."""
    from splade_anserini.encoding import quantize
    from splade_anserini.encoding.tokenized import TokenizedEncoder

    model = encoder.encoder
    vectors: dict[str, ImpactVector] = {}
    for batch in batched(queries, batch_size):
        texts = [query.text for query in batch]
        encoded = model.encode(texts, truncation) if isinstance(model, TokenizedEncoder) else model.encode(texts)
        for query, vector in zip(batch, encoded, strict=True):
            vectors[query.id] = quantize(vector, encoder.scale)
        progress(len(batch))
    return vectors


def _log_encoding(
    queries: "Sequence[Query]",
    vectors: "Mapping[str, ImpactVector]",
    truncation: "Truncation",
    encoder: "ImpactQueryEncoder",
) -> None:
    from splade_anserini.encoding.truncation import log_truncation

    empty = [query.id for query in queries if not vectors[query.id] and query.text.strip()]
    if empty:
        have = "has" if len(empty) == 1 else "have"
        _log.warning(
            "%s %s an empty vector and no hits, first: %s", counted(len(empty), "query", "queries"), have, empty[0]
        )
    log_truncation(truncation, encoder.encoder.max_length, "query", "queries")


def prune_queries(
    vectors: "Mapping[str, ImpactVector]", top_k: int | None = None, min_impact: int = 1
) -> "dict[str, ImpactVector]":
    """Keep the `top_k` strongest tokens of each query, of impacts from `min_impact` up; logs how many become empty."""
    from splade_anserini.vectors.pruning import prune_below, prune_top_k

    pruned = {query_id: prune_below(prune_top_k(vector, top_k), min_impact) for query_id, vector in vectors.items()}
    emptied = [query_id for query_id, vector in pruned.items() if vectors[query_id] and not vector]
    if emptied:
        have = "has" if len(emptied) == 1 else "have"
        _log.warning(
            "%s %s no token with an impact of %d or more and no hits, first: %s",
            counted(len(emptied), "query", "queries"),
            have,
            min_impact,
            emptied[0],
        )
    return pruned
