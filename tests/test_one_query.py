"""`search` for one query: hits to read, one JSON object, other weights, and the prompt."""

import json
from pathlib import Path
from typing import Any

import pytest

from splade_anserini.encoding import DictionaryEncoder, ImpactQueryEncoder
from splade_anserini.errors import InputError
from splade_anserini.explaining.result_text import TextStyle, result_text
from splade_anserini.explaining.search_result import MatchedWord, ResultHit, SearchResult
from splade_anserini.explaining.session import ImpactSession, SearchSession
from splade_anserini.index import index
from splade_anserini.lucene import ImpactSearcher
from splade_anserini.lucene.query_weights import QueryWeights
from splade_anserini.retrieval.options import HitsOptions, QuerySource, SearchOptions, SearchOutput
from splade_anserini.search_prompt import SearchPrompt, history_path
from tests.cli_runner import Outcome, run_stage
from tests.encoder_fixtures import EXPANSIONS, write_dictionary_encoder
from tests.terminals import terminal

TEXTS = ["cats sleep", "dogs bark loudly", "dogs sleep", "cats and dogs bark while others sleep"]


@pytest.fixture(scope="module")
def home(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """An encoder, an index with texts and one without, and a text index of the same documents."""
    directory = tmp_path_factory.mktemp("one-query")
    write_dictionary_encoder(directory / "encoder", EXPANSIONS)
    (directory / "corpus.jsonl").write_text(
        "\n".join(json.dumps({"id": f"d{n}", "contents": text, "n": n}) for n, text in enumerate(TEXTS))
    )
    corpus = ["--corpus", directory / "corpus.jsonl"]
    encoded = run_stage("encode", *corpus, "--encoder", directory / "encoder", "--output", directory / "impacts")
    assert encoded.code == 0, encoded.err
    options = ["--documents", directory / "corpus.jsonl", "--store-text", "--filter-fields", "n:int"]
    indexed = run_stage("index", "--input", directory / "impacts", "--index", directory / "index", *options)
    assert indexed.code == 0, indexed.err
    index(directory / "impacts", directory / "without-texts")
    done = run_stage("index", "--bm25", *corpus, "--index", directory / "bm25", "--store-text")
    assert done.code == 0, done.err
    return directory


def search(home: Path, *arguments: object, index_name: str = "index") -> Outcome:
    return run_stage("search", "--index", home / index_name, *arguments)


def values(home: Path, *arguments: object, index_name: str = "index") -> dict[str, Any]:
    outcome = search(home, *arguments, "--format", "json", index_name=index_name)
    assert outcome.code == 0, outcome.err
    parsed: dict[str, Any] = json.loads(outcome.out)
    return parsed


@pytest.mark.slow
class TestCommand:
    def test_hits_are_shown_with_marked_words_and_the_shares_of_terms(self, home: Path) -> None:
        outcome = search(home, "--query", "cats bark", "--hits", 2, "--query-idf", 0)
        assert outcome.code == 0, outcome.err
        assert outcome.out.splitlines() == [
            "cats bark",
            "cat 200, noise 125, dog 100, pet 50",
            "",
            "1  d3  score 79,375",
            "   cats and dogs bark while others sleep",
            "   cat 50%, dog 25%, noise 20%, 1 more 5%",
            "",
            "2  d0  score 42,500",
            "   cats sleep",
            "   cat 94%, pet 6%",
        ]

    def test_one_json_object_is_printed_or_written(self, home: Path, tmp_path: Path) -> None:
        printed = values(home, "--query", "cats bark")
        assert [hit["id"] for hit in printed["hits"]] == ["d3", "d0", "d1", "d2"]
        assert printed["hits"][0]["document"] == {"id": "d3", "contents": TEXTS[3], "n": 3}
        for hit in printed["hits"]:
            assert hit["score"] == sum(term["product"] for term in hit["terms"])
        arguments = ["--query", "cats bark", "--output", tmp_path / "hits.json"]
        assert (search(home, *arguments).out, search(home, *arguments, "--overwrite").code) == ("", 0)
        assert json.loads((tmp_path / "hits.json").read_text()) == printed
        assert search(home, *arguments).code == 2, "it exists"

    def test_scores_are_those_of_a_run(self, home: Path, tmp_path: Path) -> None:
        (tmp_path / "topics.tsv").write_text("1\tcats bark\n")
        run = search(home, "--topics", tmp_path / "topics.tsv", "--output", tmp_path / "run.txt")
        assert run.code == 0, run.err
        rows = [line.split() for line in (tmp_path / "run.txt").read_text().splitlines()]
        hits = values(home, "--query", "cats bark")["hits"]
        assert [(row[2], round(float(row[4]))) for row in rows] == [(hit["id"], hit["score"]) for hit in hits]

    def test_weights_are_dropped_added_and_replaced(self, home: Path) -> None:
        weights = '{"cat": 0, "dog": 3, "sleep": 0.5}'
        edited = values(home, "--query", "cats bark", "--query-weights", weights)
        assert edited["weights"] == {"dog": 300, "noise": 125, "pet": 50, "sleep": 50}
        refused = search(home, "--query", "cats", "--query-weights", '{"kat": 1}')
        assert refused.code == 2
        assert "'kat' is not a token of the encoder" in refused.err
        assert "Did you mean cat" in refused.err

    def test_idf_is_shown_as_a_factor_of_its_own(self, home: Path) -> None:
        printed = values(home, "--query", "cats bark", "--query-idf", 1)
        assert printed["unweighted"] == {"cat": 200, "noise": 125, "dog": 100, "pet": 50}
        line = search(home, "--query", "cats bark", "--query-idf", 1).out.splitlines()[1]
        assert line.startswith("impacts × idf^1: ")
        assert f"cat 200 × {printed['weights']['cat'] / 200:.2f}" in line

    def test_an_index_without_texts_says_so_once(self, home: Path, caplog: pytest.LogCaptureFixture) -> None:
        outcome = search(home, "--query", "cats bark", index_name="without-texts")
        assert outcome.code == 0
        assert caplog.text.count("stores no texts to show") == 1
        assert outcome.out.splitlines()[3:5] == ["1  d3  score 79,375", "   cat 50%, dog 25%, noise 20%, 1 more 5%"]

    def test_two_step_search_and_pruning(self, home: Path) -> None:
        pruned = values(home, "--query", "cats bark", "--query-top-k", 1)
        assert [(hit["id"], hit["score"]) for hit in pruned["hits"]] == [("d0", 40_000), ("d3", 40_000)]
        two_step = values(home, "--query", "cats bark", "--two-step", 1)
        assert [(hit["id"], hit["score"]) for hit in two_step["hits"]] == [("d3", 79_375), ("d0", 42_500)]

    def test_filters_leave_scores_as_they_are(self, home: Path) -> None:
        filtered = values(home, "--query", "cats bark", "--filter", "n>=1", "--filter", "n<3", "--query-idf", 1)
        everything = values(home, "--query", "cats bark", "--query-idf", 1)
        scores = {hit["id"]: (hit["score"], hit["terms"]) for hit in everything["hits"]}
        assert {hit["id"]: (hit["score"], hit["terms"]) for hit in filtered["hits"]} == {
            id_: scores[id_] for id_ in ("d1", "d2")
        }

    def test_words_of_bm25_add_up_to_its_scores(self, home: Path) -> None:
        printed = values(home, "--bm25", "--query", "cat sleeping", index_name="bm25")
        assert printed["weights"] == {"cat": 1, "sleep": 1}
        assert len(printed["hits"]) == 3
        for hit in printed["hits"]:
            assert sum(term["product"] for term in hit["terms"]) == pytest.approx(hit["score"], abs=1e-3)
        text = search(home, "--bm25", "--query", "cat sleeping", index_name="bm25").out
        assert "*cats* *sleep*\n" in text

    def test_a_query_without_hits_says_why(self, home: Path) -> None:
        assert search(home, "--query", "unknown").out == (
            "unknown\n\n\nThe query has no tokens with a weight, and so no hits.\n"
        )

    @pytest.mark.parametrize(
        ("arguments", "message"),
        [
            ([], "Neither --topics nor --query is given"),
            (["--query", " "], "--query is empty"),
            (["--query", "a", "--topics", "t"], "--topics and --query exclude each other"),
            (["--query-weights", "{}"], "--query-weights needs --query"),
            (["--topics", "t"], "--topics needs --output"),
            (["--topics", "t", "--output", "o", "--format", "json"], "--format json shows one query"),
            (["--query", "a", "--format", "trec"], "--format trec is that of a run"),
            (["--query", "a", "--tag", "x"], "--tag names a run"),
            (["--query", "a", "--feedback", "rm3"], "--feedback cannot be used with one query: the query is expanded"),
            (["--query", "a", "--hybrid", "bm25:x"], "--hybrid cannot be used with one query: scores that are fused"),
            (["--query", "a", "--remove-query"], "--remove-query cannot be used with one query"),
            (["--query", "a", "--k1", "1.2"], "--k1 needs --bm25"),
            (["--query", "a", "--two-step", "2", "--candidates", "5"], r"--candidates (5) is less than --hits (10)"),
        ],
    )
    def test_what_cannot_be_searched_for_is_refused(self, home: Path, arguments: list[str], message: str) -> None:
        outcome = search(home, *arguments)
        assert (outcome.code, message in outcome.err) == (2, True), outcome.err

    @pytest.mark.parametrize(
        ("arguments", "message"),
        [
            (["--query", "a", "--query-idf", "1"], "--query-idf has no effect with --bm25"),
            (["--query", "a", "--query-weights", '{"a": 1}'], "Words have no weights with BM25"),
        ],
    )
    def test_what_texts_do_not_have_is_refused(self, home: Path, arguments: list[str], message: str) -> None:
        outcome = search(home, "--bm25", *arguments, index_name="bm25")
        assert (outcome.code, message in outcome.err) == (2, True), outcome.err


def test_hits_are_10_for_one_query_and_1000_in_a_run() -> None:
    assert HitsOptions().with_default(10) == SearchOptions(hits=10)
    assert HitsOptions(hits=5, query_top_k=3).with_default(10) == SearchOptions(hits=5, query_top_k=3)
    assert SearchOptions().hits == 1000
    with pytest.raises(InputError, match="--max-passage"):
        HitsOptions(max_passage="# #")


def test_a_source_of_queries_may_be_empty_for_the_prompt() -> None:
    assert QuerySource().query is None
    assert SearchOutput(output=Path("run")).run_options().format == "trec"


HIT = ResultHit(
    1,
    "d1",
    1.5,
    {"id": "d1", "title": "About heads", "contents": "About heads The \x1b[31m head aches."},
    (MatchedWord("head", 1, 1.0, 1.0, 2 / 3), MatchedWord("aches", 1, 0.5, 0.5, 1 / 3)),
)


class TestText:
    def test_a_title_is_beside_the_score_and_lines_are_broken(self) -> None:
        shown = result_text(SearchResult("head", {"head": 1, "aches": 1}, (HIT,)), TextStyle("<b>", "</b>", 20))
        assert shown.splitlines()[3:] == [
            "1  d1  score 1.5000  About heads",
            "   The [31m <b>head</b>",
            "   <b>aches</b>.",
            "   head 67%, aches 33%",
        ]

    def test_a_query_of_which_nothing_is_left_has_its_tokens(self) -> None:
        result = SearchResult("a\n\x1bb", {}, (), 0.5, {"a": 20, "b": 10})
        assert result_text(result).splitlines() == [
            "a  b",
            "a 20, b 10",
            "",
            "No document has a token of the query, or all were pruned.",
        ]

    def test_a_vector_has_no_text(self) -> None:
        assert result_text(SearchResult(None, {"a": 2}, ())) == "a 2\n\nNo document has a token of the query.\n"


def dialogue(session: SearchSession, *lines: str | BaseException) -> str:
    """Return what the prompt shows when lines are typed; an exception stands for a key such as Ctrl-C."""
    typed, shown = iter(lines), []

    def read(prompt: str) -> str:
        line = next(typed, EOFError())
        if isinstance(line, BaseException):
            raise line
        shown.append(f"{prompt}{line}\n")
        return line

    SearchPrompt(session, read=read, write=shown.append).run()
    assert next(typed, None) is None, "the prompt ended before"
    return "".join(shown)


@pytest.fixture
def session(home: Path, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Any:
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path))
    encoder = ImpactQueryEncoder(DictionaryEncoder(EXPANSIONS))
    with ImpactSearcher(home / "index") as searcher:
        yield ImpactSession(searcher, encoder, QueryWeights(searcher, 0.0), SearchOptions(hits=10))


