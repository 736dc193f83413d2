"""Changes of an impact index: documents are appended, replaced and deleted, and its manifest stays true.

The manifest of the new state is written beside the old one between the two halves of Lucene's commit, and says which
commit it belongs to. The commit is the renaming of one file; from this moment on the new manifest counts, whether or
not the process lives to put it in the old one's place (see `artifacts.manifests.read_manifest`).
"""

import logging
from collections.abc import Collection, Iterable, Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, field
from itertools import batched
from pathlib import Path
from typing import NamedTuple

import orjson

from splade_anserini.artifacts.changes import differences
from splade_anserini.artifacts.commits import fingerprint_of_commit
from splade_anserini.artifacts.files import (
    directory_lock,
    require_writable,
    resolved_output,
    sync_directory,
    whole_file,
)
from splade_anserini.artifacts.fingerprints import fingerprint_of_bytes
from splade_anserini.artifacts.index_change import IndexChange
from splade_anserini.artifacts.manifests import (
    MANIFEST,
    NEXT_MANIFEST,
    Counts,
    IndexManifest,
    kind_of_manifest,
    manifest_bytes,
    parse_manifest,
    read_manifest,
)
from splade_anserini.artifacts.sharded_index import is_sharded
from splade_anserini.errors import InputError, IntegrityError, MismatchError, counted
from splade_anserini.lucene.batches import BatchReader, ReadCounts, refuse_repeated_tokens
from splade_anserini.lucene.change_options import options_of_change
from splade_anserini.lucene.document_idf import require_no_document_idf
from splade_anserini.lucene.impact_searcher import ImpactSearcher
from splade_anserini.lucene.index_changing import ChangingWriter, changing_writer
from splade_anserini.lucene.index_options import IndexOptions
from splade_anserini.lucene.index_reader import check_index_directory
from splade_anserini.lucene.java.java_errors import java_errors
from splade_anserini.lucene.java.threads import JAVA_LOCK
from splade_anserini.lucene.lucene_writer import Batch
from splade_anserini.lucene.sources import ImpactSource
from splade_anserini.lucene.stored_fields import StoredFields
from splade_anserini.progress import Progress, silent

_log = logging.getLogger(__name__)

_NAMED = 3
"""Ids that a message names."""

_IDS_AT_ONCE = 10_000
"""Ids to delete that are looked up together."""


@dataclass(frozen=True, slots=True)
class ChangeRequest:
    """What an index is to be changed by; deletions come first."""

    source: ImpactSource | None = None
    """Documents to add."""
    replace: bool = False
    """Whether those with ids that the index has replace the documents there; otherwise they are an error."""
    delete: Sequence[str] = ()
    """Ids of documents to delete."""
    force: bool = False
    """Whether documents that were made with other settings are added all the same."""

    @property
    def record(self) -> IndexChange:
        """What the manifest says of it before it is done."""
        deletions = sorted(set(self.delete))
        return IndexChange(
            kind="delete" if self.source is None else "update" if self.replace else "append",
            source=self.source.fingerprint if self.source else None,
            deletions=fingerprint_of_bytes(*(id_.encode() for id_ in deletions)) if deletions else None,
        )


class ChangedIndex(NamedTuple):
    """The result of a change."""

    manifest: IndexManifest
    change: IndexChange
    """How many documents were added, replaced and deleted."""
    missing: tuple[str, ...] = ()
    """Ids to delete that the index does not have."""
    empty: int = 0
    """Documents with an empty vector, which Lucene cannot hold."""
    was_made_before: bool = False
    """Whether the same call made the last change, so that there was nothing to do."""


def change_index(
    index: Path, request: ChangeRequest, options: IndexOptions | None = None, progress: Progress = silent
) -> ChangedIndex:
    """Change an impact index with a manifest; it is in its old state or in the new one, whenever the process is killed.

    Raises `InputError` for an index that cannot be changed and for ids that are there already, `MismatchError` when the
    documents were made with other settings, `OutputError` when another process writes the index, what reading the
    documents raises, and `IntegrityError` when the counts are not those that were expected. After an error the index is
    as it was.
    """
    check_index_directory(index)
    require_writable(index, in_place=True)
    path = resolved_output(index)
    with directory_lock(path.parent, name=f".{path.name}.lock", of=index):
        finish_change(path)
        manifest = require_changeable(index)
        if request.source:
            require_same_settings(index, manifest, request.source, force=request.force)
        if made := made_before(manifest, request):
            return made
        return _change(path, manifest, request, options_of_change(manifest, options or IndexOptions()), progress)


def finish_change(index: Path) -> None:
    """Put the manifest of a change in place if a process was killed after its commit, else drop it."""
    if _place_manifest(index):
        _log.warning("The last change of %s was interrupted after its commit; it is complete now", index)


