"""The postings of an impact index, read with Lucene."""

from pathlib import Path
from typing import Any

from splade_anserini.lucene.index_reader import opened_index


def postings(directory: Path) -> dict[str, dict[str, int]]:
    """Return term → document → impact, and check Lucene's own sums against them."""
    by_term: dict[str, dict[str, int]] = {}
    with opened_index(directory) as reader:
        for segment in segments(reader):
            ids = doc_values(segment)
            terms = segment.terms("contents").iterator()
            while (term := terms.next()) is not None:
                impacts = {}
                entries = terms.postings(None, 8)  # 8: frequencies
                while (doc := entries.nextDoc()) != 2**31 - 1:
                    impacts[ids[doc]] = entries.freq()
                assert (terms.docFreq(), terms.totalTermFreq()) == (len(impacts), sum(impacts.values()))
                by_term.setdefault(term.utf8ToString(), {}).update(impacts)
    return by_term


def segments(reader: Any) -> list[Any]:
    leaves = reader.leaves()
    return [leaves.get(number).reader() for number in range(leaves.size())]


def doc_values(segment: Any) -> list[str]:
    values = segment.getBinaryDocValues("id")
    return [values.binaryValue().utf8ToString() for doc in range(segment.maxDoc()) if values.advanceExact(doc)]