@pytest.mark.slow
class TestPrompt:
    def test_queries_are_answered_until_the_end(self, session: ImpactSession) -> None:
        shown = dialogue(session, "", "cats bark", ":k 1", "sleep")
        assert ": 4 documents. Type a query, or :help; Ctrl-D ends.\n" in shown
        assert shown.count("1  d3  score 79,375") == 2, "once for the query, once with other hits"
        assert shown.count("2  d0  score 42,500") == 1
        assert shown.endswith("1  d0  score 22,500\n   cats *sleep*\n   sleep 100%\n\n")

    def test_a_hit_is_explained_and_shown_whole(self, session: ImpactSession) -> None:
        shown = dialogue(session, "cats bark", ":explain 2", ":doc 2", ":compare 1 2")
        assert "d0: score 42,500, of 2 shared terms" in shown
        assert '{\n  "id": "d0",\n  "contents": "cats sleep",\n  "n": 0\n}\n' in shown
        assert "d3: score 79,375; d0: score 42,500; +36,875" in shown

    def test_weights_of_the_query_are_changed_and_forgotten_with_it(self, session: ImpactSession) -> None:
        shown = dialogue(session, "cats bark", ":weights cat=0 sleep=2", ':weights {"pet": 0}', ":w off", ":weights")
        queries = [line for line in shown.splitlines() if line.startswith(("cat 200,", "sleep 200,"))]
        assert queries == [
            "cat 200, noise 125, dog 100, pet 50",
            "sleep 200, noise 125, dog 100, pet 50",
            "sleep 200, noise 125, dog 100",
            "cat 200, noise 125, dog 100, pet 50",
        ]
        assert "4 entries: 0 of its own tokens, 4 added" in shown

    def test_filters_are_added_and_left_out(self, session: ImpactSession) -> None:
        shown = dialogue(
            session, ":filter", "cats bark", ":filter n<3", ":filter n>0", ":filter", ":f off", ":filter x=1"
        )
        ids = [line.split()[1] for line in shown.splitlines() if line[:1].isdigit()]
        assert ids == ["d3", "d0", "d1", "d2", *("d0", "d1", "d2"), *("d1", "d2"), "d3", "d0", "d1", "d2"]
        assert "There are no filters.\n" in shown
        assert "n<3 and n>0\n" in shown
        assert session.filters == (), "a filter that is not valid is not kept"

    def test_errors_and_interrupts_do_not_end_it(self, session: ImpactSession) -> None:
        lines = (
            ":explain",
            ":nothing",
            ":k x",
            KeyboardInterrupt(),
            "cats",
            ":explain 9",
            ":weights cat",
            ":compare 1",
            ":help",
            ":q",
        )
        shown = dialogue(session, *lines)
        for message in (
            "error: There are no hits yet.",
            "error: :nothing is not a command.",
            "error: 'x' is not a number of at least 1.",
            "error: There is no hit 9.\nExpected a rank from 1 to 4.",
            "error: 'cat' is not a weight.",
            "error: '1' are not two hits.",
            f"Queries are remembered in {history_path()}.",
        ):
            assert message in shown


@pytest.mark.slow
def test_a_terminal_has_a_prompt_with_history_and_bold_words(home: Path, tmp_path: Path) -> None:
    arguments = ["search", "--index", home / "index", "--query-idf", 0]
    with terminal(*arguments, XDG_STATE_HOME=str(tmp_path)) as first:
        first.until("query> ")
        first.type("half a line")
        first.until("half a line")
        first.interrupt("query> ")
        first.type(":k\n")
        first.until("10 hits for each query\nquery> ")
        first.type("sleep\n")
        assert "\x1b[1msleep\x1b[0m" in first.until("query> ")
        first.type(":explain 1\n")
        assert "d0: score 22,500" in first.until("query> ")
        first.type("\x04")
        assert first.end()[0] == 0
    assert "sleep" in (tmp_path / "splade-anserini" / "search_history").read_text().splitlines()
    with terminal(*arguments, XDG_STATE_HOME=str(tmp_path), NO_COLOR="1") as second:
        second.until("query> ")
        second.type("\x1b[A\x1b[A\n")
        assert "*sleep*" in second.until("query> ")
        second.type(":quit\n")
        assert second.end()[0] == 0
