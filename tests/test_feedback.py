"""Feedback, compared with Pyserini's own searcher and with its formulas in plain Python."""

import json
import math
import random
import re
from collections.abc import Callable, Iterable, Mapping
from itertools import pairwise
from pathlib import Path
from typing import Any, Literal

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from ir_measures import ScoredDoc

from splade_anserini.encoding import open_encoder
from splade_anserini.errors import InputError
from splade_anserini.formats.runs import read_rankings, read_run, write_run
from splade_anserini.index import index
from splade_anserini.lucene import (
    BruteForceSearcher,
    Feedback,
    ImpactSearcher,
    IndexOptions,
    PyseriniImpactSearcher,
    Searcher,
    build_bm25_index,
)
from splade_anserini.lucene.pyserini_searcher import impact_searcher_class
from splade_anserini.records import ImpactVector
from tests.cli_runner import Outcome, run_stage
from tests.encoder_fixtures import write_dictionary_encoder
from tests.impact_fixtures import documents, random_vectors, write_documents, write_encoded

SIZE = 400
LONG = "l" * 21
"""A token with more characters than feedback terms may have."""

EXPANSIONS = {f"t{number}": {f"t{number}": 0.01 + number % 4 / 100} for number in range(120)}

SETTINGS = [
    Feedback(method="rocchio"),
    Feedback(method="rocchio", docs=3, terms=25, rocchio_beta=0.4),
    Feedback(method="rocchio", docs=4, terms=6, rocchio_beta=1.5, rocchio_gamma=0.3),
    Feedback(method="rm3"),
    Feedback(method="rm3", docs=3, terms=25, original_query_weight=0.8),
    Feedback(method="rm3", words_only=True),
]


def collection() -> dict[str, dict[str, int]]:
    """Return vectors with tokens that may be feedback terms, and with each kind of token that may not."""
    vectors = random_vectors(5, SIZE, vocabulary=120)
    for number, vector in enumerate(vectors.values()):
        more = {"##ing": 15, "##s": 12, "x": 11, LONG: 14, "the": 3}
        vector |= {token: 1 + number % 5 for token, every in more.items() if number % every == 0}
    return vectors


VECTORS = collection()
FREQUENCY = {
    token: sum(token in vector for vector in VECTORS.values()) for token in {t for v in VECTORS.values() for t in v}
}


def make_queries() -> dict[str, ImpactVector]:
    """Return 30 queries; the first ones have no token, or one that no document contains."""
    chance = random.Random(3)
    tokens = sorted(FREQUENCY)
    known = {
        f"q{number}": {token: chance.randint(1, 9) for token in chance.sample(tokens, chance.randint(1, 6))}
        for number in range(26)
    }
    return {"empty": {}, "none": {"whale": 3}, "partly": {"whale": 3, "t7": 2}, "piece": {"##ing": 5}, **known}


QUERIES = make_queries()