def require_changeable(index: Path) -> IndexManifest:
    """Return the manifest of an index that can be changed. Raises `InputError`, or `MismatchError` with idf in it."""
    check_index_directory(index)
    expected = "an impact index that splade-anserini index or merge wrote"
    if kind_of_manifest(index) == "text-index":
        raise InputError(
            f"{index} is a text index (BM25), which cannot be changed.",
            expected=expected,
            do="Build it again from all texts: index --bm25 --overwrite.",
        )
    if is_sharded(index):
        raise InputError(
            f"{index} is a sharded index, which records the state of its shards.",
            expected=expected,
            do="Change one of its shards, then run splade-anserini merge --sharded --overwrite.",
        )
    manifest = read_manifest(index, IndexManifest)
    if manifest is None:
        raise InputError(
            f"{index} has no manifest, which would say how its documents were made.",
            expected=expected,
            do="Build it again with splade-anserini index.",
        )
    require_no_document_idf(index, "adding or deleting documents")
    return manifest


def require_same_settings(index: Path, manifest: IndexManifest, source: ImpactSource, *, force: bool) -> None:
    """Raise `MismatchError` unless documents were made as those of the index; with `force` a warning is logged."""
    different = differences(_settings_of_index(manifest), _settings_of_source(source))
    if different and not force:
        raise MismatchError(
            f"The documents of {index} and those of {source.path} were made in different ways "
            f"({'; '.join(different)}).",
            expected="documents that were encoded with the same settings",
            do="Encode them as those of the index, or add --force to add them all the same.",
        )
    for difference in different:
        _log.warning("%s and %s differ in %s; adding the documents all the same", index, source.path, difference)


def _settings_of_index(manifest: IndexManifest) -> Mapping[str, object]:
    encoder = manifest.encoder.model_dump(exclude={"name"}) if manifest.encoder else {}
    return {
        **{f"encoder {name}": value for name, value in encoder.items()},
        "scale": manifest.scale,
        "max-length": manifest.max_length,
        "top-k": manifest.top_k,
        "passages": manifest.passages,
        "vocabulary": manifest.options.get("vocabulary"),
        "document-idf": None,
    }


def _settings_of_source(source: ImpactSource) -> Mapping[str, object]:
    settings = source.settings
    encoder = settings.encoder.model_dump(exclude={"name"}) if settings and settings.encoder else {}
    return {
        **{f"encoder {name}": value for name, value in encoder.items()},
        "scale": source.scale,
        "max-length": settings.max_length if settings else None,
        "top-k": settings.top_k if settings else None,
        "passages": settings.passages if settings else None,
        "vocabulary": source.reading_settings.get("vocabulary"),
        "document-idf": settings.document_idf.alpha if settings and settings.document_idf else None,
    }


def made_before(manifest: IndexManifest, request: ChangeRequest) -> ChangedIndex | None:
    """Return the last change of an index if it appended the same documents: doing it again could only fail."""
    last, record, compared = manifest.last_change, request.record, {"kind", "source", "deletions"}
    is_same = last is not None and last.model_dump(include=compared) == record.model_dump(include=compared)
    return ChangedIndex(manifest, last, was_made_before=True) if last and is_same and last.kind == "append" else None


