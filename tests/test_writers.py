"""Our own writer builds what Anserini builds, posting by posting."""

import json
from pathlib import Path
from typing import Any

import pytest

from splade_anserini.index import index
from splade_anserini.lucene import FastLuceneImpactSearcher, ImpactSearcher, IndexOptions, count_index
from splade_anserini.lucene.counting import opened_index
from tests.pseudo import documents, random_vectors, write_documents, write_encoded
from tests.test_searcher import STRANGE

pytestmark = pytest.mark.slow

SYNTAX = {
    "quotes": {'"': 3, "\\": 2, ",": 4, ":": 5, "{": 1, "}": 6},
    "more": {':"': 1, '",': 2, "a,b": 3, "x:": 4, ":x": 5, "y,": 6, '\\"': 7, "}}": 8, "\\u003a": 9},
    "empty": {},
    "long": {"x" * 255: 1_000_000, "😀" * 127: 2},
}
VECTORS = random_vectors(7, 600) | STRANGE | SYNTAX
QUERIES = {f"q{n}": {f"t{n % 40}": 1 + n % 3, f"t{(n * 7) % 40}": 2, "cat": 1} for n in range(60)}


class Both:
    """The same pseudo-documents, indexed by both writers."""

    def __init__(self, home: Path, impacts: Path, **options: Any) -> None:
        self.ours, self.anserinis = home / "ours", home / "anserinis"
        index(impacts, self.ours, IndexOptions(**options))
        index(impacts, self.anserinis, IndexOptions(writer="anserini", **options))


@pytest.fixture(scope="module", params=["encoded here", "made by others"])
def both(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Both:
    home = tmp_path_factory.mktemp("writers")
    if request.param == "encoded here":
        write_encoded(home / "impacts", VECTORS)
    else:
        write_documents(home / "impacts" / "all.jsonl", documents(VECTORS))
    return Both(home, home / "impacts", threads=3, store_text=True, store_docvectors=True)


def postings(directory: Path) -> dict[str, dict[str, int]]:
    """Return term → document → impact, and check Lucene's own sums against them."""
    found: dict[str, dict[str, int]] = {}
    with opened_index(directory) as reader:
        for leaf in segments(reader):
            ids = doc_values(leaf)
            terms = leaf.terms("contents").iterator()
            while (term := terms.next()) is not None:
                each = {}
                entries = terms.postings(None, 8)  # 8: frequencies
                while (doc := entries.nextDoc()) != 2**31 - 1:
                    each[ids[doc]] = entries.freq()
                assert (terms.docFreq(), terms.totalTermFreq()) == (len(each), sum(each.values()))
                found.setdefault(term.utf8ToString(), {}).update(each)
    return found


def segments(reader: Any) -> list[Any]:
    leaves = reader.leaves()
    return [leaves.get(number).reader() for number in range(leaves.size())]


def doc_values(segment: Any) -> list[str]:
    values = segment.getBinaryDocValues("id")
    return [values.binaryValue().utf8ToString() for doc in range(segment.maxDoc()) if values.advanceExact(doc)]


def fields(directory: Path) -> dict[str, tuple[object, ...]]:
    found = {}
    with opened_index(directory) as reader:
        each = segments(reader)[0].getFieldInfos().iterator()
        while each.hasNext():
            field = each.next()
            kinds = field.getIndexOptions().toString(), field.getDocValuesType().toString()
            found[field.name] = (*kinds, field.hasNorms(), field.omitsNorms(), field.hasTermVectors())
    return found


def test_every_posting_is_the_same(both: Both) -> None:
    ours = postings(both.ours)
    assert ours == postings(both.anserinis)
    assert ours["x" * 255] == {"long": 1_000_000, "A" * 300: 4}
    assert ours['"']["quotes"] == 3


def test_fields_and_their_options_are_the_same(both: Both) -> None:
    assert fields(both.ours) == fields(both.anserinis)
    assert count_index(both.ours) == count_index(both.anserinis)


def test_stored_ids_are_those_of_the_doc_values(both: Both) -> None:
    for directory in (both.ours, both.anserinis):
        with opened_index(directory) as reader:
            stored = reader.storedFields()
            ids = doc_values(segments(reader)[0])
            assert [stored.document(doc).get("id") for doc in range(reader.maxDoc())] == ids
            assert set(ids) == set(VECTORS) - {"empty"}


def test_stored_records_and_vectors_are_the_same(both: Both) -> None:
    with (
        FastLuceneImpactSearcher(both.ours, Nothing()) as ours,
        FastLuceneImpactSearcher(both.anserinis, Nothing()) as theirs,
    ):
        for docid in ["quotes", "more", next(iter(VECTORS))]:
            first, second = ours.doc(docid), theirs.doc(docid)
            assert first is not None
            assert second is not None
            assert json.loads(first.raw() or "") == json.loads(second.raw() or "")
            assert vector(ours, docid) == vector(theirs, docid) == VECTORS[docid]


class Nothing:
    def encode(self, query: str) -> dict[str, int]:
        return {query: 1}


def vector(searcher: FastLuceneImpactSearcher, docid: str) -> dict[str, int]:
    reader = searcher._searcher.lucene.getIndexReader()
    terms = reader.termVectors().get(searcher._number(docid)).terms("contents").iterator()
    found = {}
    while (term := terms.next()) is not None:
        found[term.utf8ToString()] = terms.totalTermFreq()
    return found


@pytest.mark.parametrize("hits", [1, 10, 1000])
def test_searches_find_the_same(both: Both, hits: int) -> None:
    with ImpactSearcher(both.ours) as ours, ImpactSearcher(both.anserinis, threads=2) as theirs:
        assert dict(ours.search(QUERIES, hits)) == dict(theirs.search(QUERIES, hits))


@pytest.mark.parametrize("threads", [1, 2, 5])
def test_any_number_of_threads_and_segments_holds_the_same(tmp_path: Path, threads: int) -> None:
    write_encoded(tmp_path / "impacts", VECTORS)
    index(tmp_path / "impacts", tmp_path / "index", IndexOptions(threads=threads, optimize=False, memory=1))
    index(tmp_path / "impacts", tmp_path / "one", IndexOptions())
    assert postings(tmp_path / "index") == postings(tmp_path / "one")