@pytest.fixture(scope="module")
def indexes(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Indexes of the same documents: `ours`, `anserinis`, `records` with the vectors, `texts` alone, and `neither`."""
    home = tmp_path_factory.mktemp("feedback")
    encoder = open_encoder(write_dictionary_encoder(home / "encoder", EXPANSIONS))
    write_encoded(home / "impacts", VECTORS, shard_size=100, encoder=encoder.identity)
    for name, options in [
        ("ours", IndexOptions(threads=1, store_docvectors=True)),
        ("anserinis", IndexOptions(threads=2, store_docvectors=True, writer="anserini")),
        ("records", IndexOptions(threads=2, store_text=True, optimize=False, writer="anserini")),
        ("texts", IndexOptions(threads=1, store_text=True)),
        ("neither", IndexOptions(threads=1)),
    ]:
        index(home / "impacts", home / name, options)
    return home


def search(
    directory: Path, feedback: Feedback | None, hits: int = SIZE, threads: int = 1, queries: Any = QUERIES
) -> dict[str, list[ScoredDoc]]:
    with PyseriniImpactSearcher(directory, threads, feedback) as searcher:
        return dict(searcher.search(queries, hits))


class Encoded:
    """A query encoder for Pyserini that takes query ids instead of texts."""

    def encode(self, text: str) -> ImpactVector:
        return QUERIES[text]


@pytest.fixture(scope="module")
def pyserini_searcher(indexes: Path) -> Any:
    """Pyserini's own searcher."""
    searcher = impact_searcher_class()(str(indexes / "ours"), Encoded(), min_idf=-1)
    yield searcher
    searcher.close()


@pytest.mark.slow
@pytest.mark.parametrize(
    ("feedback", "set_feedback"),
    [
        (SETTINGS[0], lambda searcher: searcher.set_rocchio()),
        (SETTINGS[1], lambda searcher: searcher.set_rocchio(25, 3, 25, 3, beta=0.4)),
        (SETTINGS[2], lambda searcher: searcher.set_rocchio(6, 4, 6, 4, beta=1.5, gamma=0.3, use_negative=True)),
        (SETTINGS[3], lambda searcher: searcher.set_rm3(filter_terms=False)),
        (SETTINGS[4], lambda searcher: searcher.set_rm3(25, 3, original_query_weight=0.8, filter_terms=False)),
        (SETTINGS[5], lambda searcher: searcher.set_rm3()),
    ],
    ids=map(str, SETTINGS),
)
def test_hits_and_scores_are_those_of_pyserinis_own_searcher(
    indexes: Path, pyserini_searcher: Any, feedback: Feedback, set_feedback: Callable[[Any], None]
) -> None:
    pyserini_searcher.unset_rm3()
    pyserini_searcher.unset_rocchio()
    set_feedback(pyserini_searcher)
    for query_id, ranking in search(indexes / "ours", feedback, 200).items():
        expected = pyserini_searcher.search(query_id, 200)
        assert [hit.doc_id for hit in ranking] == [hit.docid for hit in expected]
        assert [hit.score for hit in ranking] == pytest.approx([hit.score for hit in expected], abs=1e-6)


@pytest.mark.slow
@pytest.mark.parametrize("feedback", SETTINGS, ids=str)
def test_both_writers_and_stored_records_give_the_same_rankings(indexes: Path, feedback: Feedback) -> None:
    expected = search(indexes / "ours", feedback)
    assert list(expected) == list(QUERIES)
    assert search(indexes / "anserinis", feedback, threads=2) == expected
    assert search(indexes / "records", feedback, threads=2) == expected


@pytest.mark.slow
def test_scores_without_feedback_are_integers(indexes: Path) -> None:
    assert all(hit.score.is_integer() for ranking in search(indexes / "ours", None).values() for hit in ranking)


@pytest.mark.slow
@pytest.mark.parametrize("feedback", SETTINGS, ids=str)
def test_feedback_finds_more_documents_and_scores_have_fractions(indexes: Path, feedback: Feedback) -> None:
    plain, expanded = search(indexes / "ours", None), search(indexes / "ours", feedback)
    assert sum(len(expanded[id_]) > len(plain[id_]) for id_ in QUERIES) > 20
    assert any(not hit.score.is_integer() for ranking in expanded.values() for hit in ranking)
    assert expanded["empty"] == expanded["none"] == []


@pytest.mark.slow
@pytest.mark.parametrize("feedback", [feedback for feedback in SETTINGS if not feedback.rocchio_gamma], ids=str)
def test_fewer_hits_are_the_first_of_more(indexes: Path, feedback: Feedback) -> None:
    complete = search(indexes / "ours", feedback, 2**31)
    assert search(indexes / "ours", feedback, 2) == {id_: ranking[:2] for id_, ranking in complete.items()}


def scaled(vector: Mapping[str, float], norm: int) -> dict[str, np.float32]:
    """Return a vector divided by its norm, L1 or L2, in float32, as Anserini computes it."""
    length = math.fsum(float(value) ** norm for value in vector.values()) ** (1 / norm)
    return {token: np.float32(value / length) for token, value in vector.items()}


def strongest(vector: Mapping[str, Any], terms: int) -> dict[str, Any]:
    return dict(sorted(vector.items(), key=lambda item: (-item[1], item[0]))[:terms])


def allowed_terms(id_: str, feedback: Feedback) -> dict[str, int]:
    """Return the entries of a document's vector that may be feedback terms."""
    return {
        token: impact
        for token, impact in VECTORS[id_].items()
        if 2 <= len(token) <= 20 and FREQUENCY[token] <= SIZE / 10
        if not feedback.words_only or token.isalnum()
    }


def feedback_vector(hits: Iterable[ScoredDoc], feedback: Feedback) -> dict[str, np.float32]:
    """Return the unit vector of the feedback terms of documents."""
    sums: dict[str, np.float32] = {}
    for hit in hits:
        vector = allowed_terms(hit.doc_id, feedback)
        rm3 = feedback.method == "rm3"
        vector = strongest(vector, feedback.terms) if rm3 else vector
        length = np.float32(math.hypot(*vector.values()) if not rm3 else sum(vector.values()))
        for token, impact in vector.items():
            share = np.float32(impact) / length * (np.float32(hit.score) if rm3 else np.float32(1))
            sums[token] = sums.get(token, np.float32(0)) + share
    return scaled(strongest(sums, feedback.terms), 1 if feedback.method == "rm3" else 2)


def expanded_query(query: ImpactVector, feedback: Feedback, depth: int) -> dict[str, float]:
    """Return the query of the second search, by the formulas in the docstring of `Feedback`."""
    ((_, hits),) = BruteForceSearcher(documents(VECTORS)).search({"q": query}, depth)
    rm3 = feedback.method == "rm3"
    own = scaled({token: impact for token, impact in query.items() if token in FREQUENCY}, 1 if rm3 else 2)
    best = feedback_vector(hits[: feedback.docs], feedback)
    worst = feedback_vector(reversed(hits[-feedback.docs :]), feedback) if feedback.rocchio_gamma else {}
    query_weight = feedback.original_query_weight if rm3 else 1
    best_weight = 1 - feedback.original_query_weight if rm3 else feedback.rocchio_beta
    weights = {
        token: query_weight * float(own.get(token, 0))
        + best_weight * float(best.get(token, 0))
        - feedback.rocchio_gamma * float(worst.get(token, 0))
        for token in own.keys() | best.keys()
    }
    return {token: weight for token, weight in weights.items() if weight > 0}


def check_ranking(ranking: list[ScoredDoc], query: ImpactVector, feedback: Feedback) -> None:
    weights = expanded_query(query, feedback, SIZE)
    scores = {
        id_: sum(weights[token] * impact for token, impact in vector.items() if token in weights)
        for id_, vector in VECTORS.items()
        if vector.keys() & weights.keys()
    }
    assert {hit.doc_id for hit in ranking} == scores.keys()
    # Anserini rounds to four decimals, then subtracts millionths from tied scores.
    assert all(abs(hit.score - scores[hit.doc_id]) < 1e-4 + 1e-6 * SIZE for hit in ranking)
    for hit, next_hit in pairwise(ranking):
        assert hit.score >= next_hit.score
        assert scores[hit.doc_id] > scores[next_hit.doc_id] - 1e-6
        if scored_entries(hit, weights) == scored_entries(next_hit, weights):
            assert hit.doc_id < next_hit.doc_id


def scored_entries(hit: ScoredDoc, weights: Mapping[str, float]) -> dict[str, int]:
    """Return the entries of a document's vector that contribute to its score."""
    return {token: impact for token, impact in VECTORS[hit.doc_id].items() if token in weights}


@pytest.mark.slow
@pytest.mark.parametrize("feedback", SETTINGS, ids=str)
def test_rankings_follow_the_formulas(indexes: Path, feedback: Feedback) -> None:
    with PyseriniImpactSearcher(indexes / "ours", 1, feedback) as searcher:
        tokens = st.sampled_from([*sorted(FREQUENCY), "whale"])

        @settings(max_examples=40)
        @given(query=st.dictionaries(tokens, st.integers(1, 300), min_size=1, max_size=8))
        def check(query: dict[str, int]) -> None:
            ((_, ranking),) = searcher.search({"q": query}, SIZE)
            check_ranking(ranking, query, feedback)

        check()


@pytest.mark.slow
@pytest.mark.parametrize("feedback", SETTINGS[::3], ids=str)
def test_queries_times_idf_are_expanded_by_the_same_formulas(indexes: Path, tmp_path: Path, feedback: Feedback) -> None:
    rows = (json.dumps({"id": id_, "vector": vector}) + "\n" for id_, vector in QUERIES.items() if vector)
    (tmp_path / "topics.jsonl").write_text("".join(rows))
    inputs = ("--index", indexes / "ours", "--topics", tmp_path / "topics.jsonl", "--output", tmp_path / "run.txt")
    done = run_stage("search", *inputs, "--query-idf", 0.75, "--feedback", feedback.method, "--hits", SIZE)
    assert done.code == 0, done.err
    rankings = dict(read_rankings(tmp_path / "run.txt"))
    assert len(rankings) > 25
    for id_, ranking in rankings.items():
        idf = {token: math.log(1 + (SIZE - n + 0.5) / (n + 0.5)) for token, n in FREQUENCY.items()}
        query = {token: round(impact * idf[token] ** 0.75) for token, impact in QUERIES[id_].items() if token in idf}
        check_ranking(ranking, query, feedback)


@pytest.fixture(scope="module")
def twins(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """An index with twelve equal documents among others."""
    home = tmp_path_factory.mktemp("twins")
    equal = {f"d{number:02}": {"ab": 2, "cd": 1} for number in reversed(range(12))}
    others = {f"e{number:03}": {f"other{number}": 1} for number in range(200)}
    write_documents(home / "impacts" / "a.jsonl", documents(equal | others))
    index(home / "impacts", home / "index", IndexOptions(store_docvectors=True))
    return home / "index"


@pytest.mark.slow
@pytest.mark.parametrize("feedback", SETTINGS, ids=str)
def test_equal_scores_are_in_the_order_of_ids(twins: Path, tmp_path: Path, feedback: Feedback) -> None:
    ranking = search(twins, feedback, queries={"q": {"ab": 3}})["q"]
    assert [hit.doc_id for hit in ranking] == [f"d{number:02}" for number in range(12)]
    write_run(tmp_path / "run.txt", [("q", ranking)])
    scores = [hit.score for hit in read_run(tmp_path / "run.txt")]
    assert all(score > next_score for score, next_score in pairwise(scores))


@pytest.mark.slow
@pytest.mark.parametrize("method", ["rocchio", "rm3"])
def test_only_words_only_excludes_word_pieces(indexes: Path, method: Literal["rocchio", "rm3"]) -> None:
    def hits(feedback: Feedback) -> set[str]:
        return {hit.doc_id for hit in search(indexes / "ours", feedback, queries={"q": {"t1": 1}})["q"]}

    with_piece = {id_ for id_, vector in VECTORS.items() if "##ing" in vector}
    assert with_piece <= hits(Feedback(method=method, terms=99))
    assert hits(Feedback(method="rm3", terms=99, words_only=True)) < hits(Feedback(method=method, terms=99))


@pytest.mark.slow
def test_pyserinis_searcher_with_feedback_is_a_searcher(indexes: Path) -> None:
    with PyseriniImpactSearcher(indexes / "ours", feedback=Feedback(method="rm3")) as searcher:
        assert isinstance(searcher, Searcher)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"method": "bm25"}, "--feedback must be rocchio or rm3, got 'bm25'"),
        ({"docs": 0}, "--feedback-docs must be at least 1, got 0"),
        ({"terms": 0}, "--feedback-terms must be at least 1, got 0"),
        ({"terms": 2**31}, "--feedback-terms must be at most 2,147,483,647, got 2,147,483,648"),
        ({"rocchio_beta": 0}, "--rocchio-beta must be at least 0.001, got 0"),
        ({"rocchio_beta": math.nan}, "--rocchio-beta must be at least 0.001, got nan"),
        ({"rocchio_beta": 1e39}, "--rocchio-beta must be at most 1,000, got 1e+39"),
        ({"method": "rm3", "original_query_weight": 0}, "--original-query-weight must be at least 0.001, got 0"),
        ({"method": "rm3", "original_query_weight": 1}, "--original-query-weight must be at most 0.999, got 1"),
        ({"rocchio_gamma": -1}, "--rocchio-gamma must be at least 0, got -1"),
        ({"rocchio_gamma": math.nan}, "--rocchio-gamma must be at least 0, got nan"),
        ({"method": "rm3", "rocchio_gamma": 0.1}, "--rocchio-gamma has no effect with --feedback rm3"),
        ({"method": "rm3", "rocchio_beta": 0.1}, "--rocchio-beta has no effect with --feedback rm3"),
        ({"original_query_weight": 0.1}, "--original-query-weight has no effect with --feedback rocchio"),
        ({"words_only": True}, "--feedback-words-only has no effect with --feedback rocchio"),
    ],
)
def test_invalid_values_are_refused(arguments: dict[str, Any], message: str) -> None:
    with pytest.raises(InputError, match=re.escape(message)):
        Feedback(**{"method": "rocchio"} | arguments)


