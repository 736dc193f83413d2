"""How many documents of an index contain each of some tokens."""

from collections.abc import Iterable
from typing import Any, NamedTuple

from splade_anserini.lucene.index_reader import CONTENTS, index_searcher, opened_index
from splade_anserini.lucene.java.java_errors import java_errors
from splade_anserini.lucene.java.threads import JAVA_LOCK
from splade_anserini.records import StrPath


class CollectionFrequencies(NamedTuple):
    """Numbers of documents; deleted ones do not count."""

    documents: int
    """Documents in the index."""
    by_token: dict[str, int]
    """Token → number of documents that contain it, perhaps 0."""


def document_frequencies(index: StrPath, tokens: Iterable[str]) -> CollectionFrequencies:
    """Return the document frequencies of tokens, summed over all segments of an index.

    Raises `InputError` when `index` is not a valid Lucene index.
    """
    with JAVA_LOCK, opened_index(index) as reader, java_errors(f"counting documents of {index}"):
        return frequencies_in(index_searcher(reader), tokens)


def frequencies_in(searcher: Any, tokens: Iterable[str]) -> CollectionFrequencies:
    """Return the document frequencies of tokens in the index that one of Lucene's IndexSearchers has open.

    The caller holds `JAVA_LOCK`.
    """
    from jnius import autoclass

    term, query = (autoclass(f"org.apache.lucene.{name}") for name in ("index.Term", "search.TermQuery"))
    # A segment without deletions knows its count; in another one, Lucene counts the postings.
    counts = {token: int(searcher.count(query(term(CONTENTS, token)))) for token in dict.fromkeys(tokens)}
    return CollectionFrequencies(int(searcher.getIndexReader().numDocs()), counts)
