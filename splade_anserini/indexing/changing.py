"""An impact index that changes: documents are appended, replaced and deleted, from files or from texts."""

import logging
from collections.abc import Iterable, Sequence
from contextlib import nullcontext
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING, NamedTuple

from splade_anserini.errors import InputError, counted
from splade_anserini.formats.reading_options import ReadingOptions
from splade_anserini.lucene.change_options import ChangeOptions, options_of_change
from splade_anserini.lucene.index_options import IndexOptions
from splade_anserini.progress import ProgressBars, no_bars
from splade_anserini.records import Document, StrPath

if TYPE_CHECKING:
    from splade_anserini.encoding import Encoder
    from splade_anserini.formats.corpora import Corpus
    from splade_anserini.lucene.index_changes import ChangedIndex

_log = logging.getLogger(__name__)

_NAMED = 3
"""Ids that a message names."""


class _Additions(NamedTuple):
    """Documents to add."""

    impacts: StrPath
    reading: ReadingOptions | None = None
    documents: "Corpus | StrPath | None" = None


def append_documents(
    index: StrPath,
    impacts: StrPath,
    *,
    delete: Iterable[str] = (),
    reading: ReadingOptions | None = None,
    documents: "Corpus | StrPath | None" = None,
    options: IndexOptions | None = None,
    force: bool = False,
    bars: ProgressBars = no_bars,
) -> "ChangedIndex":
    """Add the vectors in a file or directory to an impact index, in one step, after deleting documents.

    The index is in its old state or in the new one, whenever the process ends; searchers that are open keep the old
    one until they are reopened. Made by the same call before, it is left as it is. Raises `InputError` for ids that the
    index has already and for an index that cannot be changed, `MismatchError` for vectors that were made with other
    settings (with `force` only a warning is logged), `OutputError` when another process writes the index.

    `documents` is the corpus of the vectors, where the index stores documents or has fields for filters.
    """
    return _change(index, _Additions(impacts, reading, documents), delete, options, force=force, bars=bars)


def update_documents(
    index: StrPath,
    impacts: StrPath,
    *,
    delete: Iterable[str] = (),
    reading: ReadingOptions | None = None,
    documents: "Corpus | StrPath | None" = None,
    options: IndexOptions | None = None,
    force: bool = False,
    bars: ProgressBars = no_bars,
) -> "ChangedIndex":
    """Add vectors as `append_documents` does; they replace documents with the same ids.

    A document whose new vector is empty is deleted.
    """
    return _change(
        index, _Additions(impacts, reading, documents), delete, options, replace=True, force=force, bars=bars
    )


def delete_documents(index: StrPath, ids: Iterable[str], *, options: IndexOptions | None = None) -> "ChangedIndex":
    """Delete the documents with these ids from an impact index, in one step; those that it lacks are in the result."""
    return _change(index, None, ids, options)


def _change(
    index: StrPath,
    additions: _Additions | None,
    delete: Iterable[str],
    options: IndexOptions | None,
    *,
    replace: bool = False,
    force: bool = False,
    bars: ProgressBars = no_bars,
) -> "ChangedIndex":
    from splade_anserini.artifacts.files import require_disjoint
    from splade_anserini.indexing.building import open_source
    from splade_anserini.indexing.documents import documents_of_index, with_documents
    from splade_anserini.lucene.index_changes import ChangeRequest, change_index, made_before, require_changeable

    index, deletions = Path(index), _id_list(delete)
    manifest = require_changeable(index)
    options = options_of_change(manifest, options or IndexOptions())
    source = stored = None
    if additions is not None:
        impacts = Path(additions.impacts)
        require_disjoint([index], [impacts], nested=True)
        source = open_source(impacts, additions.reading or ReadingOptions())
        if made := made_before(manifest, ChangeRequest(source, replace, deletions, force)):
            _log.info("Index %s is up to date", index)
            return made
        if manifest.options.get("documents") and additions.documents is None and not force:
            raise InputError(
                f"{index} was built with --documents, whose fields the new documents would lack.",
                expected="the corpus of the new documents",
                do="Name it with --documents, or add --force to store what the vectors have.",
            )
        stored = documents_of_index(source, options, additions.documents)
    total = source.counts.documents if source and source.counts else None
    with (
        TemporaryDirectory(prefix="splade-anserini-") as temporary,
        with_documents(source, stored, options, Path(temporary), bars, needs_all_fields=False)
        if source
        else nullcontext() as with_fields,
        bars("Indexing" if source else "Deleting", total, "documents") as progress,
    ):
        changed = change_index(index, ChangeRequest(with_fields, replace, deletions, force), options, progress)
    if changed.was_made_before:
        _log.info("Index %s is up to date", index)
    if changed.missing:
        named = ", ".join(map(repr, changed.missing[:_NAMED]))
        more = f" and {len(changed.missing) - _NAMED:,} more" if len(changed.missing) > _NAMED else ""
        ids = counted(len(changed.missing), "id to delete is", "ids to delete are")
        _log.warning("%s not in %s: %s%s", ids, index, named, more)
    if changed.empty:
        _log.warning("Documents with an empty vector, which Lucene cannot hold: %d", changed.empty)
    return changed


