"""The command `explain`: expansions, and scores term by term, which are those of the search."""

import json
import re
import sys
from pathlib import Path
from typing import Any
from xml.etree import ElementTree as ET

import pytest
from hypothesis import given
from hypothesis import strategies as st

from splade_anserini.encoding import DictionaryEncoder, open_query_encoder
from splade_anserini.encoding.origins import SpanningEncoder
from splade_anserini.errors import DependencyError, InputError
from splade_anserini.explaining import compare, compare_bm25, compare_encoders, expand, explain_match
from splade_anserini.explaining.bm25 import whole_words
from splade_anserini.explaining.html import sections_page
from splade_anserini.explaining.sections import expansion_section, match_section
from splade_anserini.formats.impacts import ImpactWriter
from splade_anserini.formats.runs import read_rankings
from splade_anserini.impact_index import ImpactIndex
from splade_anserini.index import index
from splade_anserini.lucene import FastLuceneImpactSearcher, ImpactSearcher, IndexOptions
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

    def test_tokens_that_idf_left_out_are_told(self) -> None:
        match = explain_match({"a": 2}, {"a": 3, "the": 9}, "d1", {"a": 1, "the": 5, "medicine": 7})
        assert match.values()["left_out_by_idf"] == {"medicine": 7, "the": 5}
        assert "nearly all have them: medicine 7, the 5" in str(match)
        assert "Left out" not in str(explain_match({"a": 2}, {"a": 3}, "d1", {"a": 1}))


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

    def test_without_a_text_the_vector_of_a_document_is_shown(self, home: Path) -> None:
        shown = ["--index", home / "index", "--docid", "d0"]
        assert values(*shown) == {"document": "d0", "entries": {"cat": 200, "sleep": 150, "pet": 50}}
        assert "d0: 3 entries" in explain(*shown).out
        opened = ImpactIndex.open(home / "index")
        assert opened.vector("d0") == {"cat": 200, "sleep": 150, "pet": 50}
        assert next(opened.search_vectors([opened.vector("d0")]))[0].id == "d3"

    def test_the_text_of_a_document_is_encoded_as_those_of_the_index(self, home: Path) -> None:
        given = values("cats", "--index", home / "index", "--doc", TEXTS[0])
        assert given["score"] == values("cats", "--index", home / "index", "--docid", "d0")["score"] > 0

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
            ([], "There is no text to explain."),
            (["--index", "i", "--docid", "d", "--compare", "e"], "--compare needs a text."),
            (["cats", "--docid", "d1"], "--docid needs --index."),
            (["cats", "--compare", "d1"], "--compare needs --docid."),
            (["cats", "--bm25", "i"], "--bm25 needs --docid."),
            (["cats", "--index", "i", "--doc", "x", "--docid", "d"], "exclude each other"),
            (["cats", "--query-weights", "{"], "--query-weights is not valid JSON"),
            (["cats", "--query-weights", '{"a": true}'], "is not an object of numbers"),
            (["cats", "--query-weights", '{"a": 1, "a": 2}'], "has the token 'a' twice"),
            (["cats", "--query-weights", "@nowhere"], "not a text file"),
            (["cats", "--query-idf", "1"], "--query-idf needs --index"),
        ],
    )
    def test_what_cannot_be_explained(self, home: Path, arguments: list[str], message: str) -> None:
        has_text = bool(arguments) and arguments[0].strip("- ") == arguments[0]
        outcome = explain(*arguments, *(["--encoder", home / "encoder"] if has_text else []))
        assert (outcome.code, message in outcome.err) == (2, True), outcome.err


@pytest.fixture(scope="module")
def text_index(home: Path) -> Path:
    outcome = run_stage("index", "--bm25", "--input", home / "corpus.jsonl", "--index", home / "texts")
    assert outcome.code == 0, outcome.err
    return home / "texts"


class TestEncoders:
    def test_tokens_of_both_and_of_one_alone(self) -> None:
        first = expand("cats sleep", DictionaryEncoder(EXPANSIONS), 100)
        second = first.edited({"cat": 1, "pet": 0, "sofa": 3})
        compared = compare_encoders(("a", "b"), first, second)
        assert [(token.token, token.first, token.second) for token in compared.shared] == [
            ("cat", 2.0, 1.0),
            ("sleep", 1.5, 1.5),
        ]
        assert [entry.token for entry in compared.first_only] == ["pet"]
        assert [entry.token for entry in compared.second_only] == ["sofa"]
        assert "a: 3 entries; b: 3; 2 in both" in str(compared)

    @pytest.mark.slow
    def test_the_command_names_both(self, home: Path) -> None:
        write_dictionary_encoder(home / "other", {"cats": {"cat": 1.0, "lion": 2.0}})
        options = ["--encoder", home / "encoder", "--compare-encoder", home / "other"]
        encoders = values("cats", *options)["encoders"]
        assert encoders["encoders"] == [str(home / "encoder"), str(home / "other")]
        assert encoders["shared"] == [{"token": "cat", "first": 2.0, "second": 1.0}]
        assert (encoders["first_only"], encoders["second_only"]) == (["pet"], ["lion"])