@dataclass
class _Ids:
    """The ids of a change, compared with those of the index as it was."""

    before: ImpactSearcher
    writer: ChangingWriter
    replace: bool
    deleted: set[str] = field(default_factory=set)
    missing: list[str] = field(default_factory=list)
    already: set[str] = field(default_factory=set)
    """Ids of new documents that the index has, and that were not deleted."""
    emptied: set[str] = field(default_factory=set)
    """Those of them whose new vector is empty, so that no document takes their place."""
    empty: int = 0
    """New documents with an empty vector."""

    def delete(self, ids: Iterable[str]) -> None:
        """Delete the documents with these ids, and note which of them there are."""
        unique = list(dict.fromkeys(ids))
        for chunk in batched(unique, _IDS_AT_ONCE):
            self.deleted.update(self.before.known(chunk))
        self.missing = [id_ for id_ in unique if id_ not in self.deleted]
        self.writer.delete(sorted(self.deleted))

    def see(self, ids: Sequence[str], batch: Batch) -> None:
        """Note which of the ids of new documents the index has, and delete these documents before the new ones come."""
        known = set(self.before.known(ids)) - self.deleted
        self.already |= known
        count, fields = batch
        if count < len(ids):
            strings = orjson.loads(fields)
            empty = set(ids).difference(strings[:: len(strings) // count] if count else ())
            self.empty += len(empty)
            self.emptied |= known & empty
        if self.replace:
            self.writer.delete(sorted(known))

    @property
    def gone(self) -> set[str]:
        """Ids of all documents that were deleted or replaced."""
        return self.deleted | self.already if self.replace else self.deleted


def _change(
    index: Path, manifest: IndexManifest, request: ChangeRequest, options: IndexOptions, progress: Progress
) -> ChangedIndex:
    with ExitStack() as stack:
        before = stack.enter_context(ImpactSearcher(index))
        stack.enter_context(JAVA_LOCK)
        stack.enter_context(java_errors(f"changing {index}"))
        writer = stack.enter_context(changing_writer(index, options))
        ids = _Ids(before, writer, request.replace)
        ids.delete(request.delete)
        read = _add(index, writer, ids, request, options, progress)
        change = request.record.model_copy(
            update={
                "added": read.counts.documents - len(ids.already - ids.emptied),
                "replaced": len(ids.already - ids.emptied),
                "deleted": len(ids.deleted) + len(ids.emptied),
            }
        )
        if not (ids.gone or read.counts.documents):
            return ChangedIndex(manifest, change, tuple(ids.missing), ids.empty)
        counts, commit = writer.prepare()
        _check(manifest.counts, counts, ids.gone, read, request)
        changed = _changed(manifest, change, read, ids.gone).model_copy(update={"counts": counts, "commit": commit})
        # What is not valid must not be committed: nobody could read it.
        IndexManifest.model_validate_json(changed.model_dump_json())
        try:
            with whole_file(index / NEXT_MANIFEST) as file:
                file.write(manifest_bytes(changed))
            writer.commit()
        finally:
            # Also after an error: it may have come after the commit.
            _place_manifest(index)
    return ChangedIndex(changed, change, tuple(ids.missing), ids.empty)


def _add(
    index: Path, writer: ChangingWriter, ids: _Ids, request: ChangeRequest, options: IndexOptions, progress: Progress
) -> ReadCounts:
    """Add the documents of the request; return what was read. Raises `InputError` for ids that are there already."""
    source = request.source
    if source is None:
        return ReadCounts(Counts())
    with BatchReader(source, StoredFields.of(options), see=ids.see) as reader:
        writer.add(reader, progress)
        read = reader.counts(may_be_empty=request.replace)
    if ids.already and not request.replace:
        raise _already_there(index, sorted(ids.already))
    return read or ReadCounts(source.counts or Counts(), ids.empty, ids_with_spaces=source.ids_with_spaces)


def _already_there(index: Path, ids: Sequence[str]) -> InputError:
    named = ", ".join(map(repr, ids[:_NAMED]))
    and_more = f" and {len(ids) - _NAMED:,} more" if len(ids) > _NAMED else ""
    return InputError(
        f"{counted(len(ids), 'document is', 'documents are')} in {index} already: {named}{and_more}.",
        expected="new ids, to append",
        do='Replace them (--update, in Python `update`, over HTTP "replace": true), or leave them out. Nothing was '
        "changed.",
    )


def _check(before: Counts, after: Counts, gone: Collection[str], read: ReadCounts, request: ChangeRequest) -> None:
    """Raise `IntegrityError` when the index does not hold what it should, before it is committed."""
    if request.source and (gone or not read.has_impacts):
        # Postings of deleted documents are not known, so that these would not be noticed by their number.
        refuse_repeated_tokens(request.source)
    if gone:
        expected = after.model_copy(update={"documents": before.documents - len(gone) + read.counts.documents})
    else:
        expected = before + read.counts
        if not read.has_impacts:
            expected = expected.model_copy(update={"impacts": after.impacts})
    if differences := after.differences(expected):
        raise IntegrityError(
            f"The index would not hold what it should: {'; '.join(differences)}.",
            do="A file may have been changed after it was written. The index was left as it is.",
        )


def _changed(manifest: IndexManifest, change: IndexChange, read: ReadCounts, gone: Collection[str]) -> IndexManifest:
    """Return the manifest after a change, without its counts and commit."""
    facts = (manifest.source, change.kind, change.source, change.deletions)
    # Earlier versions did not count ids with spaces.
    with_spaces = max(0, manifest.ids_with_spaces - sum(" " in id_ for id_ in gone)) + read.ids_with_spaces
    return manifest.model_copy(
        update={
            "source": fingerprint_of_bytes(*(str(fact).encode() for fact in facts)),
            "zeros": manifest.zeros + read.zeros,
            "ids_with_spaces": with_spaces,
            "parts": (),
            "revision": manifest.revision + 1,
            "last_change": change,
        }
    )


def _place_manifest(index: Path) -> bool:
    """Put the manifest of a change in place if its commit was made, which is returned, else drop it."""
    following = index / NEXT_MANIFEST
    try:
        manifest = parse_manifest(following, IndexManifest)
    except (InputError, IntegrityError):
        manifest = None
    if manifest and manifest.commit == fingerprint_of_commit(index):
        following.replace(index / MANIFEST)
        sync_directory(index)
        return True
    following.unlink(missing_ok=True)
    return False
