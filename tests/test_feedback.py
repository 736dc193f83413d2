"""Feedback against Pyserini's own searcher, and against its formulas in plain Python."""

import math
import random
from collections.abc import Iterable, Mapping
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from ir_measures import ScoredDoc

from splade_anserini.encoding import DictionaryEncoder
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
from tests.pseudo import documents, random_vectors, write_documents, write_encoded
from tests.running import Outcome, run_stage

SIZE = 400
LONG = "l" * 21
"""Of more characters than feedback takes."""

ENCODER = DictionaryEncoder({f"t{number}": {f"t{number}": 0.01 + number % 4 / 100} for number in range(120)})

EACH = [
    Feedback("rocchio"),
    Feedback("rocchio", documents=3, terms=25, weight=0.4),
    Feedback("rocchio", documents=4, terms=6, weight=1.5, negative=0.3),
    Feedback("rm3"),
    Feedback("rm3", documents=3, terms=25, weight=0.2),
    Feedback("rm3", words_only=True),
]


def collection() -> dict[str, dict[str, int]]:
    """Return vectors with tokens that feedback takes, and with all those that it does not."""
    vectors = random_vectors(5, SIZE, vocabulary=120)
    for number, vector in enumerate(vectors.values()):
        more = {"##ing": 15, "##s": 12, "x": 11, LONG: 14, "the": 3}
        vector |= {token: 1 + number % 5 for token, every in more.items() if number % every == 0}
    return vectors


VECTORS = collection()
FREQUENCY = {
    token: sum(token in vector for vector in VECTORS.values()) for token in {t for v in VECTORS.values() for t in v}
}


def some_queries() -> dict[str, ImpactVector]:
    """Return 30 queries; the first find nothing, or name a token of no document."""
    chance = random.Random(3)
    tokens = sorted(FREQUENCY)
    known = {
        f"q{number}": {token: chance.randint(1, 9) for token in chance.sample(tokens, chance.randint(1, 6))}
        for number in range(26)
    }
    return {"empty": {}, "none": {"whale": 3}, "partly": {"whale": 3, "t7": 2}, "piece": {"##ing": 5}, **known}


QUERIES = some_queries()


