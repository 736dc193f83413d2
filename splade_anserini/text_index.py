"""Text indexes of one's own collection, for BM25: what `index --bm25` builds."""

import logging
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

from splade_anserini.errors import InputError, IntegrityError, counted
from splade_anserini.indexing.existing import check_index_output
from splade_anserini.lucene.index_options import IndexOptions
from splade_anserini.lucene.text_options import DEFAULT_LANGUAGE
from splade_anserini.progress import Progress, ProgressBars, no_bars
from splade_anserini.records import Language, StrPath

if TYPE_CHECKING:
    from splade_anserini.artifacts.text_index_manifest import TextIndexManifest
    from splade_anserini.formats.corpora import Corpus, CorpusDigest
    from splade_anserini.records import Document

_log = logging.getLogger(__name__)


def index_texts(
    corpus: "Corpus",
    output: StrPath,
    language: Language = DEFAULT_LANGUAGE,
    options: IndexOptions | None = None,
    *,
    overwrite: bool = False,
    bars: ProgressBars = no_bars,
) -> "TextIndexManifest":
    """Build the Lucene index `output` of the titles and texts of `corpus`, as Anserini analyzes and indexes them.

    The corpus is read twice: once to check every record and id, once to index. The index appears when it is complete.
    If the same call made it before, it is left as it is. Raises `RecordError` or `InputError` for a corpus that cannot
    be indexed, `OutputError` when another index or directory would be replaced.
    """
    from splade_anserini.formats.corpora import check_corpus

    output, options = Path(output), options or IndexOptions()
    if options.writer != "lucene":
        raise InputError("--writer anserini and --bm25 exclude each other.", do="Leave one of them out.")
    check_index_output(output, Path(corpus.name), nested=False)
    with bars("Checking", None, "documents") as progress:
        documents = check_corpus(corpus, progress)
    settings = _settings(options)
    if manifest := _up_to_date(corpus, output, language, settings, overwrite=overwrite):
        _log.info("Index %s is up to date", output)
        return manifest
    _log.info("Indexing %d documents of %s into %s", documents, corpus.name, output)
    with bars("Indexing", documents, "documents") as progress:
        return _build(corpus, output, language, options, documents, progress)


def _build(
    corpus: "Corpus", output: Path, language: Language, options: IndexOptions, documents: int, progress: Progress
) -> "TextIndexManifest":
    from splade_anserini.artifacts.files import whole_directory
    from splade_anserini.artifacts.manifests import write_manifest
    from splade_anserini.artifacts.text_index_manifest import TextIndexManifest
    from splade_anserini.formats.corpora import CorpusDigest
    from splade_anserini.lucene import write_text_index, writer_version
    from splade_anserini.lucene.analyzers import analyzer_of

    digest = CorpusDigest()
    with whole_directory(output, replace=True) as partial:
        counts = write_text_index(_digested(corpus, digest), partial, language, options, progress)
        if counts.documents + counts.blank != documents:
            raise IntegrityError(
                f"The index holds {counted(counts.documents, 'document')}, and {counts.blank:,} are blank, "
                f"but {corpus.name} had {documents:,}.",
                do="The corpus was changed while it was indexed: run the same command again. No index was written.",
            )
        if not counts.documents:
            raise InputError(f"{corpus.name} has nothing to index: all documents are blank.")
        manifest = TextIndexManifest(
            language=language,
            analyzer=str(analyzer_of(language).getClass().getName()),
            corpus=corpus.name,
            digest=digest.hexdigest(),
            writer=writer_version(options),
            options=_settings(options),
            counts=counts,
        )
        write_manifest(partial, manifest)
    return manifest


def _settings(options: IndexOptions) -> dict[str, str | int | bool | None]:
    """Return the options that decide what an index holds."""
    return {
        "optimize": options.optimize,
        "store_text": options.store_text,
        "store_docvectors": options.store_docvectors,
    }


def _up_to_date(
    corpus: "Corpus",
    output: Path,
    language: Language,
    settings: "dict[str, str | int | bool | None]",
    *,
    overwrite: bool,
) -> "TextIndexManifest | None":
    """Return the manifest of the index at `output` if it was made so of this corpus, None if there is no index.

    Raises `OutputError` when another index would be replaced, `IntegrityError` when it is damaged; with `overwrite`
    None is returned.
    """
    from splade_anserini.artifacts.changes import changes
    from splade_anserini.artifacts.manifests import kind_of_manifest, read_manifest
    from splade_anserini.artifacts.outputs import already_exists
    from splade_anserini.artifacts.text_index_manifest import TextIndexManifest
    from splade_anserini.formats.corpora import CorpusDigest
    from splade_anserini.lucene.index_reader import check_index_files

    if overwrite or not output.exists() or not any(output.iterdir()):
        return None
    if kind_of_manifest(output) != "text-index":
        raise already_exists(output, "it is not a text index of this command")
    manifest = read_manifest(output, TextIndexManifest)
    if manifest is None:
        raise already_exists(output)
    digest = CorpusDigest()
    for _ in _digested(corpus, digest):
        pass
    made = {**manifest.options, "language": manifest.language, "documents": manifest.digest}
    now = {**settings, "language": language, "documents": digest.hexdigest()}
    if made != now:
        raise already_exists(output, f"it was made with other options or documents: {changes(made, now)}")
    check_index_files(output)
    return manifest


def _digested(corpus: "Corpus", digest: "CorpusDigest") -> "Iterator[Document]":
    """Yield the documents of a corpus, and add each to `digest`."""
    for document in corpus:
        digest.update(document)
        yield document
