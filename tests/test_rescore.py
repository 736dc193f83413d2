"""Scores of given documents: those that a search gives, from an index and from texts."""

import random
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from ir_measures import ScoredDoc

from splade_anserini import Document
from splade_anserini.encoding import DictionaryEncoder, SpladeDocumentEncoder, open_encoder
from splade_anserini.errors import InputError
from splade_anserini.formats.runs import read_run
from splade_anserini.formats.texts import open_documents
from splade_anserini.index import index
from splade_anserini.lucene import BruteForceSearcher, ImpactSearcher, IndexOptions, Scorer
from splade_anserini.lucene.anserini_writer import write_with_anserini
from splade_anserini.records import ImpactVector
from splade_anserini.rescore import rescore
from splade_anserini.retrieval.text_scorer import TextScorer
from tests.cli_runner import Outcome, run_stage
from tests.encoder_fixtures import write_dictionary_encoder
from tests.impact_fixtures import ANIMALS, documents, random_vectors, write_documents, write_encoded

EXPANSIONS = {
    "cat": {"cat": 0.03, "dog": 0.01},
    "dog": {"dog": 0.05, "##ing": 0.02},
    "bird": {"bird": 0.07, "cat": 0.01},
}
CORPUS = {"d1": "cat", "d2": "dog", "d3": "bird", "d4": "bird dog", "empty": "whale"}


@pytest.fixture(scope="module")
def vectors() -> dict[str, dict[str, int]]:
    return random_vectors(7, 300)


@pytest.fixture(scope="module")
def searcher(tmp_path_factory: pytest.TempPathFactory, vectors: dict[str, dict[str, int]]) -> Iterator[ImpactSearcher]:
    """An index of several segments."""
    home = tmp_path_factory.mktemp("rescore")
    write_encoded(home / "impacts", vectors)
    index(home / "impacts", home / "index", IndexOptions(threads=3, optimize=False))
    with ImpactSearcher(home / "index") as opened:
        yield opened


def queries(seed: int, number: int = 20) -> dict[str, ImpactVector]:
    chance = random.Random(seed)
    return {
        f"q{n}": {f"t{chance.randrange(45)}": chance.randint(1, 4) for _ in range(chance.randint(1, 6))}
        for n in range(number)
    }


def test_scores_are_those_of_brute_force(searcher: ImpactSearcher, vectors: dict[str, dict[str, int]]) -> None:
    expected = BruteForceSearcher(documents(vectors))
    chance = random.Random(1)
    for query in queries(1).values():
        ids = chance.sample(list(vectors), chance.choice([1, 2, 50, 300]))
        assert searcher.scores(query, ids) == expected.scores(query, ids)


def test_a_hit_has_the_score_that_the_search_gave(searcher: ImpactSearcher) -> None:
    vectors = queries(2)
    for query_id, hits in searcher.search(vectors, 50):
        assert searcher.scores(vectors[query_id], [hit.doc_id for hit in hits]) == [hit.score for hit in hits]


def test_an_id_may_occur_twice_and_there_may_be_none(
    searcher: ImpactSearcher, vectors: dict[str, dict[str, int]]
) -> None:
    id_, other, *_ = vectors
    token, impact = next(iter(vectors[id_].items()))
    of_other = BruteForceSearcher(documents(vectors)).scores({token: 2}, [other])
    assert searcher.scores({token: 2}, [id_, other, id_]) == [2 * impact, *of_other, 2 * impact]
    assert searcher.scores({token: 2}, []) == []
    assert searcher.scores({}, [id_, other]) == [0, 0]
    assert searcher.scores({"unknown": 2}, [id_]) == [0]


def test_large_scores_are_the_floats_of_a_search(tmp_path: Path) -> None:
    large = {"a": {"x": 30_000, "y": 7}, "b": {"x": 30_000, "y": 8}, "c": {"y": 1}}
    write_encoded(tmp_path / "impacts", large)
    index(tmp_path / "impacts", tmp_path / "index")
    query = {"x": 1000, "y": 1}
    with ImpactSearcher(tmp_path / "index") as searcher:
        assert searcher.scores(query, list(large)) == BruteForceSearcher(documents(large)).scores(query, list(large))
        ((_, hits),) = searcher.search({"q": query}, 3)
        assert searcher.scores(query, [hit.doc_id for hit in hits]) == [hit.score for hit in hits]


