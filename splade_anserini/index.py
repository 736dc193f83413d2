"""The command `index`: vectors of documents → a Lucene impact index, or a corpus → a text index for BM25."""

import logging
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from splade_anserini.cli.console import main_of, progress_bar
from splade_anserini.errors import NOTE, InputError, IntegrityError, OutputError, counted
from splade_anserini.formats.corpus_fields import CorpusOptions
from splade_anserini.formats.reading_options import ReadingOptions
from splade_anserini.lucene.index_options import IndexOptions
from splade_anserini.lucene.text_options import TextIndexOptions
from splade_anserini.lucene.worker_options import IndexWorkerOptions
from splade_anserini.options import changed_options, option, options, recorded_options
from splade_anserini.progress import Progress, ProgressBars, no_bars, silent
from splade_anserini.records import StrPath

if TYPE_CHECKING:
    from collections.abc import Mapping

    from splade_anserini.artifacts.manifests import Counts, IndexManifest
    from splade_anserini.formats.corpora import Corpus
    from splade_anserini.lucene.batches import ReadCounts
    from splade_anserini.lucene.sources import ImpactSource

_log = logging.getLogger(__name__)

_NOT_COMPARED = {"threads", "memory"}
"""Options that do not decide what an index holds."""

_PARTS = "parts"
"""Directory, inside the index that is being written, of the parts that workers write."""


def index(
    impacts: StrPath,
    output: StrPath,
    options: IndexOptions | None = None,
    *,
    reading: ReadingOptions | None = None,
    workers: IndexWorkerOptions | None = None,
    overwrite: bool = False,
    bars: ProgressBars = no_bars,
) -> "IndexManifest":
    """Build the Lucene index `output` of the vectors in a file, or in and below a directory.

    Vectors without a manifest are read as `reading` says, and checked while they are indexed. The index appears when it
    is complete and its counts agree with those of the vectors. If the same call made it before, it is left as it is.
    With `workers` it is built in several processes, or as a sharded index.

    Raises `InputError` or `MismatchError` for what cannot be indexed, `OutputError` when another index or directory
    would be replaced, `IntegrityError` when counts differ.
    """
    impacts, output, options = Path(impacts), Path(output), options or IndexOptions()
    workers = workers or IndexWorkerOptions()
    workers.check_writer(options.writer)
    if workers.on_ray:
        # Actors have other working directories.
        impacts = impacts.absolute()
    check_index_output(output, impacts)
    source = _open(impacts, reading or ReadingOptions())
    if manifest := up_to_date_index(source, output, options, shards=workers.shards, overwrite=overwrite):
        _log.info("Index %s is up to date", output)
        return manifest
    _log.info("Indexing %s into %s", impacts, output)
    total = source.counts.documents if source.counts else None
    if options.document_idf:
        from splade_anserini.lucene.document_idf import with_document_idf

        with bars("Counting", total, "documents") as progress:
            source = with_document_idf(source, options, progress)
        total = source.idf.documents if source.idf else None
    with bars("Indexing", total, "documents") as progress:
        return index_source(source, output, options, workers=workers, progress=progress)


def _open(path: Path, reading: ReadingOptions) -> "ImpactSource":
    """Return the files of the input, which may also be one file of a format that `convert` reads."""
    from splade_anserini.conversion import FORMATS, document_format
    from splade_anserini.lucene.sources import file_source, find_impacts

    options = reading.vector_options()
    format_ = document_format(path, advice="Convert it to one of these.") if path.is_file() else FORMATS["impacts"]
    if format_.name in ("impacts", "seismic"):
        return find_impacts(path, options)
    return file_source(path, options, format_.read_settings(path), format_.located)


def index_source(
    source: "ImpactSource",
    output: Path,
    options: IndexOptions | None = None,
    *,
    provenance: "Mapping[str, str] | None" = None,
    workers: IndexWorkerOptions | None = None,
    progress: Progress = silent,
) -> "IndexManifest":
    """Build the index of files that were found, in place of the one that may be at `output`.

    `provenance` is added to the options in the manifest: what else was done to the documents.
    """
    from splade_anserini.artifacts.files import whole_directory
    from splade_anserini.artifacts.manifests import write_manifest
    from splade_anserini.lucene.document_idf import with_document_idf

    options, workers = options or IndexOptions(), workers or IndexWorkerOptions()
    if source.idf is None:
        source = with_document_idf(source, options)
    with whole_directory(output, replace=True) as partial:
        if workers.shards is not None:
            read, manifest = _write_shards(source, partial, options, workers, progress)
        else:
            read, manifest = _write_one(source, partial, options, workers, progress)
        manifest = manifest.model_copy(update={"options": {**manifest.options, **(provenance or {})}})
        write_manifest(partial, manifest)
    if read:
        _say_what_was_read(read, source)
    return manifest


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
        query_idf=0.0 if document_idf else query_idf,
        query_max_length=query_max_length,
        document_idf=document_idf,
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


