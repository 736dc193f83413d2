import logging
from collections.abc import Callable, Sequence
from pathlib import Path

import pytest
from ir_measures import ScoredDoc

from splade_anserini.encoding import DictionaryEncoder, ImpactQueryEncoder, open_encoder
from splade_anserini.errors import NOTE
from splade_anserini.formats.runs import read_run
from splade_anserini.index import index
from splade_anserini.lucene import BruteForceSearcher
from splade_anserini.records import Query
from splade_anserini.retrieval.options import SearchOptions
from splade_anserini.retrieval.query_vectors import encode_queries, prune_queries
from splade_anserini.search import search
from tests.cli_runner import Outcome, run_stage
from tests.encoder_fixtures import write_dictionary_encoder
from tests.impact_fixtures import ANIMALS, documents, write_documents

EXPANSIONS = {"cat": {"cat": 0.02}, "dog": {"dog": 0.01, "cat": 0.01}, "pet": {"fish": 0.03}}


@pytest.fixture(scope="module")
def words(tmp_path_factory: pytest.TempPathFactory) -> str:
    """The path of an encoder."""
    return write_dictionary_encoder(tmp_path_factory.mktemp("encoders") / "words", EXPANSIONS)


@pytest.fixture(scope="module")
def others(tmp_path_factory: pytest.TempPathFactory) -> str:
    """The path of an encoder with another vocabulary."""
    return write_dictionary_encoder(tmp_path_factory.mktemp("encoders") / "others", {"cat": {"feline": 0.02}})


@pytest.fixture(scope="module")
def animals(words: str, shared_index: Callable[..., Path]) -> Path:
    """An index of documents that `words` encoded."""
    return shared_index(ANIMALS, encoder=open_encoder(words).identity)


@pytest.fixture
def topics(tmp_path: Path) -> Path:
    return lines(tmp_path / "topics.tsv", "q1\tdog", "q2\tcat")


def lines(path: Path, *content: str) -> Path:
    path.write_text("".join(f"{line}\n" for line in content), encoding="utf-8")
    return path


def run_search(index_: Path, topics: Path, *options: object) -> tuple[Outcome, list[ScoredDoc]]:
    """Run the command; return its outcome and the run."""
    run = topics.with_name("run.txt")
    run.unlink(missing_ok=True)
    outcome = run_stage("search", "--index", index_, "--topics", topics, "--output", run, *options)
    return outcome, list(read_run(run)) if run.exists() else []


def ids(run: Sequence[ScoredDoc]) -> dict[str, list[str]]:
    """Return query → ids of documents, in the order of the run."""
    doc_ids: dict[str, list[str]] = {}
    for hit in run:
        doc_ids.setdefault(hit.query_id, []).append(hit.doc_id)
    return doc_ids


def test_the_document_of_the_query_is_removed_and_replaced_by_the_next() -> None:
    searcher = BruteForceSearcher(documents(ANIMALS))
    queries = {"d1": {"cat": 1}, "q": {"cat": 1}}
    without = SearchOptions(hits=1, remove_query=True)
    doc_ids = {id_: [hit.doc_id for hit in ranking] for id_, ranking in search(queries, searcher, without)}
    assert doc_ids == {"d1": ["d3"], "q": ["d1"]}
    assert [len(ranking) for _, ranking in search(queries, searcher, SearchOptions(hits=1))] == [1, 1]


def test_queries_are_encoded_in_batches_and_empty_ones_are_counted(caplog: pytest.LogCaptureFixture) -> None:
    encoder = ImpactQueryEncoder(DictionaryEncoder(EXPANSIONS), scale=100)
    queries = [Query("a", "cat"), Query("b", "whale"), Query("c", "dog")]
    batches: list[int] = []
    vectors = encode_queries(queries, encoder, 2, batches.append)
    assert vectors == {"a": {"cat": 2}, "b": {}, "c": {"dog": 1, "cat": 1}}
    assert batches == [2, 1]
    assert "1 query has an empty vector and no hits, first: b" in caplog.text


@pytest.mark.slow
def test_the_index_names_encoder_and_scale(animals: Path, topics: Path) -> None:
    outcome, run = run_search(animals, topics)
    assert (outcome.code, outcome.complaints) == (0, "")
    assert "2 queries" in outcome.out
    assert ids(run) == {"q1": ["d2", "d1", "d3"], "q2": ["d1", "d3"]}
    assert run[-2:] == [ScoredDoc("q2", "d1", 6.0), ScoredDoc("q2", "d3", 2.0)]