def test_of_an_id_that_occurs_several_times_the_best_counts(tmp_path: Path) -> None:
    write_documents(tmp_path / "impacts" / "a.jsonl", documents({"a": {"x": 1}, "b": {"x": 5}}))
    for number in range(2, 12):
        write_documents(tmp_path / "impacts" / f"{number}.jsonl", documents({"a": {"x": number}}))
    # We refuse such a collection, Anserini does not.
    write_with_anserini(tmp_path / "impacts", tmp_path / "index", IndexOptions())
    with ImpactSearcher(tmp_path / "index") as searcher:
        assert searcher.scores({"x": 1}, ["b", "a"]) == [5, 11]


def test_unknown_documents_are_counted_and_the_first_is_named(
    searcher: ImpactSearcher, vectors: dict[str, dict[str, int]]
) -> None:
    for scorer in (searcher, BruteForceSearcher(documents(vectors | {"empty": {}}))):
        assert isinstance(scorer, Scorer)
        with pytest.raises(InputError, match=r"2 of 3 documents are not in .* the first is 'empty'"):
            scorer.scores({"t1": 1}, [next(iter(vectors)), "empty", "nowhere"])


def test_candidates_are_ranked_by_score_then_id_and_none_is_lost() -> None:
    scorer = BruteForceSearcher(documents(ANIMALS))
    (ranking,) = rescore([("q", ["d4", "d3", "d2", "d1"])], {"q": {"cat": 2, "dog": 2}}, scorer)
    assert ranking == (
        "q",
        [ScoredDoc("q", id_, score) for id_, score in [("d2", 10), ("d1", 8), ("d3", 2), ("d4", 0)]],
    )
    with pytest.raises(InputError, match="Query 'z' of the candidates is not among the topics"):
        list(rescore([("z", ["d1"])], {}, scorer))