def up_to_date_index(
    source: "ImpactSource",
    output: Path,
    options: IndexOptions,
    *,
    shards: int | None = None,
    overwrite: bool = False,
) -> "IndexManifest | None":
    """Return the manifest of the index at `output` if it was made from `source` with `options`, else None.

    Raises `OutputError` when another index would be replaced, `IntegrityError` when it is damaged; with `overwrite`
    None is returned.
    """
    from splade_anserini.artifacts.changes import changes
    from splade_anserini.artifacts.manifests import IndexManifest, kind_of_manifest, read_manifest
    from splade_anserini.artifacts.outputs import already_exists
    from splade_anserini.lucene.index_reader import check_index_files

    if overwrite or not output.exists() or not any(output.iterdir()):
        return None
    if kind_of_manifest(output) == "text-index":
        raise already_exists(output, "it is a text index")
    manifest = read_manifest(output, IndexManifest)
    if manifest is None or manifest.source is None:
        raise already_exists(output)
    fingerprint = manifest.source if source.is_source_of(manifest.source) else source.fingerprint
    as_shards = {} if shards is None else {"shards": shards}
    now = _compared({**recorded_options(options), **source.reading_settings, **as_shards}, fingerprint)
    made = _compared(manifest.options, manifest.source)
    if made != now:
        raise already_exists(output, f"it was made with other options or pseudo-documents: {changes(made, now)}")
    check_index_files(output)
    return manifest


def _compared(options: "Mapping[str, object]", source: str) -> dict[str, object]:
    return {name: value for name, value in options.items() if name not in _NOT_COMPARED} | {"pseudo-documents": source}


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


def check_index_output(output: Path, source: Path, *, nested: bool = True) -> None:
    """Raise `OutputError` unless `output` is missing, an empty directory, or an index, and apart from `source`.

    With `nested` it may not be inside `source` either.
    """
    from splade_anserini.artifacts.files import require_disjoint, require_writable
    from splade_anserini.artifacts.manifests import MANIFEST

    require_disjoint([output], [source], nested=nested)
    if output.is_dir():
        require_writable(output)
    if not output.exists() or (output.is_dir() and not any(output.iterdir())):
        return
    if not output.is_dir() or not (any(output.glob("segments_*")) or (output / MANIFEST).is_file()):
        raise OutputError(f"Output {output} already exists and is not an index.", do="Choose another path.")


@options
class IndexTarget:
    """Where the index goes."""

    index: Path = option(help="Directory for the Lucene index.")
    overwrite: bool = option(default=False, help="Replace an index that exists.")


def command(
    input: Annotated[  # noqa: A002  # the host's flag
        str,
        typer.Option(
            "--input",
            "--corpus",
            help="Directory or file of vectors, as encode or others write them; with --bm25 a corpus.",
        ),
    ],
    target: IndexTarget,
    text: TextIndexOptions,
    fields: CorpusOptions,
    options: IndexOptions,
    reading: ReadingOptions,
    workers: IndexWorkerOptions,
) -> None:
    """Build a Lucene impact index, as Anserini's, and check that it holds every document.

    The input is what encode wrote (on several machines: the directory that holds their directories), or vectors that
    others made: JSON lines or Parquet, with weights (--scale), or ids of a vocabulary instead of tokens. With --bm25 it
    is a corpus, whose texts are indexed as Anserini indexes them.

    \b
    Examples:
      splade-anserini index --input impacts/mine --index indexes/mine --threads 4
      splade-anserini index --input theirs.jsonl --index indexes/theirs --scale 100
      splade-anserini index --bm25 --input corpus.jsonl.gz --index indexes/mine-bm25
    """
    from splade_anserini.formats.corpora import open_corpus

    if text.bm25:
        _check_unused(reading, "has no effect with --bm25")
        _check_unused(workers, "has no effect with --bm25")
        if options.document_idf:
            raise InputError("--document-idf has no effect with --bm25.", do="Leave --document-idf out.")
        _index_texts(open_corpus(input, fields), target, text, options)
        return
    _check_unused(fields, "needs --bm25")
    manifest = index(
        *(input, target.index, options),
        reading=reading,
        workers=workers,
        overwrite=target.overwrite,
        bars=progress_bar,
    )
    counts = manifest.counts
    shards = f" in {counted(len(manifest.parts), 'shard')}" if workers.shards is not None else ""
    typer.echo(
        f"{target.index}: {counted(counts.documents, 'document')}, {counted(counts.postings, 'posting')}, "
        f"{counted(counts.impacts, 'impact')}{shards}"
    )


def _check_unused(group: "CorpusOptions | ReadingOptions | IndexWorkerOptions", why: str) -> None:
    """Raise `InputError` for an option that is given in vain. Both groups have --id-field."""
    if names := [name for name in changed_options(group) if name != "--id-field"]:
        raise InputError(f"{names[0]} {why}.", do=f"Leave {names[0]} out.")


def _index_texts(corpus: "Corpus", target: IndexTarget, text: TextIndexOptions, options: IndexOptions) -> None:
    from splade_anserini.formats.corpora import PassageCorpus
    from splade_anserini.formats.passages import Windows
    from splade_anserini.text_index import index_texts

    if text.passages:
        corpus = PassageCorpus(corpus, Windows.parse(text.passages))
    manifest = index_texts(corpus, target.index, text.language, options, overwrite=target.overwrite, bars=progress_bar)
    counts = manifest.counts
    blank = f"; {counted(counts.blank, 'document')} without text left out" if counts.blank else ""
    typer.echo(f"{target.index}: {counted(counts.documents, 'document')}, {counted(counts.words, 'word')}{blank}")


if __name__ == "__main__":
    main_of(command)
