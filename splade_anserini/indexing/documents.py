"""The documents that an index stores, and by whose fields hits are filtered: read, written to disk, joined by id."""

import hashlib
import logging
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from os import PathLike
from pathlib import Path
from typing import TYPE_CHECKING

import orjson

from splade_anserini.errors import InputError, counted
from splade_anserini.lucene.index_options import IndexOptions
from splade_anserini.progress import ProgressBars, no_bars

if TYPE_CHECKING:
    from splade_anserini.formats.corpora import Corpus
    from splade_anserini.formats.parsing.lines import Location
    from splade_anserini.lucene.document_store import DocumentStore, DocumentUse
    from splade_anserini.lucene.sources import ImpactSource
    from splade_anserini.lucene.stored_fields import StoredFields
    from splade_anserini.records import JsonDocument, StrPath

_log = logging.getLogger(__name__)

_DIRECTORY = "documents"
"""Directory, inside the index that is being written, of what is stored of documents."""


@dataclass
class SourceDocuments:
    """The documents of an index with all their fields, from a corpus or from the records of the vectors."""

    source: "ImpactSource"
    corpus: "Corpus | None" = None
    _digest: str | None = None

    @property
    def name(self) -> str:
        """The name of the corpus, or the path of the vectors."""
        return self.corpus.name if self.corpus else str(self.source.path)

    def __iter__(self) -> "Iterator[tuple[Location, JsonDocument]]":
        from splade_anserini.formats.corpora import with_all_fields, with_locations
        from splade_anserini.formats.vectors import VectorReader
        from splade_anserini.lucene.stored_fields import json_document

        if self.corpus is not None:
            for location, document in with_locations(with_all_fields(self.corpus)):
                yield location, json_document(document)
            return
        reader = VectorReader(self.source.reading, notes=False, keeps_fields=True)
        for path in self.source.files.files:
            for location, vector in self.source.read_file(path, reader):
                yield location, json_document(vector)

    @property
    def digest(self) -> str:
        """The SHA-256 of all documents with their fields, in their order; they are read if they were not before."""
        if self._digest is None:
            for _ in self.digested():
                pass
        return self._digest or ""

    def digested(self) -> "Iterator[tuple[Location, JsonDocument]]":
        """Yield all documents; afterwards their digest is known."""
        sha = hashlib.sha256()
        for location, document in self:
            sha.update(orjson.dumps(document, default=str))
            yield location, document
        self._digest = sha.hexdigest()

    @property
    def recorded(self) -> dict[str, str]:
        """What the options in a manifest say of them: the digest of a corpus; vectors have a fingerprint already."""
        return {"documents": self.digest} if self.corpus is not None else {}


def documents_of_index(
    source: "ImpactSource", options: IndexOptions, documents: "Corpus | StrPath | None"
) -> SourceDocuments | None:
    """Return the documents whose fields an index needs; None where it needs no more than id and text.

    A corpus that is given by its name is read with the fields that `encode` recorded. Passages are cut from its
    documents again. Raises `InputError` for a corpus that is not needed,
    and for fields of what `encode` wrote, which has none.
    """
    if documents is None:
        if not options.filter_fields:
            return None
        if source.settings is not None:
            raise InputError(
                f"--filter-fields needs --documents: what {source.path} holds of documents is id and text.",
                do="Add --documents with the corpus that was encoded.",
            )
        return SourceDocuments(source)
    if options.writer == "anserini":
        raise InputError(
            "--documents and --writer anserini exclude each other: Anserini stores the record that it indexes.",
            do="Leave one of them out.",
        )
    if not (options.store_text or options.filter_fields):
        raise InputError(
            "--documents has no effect without --store-text or --filter-fields.", do="Add one of them, or leave it out."
        )
    return SourceDocuments(source, _corpus(documents, source))


def _corpus(documents: "Corpus | StrPath", source: "ImpactSource") -> "Corpus":
    """Return the corpus, as it was read when it was encoded."""
    from splade_anserini.formats.corpora import PassageCorpus, open_corpus
    from splade_anserini.formats.corpus_fields import CorpusOptions
    from splade_anserini.formats.passages import Windows

    settings = source.settings
    if isinstance(documents, str | PathLike):
        corpus = open_corpus(documents, CorpusOptions.of_settings(settings.fields if settings else None))
    else:
        corpus = documents
    windows = settings.passages if settings else None
    return (
        corpus
        if windows is None or isinstance(corpus, PassageCorpus)
        else PassageCorpus(corpus, Windows.parse(windows))
    )


@contextmanager
def with_documents(
    source: "ImpactSource",
    documents: SourceDocuments | None,
    options: IndexOptions,
    directory: Path,
    bars: ProgressBars = no_bars,
    *,
    needs_all_fields: bool = True,
) -> "Iterator[ImpactSource]":
    """Yield the source with its documents on disk, in `directory`; afterwards they are compared and removed.

    Raises `InputError` for a field that no document has, unless it is not needed, and when no vector has a document.
    """
    if documents is None:
        yield source
        return
    store, fields = _written(documents, options, directory.absolute() / _DIRECTORY, bars)
    if needs_all_fields:
        fields.check(documents.name)
    _say_what_lacks(fields, documents.name)
    yield replace(source, stored=store)
    _say_how_they_fit(store.use(), source, store)
    shutil.rmtree(store.directory)


def _written(
    documents: SourceDocuments, options: IndexOptions, path: Path, bars: ProgressBars
) -> "tuple[DocumentStore, StoredFields]":
    from splade_anserini.lucene.document_store import LocatedFields, write_document_store
    from splade_anserini.lucene.stored_fields import StoredFields

    fields = StoredFields.of(options)

    def located() -> "Iterator[LocatedFields]":
        for location, document in documents.digested():
            yield location, document["id"], fields.counted(document, location)

    with bars("Reading documents", None, "documents") as progress:
        store = write_document_store(path, documents.name, located, progress)
    return store, fields


def _say_what_lacks(fields: "StoredFields", name: str) -> None:
    for field, first in fields.without.items():
        _log.warning(
            "%s of %s without a value of %s, such as %r; no filter of %s finds them",
            counted(fields.documents - fields.valued[field], "document"), name, field, first, field,
        )  # fmt: skip


def _say_how_they_fit(use: "DocumentUse", source: "ImpactSource", store: "DocumentStore") -> None:
    if use.asked and use.missing == use.asked:
        raise InputError(
            f"None of the documents of {source.path} is in {store.name}: its ids are like {use.first_unused[0]!r}, "
            f"those of the vectors like {use.first_missing[0]!r}.",
            expected="the corpus that was encoded",
            do="Pass it with --documents, and --id-field if its ids are in another field.",
        )
    if use.missing:
        _log.warning(
            "%s of %s not in %s, such as %s; they are stored without other fields",
            counted(use.missing, "document"), source.path, store.name, _names(use.first_missing, use.missing),
        )  # fmt: skip
    if use.unused:
        _log.warning(
            "%s of %s without a vector in %s, such as %s; they are not indexed",
            counted(use.unused, "document"), store.name, source.path, _names(use.first_unused, use.unused),
        )  # fmt: skip


def _names(ids: tuple[str, ...], count: int) -> str:
    return ", ".join(map(repr, ids)) + (", …" if count > len(ids) else "")
