"""Lookup of texts by id, with the texts on disk: the documents of a corpus and the queries of topics."""

import os
from array import array
from bisect import bisect_left
from collections.abc import Iterable, Iterator, Sequence
from typing import Protocol

import numpy as np
import orjson

from splade_anserini.errors import InputError
from splade_anserini.formats.corpora import open_corpus
from splade_anserini.formats.corpus_fields import RECOGNIZED, CorpusOptions
from splade_anserini.formats.irds import IrdsStore, is_irds
from splade_anserini.formats.parsing.duplicates import digest_of
from splade_anserini.formats.parsing.random_lines import IndexedLines
from splade_anserini.formats.topics import TopicResolver, no_resolver, topics_with_locations
from splade_anserini.records import StrPath


class TextLookup(Protocol):
    """Texts by id."""

    def problem_with(self, id_: str) -> str:
        """Return what is wrong with an id that certainly has no text, "" for other ids. No text is read."""
        ...

    def __getitem__(self, id_: str) -> str:
        """Return the text. Raises `InputError` when there is none."""
        ...


class Texts:
    """The texts that the ids in training examples stand for."""

    def __init__(self, documents: TextLookup, queries: TextLookup) -> None:
        self.documents = documents
        self.queries = queries

    def document(self, id_: str) -> str:
        """Return title and text of a document. Raises `InputError` for an unknown id."""
        return self.documents[id_]

    def query(self, id_: str) -> str:
        """Return the text of a query. Raises `InputError` for an unknown id."""
        return self.queries[id_]


def open_texts(
    corpus: StrPath,
    topics: StrPath,
    resolver: TopicResolver = no_resolver,
    options: CorpusOptions = RECOGNIZED,
) -> Texts:
    """Open a corpus and topics, as `open_corpus` and `read_topics` take them, to look up their texts.

    Of a BEIR directory, the queries of all splits are available. Raises `RecordError` or `InputError` for malformed
    records and duplicate ids.
    """
    queries = ((query.id, query.text) for _, query in topics_with_locations(topics, resolver))
    return Texts(open_documents(corpus, options), SpooledTexts("query", os.fspath(topics), queries))


def open_documents(corpus: StrPath, options: CorpusOptions = RECOGNIZED) -> TextLookup:
    """Open a corpus to look up title and text of its documents.

    `irds:<name>` is read from the store of ir_datasets; other corpora are read once, into a temporary file.
    """
    name = os.fspath(corpus)
    if is_irds(name) and not options.named:
        return StoredTexts(IrdsStore(name))
    return SpooledTexts("document", name, ((document.id, document.contents) for document in open_corpus(name, options)))


class UnavailableTexts:
    """A lookup without texts, which asks for the option that would provide them."""

    def __init__(self, noun: str, option: str) -> None:
        self._noun, self._option = noun, option

    def problem_with(self, id_: str) -> str:
        """Return a message that names the option."""
        return f"the text of the {self._noun} {id_!r} is unknown without {self._option}"

    def __getitem__(self, id_: str) -> str:
        raise InputError(f"The text of the {self._noun} {id_!r} is unknown.", do=f"Pass {self._option}.")


NO_TEXTS = Texts(UnavailableTexts("document", "--corpus"), UnavailableTexts("query", "--topics"))
"""For examples that contain texts instead of ids."""


class StoredTexts:
    """The documents of a dataset of ir_datasets."""

    def __init__(self, store: IrdsStore) -> None:
        self._store = store

    def problem_with(self, id_: str) -> str:  # noqa: ARG002  # the protocol's
        """Return "": the store would have to read the document to find out."""
        return ""

    def __getitem__(self, id_: str) -> str:
        return self._store.document(id_).contents


class SpooledTexts:
    """Texts in a temporary file; memory holds 24 bytes for each: its offset, the hash of its id, its position."""

    def __init__(self, noun: str, source: str, texts: Iterable[tuple[str, str]]) -> None:
        """Store pairs of id and text; `noun` ("document") and `source` are for messages.

        Raises `InputError` when an id occurs twice.
        """
        self._noun, self._source = noun, source
        hashes = array("Q")
        self._lines = IndexedLines.spooled(source, _add_hashes(texts, hashes))
        unsorted = np.array(hashes, dtype=np.uint64)
        self._line_indices = np.argsort(unsorted, kind="stable")
        self._hashes = unsorted[self._line_indices]
        # A memoryview returns Python integers, which are faster to compare than NumPy scalars.
        self._sorted_hashes: Sequence[int] = memoryview(self._hashes)
        self._refuse_duplicates()

    def problem_with(self, id_: str) -> str:
        """Return that the id is unknown when no id has its hash."""
        has_candidate = any(True for _ in self._candidates(id_))
        return "" if has_candidate else f"the {self._noun} {id_!r} is not in {self._source}"

    def __getitem__(self, id_: str) -> str:
        for position in self._candidates(id_):
            candidate_id, text = self._read(position)
            if candidate_id == id_:
                return text
        raise InputError(f"The {self._noun} {id_!r} is not in {self._source}.", do="Correct the id, or add the text.")

    def _candidates(self, id_: str) -> Iterator[int]:
        """Yield the positions of the ids that have this hash: one or none, except for collisions."""
        hash_ = _hash(id_)
        position = bisect_left(self._sorted_hashes, hash_)
        while position < len(self._sorted_hashes) and self._sorted_hashes[position] == hash_:
            yield position
            position += 1

    def _read(self, position: int) -> tuple[str, str]:
        id_, text = orjson.loads(self._lines[int(self._line_indices[position])])
        return id_, text

    def _refuse_duplicates(self) -> None:
        equals_next = self._hashes[1:] == self._hashes[:-1]
        seen: set[str] = set()
        for position in np.flatnonzero(np.append(equals_next, False) | np.append(False, equals_next)).tolist():
            id_, _ = self._read(position)
            if id_ in seen:
                raise InputError(
                    f"{self._source} contains the {self._noun} {id_!r} twice.",
                    expected="each id once",
                    do="Remove or rename one of them.",
                )
            seen.add(id_)


def _add_hashes(texts: Iterable[tuple[str, str]], hashes: "array[int]") -> Iterator[bytes]:
    """Yield the lines to store, and append the hash of each id to `hashes`."""
    for id_, text in texts:
        hashes.append(_hash(id_))
        yield orjson.dumps((id_, text))


def _hash(id_: str) -> int:
    return int.from_bytes(digest_of(id_)[:8], "little")