@pytest.mark.slow
def test_the_options_do_what_they_say(animals: Path, tmp_path: Path) -> None:
    topics = lines(tmp_path / "topics.tsv", "d1\tcat", "q\tdog")
    outcome, run = run_search(animals, topics, "--hits", 1, "--remove-query", "--format", "msmarco")
    assert (outcome.code, ids(run)) == (0, {"d1": ["d3"], "q": ["d2"]})
    outcome, _ = run_search(animals, topics, "--tag", "mine", "--threads", 2, "--batch-size", 1)
    assert outcome.code == 0
    assert (tmp_path / "run.txt").read_text().splitlines()[0] == "d1 Q0 d1 1 6.0 mine"


def test_pruned_queries_that_become_empty_are_counted(caplog: pytest.LogCaptureFixture) -> None:
    queries = {"a": {"cat": 3, "dog": 2, "ant": 2}, "b": {"cat": 1}, "c": {}}
    assert prune_queries(queries, 2) == {"a": {"cat": 3, "ant": 2}, "b": {"cat": 1}, "c": {}}
    assert caplog.text == ""
    assert prune_queries(queries, min_impact=3) == {"a": {"cat": 3}, "b": {}, "c": {}}
    assert "1 query has no token with an impact of 3 or more and no hits, first: b" in caplog.text


@pytest.mark.slow
@pytest.mark.parametrize(
    ("line", "pre_encoded"), [("q\tdog pet", ()), ("q\tcat dog fish fish fish", ("--pre-encoded",))]
)
@pytest.mark.parametrize(
    ("pruning", "expected"),
    [
        (("--query-top-k", 9), {"q": ["d4", "d2", "d1", "d3"]}),
        (("--query-top-k", 2), {"q": ["d4", "d1", "d3"]}),
        (("--query-top-k", 1), {"q": ["d4"]}),
        (("--query-min-impact", 2), {"q": ["d4"]}),
        (("--query-min-impact", 4), {}),
    ],
)
def test_queries_are_pruned_whether_they_were_encoded_before_or_not(
    animals: Path,
    tmp_path: Path,
    line: str,
    pre_encoded: tuple[str, ...],
    pruning: tuple[object, ...],
    expected: dict[str, list[str]],
) -> None:
    topics = lines(tmp_path / "topics.tsv", line)
    outcome, run = run_search(animals, topics, *pre_encoded, *pruning)
    assert (outcome.code, ids(run)) == (0, expected)


@pytest.mark.slow
@pytest.mark.parametrize("options", [("--encoder", "{others}"), ("--scale", "256/5")])
def test_a_mismatch_is_refused(animals: Path, topics: Path, others: str, options: tuple[str, str]) -> None:
    outcome, run = run_search(animals, topics, *(option.format(others=others) for option in options))
    assert (outcome.code, run, "--force" in outcome.err) == (2, [], True)


@pytest.mark.slow
def test_a_mismatch_is_forced(animals: Path, topics: Path, words: str) -> None:
    outcome, run = run_search(animals, topics, "--encoder", words, "--scale", "200", "--force")
    assert (outcome.code, run[0]) == (0, ScoredDoc("q1", "d2", 10.0))