@pytest.mark.slow
@pytest.mark.parametrize("name", ["neither", "texts"])
def test_an_index_without_document_vectors_is_refused(indexes: Path, name: str) -> None:
    with pytest.raises(InputError, match=r"has no document vectors[^$]*--store-docvectors"):
        PyseriniImpactSearcher(indexes / name, 1, Feedback(method="rocchio"))


@pytest.fixture
def topics(tmp_path: Path) -> Path:
    """Topics as texts."""
    (tmp_path / "topics.tsv").write_text("a\tt1 t2 t3\nb\tt4 t9\nc\tt50\n")
    return tmp_path / "topics.tsv"


def run_search(directory: Path, topics: Path, *arguments: object) -> tuple[Outcome, Path]:
    """Run the command; return its outcome and the path of the run."""
    run = topics.with_name("run.txt")
    return run_stage("search", "--index", directory, "--topics", topics, "--output", run, *arguments), run


TEXTS: dict[str, ImpactVector] = {
    "a": {"t1": 2, "t2": 3, "t3": 4},
    "b": {"t4": 1, "t9": 2},
    "c": {"t50": 3},
}


@pytest.mark.slow
@pytest.mark.parametrize(
    ("arguments", "feedback", "hits", "queries"),
    [
        (("rocchio",), Feedback(method="rocchio"), 1000, TEXTS),
        (
            ("rocchio", "--feedback-docs", 3, "--feedback-terms", 25, "--rocchio-beta", 0.4, "--hits", 20),
            Feedback(method="rocchio", docs=3, terms=25, rocchio_beta=0.4),
            20,
            TEXTS,
        ),
        (("rm3", "--original-query-weight", 0.2), Feedback(method="rm3", original_query_weight=0.2), 1000, TEXTS),
        (
            ("rm3", "--feedback-words-only", "--searcher", "pyserini"),
            Feedback(method="rm3", words_only=True),
            1000,
            TEXTS,
        ),
        (("rm3", "--query-top-k", 1), Feedback(method="rm3"), 1000, {"a": {"t3": 4}, "b": {"t9": 2}, "c": {"t50": 3}}),
    ],
)
def test_the_command_searches_with_feedback(
    indexes: Path,
    topics: Path,
    arguments: tuple[object, ...],
    feedback: Feedback,
    hits: int,
    queries: dict[str, ImpactVector],
) -> None:
    outcome, run = run_search(indexes / "ours", topics, "--feedback", *arguments)
    assert (outcome.code, outcome.complaints) == (0, "")
    expected = run.with_name("expected.txt")
    write_run(expected, search(indexes / "ours", feedback, hits, queries=queries).items())
    assert run.read_text() == expected.read_text()


