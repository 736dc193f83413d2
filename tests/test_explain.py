"""The command `explain`: expansions, and scores term by term, which are those of the search."""

import json
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from splade_anserini.encoding import DictionaryEncoder, open_query_encoder
from splade_anserini.encoding.origins import SpanningEncoder
from splade_anserini.errors import InputError
from splade_anserini.explaining import compare, expand, explain_match
from splade_anserini.formats.impacts import ImpactWriter
from splade_anserini.formats.runs import read_rankings
from splade_anserini.impact_index import ImpactIndex
from splade_anserini.index import index
from splade_anserini.lucene import IndexOptions
from splade_anserini.lucene.doc_vectors import document_vector
from splade_anserini.records import ImpactDocument
from tests.cli_runner import Outcome, run_stage
from tests.encoder_fixtures import EXPANSIONS, write_dictionary_encoder

impacts = st.dictionaries(st.sampled_from("abcdefgh"), st.integers(1, 300))
TEXTS = ["cats sleep", "dogs bark", "dogs sleep", "cats dogs bark sleep"]


class TestMatch:
    @given(impacts, impacts)
    def test_the_score_is_the_dot_product(self, query: dict[str, int], document: dict[str, int]) -> None:
        match = explain_match(query, document, "d")
        assert match.score == sum(impact * document.get(token, 0) for token, impact in query.items())
        assert match.score == sum(term.product for term in match.terms)
        assert {term.token for term in match.terms} | set(match.query_only) == set(query)
        assert {term.token for term in match.terms} | set(match.document_only) == set(document)
        assert sum(term.share for term in match.terms) == pytest.approx(1 if match.terms else 0)

    @given(impacts, impacts, impacts)
    def test_differences_add_up_to_that_of_the_scores(
        self, query: dict[str, int], first: dict[str, int], second: dict[str, int]
    ) -> None:
        comparison = compare(explain_match(query, first), explain_match(query, second))
        difference = comparison.first.score - comparison.second.score
        assert sum(term.difference for term in comparison.terms) == difference

    def test_terms_are_ordered_by_what_they_bring(self) -> None:
        match = explain_match({"a": 1, "b": 2, "c": 3}, {"c": 1, "b": 3, "a": 6, "d": 9}, "d1")
        assert [(term.token, term.product) for term in match.terms] == [("a", 6), ("b", 6), ("c", 3)]
        assert (match.query_only, match.document_only) == ({}, {"d": 9})


class TestExpansion:
    def test_weights_are_replaced_dropped_and_added(self) -> None:
        expansion = expand("cats sleep", DictionaryEncoder(EXPANSIONS), 100)
        edited = expansion.edited({"cat": 0.5, "pet": 0, "sofa": 1})
        assert edited.impacts == {"sleep": 150, "sofa": 100, "cat": 50}
        assert list(edited.impacts) == ["sleep", "sofa", "cat"], "the greatest first"
        assert expansion.edited({}) == expansion

    @pytest.mark.parametrize("weight", [-1.0, float("nan"), float("inf")])
    def test_a_weight_that_is_none_is_refused(self, weight: float) -> None:
        with pytest.raises(InputError, match="The weight of 'cat' is"):
            expand("cats", DictionaryEncoder(EXPANSIONS), 100).edited({"cat": weight})

    def test_a_token_that_the_encoder_lacks_is_refused_with_its_pieces_and_similar_ones(self) -> None:
        expansion = expand("pain in the head", open_query_encoder("splade-mini"), 100)
        with pytest.raises(InputError, match=r"'hedache' is not a token[^?]*reads it as he ##da ##che\. .*headache"):
            expansion.edited({"pain": 0, "hedache": 1})
        with pytest.raises(InputError, match=r"'Pain' is not a token[^?]*Did you mean pain, "):
            expansion.edited({"Pain": 0})
        edited = expansion.edited({"pain": 0, "headache": 1})
        assert edited.impacts["headache"] == 100
        assert "pain" not in edited.impacts

    def test_tokens_of_a_long_text_are_found_where_they_are(self) -> None:
        encoder = open_query_encoder("splade-mini")
        assert isinstance(encoder, SpanningEncoder)
        text = "Ibuprofén relieves pain. " * 300
        spans = encoder.spans(text)
        assert len(spans) > encoder.max_length
        assert [text[span.start : span.stop] for span in spans[-8:]] == [
            *("Ib", "up", "ro", "fén", "relieve", "s", "pain", "."),
        ]


