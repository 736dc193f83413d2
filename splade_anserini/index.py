"""The command `index`: vectors of documents → a Lucene impact index, or a corpus → a text index for BM25."""

import logging
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

import typer

from splade_anserini.cli.console import main_of, progress_bar
from splade_anserini.errors import InputError, counted
from splade_anserini.formats.corpus_fields import CorpusOptions
from splade_anserini.formats.reading_options import ReadingOptions
from splade_anserini.indexing.building import index_source, number_of_documents, open_source
from splade_anserini.indexing.documents import documents_of_index
from splade_anserini.indexing.existing import check_index_output, up_to_date_index
from splade_anserini.lucene.change_options import ChangeOptions
from splade_anserini.lucene.index_options import IndexOptions
from splade_anserini.lucene.text_options import TextIndexOptions
from splade_anserini.lucene.worker_options import IndexWorkerOptions
from splade_anserini.options import changed_options, option, options
from splade_anserini.progress import ProgressBars, no_bars
from splade_anserini.records import StrPath

if TYPE_CHECKING:
    from splade_anserini.artifacts.manifests import IndexManifest
    from splade_anserini.formats.corpora import Corpus

_log = logging.getLogger(__name__)


def index(
    impacts: StrPath,
    output: StrPath,
    options: IndexOptions | None = None,
    *,
    reading: ReadingOptions | None = None,
    documents: "Corpus | StrPath | None" = None,
    workers: IndexWorkerOptions | None = None,
    overwrite: bool = False,
    bars: ProgressBars = no_bars,
) -> "IndexManifest":
    """Build the Lucene index `output` of the vectors in a file, or in and below a directory.

    Vectors without a manifest are read as `reading` says, and checked while they are indexed. The index appears when it
    is complete and its counts agree with those of the vectors. If the same call made it before, it is left as it is.
    `documents` is the corpus that was encoded: with `options.store_text` all fields of its documents are stored, and
    hits can be filtered by `options.filter_fields`. With `workers` the index is built in several processes, or as a
    sharded one.

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
    source = open_source(impacts, reading or ReadingOptions())
    stored = documents_of_index(source, options, documents)
    if manifest := up_to_date_index(
        source, output, options, documents=stored, shards=workers.shards, overwrite=overwrite
    ):
        _log.info("Index %s is up to date", output)
        return manifest
    _log.info("Indexing %s into %s", impacts, output)
    if options.document_idf:
        from splade_anserini.lucene.document_idf import with_document_idf

        with bars("Counting", number_of_documents(source), "documents") as progress:
            source = with_document_idf(source, options, progress)
    return index_source(source, output, options, documents=stored, workers=workers, bars=bars)


@options
class IndexTarget(ChangeOptions):
    """What is indexed, where the index goes, and what becomes of one that is there."""

    input: str | None = option(
        default=None,
        flags=("--input", "--corpus"),
        help="Directory or file of vectors, as encode or others write them; with --bm25 a corpus. Only --delete needs "
        "none.",
    )
    index: Path = option(help="Directory for the Lucene index.")
    documents: str | None = option(
        default=None,
        metavar="CORPUS",
        help="The corpus that was encoded: --store-text and --filter-fields take all fields of its documents.",
    )
    overwrite: bool = option(default=False, help="Replace an index that exists.")

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.input is None and not self.is_deletion:
            raise InputError("--input is missing.", expected="the vectors to index", do="Name them with --input.")
        if self.input is not None and self.is_deletion:
            raise InputError("--input has no effect with --delete alone.", do="Add --append or --update.")
        if self.documents is not None and self.is_deletion:
            raise InputError("--documents has no effect with --delete alone.", do="Add --append or --update.")
        if self.overwrite and self.is_change:
            raise InputError("--overwrite excludes --append, --update and --delete.", do="Leave --overwrite out.")


def command(
    target: IndexTarget,
    text: TextIndexOptions,
    fields: CorpusOptions,
    options: IndexOptions,
    reading: ReadingOptions,
    workers: IndexWorkerOptions,
) -> None:
    """Build a Lucene impact index, as Anserini's, or change one; check that it holds every document.

    The input is what encode wrote (on several machines: the directory that holds their directories), or vectors that
    others made: JSON lines or Parquet, with weights (--scale), or ids of a vocabulary instead of tokens. With --bm25 it
    is a corpus, whose texts are indexed as Anserini indexes them.

    An impact index that is there can be changed: --append, --update, --delete. A change is made as a whole or not at
    all, and searches may go on meanwhile.

    \b
    Examples:
      splade-anserini index --input impacts/mine --index indexes/mine --threads 4
      splade-anserini index --input impacts/mine --index indexes/texts --documents corpus.jsonl.gz --store-text
      splade-anserini index --input theirs.jsonl --index indexes/theirs --scale 100
      splade-anserini index --bm25 --input corpus.jsonl.gz --index indexes/mine-bm25
      splade-anserini index --append --input impacts/new --index indexes/mine
      splade-anserini index --delete ids.txt --index indexes/mine
    """
    from splade_anserini.artifacts.files import require_disjoint

    require_disjoint([target.index], [target.documents, reading.vocabulary])
    if target.is_change:
        if text.bm25:
            raise InputError(
                "Text indexes (--bm25) cannot be changed by --append, --update or --delete.",
                do="Build the text index again from all texts: index --bm25 --overwrite.",
            )
        for group in (text, workers, *(() if target.documents else (fields,))):
            _check_unused(group, "has no effect with --append, --update and --delete")
        _change(target, fields, options, reading)
    elif text.bm25:
        for group in (reading, workers):
            _check_unused(group, "has no effect with --bm25")
        _index_texts(target, text, fields, options)
    else:
        _index_impacts(target, fields, options, reading, workers)


def _change(target: IndexTarget, fields: CorpusOptions, options: IndexOptions, reading: ReadingOptions) -> None:
    from splade_anserini.indexing.changing import change_by_options

    documents = _documents(target, fields)
    changed = change_by_options(target.index, target.input, target, reading, options, documents, progress_bar)
    typer.echo(f"{target.index}: {changed}")


def _index_texts(target: IndexTarget, text: TextIndexOptions, fields: CorpusOptions, options: IndexOptions) -> None:
    from splade_anserini.formats.corpora import PassageCorpus, open_corpus
    from splade_anserini.formats.passages import Windows
    from splade_anserini.text_index import index_texts

    of_impacts = ("--document-idf", "--store-fields", "--filter-fields")
    in_vain = [name for name in changed_options(options) if name in of_impacts]
    if target.documents is not None:
        in_vain.append("--documents")
    if in_vain:
        raise InputError(f"{in_vain[0]} has no effect with --bm25.", do=f"Leave {in_vain[0]} out.")
    corpus: Corpus = open_corpus(str(target.input), fields)
    if text.passages:
        corpus = PassageCorpus(corpus, Windows.parse(text.passages))
    manifest = index_texts(corpus, target.index, text.language, options, overwrite=target.overwrite, bars=progress_bar)
    counts = manifest.counts
    blank = f"; {counted(counts.blank, 'document')} without text left out" if counts.blank else ""
    typer.echo(f"{target.index}: {counted(counts.documents, 'document')}, {counted(counts.words, 'word')}{blank}")


def _index_impacts(
    target: IndexTarget,
    fields: CorpusOptions,
    options: IndexOptions,
    reading: ReadingOptions,
    workers: IndexWorkerOptions,
) -> None:
    from splade_anserini.artifacts.manifests import kind_of_manifest

    if target.documents is None:
        _check_unused(fields, "needs --bm25 or --documents")
    elif fields.id_field and kind_of_manifest(str(target.input)):
        # What encode wrote is not read by the names of its fields.
        reading = replace(reading, id_field=None)
    manifest = index(
        *(str(target.input), target.index, options),
        reading=reading,
        documents=_documents(target, fields),
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


def _documents(target: IndexTarget, fields: CorpusOptions) -> "Corpus | str | None":
    """Return the corpus of --documents, opened where fields of it are named."""
    from splade_anserini.formats.corpora import open_corpus

    return open_corpus(target.documents, fields) if target.documents and fields.named else target.documents


def _check_unused(group: "CorpusOptions | ReadingOptions | IndexWorkerOptions | TextIndexOptions", why: str) -> None:
    """Raise `InputError` for an option that is given in vain. Two groups have --id-field."""
    if names := [name for name in changed_options(group) if name != "--id-field"]:
        raise InputError(f"{names[0]} {why}.", do=f"Leave {names[0]} out.")


if __name__ == "__main__":
    main_of(command)
