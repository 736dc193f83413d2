"""Texts that are looked up by id and stay on disk: a corpus's documents, a file's queries."""

from array import array
from bisect import bisect_left
from collections.abc import Iterable, Iterator, Sequence
from typing import Protocol

import numpy as np
import orjson

from splade_anserini.errors import InputError
from splade_anserini.formats.corpora import open_corpus
from splade_anserini.formats.irds import PREFIX, IrdsStore
from splade_anserini.formats.parsing.duplicates import digest_of
from splade_anserini.formats.parsing.random_lines import Lines
from splade_anserini.formats.topics import NamedTopics, no_named_topics, placed_topics


class Lookup(Protocol):
    """Texts by id."""

    def missing(self, id_: str) -> str:
        """Return what is wrong with an id that certainly has no text, "" for others; no text is read."""
        ...

    def __getitem__(self, id_: str) -> str:
        """Return the text. Raises `InputError` when there is none."""
        ...


class Texts:
    """Where the ids of training examples are looked up."""

    def __init__(self, documents: Lookup, queries: Lookup) -> None:
        self.documents = documents
        self.queries = queries

    def document(self, id_: str) -> str:
        """Return title and text of a document. Raises `InputError` when there is none of this id."""
        return self.documents[id_]

    def query(self, id_: str) -> str:
        """Return the text of a query. Raises `InputError` when there is none of this id."""
        return self.queries[id_]


def open_texts(corpus: str, topics: str, named: NamedTopics = no_named_topics) -> Texts:
    """Read a corpus and topics once, as `open_corpus` and `read_topics` take them; of a BEIR directory all queries.

    Of a corpus `irds:<name>`, ir_datasets' own store is used. Raises `InputError` when an id occurs twice.
    """
    queries = SpooledTexts("query", topics, ((query.id, query.text) for _, query in placed_topics(topics, named)))
    return Texts(open_documents(corpus), queries)


def open_documents(corpus: str) -> Lookup:
    """Read a corpus once, as `open_texts` does, to look up title and text of its documents."""
    if corpus.startswith(PREFIX):
        return StoredTexts(IrdsStore(corpus))
    return SpooledTexts("document", corpus, ((document.id, document.contents) for document in open_corpus(corpus)))


class NoTexts:
    """Where nothing can be looked up."""

    def __init__(self, what: str, option: str) -> None:
        self._what, self._option = what, option

    def missing(self, id_: str) -> str:
        """Say what is missing."""
        return f"the {self._what} {id_!r} is an id, and without {self._option} there is nowhere to look it up"

    def __getitem__(self, id_: str) -> str:
        raise InputError(self.missing(id_))


NO_TEXTS = Texts(NoTexts("document", "--corpus"), NoTexts("query", "--topics"))
"""For examples that hold their texts themselves."""


class StoredTexts:
    """The documents of a dataset of ir_datasets."""

    def __init__(self, store: IrdsStore) -> None:
        self._store = store

    def missing(self, id_: str) -> str:  # noqa: ARG002  # the protocol's
        """Say nothing: the store would have to read the document."""
        return ""

    def __getitem__(self, id_: str) -> str:
        return self._store.document(id_).contents


class SpooledTexts:
    """Texts in a temporary file, in 24 bytes of memory each: where each begins, and the sorted hashes of the ids."""

    def __init__(self, what: str, source: str, texts: Iterable[tuple[str, str]]) -> None:
        self._what, self._source = what, source
        hashes = array("Q")
        self._lines = Lines.spooled(source, _hashed(texts, hashes))
        unsorted = np.array(hashes, dtype=np.uint64)
        self._numbers = np.argsort(unsorted, kind="stable")
        self._hashes = unsorted[self._numbers]
        # Single numbers are found in it without making numpy's scalars.
        self._sorted: Sequence[int] = memoryview(self._hashes)
        self._refuse_duplicates()

    def missing(self, id_: str) -> str:
        """Say so when no id has this one's hash."""
        known = any(True for _ in self._places(id_))
        return "" if known else f"the {self._what} {id_!r} is not in {self._source}"

    def __getitem__(self, id_: str) -> str:
        for at in self._places(id_):
            found, text = self._read(at)
            if found == id_:
                return text
        raise InputError(f"The {self._what} {id_!r} is not in {self._source}.", do="Correct the id, or add the text.")

    def _places(self, id_: str) -> Iterator[int]:
        """Yield where the ids of this hash stand: one or none, but for collisions."""
        hash_ = _hash(id_)
        at = bisect_left(self._sorted, hash_)
        while at < len(self._sorted) and self._sorted[at] == hash_:
            yield at
            at += 1

    def _read(self, at: int) -> tuple[str, str]:
        id_, text = orjson.loads(self._lines[int(self._numbers[at])])
        return id_, text

    def _refuse_duplicates(self) -> None:
        same = self._hashes[1:] == self._hashes[:-1]
        seen: set[str] = set()
        for at in np.flatnonzero(np.append(same, False) | np.append(False, same)).tolist():
            id_, _ = self._read(at)
            if id_ in seen:
                raise InputError(
                    f"{self._source} holds the {self._what} {id_!r} twice.",
                    expected="each id once",
                    do="Remove or rename one of them.",
                )
            seen.add(id_)


def _hashed(texts: Iterable[tuple[str, str]], hashes: "array[int]") -> Iterator[bytes]:
    """Yield the lines to keep, and add the hash of each one's id to `hashes`."""
    for id_, text in texts:
        hashes.append(_hash(id_))
        yield orjson.dumps((id_, text))


def _hash(id_: str) -> int:
    return int.from_bytes(digest_of(id_)[:8], "little")
