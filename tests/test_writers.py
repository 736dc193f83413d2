"""The indexes of both writers, compared posting by posting."""

import json
from pathlib import Path
from typing import Any, NamedTuple

import pytest

from splade_anserini.index import index
from splade_anserini.lucene import FastLuceneImpactSearcher, ImpactSearcher, IndexOptions, count_index
from splade_anserini.lucene.index_reader import opened_index
from tests.impact_fixtures import UNUSUAL, documents, random_vectors, write_documents, write_encoded
from tests.index_postings import doc_values, postings, segments

pytestmark = pytest.mark.slow

SYNTAX = {
    "quotes": {'"': 3, "\\": 2, ",": 4, ":": 5, "{": 1, "}": 6},
    "more": {':"': 1, '",': 2, "a,b": 3, "x:": 4, ":x": 5, "y,": 6, '\\"': 7, "}}": 8, "\\u003a": 9},
    "empty": {},
    "long": {"x" * 255: 1_000_000, "😀" * 127: 2},
}
VECTORS = random_vectors(7, 600) | UNUSUAL | SYNTAX
QUERIES = {f"q{n}": {f"t{n % 40}": 1 + n % 3, f"t{(n * 7) % 40}": 2, "cat": 1} for n in range(60)}


class Indexes(NamedTuple):
    """The same pseudo-documents, indexed by both writers."""

    lucenes: Path
    anserinis: Path


OPTIONS = {"threads": 3, "store_text": True, "store_docvectors": True}


@pytest.fixture(scope="module")
def anserinis(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The index of Anserini's writer."""
    home = tmp_path_factory.mktemp("anserini")
    write_documents(home / "impacts" / "all.jsonl", documents(VECTORS))
    index(home / "impacts", home / "index", IndexOptions(writer="anserini", **OPTIONS))
    return home / "index"


@pytest.fixture(scope="module", params=["with a manifest", "without a manifest"])
def indexes(request: pytest.FixtureRequest, anserinis: Path, tmp_path_factory: pytest.TempPathFactory) -> Indexes:
    """The index of Lucene's writer, of files that are trusted by their manifest or checked, and that of Anserini's."""
    home = tmp_path_factory.mktemp("lucene")
    if request.param == "with a manifest":
        write_encoded(home / "impacts", VECTORS, shard_size=100)
    else:
        write_documents(home / "impacts" / "all.jsonl", documents(VECTORS))
    index(home / "impacts", home / "index", IndexOptions(**OPTIONS))
    return Indexes(home / "index", anserinis)


def fields(directory: Path) -> dict[str, tuple[object, ...]]:
    """Return the options of each field."""
    options = {}
    with opened_index(directory) as reader:
        iterator = segments(reader)[0].getFieldInfos().iterator()
        while iterator.hasNext():
            field = iterator.next()
            kinds = field.getIndexOptions().toString(), field.getDocValuesType().toString()
            options[field.name] = (*kinds, field.hasNorms(), field.omitsNorms(), field.hasTermVectors())
    return options


def test_every_posting_is_the_same(indexes: Indexes) -> None:
    by_term = postings(indexes.lucenes)
    assert by_term == postings(indexes.anserinis)
    assert by_term["x" * 255] == {"long": 1_000_000, "A" * 300: 4}
    assert by_term['"']["quotes"] == 3


def test_fields_and_their_options_are_the_same(indexes: Indexes) -> None:
    assert fields(indexes.lucenes) == fields(indexes.anserinis)
    assert count_index(indexes.lucenes) == count_index(indexes.anserinis)


@pytest.mark.parametrize("writer", ["lucenes", "anserinis"])
def test_stored_ids_are_those_of_the_doc_values(indexes: Indexes, writer: str) -> None:
    with opened_index(getattr(indexes, writer)) as reader:
        stored = reader.storedFields()
        ids = doc_values(segments(reader)[0])
        assert [stored.document(doc).get("id") for doc in range(reader.maxDoc())] == ids
        assert set(ids) == set(VECTORS) - {"empty"}


@pytest.mark.parametrize("docid", ["quotes", "more", next(iter(VECTORS))])
def test_stored_records_and_vectors_are_the_same(indexes: Indexes, docid: str) -> None:
    with (
        FastLuceneImpactSearcher(indexes.lucenes, OneToken()) as lucenes,
        FastLuceneImpactSearcher(indexes.anserinis, OneToken()) as anserinis,
    ):
        document, expected = lucenes.doc(docid), anserinis.doc(docid)
        assert document is not None
        assert expected is not None
        record = json.loads(expected.raw() or "")
        assert record.pop("vector") == VECTORS[docid]
        assert json.loads(document.raw() or "") == record
        assert document.contents() == record["contents"]
        assert lucenes.document(docid) == anserinis.document(docid) == record
        assert stored_vector(lucenes, docid) == stored_vector(anserinis, docid) == VECTORS[docid]


class OneToken:
    def encode(self, query: str) -> dict[str, int]:
        return {query: 1}


def stored_vector(searcher: FastLuceneImpactSearcher, docid: str) -> dict[str, int]:
    reader = searcher._searcher.lucene.getIndexReader()
    terms = reader.termVectors().get(searcher._lucene_docid(docid)).terms("contents").iterator()
    vector = {}
    while (term := terms.next()) is not None:
        vector[term.utf8ToString()] = terms.totalTermFreq()
    return vector


@pytest.mark.parametrize("hits", [1, 10, 1000])
def test_searches_return_the_same_hits(indexes: Indexes, hits: int) -> None:
    with ImpactSearcher(indexes.lucenes) as lucenes, ImpactSearcher(indexes.anserinis, threads=2) as anserinis:
        assert dict(lucenes.search(QUERIES, hits)) == dict(anserinis.search(QUERIES, hits))


@pytest.mark.parametrize("threads", [1, 2, 5])
def test_the_postings_do_not_depend_on_threads_and_segments(shared_index: Any, threads: int) -> None:
    segmented = shared_index(VECTORS, IndexOptions(threads=threads, optimize=False, memory=1))
    assert postings(segmented) == postings(shared_index(VECTORS))
