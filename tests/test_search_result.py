"""The result of one query: hits with their stored documents and the terms that their scores are the sums of."""

from collections.abc import Iterator
from pathlib import Path

import orjson
import pytest

from splade_anserini.explaining import search_result
from splade_anserini.impact_index import ImpactIndex
from splade_anserini.index import index
from splade_anserini.lucene import ImpactSearcher, IndexOptions
from splade_anserini.merge import MergeOptions, merge
from splade_anserini.retrieval.options import SearchOptions, TwoStepOptions
from tests.encoder_fixtures import ENCODER
from tests.impact_fixtures import write_encoded

pytestmark = pytest.mark.slow

TEXTS = ["cats sleep", "dogs bark", "dogs sleep", "cats dogs bark sleep"]
QUERIES = ["cats bark", "sleep", "dogs sleep cats", "nothing"]


@pytest.fixture(scope="module")
def shared() -> Iterator[ImpactIndex]:
    with ImpactIndex.from_texts(TEXTS, encoder=ENCODER) as opened:
        yield opened


@pytest.mark.parametrize("alpha", [0.0, 0.5])
@pytest.mark.parametrize("query", QUERIES)
def test_hits_are_those_of_the_search_and_terms_add_up_to_the_score(
    shared: ImpactIndex, query: str, alpha: float
) -> None:
    shared.query_idf = alpha
    result = shared.result(query, 3)
    assert [(hit.id, hit.score) for hit in result.hits] == [(hit.id, hit.score) for hit in shared.search(query, 3)]
    assert [hit.rank for hit in result.hits] == list(range(1, len(result.hits) + 1))
    for hit in result.hits:
        assert hit.terms == shared.explain(query, hit.id).terms
        assert sum(term.product for term in hit.terms) == hit.score
        assert hit.document is not None
        assert hit.document["contents"] == TEXTS[int(hit.id)]
        assert "vector" not in hit.document
    assert (result.unweighted is not None) == bool(alpha)


def test_the_json_object_has_what_a_program_needs_and_nothing_else(shared: ImpactIndex) -> None:
    shared.query_idf = 0.0
    values = orjson.loads(orjson.dumps(shared.result("cats bark", 1).values()))
    assert values == {
        "query": "cats bark",
        "weights": {"cat": 200, "noise": 125, "dog": 100, "pet": 50},
        "hits": [
            {
                "rank": 1,
                "id": "3",
                "score": 79_375,
                "document": {"id": "3", "contents": TEXTS[3]},
                "terms": [
                    {"token": "cat", "query": 200, "document": 200, "product": 40_000},
                    {"token": "dog", "query": 100, "document": 200, "product": 20_000},
                    {"token": "noise", "query": 125, "document": 125, "product": 15_625},
                    {"token": "pet", "query": 50, "document": 75, "product": 3_750},
                ],
            }
        ],
    }


def test_factors_of_idf_are_shown_beside_the_impacts_that_are_searched(shared: ImpactIndex) -> None:
    shared.query_idf = 0.5
    values = shared.result("cats bark").values()
    assert values["query_idf"] == 0.5
    assert values["unweighted"] == {"cat": 200, "noise": 125, "dog": 100, "pet": 50}
    assert values["weights"] == shared.weighted({"cat": 200, "noise": 125, "dog": 100, "pet": 50})


def test_a_query_is_a_text_or_an_edited_expansion_or_a_vector(shared: ImpactIndex) -> None:
    shared.query_idf = 0.0
    edited = shared.result(shared.expand("cats bark").edited({"cat": 0, "sleep": 1}))
    assert edited.weights == {"noise": 125, "dog": 100, "sleep": 100, "pet": 50}
    assert edited.query == "cats bark"
    hits = shared.search(shared.expand("cats bark").edited({"cat": 0, "sleep": 1}))
    assert [(hit.id, hit.score) for hit in hits] == [(hit.id, hit.score) for hit in edited.hits]
    vector = shared.result({"noise": 125, "pet": 50, "dog": 100, "sleep": 100})
    assert vector.query is None
    assert vector.hits == edited.hits


def test_results_and_hits_have_short_representations(shared: ImpactIndex) -> None:
    shared.query_idf = 0.0
    result = shared.result("cats bark")
    assert repr(result) == "<SearchResult of 'cats bark': 4 tokens, 4 hits>"
    assert repr(result.hits[0]) == "<ResultHit 1: 3, score 79,375: cat 50%, dog 25%, noise 20%, …>"


def test_a_hit_has_its_passage_with_the_words_that_match(shared: ImpactIndex) -> None:
    shared.query_idf = 0.0
    result = shared.result("sleep", 2)
    passage = result.hits[0].snippet()
    assert passage is not None
    assert (passage.text, [(mark.tokens, mark.product) for mark in passage.marks]) == (
        "cats sleep",
        [(("sleep",), 22_500)],
    )
    assert str(result).splitlines()[:5] == ["sleep", "sleep 150", "", "1  0  score 22,500", "   cats *sleep*"]
    assert "cats <mark>sleep</mark></td>" in result._repr_html_()


def test_queries_are_pruned_and_two_step_search_finds_its_own_hits(shared: ImpactIndex) -> None:
    query = {"cat": 200, "noise": 125, "dog": 100, "pet": 50}
    pruned = search_result(shared.searcher, query, SearchOptions(hits=9, query_top_k=2))
    assert pruned.weights == {"cat": 200, "noise": 125}
    two_step = TwoStepOptions(two_step=1)
    result = search_result(shared.searcher, query, SearchOptions(hits=2), two_step=two_step, documents=False)
    assert [(hit.id, len(hit.terms), hit.document) for hit in result.hits] == [("3", 4, None), ("0", 2, None)]


def test_shards_and_segments_number_their_own_documents(tmp_path: Path) -> None:
    vectors = {f"d{n}": dict.fromkeys(tokens, n + 1) for n, tokens in enumerate(["ab", "bc", "ad", "abc"])}
    for part, ids in (("first", ["d0", "d1"]), ("second", ["d2", "d3"])):
        write_encoded(tmp_path / part, {id_: vectors[id_] for id_ in ids}, shard_size=1)
        index(tmp_path / part, tmp_path / f"{part}-index", IndexOptions(optimize=False))
    merge([tmp_path / "first-index", tmp_path / "second-index"], tmp_path / "sharded", MergeOptions(sharded=True))
    with ImpactSearcher(tmp_path / "sharded") as searcher:
        result = search_result(searcher, dict.fromkeys("abcx", 2))
    assert [hit.id for hit in result.hits] == ["d3", "d1", "d2", "d0"]
    for hit in result.hits:
        shared_tokens = {token: impact for token, impact in vectors[hit.id].items() if token in "abc"}
        assert {term.token: term.document for term in hit.terms} == shared_tokens
        assert hit.document is None, "the index stores no records"