def _id_list(ids: Iterable[str]) -> Sequence[str]:
    if isinstance(ids, str):
        raise InputError(f"ids is the string {ids!r}.", expected="a list of ids", do="Put it into a list.")
    return list(ids)


def read_ids(path: Path) -> list[str]:
    """Read a file with one id on each line. Raises `InputError` when it cannot be read or has none."""
    from splade_anserini.formats.parsing.lines import text_lines

    if not path.exists():
        raise InputError(f"The file of ids {path} does not exist.", expected="a file with an id on each line")
    ids = [text for _, text in text_lines(path)]
    if not ids:
        raise InputError(f"{path} has no ids.", expected="an id on each line")
    return ids


def encoder_of_index(index: Path) -> "Encoder":
    """Open the encoder that made the documents of an index, as its manifest names it."""
    from splade_anserini.encoding import EncoderOptions, open_encoder
    from splade_anserini.lucene.index_changes import require_changeable

    manifest = require_changeable(index)
    if manifest.encoder is None:
        raise InputError(
            f"The manifest of index {index} does not say which encoder made its documents.",
            expected="an index of pseudo-documents that splade-anserini encode wrote",
            do="Encode the texts yourself, and use append_documents.",
        )
    options = EncoderOptions(max_length=manifest.max_length, precision=manifest.encoder.precision)
    return open_encoder(manifest.encoder.name, options)


def change_by_texts(
    index: Path,
    documents: "Sequence[Document] | Corpus",
    encoder: "Encoder",
    *,
    replace: bool,
    bars: ProgressBars = no_bars,
) -> "ChangedIndex":
    """Encode documents as those of an index were, and add them; with `replace` in place of those with the same ids.

    A corpus has also the other fields of its documents, which the index stores or filters by.
    """
    from splade_anserini.encoding import EncodeOptions
    from splade_anserini.encoding.shards import encode_shards
    from splade_anserini.formats.corpora import InMemoryCorpus
    from splade_anserini.lucene.index_changes import require_changeable

    manifest = require_changeable(index)
    if manifest.passages:
        raise InputError(
            f"The documents of {index} are passages ({manifest.passages}).",
            expected="whole documents, to change it by texts",
            do="Encode the texts with --passages, and use splade-anserini index --append.",
        )
    if manifest.scale is None:
        raise InputError(f"The manifest of index {index} does not record the scale of its impacts.")
    options = EncodeOptions(
        scale=manifest.scale, top_k=manifest.top_k, contents=bool(manifest.options.get("store_text", False))
    )
    with TemporaryDirectory(prefix="splade-anserini-") as name:
        impacts = Path(name) / "impacts"
        corpus = InMemoryCorpus("texts", documents) if isinstance(documents, Sequence) else documents
        encode_shards(corpus, encoder, impacts, options, bars=bars)
        change = update_documents if replace else append_documents
        has_fields = options.contents or bool(manifest.filter_fields)
        return change(index, impacts, documents=corpus if has_fields else None, bars=bars)


def change_by_options(
    index: Path,
    impacts: str | None,
    change: ChangeOptions,
    reading: ReadingOptions,
    options: IndexOptions,
    documents: "Corpus | StrPath | None" = None,
    bars: ProgressBars = no_bars,
) -> str:
    """Change an index as options of the command `index` say; return what was done, in words."""
    deletions = [] if change.delete is None else read_ids(change.delete)
    additions = None if impacts is None else _Additions(impacts, reading, documents)
    changed = _change(index, additions, deletions, options, replace=change.update, force=change.force, bars=bars)
    return _described(changed)


def _described(changed: "ChangedIndex") -> str:
    """Return what a change did, and what the index holds now, in words."""
    counts = changed.manifest.counts
    done = "up to date: this command made its last change" if changed.was_made_before else changed.change.words
    now = ", ".join(
        (
            counted(counts.documents, "document"),
            counted(counts.postings, "posting"),
            counted(counts.impacts, "impact"),
        )
    )
    return f"{done or 'nothing changed'}; now {now}"
