"""The impact vector of a document, read from an index."""

from typing import Any

from splade_anserini.errors import InputError
from splade_anserini.lucene.index_reader import CONTENTS, ID, index_searcher, opened_index
from splade_anserini.lucene.java.java_errors import java_errors
from splade_anserini.lucene.java.threads import JAVA_LOCK
from splade_anserini.lucene.lucene_searcher import LuceneSearcher
from splade_anserini.records import ImpactVector, StrPath

_FREQUENCIES = 8
"""`PostingsEnum.FREQS`."""


def document_vector(index: StrPath, doc_id: str) -> ImpactVector:
    """Return the impacts of a document, token → impact, in the order of the tokens.

    They are read from the stored vector (`index --store-docvectors`), or from the postings of all tokens, which takes
    about a second for a vocabulary of 30,000. Raises `InputError` when the index is not valid or lacks the document.
    """
    with JAVA_LOCK, opened_index(index) as reader, java_errors(f"reading document {doc_id!r} of {index}"):
        doc = _number_of(reader, doc_id)
        if doc is None:
            raise InputError(
                f"Index {index} has no document {doc_id!r}.",
                expected="the id of a document with a vector that is not empty",
            )
        stored = _stored_impacts(reader, doc)
        if stored is not None:
            return stored
        leaf = _leaf_of(reader, doc)
        terms = leaf.reader().terms(CONTENTS)
        return {} if terms is None else _impacts(terms.iterator(), doc - leaf.docBase)


def stored_vector(searcher: LuceneSearcher[Any], doc: int) -> ImpactVector | None:
    """Return the impacts of a document of an open index, given by Lucene's number; None if no vector is stored."""
    with JAVA_LOCK, java_errors(f"reading the vector of document {doc}"):
        return _stored_impacts(searcher.lucene.getIndexReader(), doc)


def _stored_impacts(reader: Any, doc: int) -> ImpactVector | None:
    terms = reader.termVectors().get(doc, CONTENTS)
    return None if terms is None else _impacts(terms.iterator(), 0)


def _number_of(reader: Any, doc_id: str) -> int | None:
    """Return Lucene's number of a document; None when there is none with the id."""
    from jnius import autoclass

    term, query = (autoclass(f"org.apache.lucene.{name}") for name in ("index.Term", "search.TermQuery"))
    hits = index_searcher(reader).search(query(term(ID, doc_id)), 1).scoreDocs
    return int(hits[0].doc) if hits else None


def _leaf_of(reader: Any, doc: int) -> Any:
    """Return the segment that holds a document."""
    leaves = reader.leaves()
    return [leaf for leaf in (leaves.get(number) for number in range(leaves.size())) if leaf.docBase <= doc][-1]


def _impacts(terms: Any, doc: int) -> ImpactVector:
    """Return the frequency of each term of an enumeration that occurs in a document."""
    impacts: dict[str, int] = {}
    postings = None
    while (token := terms.next()) is not None:
        postings = terms.postings(postings, _FREQUENCIES)
        if postings.advance(doc) == doc:
            impacts[token.utf8ToString()] = int(postings.freq())
    return impacts