class TestBesideBm25:
    def test_words_are_joined_with_the_tokens_that_are_theirs(self) -> None:
        match = explain_match({"cat": 2, "cats": 1, "pet": 3, "##s": 1}, {"cat": 5, "cats": 5, "pet": 1, "##s": 1}, "d")
        compared = compare_bm25(match, {"cat": 1.5, "bark": 0.5, "dog": 0.0}, lambda token: token.rstrip("s"))
        rows = [(term.tokens, term.product, term.word, term.bm25) for term in compared.terms]
        assert rows == [
            (("cat", "cats"), 15, "cat", 1.5),
            ((), 0, "bark", 0.5),
            (("pet",), 3, None, 0.0),
            (("##s",), 1, None, 0.0),
        ]
        assert (compared.score, compared.bm25, compared.missing) == (19, 2.0, ("dog",))
        assert sum(term.share for term in compared.terms) == pytest.approx(1)
        assert sum(term.bm25_share for term in compared.terms) == pytest.approx(1)

    def test_word_pieces_count_as_their_word(self) -> None:
        tokens = ["[CLS]", "aero", "##ela", "##stic", "models", "[SEP]"]
        assert whole_words(tokens) == dict.fromkeys(["aero", "##ela", "##stic"], "aeroelastic")
        match = explain_match({"##ela": 2, "aero": 1}, {"##ela": 1, "aero": 1}, "d")
        (term,) = compare_bm25(match, {"aeroelastic": 2.5}, lambda token: token, tokens=tokens).terms
        assert (term.tokens, term.product, term.word, term.bm25) == (("##ela", "aero"), 3, "aeroelastic", 2.5)

    @pytest.mark.slow
    def test_scores_and_ranks_are_those_of_both_runs(self, home: Path, text_index: Path, tmp_path: Path) -> None:
        (tmp_path / "topics.tsv").write_text("q\tcats cats bark\n")
        common = ["--topics", tmp_path / "topics.tsv", "--output"]
        assert run_stage("search", "--index", home / "index", *common, tmp_path / "run").code == 0
        assert run_stage("search", "--bm25", "--index", text_index, *common, tmp_path / "bm25").code == 0
        rankings = [next(iter(read_rankings(tmp_path / name)))[1] for name in ("run", "bm25")]
        runs = [{hit.doc_id: hit for hit in ranking} for ranking in rankings]
        ranks = [list(run) for run in runs]
        for doc_id in runs[1]:
            options = ["--index", home / "index", "--docid", doc_id, "--bm25", text_index]
            (compared,) = values("cats cats bark", *options)["bm25"]
            assert compared["score"] == round(runs[0][doc_id].score)
            assert compared["bm25"] == pytest.approx(runs[1][doc_id].score, abs=1e-5)
            assert sum(term["bm25"] for term in compared["terms"]) == pytest.approx(compared["bm25"], abs=1e-4)
            assert sum(term["product"] for term in compared["terms"]) == compared["score"]
            assert compared["rank"] == ranks[0].index(doc_id) + 1
            assert compared["bm25_rank"] == ranks[1].index(doc_id) + 1

    @pytest.mark.slow
    def test_a_document_that_the_text_index_lacks_is_named(self, home: Path, tmp_path: Path) -> None:
        (tmp_path / "corpus.jsonl").write_text('{"id": "d0", "contents": "cats sleep"}\n')
        assert run_stage("index", "--bm25", "--input", tmp_path / "corpus.jsonl", "--index", tmp_path / "i").code == 0
        outcome = explain("cats", "--index", home / "index", "--docid", "d3", "--bm25", tmp_path / "i")
        assert (outcome.code, "has no document 'd3'" in outcome.err) == (2, True), outcome.err


def references(page: str) -> list[str]:
    """Return what a page would load or run."""
    return re.findall(r"<(?:script|link|img|iframe|object|embed)\b|(?:src|href)=|url\(|@import|https?:", page)