@pytest.fixture(scope="module")
def home(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Four indexes of the same documents: of each writer, with stored records instead, with neither."""
    place = tmp_path_factory.mktemp("feedback")
    write_encoded(place / "impacts", VECTORS, encoder=ENCODER.identity)
    for name, options in [
        ("ours", IndexOptions(threads=1, store_docvectors=True)),
        ("anserinis", IndexOptions(threads=2, store_docvectors=True, writer="anserini")),
        ("records", IndexOptions(threads=2, store_text=True, optimize=False)),
        ("neither", IndexOptions(threads=1)),
    ]:
        index(place / "impacts", place / name, options)
    return place


def searched(
    place: Path, feedback: Feedback | None, hits: int = SIZE, threads: int = 1, queries: Any = QUERIES
) -> dict[str, list[ScoredDoc]]:
    with PyseriniImpactSearcher(place, threads, feedback) as searcher:
        return dict(searcher.search(queries, hits))


class Encoded:
    """A query encoder for Pyserini: the texts are ids."""

    def encode(self, text: str) -> ImpactVector:
        return QUERIES[text]


@pytest.fixture(scope="module")
def theirs(home: Path) -> Any:
    """Pyserini's searcher without anything of ours around it."""
    searcher = impact_searcher_class()(str(home / "ours"), Encoded(), min_idf=-1)
    yield searcher
    searcher.close()


@pytest.mark.slow
@pytest.mark.parametrize("feedback", EACH, ids=str)
def test_it_is_what_pyserinis_own_searcher_finds(home: Path, theirs: Any, feedback: Feedback) -> None:
    weight, negative = feedback.weight, feedback.negative
    theirs.unset_rm3()
    theirs.unset_rocchio()
    if feedback.method == "rm3":
        rest = {} if weight is None else {"original_query_weight": 1 - weight}
        theirs.set_rm3(feedback.terms, feedback.documents, filter_terms=feedback.words_only, **rest)
    else:
        both = (feedback.terms, feedback.documents) * 2
        rest = {} if weight is None else {"beta": weight}
        theirs.set_rocchio(*both, gamma=negative, use_negative=negative > 0, **rest)
    for query_id, ranking in searched(home / "ours", feedback, 200).items():
        expected = theirs.search(query_id, 200)
        assert [hit.doc_id for hit in ranking] == [hit.docid for hit in expected]
        assert all(abs(hit.score - their.score) < 1e-6 for hit, their in zip(ranking, expected, strict=True))


@pytest.mark.slow
@pytest.mark.parametrize("feedback", EACH, ids=str)
def test_both_writers_and_stored_records_give_the_same(home: Path, feedback: Feedback) -> None:
    expected = searched(home / "ours", feedback)
    assert list(expected) == list(QUERIES)
    assert searched(home / "anserinis", feedback, threads=2) == expected
    assert searched(home / "records", feedback, threads=2) == expected


@pytest.mark.slow
def test_it_changes_rankings_and_keeps_fractions(home: Path) -> None:
    plain = searched(home / "ours", None)
    assert all(hit.score.is_integer() for ranking in plain.values() for hit in ranking)
    for feedback in EACH:
        found = searched(home / "ours", feedback)
        assert sum(len(found[id_]) > len(plain[id_]) for id_ in QUERIES) > 20
        assert any(not hit.score.is_integer() for ranking in found.values() for hit in ranking)
        assert found["empty"] == found["none"] == []


@pytest.mark.slow
@pytest.mark.parametrize("feedback", [each for each in EACH if not each.negative], ids=str)
def test_fewer_hits_are_the_first_of_more(home: Path, feedback: Feedback) -> None:
    all_ = searched(home / "ours", feedback, 2**31)
    assert searched(home / "ours", feedback, 2) == {id_: ranking[:2] for id_, ranking in all_.items()}


def scaled(vector: Mapping[str, float], norm: int) -> dict[str, np.float32]:
    """Return a vector divided by its norm, L1 or L2, in float32 as Anserini computes."""
    length = math.fsum(float(value) ** norm for value in vector.values()) ** (1 / norm)
    return {token: np.float32(value / length) for token, value in vector.items()}


def strongest(vector: Mapping[str, Any], terms: int) -> dict[str, Any]:
    return dict(sorted(vector.items(), key=lambda item: (-item[1], item[0]))[:terms])


def usable(id_: str, feedback: Feedback) -> dict[str, int]:
    """Return of a document's vector what may be fed back."""
    return {
        token: impact
        for token, impact in VECTORS[id_].items()
        if 2 <= len(token) <= 20 and FREQUENCY[token] <= SIZE / 10
        if not feedback.words_only or token.isalnum()
    }


def fed_back(hits: Iterable[ScoredDoc], feedback: Feedback) -> dict[str, np.float32]:
    """Return what documents give: a unit vector."""
    sums: dict[str, np.float32] = {}
    for hit in hits:
        vector = usable(hit.doc_id, feedback)
        rm3 = feedback.method == "rm3"
        vector = strongest(vector, feedback.terms) if rm3 else vector
        length = np.float32(math.hypot(*vector.values()) if not rm3 else sum(vector.values()))
        for token, impact in vector.items():
            share = np.float32(impact) / length * (np.float32(hit.score) if rm3 else np.float32(1))
            sums[token] = sums.get(token, np.float32(0)) + share
    return scaled(strongest(sums, feedback.terms), 1 if feedback.method == "rm3" else 2)


def extended(query: ImpactVector, feedback: Feedback, depth: int) -> dict[str, float]:
    """Return the query of the second search, by the formulas of `Feedback`."""
    ((_, hits),) = BruteForceSearcher(documents(VECTORS)).search({"q": query}, depth)
    rm3 = feedback.method == "rm3"
    own = scaled({token: impact for token, impact in query.items() if token in FREQUENCY}, 1 if rm3 else 2)
    best = fed_back(hits[: feedback.documents], feedback)
    worst = fed_back(reversed(hits[-feedback.documents :]), feedback) if feedback.negative else {}
    weights = {
        token: (1 - feedback.share if rm3 else 1) * float(own.get(token, 0))
        + feedback.share * float(best.get(token, 0))
        - feedback.negative * float(worst.get(token, 0))
        for token in own.keys() | best.keys()
    }
    return {token: weight for token, weight in weights.items() if weight > 0}


def check_by_hand(ranking: list[ScoredDoc], query: ImpactVector, feedback: Feedback) -> None:
    weights = extended(query, feedback, SIZE)
    scores = {
        id_: sum(weights[token] * impact for token, impact in vector.items() if token in weights)
        for id_, vector in VECTORS.items()
        if vector.keys() & weights.keys()
    }
    assert {hit.doc_id for hit in ranking} == scores.keys()
    # Anserini rounds to four decimals, then takes millionths off ties.
    assert all(abs(hit.score - scores[hit.doc_id]) < 1e-4 + 1e-6 * SIZE for hit in ranking)
    for one, next_ in pairwise(ranking):
        assert one.score >= next_.score
        assert scores[one.doc_id] > scores[next_.doc_id] - 1e-6
        if counted(one, weights) == counted(next_, weights):
            assert one.doc_id < next_.doc_id


def counted(hit: ScoredDoc, weights: Mapping[str, float]) -> dict[str, int]:
    """Return the part of a document's vector that makes its score."""
    return {token: impact for token, impact in VECTORS[hit.doc_id].items() if token in weights}


@pytest.mark.slow
@pytest.mark.parametrize("feedback", EACH, ids=str)
def test_it_is_what_the_formulas_say(home: Path, feedback: Feedback) -> None:
    with PyseriniImpactSearcher(home / "ours", 1, feedback) as searcher:
        tokens = st.sampled_from([*sorted(FREQUENCY), "whale"])

        @settings(max_examples=40)
        @given(query=st.dictionaries(tokens, st.integers(1, 300), min_size=1, max_size=8))
        def check(query: dict[str, int]) -> None:
            ((_, ranking),) = searcher.search({"q": query}, SIZE)
            check_by_hand(ranking, query, feedback)

        check()


@pytest.mark.slow
def test_equal_scores_are_in_the_order_of_ids(tmp_path: Path) -> None:
    twins = {f"d{number:02}": {"ab": 2, "cd": 1} for number in reversed(range(12))}
    others = {f"e{number:03}": {f"other{number}": 1} for number in range(200)}
    write_documents(tmp_path / "impacts" / "a.jsonl", documents(twins | others))
    index(tmp_path / "impacts", tmp_path / "index", IndexOptions(store_docvectors=True))
    for feedback in EACH:
        ranking = searched(tmp_path / "index", feedback, queries={"q": {"ab": 3}})["q"]
        assert [hit.doc_id for hit in ranking] == sorted(twins)
        write_run(tmp_path / "run.txt", [("q", ranking)])
        scores = [hit.score for hit in read_run(tmp_path / "run.txt")]
        assert all(one > next_ for one, next_ in pairwise(scores))


@pytest.mark.slow
def test_only_rm3_with_words_only_leaves_word_pieces_out(home: Path) -> None:
    query = {"q": {"t1": 1}}
    piece = {"##ing"}
    only_piece = {id_ for id_, vector in VECTORS.items() if vector.keys() & piece}
    reach = {
        str(feedback): {hit.doc_id for hit in searched(home / "ours", feedback, queries=query)["q"]}
        for feedback in (Feedback("rocchio", terms=99), Feedback("rm3", terms=99))
    }
    strict = {
        hit.doc_id for hit in searched(home / "ours", Feedback("rm3", terms=99, words_only=True), queries=query)["q"]
    }
    for found in reach.values():
        assert only_piece <= found
        assert strict < found


def test_pyserinis_searcher_with_feedback_is_a_searcher(home: Path) -> None:
    with PyseriniImpactSearcher(home / "ours", feedback=Feedback("rm3")) as searcher:
        assert isinstance(searcher, Searcher)


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        ({"method": "bm25"}, "no feedback called 'bm25'"),
        ({"documents": 0}, "0 documents"),
        ({"terms": 0}, "0 terms"),
        ({"terms": 2**31}, "2,147,483,648 terms"),
        ({"weight": 0}, "rocchio's feedback is 0"),
        ({"weight": math.nan}, "rocchio's feedback is nan"),
        ({"weight": 1e39}, "rocchio's feedback is 1e+39"),
        ({"method": "rm3", "weight": 1}, "rm3's feedback is 1"),
        ({"negative": -1}, "negative feedback is -1"),
        ({"negative": math.nan}, "negative feedback is nan"),
        ({"method": "rm3", "negative": 0.1}, "RM3 has no negative feedback"),
        ({"words_only": True}, "not words only"),
    ],
)
def test_numbers_that_make_no_sense_are_refused(arguments: dict[str, Any], said: str) -> None:
    with pytest.raises(InputError) as refused:
        Feedback(**{"method": "rocchio"} | arguments)
    assert said in str(refused.value)


