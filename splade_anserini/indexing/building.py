"""Builds an impact index of files of vectors, in one piece, in parts or as a sharded index, with its manifest."""

import logging
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

from splade_anserini.errors import NOTE, InputError, IntegrityError
from splade_anserini.formats.reading_options import ReadingOptions
from splade_anserini.indexing.documents import SourceDocuments, with_documents
from splade_anserini.lucene.index_options import IndexOptions
from splade_anserini.lucene.worker_options import IndexWorkerOptions
from splade_anserini.options import recorded_options
from splade_anserini.progress import Progress, ProgressBars, no_bars

if TYPE_CHECKING:
    from splade_anserini.artifacts.manifests import Counts, IndexManifest
    from splade_anserini.lucene.batches import ReadCounts
    from splade_anserini.lucene.sources import ImpactSource

_log = logging.getLogger(__name__)

_PARTS = "parts"
"""Directory, inside the index that is being written, of the parts that workers write."""


def open_source(path: Path, reading: ReadingOptions) -> "ImpactSource":
    """Return the files of the input, which may also be one file of a format that `convert` reads."""
    from splade_anserini.conversion import FORMATS, document_format
    from splade_anserini.lucene.sources import file_source, find_impacts

    options = reading.vector_options()
    advice = "Encode a corpus first, or add --bm25. Convert other vectors to one of these."
    format_ = document_format(path, advice=advice) if path.is_file() else FORMATS["impacts"]
    if format_.name in ("impacts", "seismic"):
        return find_impacts(path, options)
    return file_source(path, options, format_.read_settings(path), format_.located)


def index_source(
    source: "ImpactSource",
    output: Path,
    options: IndexOptions | None = None,
    *,
    documents: SourceDocuments | None = None,
    provenance: Mapping[str, str] | None = None,
    workers: IndexWorkerOptions | None = None,
    bars: ProgressBars = no_bars,
) -> "IndexManifest":
    """Build the index of files that were found, in place of the one that may be at `output`.

    `documents` have the fields that are stored; they are joined by their ids. `provenance` is added to the options in
    the manifest: what else was done to the documents.
    """
    from splade_anserini.artifacts.files import whole_directory
    from splade_anserini.artifacts.manifests import write_manifest
    from splade_anserini.lucene.document_idf import with_document_idf

    options, workers = options or IndexOptions(), workers or IndexWorkerOptions()
    if source.idf is None:
        source = with_document_idf(source, options)
    with whole_directory(output, replace=True) as partial:
        with (
            with_documents(source, documents, options, partial, bars) as source_with_documents,
            bars("Indexing", number_of_documents(source), "documents") as progress,
        ):
            write = _write_one if workers.shards is None else _write_shards
            read, manifest = write(source_with_documents, partial, options, workers, progress)
        added = {**(documents.recorded if documents else {}), **(provenance or {})}
        manifest = manifest.model_copy(update={"options": {**manifest.options, **added}})
        write_manifest(partial, manifest)
    if read:
        _say_what_was_read(read, source)
    return manifest


def number_of_documents(source: "ImpactSource") -> int | None:
    """Return how many documents a source has, as far as that is known."""
    if source.idf:
        return source.idf.documents
    return source.counts.documents if source.counts else None


def _queries_of(encoder: str | None) -> tuple[float, int | None]:
    """Return the power of idf and the length of queries that an encoder, by its name, is used with."""
    from splade_anserini.cards.finding import find_encoder
    from splade_anserini.encoding.usage import query_idf_of, query_max_length_of

    if encoder is None:
        return 0.0, None
    try:
        source = find_encoder(encoder)
    except InputError:
        _log.log(
            NOTE,
            "Encoder %s, with which the documents were encoded, is not here, so the index does not record the idf and "
            "the length of its queries; search with --query-idf and --max-length if its card has them.",
            encoder,
        )
        return 0.0, None
    return query_idf_of(source), query_max_length_of(source)


def _write_one(
    source: "ImpactSource", path: Path, options: IndexOptions, workers: IndexWorkerOptions, progress: Progress
) -> "tuple[ReadCounts | None, IndexManifest]":
    """Write one index, with several workers its parts first; return what was read, and its manifest."""
    from splade_anserini.lucene import count_index, write_impact_index
    from splade_anserini.lucene.index_merging import merge_indexes
    from splade_anserini.lucene.parallel_writer import (
        open_part_writer,
        part_count,
        remove_parts,
        split_source,
        total_read,
    )

    parts = split_source(source, part_count(workers))
    if len(parts) > 1:
        # Segments are merged once, at the end.
        with open_part_writer(replace(options, optimize=False), workers, len(parts)) as writer:
            written = writer.write(parts, path / _PARTS, progress)
        read = total_read(written, source)
        merge_indexes([part.path for part in written], path, optimize=options.optimize)
        remove_parts(path / _PARTS)
    else:
        read = write_impact_index(source, path, options, progress)
    counts = count_index(path)
    _compare(counts, read, source)
    return read, _manifest(source, options, counts, read)