@pytest.mark.slow
def test_bm25_is_fused_with_the_ranking_of_feedback(indexes: Path, topics: Path, tmp_path: Path) -> None:
    (tmp_path / "json").mkdir()
    rows = (f'{{"id": "{id_}", "contents": "{" ".join(vector)}"}}\n' for id_, vector in VECTORS.items())
    (tmp_path / "json" / "a.jsonl").write_text("".join(rows))
    build_bm25_index(tmp_path / "json", tmp_path / "bm25")
    feedback = ("--feedback", "rocchio")
    runs = []
    for arguments in ((), feedback, (*feedback, "--hybrid", f"bm25:{tmp_path / 'bm25'}")):
        outcome, run = run_search(indexes / "ours", topics, *arguments, "--overwrite")
        assert (outcome.code, outcome.complaints) == (0, "")
        runs.append({query_id: [hit.doc_id for hit in ranking] for query_id, ranking in read_rankings(run)})
    assert runs[0] != runs[1] != runs[2]
    assert set(runs[1]["c"]) <= set(runs[2]["c"])


@pytest.mark.slow
@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("--feedback", "bm25"), "--feedback"),
        (("--feedback-docs", 3), "--feedback-docs needs --feedback"),
        (("--feedback-terms", 3), "--feedback-terms needs --feedback"),
        (("--rocchio-beta", 0.5), "--rocchio-beta needs --feedback"),
        (("--original-query-weight", 0.8), "--original-query-weight needs --feedback"),
        (("--feedback-words-only",), "--feedback-words-only needs --feedback"),
        (("--feedback", "rocchio", "--feedback-docs", 0), "--feedback-docs"),
        (("--feedback", "rocchio", "--feedback-terms", 2**31), "2,147,483,648"),
        (("--feedback", "rocchio", "--rocchio-beta", "nan"), "--rocchio-beta must be at least 0.001, got nan"),
        (("--feedback", "rm3", "--original-query-weight", 0), "--original-query-weight must be at least 0.001"),
        (("--feedback", "rocchio", "--feedback-words-only"), "--feedback-words-only has no effect"),
        (("--feedback", "rocchio", "--searcher", "lucene"), "--searcher"),
        (("--feedback", "rocchio", "--two-step", 3), "--two-step"),
        (("--feedback", "rocchio", "--check-exact"), "--check-exact"),
    ],
)
def test_options_that_do_not_go_together_are_refused(
    indexes: Path, topics: Path, arguments: tuple[object, ...], message: str
) -> None:
    outcome, run = run_search(indexes / "ours", topics, *arguments)
    assert (outcome.code, message in outcome.err, run.exists()) == (2, True, False), outcome.err
    assert "Traceback" not in outcome.err


@pytest.mark.slow
def test_the_command_refuses_feedback_without_document_vectors(indexes: Path, topics: Path) -> None:
    outcome, run = run_search(indexes / "neither", topics, "--feedback", "rm3")
    assert (outcome.code, "--store-docvectors" in outcome.err, run.exists()) == (2, True, False)


@pytest.mark.slow
def test_without_feedback_an_index_needs_no_document_vectors(indexes: Path) -> None:
    with PyseriniImpactSearcher(indexes / "neither") as pyserinis, ImpactSearcher(indexes / "neither") as ours:
        assert dict(pyserinis.search(QUERIES, 50)) == dict(ours.search(QUERIES, 50))