def test_an_index_without_document_vectors_is_refused(home: Path) -> None:
    with pytest.raises(InputError, match=r"holds no document vectors[^$]*--store-docvectors"):
        PyseriniImpactSearcher(home / "neither", 1, Feedback("rocchio"))


@pytest.fixture
def topics(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Topics as texts, and `dictionary` as the name of the encoder that reads them."""
    import splade_anserini.encoding

    def opened(name: str, options: object = None) -> DictionaryEncoder:
        return {"dictionary": ENCODER}[name]

    monkeypatch.setattr(splade_anserini.encoding, "open_query_encoder", opened)
    (tmp_path / "topics.tsv").write_text("a\tt1 t2 t3\nb\tt4 t9\nc\tt50\n")
    return tmp_path / "topics.tsv"


def command(place: Path, topics: Path, *more: object) -> tuple[Outcome, Path]:
    run = topics.with_name("run.txt")
    run.unlink(missing_ok=True)
    return run_stage("search", "--index", place, "--topics", topics, "--output", run, *more), run


TEXTS: dict[str, ImpactVector] = {
    "a": {"t1": 2, "t2": 3, "t3": 4},
    "b": {"t4": 1, "t9": 2},
    "c": {"t50": 3},
}


@pytest.mark.slow
def test_the_command_searches_with_feedback(home: Path, topics: Path, tmp_path: Path) -> None:
    for more, feedback, queries in [
        (("rocchio",), Feedback("rocchio"), TEXTS),
        (
            ("rocchio", "--feedback-docs", 3, "--feedback-terms", 25, "--feedback-weight", 0.4, "--hits", 20),
            Feedback("rocchio", 3, 25, 0.4),
            TEXTS,
        ),
        (("rm3", "--feedback-words-only", "--searcher", "pyserini"), Feedback("rm3", words_only=True), TEXTS),
        (("rm3", "--query-top-k", 1), Feedback("rm3"), {"a": {"t3": 4}, "b": {"t9": 2}, "c": {"t50": 3}}),
    ]:
        outcome, run = command(home / "ours", topics, "--feedback", *more)
        assert (outcome.code, outcome.err) == (0, "")
        hits = 20 if "--hits" in more else 1000
        write_run(tmp_path / "expected.txt", searched(home / "ours", feedback, hits, queries=queries).items())
        assert run.read_text() == (tmp_path / "expected.txt").read_text()


@pytest.mark.slow
def test_bm25_is_fused_with_what_feedback_finds(home: Path, topics: Path, tmp_path: Path) -> None:
    (tmp_path / "json").mkdir()
    rows = (f'{{"id": "{id_}", "contents": "{" ".join(vector)}"}}\n' for id_, vector in VECTORS.items())
    (tmp_path / "json" / "a.jsonl").write_text("".join(rows))
    build_bm25_index(tmp_path / "json", tmp_path / "bm25")
    runs = []
    for more in ((), ("--feedback", "rocchio"), ("--feedback", "rocchio", "--hybrid", f"bm25:{tmp_path / 'bm25'}")):
        outcome, run = command(home / "ours", topics, *more)
        assert (outcome.code, outcome.err) == (0, "")
        runs.append({query_id: [hit.doc_id for hit in ranking] for query_id, ranking in read_rankings(run)})
    assert runs[0] != runs[1] != runs[2]
    assert set(runs[1]["c"]) <= set(runs[2]["c"])


def test_what_cannot_go_together_is_refused(home: Path, topics: Path) -> None:
    for more, said in [
        (("--feedback", "bm25"), "--feedback"),
        (("--feedback-docs", 3), "--feedback-docs is given without --feedback"),
        (("--feedback-terms", 3), "--feedback-terms is given without --feedback"),
        (("--feedback-weight", 0.5), "--feedback-weight is given without --feedback"),
        (("--feedback-words-only",), "--feedback-words-only is given without --feedback"),
        (("--feedback", "rocchio", "--feedback-docs", 0), "--feedback-docs"),
        (("--feedback", "rocchio", "--feedback-terms", 2**31), "2,147,483,648 terms"),
        (("--feedback", "rocchio", "--feedback-weight", "nan"), "feedback is nan"),
        (("--feedback", "rm3", "--feedback-weight", 1), "0.001 to 0.999"),
        (("--feedback", "rocchio", "--feedback-words-only"), "Expected rm3"),
        (("--feedback", "rocchio", "--searcher", "lucene"), "--searcher lucene"),
        (("--feedback", "rocchio", "--two-step", 3), "--two-step"),
        (("--feedback", "rocchio", "--check-exact"), "--check-exact"),
    ]:
        outcome, run = command(home / "ours", topics, *more)
        assert (outcome.code, said in outcome.err, run.exists()) == (2, True, False), f"{more}: {outcome.err}"
        assert "Traceback" not in outcome.err
    outcome, run = command(home / "neither", topics, "--feedback", "rm3")
    assert (outcome.code, "--store-docvectors" in outcome.err, run.exists()) == (2, True, False)


def test_without_feedback_nothing_is_asked_of_the_index(home: Path) -> None:
    with PyseriniImpactSearcher(home / "neither") as theirs_, ImpactSearcher(home / "neither") as ours:
        assert dict(theirs_.search(QUERIES, 50)) == dict(ours.search(QUERIES, 50))