@pytest.fixture(scope="module")
def home(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """An encoder and two indexes of the same documents, in one of which their vectors are stored."""
    directory = tmp_path_factory.mktemp("explain")
    write_dictionary_encoder(directory / "encoder", EXPANSIONS)
    (directory / "corpus.jsonl").write_text(
        "\n".join(json.dumps({"id": f"d{n}", "contents": text}) for n, text in enumerate(TEXTS))
    )
    encoded = ["--corpus", directory / "corpus.jsonl", "--encoder", directory / "encoder"]
    assert run_stage("encode", *encoded, "--output", directory / "impacts").code == 0
    index(directory / "impacts", directory / "index")
    index(directory / "impacts", directory / "with-vectors", IndexOptions(store_docvectors=True))
    return directory


def explain(*arguments: object) -> Outcome:
    return run_stage("explain", *arguments)


def values(*arguments: object) -> dict[str, Any]:
    outcome = explain(*arguments, "--format", "json")
    assert outcome.code == 0, outcome.err
    parsed: dict[str, Any] = json.loads(outcome.out)
    return parsed


@pytest.mark.slow
class TestIndex:
    @pytest.mark.parametrize("name", ["index", "with-vectors"])
    def test_the_vector_of_a_document_is_the_one_that_was_indexed(self, home: Path, name: str) -> None:
        encoder = DictionaryEncoder(EXPANSIONS)
        for number, text in enumerate(TEXTS):
            expected = {token: round(weight * 100) for token, weight in encoder.encode([text])[0].items()}
            assert document_vector(home / name, f"d{number}") == expected

    def test_a_document_that_is_not_there_is_named(self, home: Path) -> None:
        with pytest.raises(InputError, match="has no document 'd9'"):
            document_vector(home / "index", "d9")

    def test_segments_number_their_own_documents(self, tmp_path: Path) -> None:
        for part in range(3):
            with ImpactWriter(tmp_path / "impacts" / f"{part}.jsonl") as writer:
                writer.write(ImpactDocument(f"a{part}", {"x": part + 1, "y": 9}))
                writer.write(ImpactDocument(f"b{part}", {f"z{part}": part + 5}))
            index(tmp_path / "impacts", tmp_path / f"index{part}", IndexOptions(optimize=False))
        assert document_vector(tmp_path / "index2", "a2") == {"x": 3, "y": 9}
        assert document_vector(tmp_path / "index2", "b1") == {"z1": 6}

    def test_scores_are_those_of_the_run(self, home: Path, tmp_path: Path) -> None:
        (tmp_path / "topics.tsv").write_text("q\tcats bark\n")
        options = ["--index", home / "index", "--query-idf", 0.5]
        searched = run_stage("search", *options, "--topics", tmp_path / "topics.tsv", "--output", tmp_path / "run")
        assert searched.code == 0, searched.err
        ((_, ranking),) = read_rankings(tmp_path / "run")
        assert len(ranking) == 4
        for hit in ranking:
            explained = values("cats bark", *options, "--docid", hit.doc_id)
            assert explained["score"] == round(hit.score)
            assert sum(term["product"] for term in explained["terms"]) == explained["score"]
            assert all(term["product"] == term["query"] * term["document"] for term in explained["terms"])
            assert any(term["query"] != term["unweighted"] for term in explained["terms"])

    def test_two_documents_are_compared(self, home: Path) -> None:
        compared = values("cats bark", "--index", home / "index", "--docid", "d1", "--compare", "d3")["comparison"]
        scores = compared["first"]["score"], compared["second"]["score"]
        assert compared["difference"] == scores[0] - scores[1]
        assert sum(term["difference"] for term in compared["terms"]) == compared["difference"]
        text = explain("cats bark", "--index", home / "index", "--docid", "d1", "--compare", "d3").out
        assert f"d1: score {scores[0]:,}; d3: score {scores[1]:,}" in text

    def test_an_index_object_explains_its_hits(self, home: Path) -> None:
        opened = ImpactIndex.open(home / "index")
        for hit in opened.search("cats bark"):
            assert opened.explain("cats bark", hit.id).score == hit.score
        edited = opened.expand("cats bark").edited({"noise": 0})
        match = opened.explain(edited, "d1")
        assert "noise" not in {term.token for term in match.terms}
        assert "noise" in match.document_only


@pytest.mark.slow
class TestCommand:
    def test_a_text_becomes_its_entries(self, home: Path) -> None:
        outcome = explain("cats sleep", "--encoder", home / "encoder")
        assert outcome.code == 0, outcome.err
        assert "3 entries: 1 of its own tokens, 2 added" in outcome.out
        query = values("cats sleep", "--encoder", home / "encoder")["query"]
        by_token = {entry["token"]: entry for entry in query["entries"]}
        assert (by_token["cat"]["impact"], by_token["cat"]["own"]) == (200, False)
        assert by_token["sleep"]["own"]

    def test_the_text_of_a_document(self, home: Path) -> None:
        explained = values("cats", "--encoder", home / "encoder", "--doc", "dogs sleep")
        assert (explained["score"], explained["document_only"]) == (50 * 75, {"dog": 200, "sleep": 150})
        assert explained["query_only"] == {"cat": 200}

    def test_weights_from_a_file(self, home: Path, tmp_path: Path) -> None:
        (tmp_path / "weights.json").write_text('{"cat": 0, "noise": 2}')
        for source in (f"@{tmp_path / 'weights.json'}", '{"cat": 0, "noise": 2}'):
            query = values("cats", "--encoder", home / "encoder", "--query-weights", source)["query"]
            assert {entry["token"]: entry["impact"] for entry in query["entries"]} == {"noise": 200, "pet": 50}

    def test_weights_of_a_document_count_in_its_score(self, home: Path) -> None:
        sides = ["--side", "document", "--query-weights", '{"pet": 0, "sleep": 2}']
        explained = values("cats", "--encoder", home / "encoder", *sides, "--doc", "cats sleep")
        assert explained["score"] == 200 * 200 + 200 * 150

    @pytest.mark.parametrize(
        ("arguments", "message"),
        [
            ([" "], "The text is empty."),
            (["cats", "--docid", "d1"], "--docid needs --index."),
            (["cats", "--compare", "d1"], "--compare needs --docid."),
            (["cats", "--index", "i", "--doc", "x", "--docid", "d"], "exclude each other"),
            (["cats", "--query-weights", "{"], "--query-weights is not valid JSON"),
            (["cats", "--query-weights", '{"a": true}'], "is not an object of numbers"),
            (["cats", "--query-weights", '{"a": 1, "a": 2}'], "has the token 'a' twice"),
            (["cats", "--query-weights", "@nowhere"], "not a text file"),
            (["cats", "--query-idf", "1"], "--query-idf needs --index"),
        ],
    )
    def test_what_cannot_be_explained(self, home: Path, arguments: list[str], message: str) -> None:
        outcome = explain(*arguments, *(["--encoder", home / "encoder"] if arguments[0].strip() else []))
        assert (outcome.code, message in outcome.err) == (2, True), outcome.err