@pytest.fixture(scope="module")
def collection(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A corpus, its encoder `words`, its index, topics, judgements and runs."""
    home = tmp_path_factory.mktemp("collection")
    write_lines(home / "corpus.tsv", *(f"{doc_id}\t{text}" for doc_id, text in CORPUS.items()))
    encoder = open_encoder(write_dictionary_encoder(home / "words", EXPANSIONS))
    corpus = [Document(doc_id, "", text) for doc_id, text in CORPUS.items()]
    encoded = SpladeDocumentEncoder(encoder, scale=100).encode(corpus)
    vectors = {document.id: document.vector for document in encoded}
    write_encoded(home / "impacts", vectors, encoder=encoder.identity)
    index(home / "impacts", home / "index")
    write_lines(home / "topics.tsv", "q1\tcat", "q2\tdog bird")
    write_lines(home / "run.txt", "q2 Q0 d1 1 9 x", "q2 Q0 d4 2 8 x", "q1 Q0 d3 1 5 x", "q1 Q0 d1 2 4 x")
    write_lines(home / "qrels.txt", "q1 0 d2 1", "q1 0 d3 0")
    write_lines(home / "unknown.txt", "q1 Q0 d1 1 5 x", "q1 Q0 d9 2 5 x", "q1 Q0 empty 3 4 x")
    write_lines(home / "another_query.txt", "q9 Q0 d1 1 5 x")
    write_lines(home / "nothing.txt")
    return home


def write_lines(path: Path, *lines: str) -> None:
    path.write_text("".join(f"{line}\n" for line in lines))


@pytest.fixture
def run_rescore(
    collection: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> Callable[..., tuple[Outcome, list[ScoredDoc]]]:
    """Run the command in the directory of the collection; return its outcome and the run."""
    monkeypatch.chdir(collection)

    def run(*options: object) -> tuple[Outcome, list[ScoredDoc]]:
        output = tmp_path / "out.txt"
        outcome = run_stage("rescore", "--topics", "topics.tsv", "--output", output, *options)
        return outcome, list(read_run(output)) if output.exists() else []

    return run


INDEX = ("--index", "index")
TEXTS = ("--corpus", "corpus.tsv", "--encoder", "words")
RUN = ("--run", "run.txt")
QRELS = ("--qrels", "qrels.txt")


@pytest.mark.parametrize("source", [INDEX, TEXTS], ids=["index", "texts"])
@pytest.mark.parametrize(
    ("candidates", "expected"),
    [
        (
            RUN,
            [ScoredDoc("q2", "d4", 79), ScoredDoc("q2", "d1", 8), ScoredDoc("q1", "d1", 10), ScoredDoc("q1", "d3", 3)],
        ),
        (QRELS, [ScoredDoc("q1", "d2", 5), ScoredDoc("q1", "d3", 3)]),
    ],
    ids=["run", "qrels"],
)
def test_from_texts_come_the_scores_that_come_from_the_index(
    run_rescore: Callable[..., tuple[Outcome, list[ScoredDoc]]],
    source: tuple[str, ...],
    candidates: tuple[str, ...],
    expected: list[ScoredDoc],
) -> None:
    outcome, run = run_rescore(*source, *candidates)
    assert (outcome.code, outcome.complaints, run) == (0, "", expected)


def test_texts_without_an_entry_score_nothing(collection: Path) -> None:
    encoder = SpladeDocumentEncoder(DictionaryEncoder(EXPANSIONS), scale=100)
    scorer = TextScorer(CORPUS, open_documents(str(collection / "corpus.tsv")), encoder)
    assert isinstance(scorer, Scorer)
    assert scorer.scores({"cat": 2}, ["empty", "d1", "d3"]) == [0, 6, 2]


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (INDEX, "Neither --run nor --qrels"),
        ((*INDEX, *RUN, *QRELS), "Both --run and --qrels"),
        (RUN, "Neither --index nor --corpus"),
        ((*INDEX, *TEXTS, *RUN), "Both --index and --corpus"),
        (("--corpus", "corpus.tsv", *RUN), "--corpus needs --encoder"),
        ((*INDEX, *RUN, "--top-k", 3), "--top-k"),
        ((*INDEX, "--run", "unknown.txt"), "2 of 3 documents are not in the index"),
        ((*TEXTS, "--run", "unknown.txt"), "1 of 3 documents have no text: the document 'd9' is not in"),
        ((*INDEX, "--run", "another_query.txt"), "Query 'q9' of the candidates is not among the topics"),
        ((*INDEX, "--run", "nowhere.txt"), "nowhere.txt"),
        ((*INDEX, "--run", "nothing.txt"), "nothing.txt is empty"),
        (("--index", "nowhere", *RUN), "nowhere"),
        (("--corpus", "nowhere.tsv", "--encoder", "words", *RUN), "nowhere.tsv"),
    ],
)
def test_bad_input_is_reported_and_leaves_no_run(
    run_rescore: Callable[..., tuple[Outcome, list[ScoredDoc]]], options: tuple[object, ...], message: str
) -> None:
    outcome, run = run_rescore(*options)
    assert (outcome.code, message in outcome.err, run) == (2, True, []), outcome.err
    assert "Traceback" not in outcome.err


@pytest.mark.slow
def test_texts_are_rescored_without_java(tmp_path: Path) -> None:
    (tmp_path / "corpus.tsv").write_text("d1\tIbuprofen relieves a headache.\nd2\tPlanes fly.\n")
    (tmp_path / "topics.tsv").write_text("q\tpain in the head\n")
    (tmp_path / "run.txt").write_text("q Q0 d2 1 2 x\nq Q0 d1 2 1 x\n")
    arguments = ["rescore", "--corpus", "corpus.tsv", "--encoder", "splade-mini", "--topics", "topics.tsv"]
    code = (
        "import sys; from splade_anserini.__main__ import main\n"
        f"sys.argv[1:] = {[*arguments, '--run', 'run.txt', '--output', 'out.txt']}\n"
        "try: main()\nfinally: print(*sorted({'jnius', 'pyserini', 'torch'} & set(sys.modules)))"
    )
    # No Java can be found.
    environment = {"PATH": "", "JAVA_HOME": str(tmp_path), "HF_HUB_OFFLINE": "1"}
    done = subprocess.run(
        [sys.executable, "-c", code], cwd=tmp_path, env=environment, capture_output=True, text=True, check=True
    )
    assert done.stdout.splitlines()[-1] == ""
    assert (tmp_path / "out.txt").read_text().startswith("q Q0 d1 1 ")