@pytest.mark.slow
def test_topics_may_be_vectors_already(animals: Path, tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    topics = lines(tmp_path / "topics.tsv", "q1\tcat cat dog", "frage-日本\tbird", "q3\twhale")
    outcome, run = run_search(animals, topics, "--pre-encoded")
    assert (outcome.code, outcome.complaints) == (0, "")
    assert caplog.messages == [f"Topics {topics}: 3 queries, given as impact vectors."]
    assert ids(run) == {"q1": ["d1", "d2", "d3"], "frage-日本": ["d3"]}


@pytest.mark.slow
def test_an_index_without_a_manifest_needs_an_encoder(tmp_path: Path, topics: Path, words: str, others: str) -> None:
    write_documents(tmp_path / "impacts" / "a.jsonl", documents(ANIMALS))
    index(tmp_path / "impacts", tmp_path / "index")
    outcome, _ = run_search(tmp_path / "index", topics)
    assert (outcome.code, "Add --encoder, or --pre-encoded if" in outcome.err) == (2, True)
    outcome, run = run_search(tmp_path / "index", topics, "--encoder", others)
    assert (outcome.code, run) == (0, [])
    outcome, run = run_search(tmp_path / "index", topics, "--encoder", words)
    assert (outcome.code, len(run)) == (0, 5)


@pytest.mark.slow
@pytest.mark.parametrize(
    ("content", "options", "note", "warning", "expected"),
    [
        ("q1\tdog\nq2\t\nq3\tcat", (), "3 queries, taken for texts to encode; add --pre-encoded", "q2", ["q1", "q3"]),
        ("q1\tdog", ("--not-pre-encoded",), "1 query, given as texts to encode.", "", ["q1"]),
        (
            '{"id": "q1", "vector": {"cat": 5}}\n{"id": "q2", "vector": {}}',
            (),
            "2 queries, taken for impact vectors, as they have vectors; add --not-pre-encoded",
            "q2",
            ["q1"],
        ),
        ("q1\tcat:0.5", ("--scale", "100"), "as each token has a weight", "", ["q1"]),
    ],
)
def test_what_topics_are_taken_for_is_said_and_empty_ones_find_nothing(
    animals: Path,
    tmp_path: Path,
    content: str,
    options: tuple[str, ...],
    note: str,
    warning: str,
    expected: list[str],
    caplog: pytest.LogCaptureFixture,
) -> None:
    outcome, run = run_search(animals, lines(tmp_path / "topics", content), *options)
    assert (outcome.code, list(ids(run))) == (0, expected)
    (said,) = [record.message for record in caplog.records if record.levelno == NOTE]
    assert note in said
    warnings = [record.message for record in caplog.records if record.levelno == logging.WARNING]
    assert [warning in message for message in warnings] == [True] * bool(warning)


def test_topics_are_not_overwritten(animals: Path, topics: Path) -> None:
    before = topics.read_bytes()
    outcome = run_stage("search", "--index", animals, "--topics", topics, "--output", topics)
    assert (outcome.code, "are the same path" in outcome.err) == (2, True)
    assert topics.read_bytes() == before


@pytest.fixture
def bad_inputs(animals: Path, topics: Path, tmp_path: Path) -> Path:
    """A directory with an index, `index`, topics and files that cannot be used."""
    (tmp_path / "index").symlink_to(animals)
    (tmp_path / "impacts").symlink_to(animals.with_name("impacts"))
    (tmp_path / "empty").mkdir()
    lines(tmp_path / "twice.tsv", "q\tcat", "q\tdog")
    lines(tmp_path / "empty.tsv")
    lines(tmp_path / "pieces.tsv", "q\tWhat is a ##cat?")
    return tmp_path


@pytest.mark.parametrize(
    ("index_name", "topics_name", "options", "message"),
    [
        ("nowhere", "topics.tsv", (), "nowhere"),
        ("empty", "topics.tsv", (), "empty"),
        ("impacts", "topics.tsv", (), "segments"),
        ("index", "nowhere.tsv", (), "nowhere.tsv"),
        ("index", "twice.tsv", (), "twice.tsv, line 2"),
        ("index", "twice.tsv", ("--pre-encoded",), "twice.tsv, line 2"),
        ("index", "empty.tsv", (), "empty.tsv are empty"),
        ("index", "pieces.tsv", (), "--not-pre-encoded"),
        ("index", "topics.tsv", ("--topics-field", "narrative"), "topic q1 has no narrative, only text"),
        ("index", "topics.tsv", ("--topics-field", "+"), "--topics-field must name fields"),
        ("index", "topics.tsv", ("--pre-encoded", "--encoder", "words"), "--encoder words is given"),
        (
            "index",
            "topics.tsv",
            ("--scale", "much"),
            "error: --scale must be a number such as 100 or 256/5, got 'much'",
        ),
        ("index", "topics.tsv", ("--encoder", "./typo"), "typo"),
        ("index", "topics.tsv", ("--hits", "0"), "--hits must be at least 1, got 0"),
        ("index", "topics.tsv", ("--query-top-k", "0"), "--query-top-k must be at least 1, got 0"),
        ("index", "topics.tsv", ("--query-min-impact", "0"), "--query-min-impact must be at least 1, got 0"),
        ("index", "topics.tsv", ("--two-step", "0"), "--two-step must be at least 1, got 0"),
        ("index", "topics.tsv", ("--candidates", "2000"), "--candidates needs --two-step"),
        ("index", "topics.tsv", ("--two-step", "2", "--candidates", "9"), "9"),
        ("index", "topics.tsv", ("--two-step", "2", "--searcher", "pyserini"), "--searcher lucene"),
        ("index", "topics.tsv", ("--format", "xml"), "--format"),
        ("index", "topics.tsv", ("--feedback-docs", "3"), "--feedback-docs needs --feedback"),
    ],
)
def test_bad_input_is_reported_with_exit_code_2(
    bad_inputs: Path, index_name: str, topics_name: str, options: tuple[str, ...], message: str
) -> None:
    outcome, run = run_search(bad_inputs / index_name, bad_inputs / topics_name, *options)
    assert (outcome.code, message in outcome.err, run) == (2, True, []), outcome.err
    assert "Traceback" not in outcome.err