def _write_shards(
    source: "ImpactSource", path: Path, options: IndexOptions, workers: IndexWorkerOptions, progress: Progress
) -> "tuple[ReadCounts | None, IndexManifest]":
    """Write the shards of a sharded index; return what was read, and its manifest."""
    from splade_anserini.artifacts.manifests import Counts, IndexPart, write_manifest
    from splade_anserini.artifacts.sharded_index import SHARDED, fingerprint_of_index, shard_name
    from splade_anserini.lucene import count_index
    from splade_anserini.lucene.parallel_writer import open_part_writer, remove_parts, split_into_shards, total_read

    parts = split_into_shards(source, workers.shards or 1)
    shards = []
    with open_part_writer(options, workers, len(parts)) as writer:
        written = writer.write(parts, path / _PARTS, progress)
    read = total_read(written, source)
    manifest = _manifest(source, options, Counts(), read)
    for number, part in enumerate(written):
        shard = part.path.replace(path / shard_name(number))
        counts = count_index(shard)
        own = {"source": part.source.fingerprint, "counts": counts, **_of_reading(part.source, part.read)}
        write_manifest(shard, manifest.model_copy(update=own))
        shards.append(IndexPart(path=shard.name, fingerprint=fingerprint_of_index(shard), counts=counts))
    remove_parts(path / _PARTS)
    manifest = manifest.model_copy(update={"counts": sum((shard.counts for shard in shards), Counts())})
    _compare(manifest.counts, read, source)
    changes = {"kind": SHARDED, "parts": tuple(shards), "options": {**manifest.options, "shards": workers.shards}}
    return read, manifest.model_copy(update=changes)


def _manifest(
    source: "ImpactSource", options: IndexOptions, counts: "Counts", read: "ReadCounts | None"
) -> "IndexManifest":
    from splade_anserini.artifacts.manifests import IndexManifest
    from splade_anserini.lucene import writer_version
    from splade_anserini.lucene.document_idf import document_idf_of

    settings, document_idf = source.settings, document_idf_of(source)
    query_idf, query_max_length = _queries_of(settings.encoder.name if settings and settings.encoder else None)
    return IndexManifest(
        encoder=settings.encoder if settings else None,
        scale=source.scale,
        max_length=settings.max_length if settings else None,
        corpus=settings.corpus if settings else "",
        writer=writer_version(options),
        options={**recorded_options(options), **source.reading_settings},
        source=source.fingerprint,
        counts=counts,
        top_k=settings.top_k if settings else None,
        passages=settings.passages if settings else None,
        query_idf=0.0 if document_idf else query_idf,
        query_max_length=query_max_length,
        document_idf=document_idf,
        filter_fields=options.filter_types or None,
    ).model_copy(update=_of_reading(source, read))


def _of_reading(source: "ImpactSource", read: "ReadCounts | None") -> dict[str, int]:
    """Return the fields of a manifest that count what was read."""
    if read:
        counts = {"zeros": read.zeros, "ids_with_spaces": read.ids_with_spaces}
        return {**counts, "rounded_to_zero": read.rounded_to_zero, "emptied": read.emptied}
    return {"zeros": 0, "ids_with_spaces": source.ids_with_spaces}


def _say_what_was_read(read: "ReadCounts", source: "ImpactSource") -> None:
    if read.zeros:
        _log.warning("Entries with an impact of 0, which are left out: %d", read.zeros)
    if read.empty:
        _log.warning("Documents with an empty vector, which Lucene cannot hold: %d", read.empty)
    if read.rounded_to_zero:
        _log.log(NOTE, "Entries that --document-idf made 0, which are left out: %d", read.rounded_to_zero)
    if read.emptied:
        _log.warning("Documents without an entry after --document-idf, which Lucene cannot hold: %d", read.emptied)
    if read.tokens_are_numbers:
        _log.warning(
            "All tokens of %s are numbers; if they are ids of a vocabulary, pass it with --vocabulary", source.path
        )


def _compare(counts: "Counts", read: "ReadCounts | None", source: "ImpactSource") -> None:
    from splade_anserini.lucene.batches import refuse_repeated_tokens

    differences = read.differences(counts) if read else counts.differences(source.counts or counts)
    if differences and read:
        refuse_repeated_tokens(source)
    if differences:
        raise IntegrityError(
            f"The index does not hold what {source.path} should: {'; '.join(differences)}.",
            do="A file was changed after it was written: encode again into an empty directory. No index was written.",
        )