class TestPages:
    def test_a_page_loads_nothing_is_light_and_dark_and_says_bars_in_numbers(self) -> None:
        expansion = expand("cats sleep", DictionaryEncoder(EXPANSIONS), 100)
        match = explain_match({"cat": 2, "a": 1}, {"cat": 3, "b": 1}, "<d1> & co")
        sections = [expansion_section(expansion), match_section(match)]
        page = sections_page("Why", sections, "1.0")
        assert references(page) == []
        assert "prefers-color-scheme: dark" in page
        assert '<html lang="en">' in page
        assert "&lt;d1&gt; &amp; co: score 6" in page
        assert "<d1>" not in page
        body = ET.fromstring(page[page.index("<main>") : page.index("</main>") + len("</main>")])
        headings = {heading.get("id") for heading in body.iter("h2")}
        assert {section.get("aria-labelledby") for section in body.iter("section")} == headings
        for table in body.iter("table"):
            assert all(cell.get("scope") == "col" for cell in table.findall("thead/tr/th"))
            for row in table.findall("tbody/tr"):
                assert row.find("th[@scope='row']") is not None
                assert all(bar.get("aria-hidden") == "true" for bar in row.findall("td[@class='bar']"))
        # Who reads only the cells reads all that the bars show.
        assert "100.0%" in page

    @pytest.mark.parametrize(
        "explanation",
        [
            expand("cats <b>", DictionaryEncoder(EXPANSIONS), 100),
            explain_match({"<b>": 2}, {"<b>": 3}, "d"),
            explain_match({}, {}, "d"),
            compare(explain_match({"<b>": 2}, {"<b>": 3}, "d"), explain_match({"a": 1}, {"a": 1}, "e")),
            compare_encoders(("<b>", "b"), *[expand("cats", DictionaryEncoder(EXPANSIONS), 100)] * 2),
            compare_bm25(explain_match({"<b>": 2}, {"<b>": 3}, "d"), {"<b>": 1.0}, lambda token: token),
        ],
        ids=lambda value: type(value).__name__,
    )
    def test_notebooks_show_tables(self, explanation: Any) -> None:
        part = explanation._repr_html_()
        assert references(part) == []
        assert "<b>" not in part
        ET.fromstring(part)
        assert repr(explanation).startswith(f"<{type(explanation).__name__} of ")
        assert len(explanation.to_pandas().columns) > 1

    def test_rows_of_a_data_frame(self) -> None:
        frame = explain_match({"a": 1, "b": 2}, {"a": 4, "b": 3}, "d").to_pandas()
        assert [*frame.columns] == ["token", "query", "document", "product", "share", "unweighted"]
        assert frame["product"].tolist() == [6, 4]
        assert frame["share"].sum() == 1

    def test_pandas_that_is_missing_is_named_with_its_extra(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setitem(sys.modules, "pandas", None)
        with pytest.raises(DependencyError, match=r"pandas is not installed.\n.*splade-anserini\[pandas\]"):
            explain_match({"a": 1}, {"a": 1}, "d").to_pandas()


@pytest.mark.slow
class TestFiles:
    def test_the_format_is_that_of_the_file_name(self, home: Path, tmp_path: Path) -> None:
        common = ["cats", "--encoder", home / "encoder", "--output"]
        for name in ("a.html", "a.json", "a.txt"):
            assert explain(*common, tmp_path / name).code == 0
        assert (tmp_path / "a.html").read_text().startswith("<!doctype html>")
        assert json.loads((tmp_path / "a.json").read_text())["query"]["text"] == "cats"
        assert (tmp_path / "a.txt").read_text() == explain("cats", "--encoder", home / "encoder").out
        again = explain(*common, tmp_path / "a.html")
        assert (again.code, "already exists" in again.err) == (2, True), again.err
        assert explain(*common, tmp_path / "a.html", "--overwrite").code == 0

    def test_a_picture_of_all_tables(self, home: Path, text_index: Path, tmp_path: Path) -> None:
        options = ["--index", home / "index", "--docid", "d1", "--compare", "d3", "--bm25", text_index]
        for name in ("a.svg", "b.svg"):
            outcome = explain("cats bark", *options, "--plot", tmp_path / name)
            assert outcome.code == 0, outcome.err
        assert (tmp_path / "a.svg").read_bytes() == (tmp_path / "b.svg").read_bytes()
        wrong = explain("cats", "--encoder", home / "encoder", "--plot", tmp_path / "a.gif")
        assert (wrong.code, "Cannot infer the format of the figure" in wrong.err) == (2, True)


@pytest.mark.slow
def test_searchers_explain_their_hits(home: Path) -> None:
    with FastLuceneImpactSearcher(home / "index", str(home / "encoder"), min_idf=-1, query_idf=0.5) as searcher:
        for hit in searcher.search("cats bark"):
            match = searcher.explain("cats bark", hit.docid)
            assert (match.document, match.score) == (hit.docid, hit.score)
    with ImpactSearcher(home / "index") as searcher:
        assert searcher.explain({"cat": 2, "x": 1}, "d0").query_only == {"x": 1}
