"""Scores of given documents: those that a search gives, from an index and from texts."""

import random
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from ir_measures import ScoredDoc

from splade_anserini.encoding import DictionaryEncoder, SpladeDocumentEncoder
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
from tests.impact_fixtures import ANIMALS, documents, random_vectors, write_documents, write_encoded

WORDS = DictionaryEncoder(
    {"cat": {"cat": 0.03, "dog": 0.01}, "dog": {"dog": 0.05, "##ing": 0.02}, "bird": {"bird": 0.07, "cat": 0.01}}
)
CORPUS = {"d1": "cat", "d2": "dog", "d3": "bird", "d4": "bird dog", "empty": "whale"}


@pytest.fixture(scope="module")
def vectors() -> dict[str, dict[str, int]]:
    return random_vectors(7, 300)


@pytest.fixture(scope="module")
def opened(tmp_path_factory: pytest.TempPathFactory, vectors: dict[str, dict[str, int]]) -> Iterator[ImpactSearcher]:
    """An index of several segments."""
    home = tmp_path_factory.mktemp("rescore")
    write_encoded(home / "impacts", vectors)
    index(home / "impacts", home / "index", IndexOptions(threads=3, optimize=False))
    with ImpactSearcher(home / "index") as searcher:
        yield searcher


def queries(seed: int, number: int = 20) -> dict[str, ImpactVector]:
    chance = random.Random(seed)
    return {
        f"q{n}": {f"t{chance.randrange(45)}": chance.randint(1, 4) for _ in range(chance.randint(1, 6))}
        for n in range(number)
    }


def test_scores_are_those_of_brute_force(opened: ImpactSearcher, vectors: dict[str, dict[str, int]]) -> None:
    expected = BruteForceSearcher(documents(vectors))
    chance = random.Random(1)
    for query in queries(1).values():
        ids = chance.sample(list(vectors), chance.choice([1, 2, 50, 300]))
        assert opened.scores(query, ids) == expected.scores(query, ids)


def test_a_hit_has_the_score_that_the_search_gave(opened: ImpactSearcher) -> None:
    some = queries(2)
    for query_id, hits in opened.search(some, 50):
        assert opened.scores(some[query_id], [hit.doc_id for hit in hits]) == [hit.score for hit in hits]


def test_ids_may_be_asked_for_twice_and_none_at_all(opened: ImpactSearcher, vectors: dict[str, dict[str, int]]) -> None:
    id_, other, *_ = vectors
    token, impact = next(iter(vectors[id_].items()))
    known = BruteForceSearcher(documents(vectors)).scores({token: 2}, [other])
    assert opened.scores({token: 2}, [id_, other, id_]) == [2 * impact, *known, 2 * impact]
    assert opened.scores({token: 2}, []) == []
    assert opened.scores({}, [id_, other]) == [0, 0]
    assert opened.scores({"unknown": 2}, [id_]) == [0]


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
    opened: ImpactSearcher, vectors: dict[str, dict[str, int]]
) -> None:
    for scorer in (opened, BruteForceSearcher(documents(vectors | {"empty": {}}))):
        assert isinstance(scorer, Scorer)
        with pytest.raises(InputError, match=r"2 of 3 documents are not in .* the first is 'empty'"):
            scorer.scores({"t1": 1}, [next(iter(vectors)), "empty", "nowhere"])


def test_candidates_are_ranked_by_score_then_id_and_none_is_lost() -> None:
    scorer = BruteForceSearcher(documents(ANIMALS))
    (found,) = rescore([("q", ["d4", "d3", "d2", "d1"])], {"q": {"cat": 2, "dog": 2}}, scorer)
    assert found == ("q", [ScoredDoc("q", id_, score) for id_, score in [("d2", 10), ("d1", 8), ("d3", 2), ("d4", 0)]])
    with pytest.raises(InputError, match="Query 'z' of the candidates is not among the topics"):
        list(rescore([("z", ["d1"])], {}, scorer))


@pytest.fixture
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A corpus, its index, topics and runs; `words` is the name of an encoder."""
    import splade_anserini.encoding

    for name, known in [("open_query_encoder", WORDS), ("open_encoder", WORDS), ("default_scale", 100.0)]:
        monkeypatch.setattr(splade_anserini.encoding, name, lambda *_, known=known: known)
    (tmp_path / "corpus.tsv").write_text("".join(f"{id_}\t{text}\n" for id_, text in CORPUS.items()))
    encoder = SpladeDocumentEncoder(WORDS, scale=100)
    texts = open_documents(str(tmp_path / "corpus.tsv"))
    from splade_anserini import Document

    encoded = {d.id: dict(d.vector) for d in encoder.encode(Document(id_, "", texts[id_]) for id_ in CORPUS)}
    write_encoded(tmp_path / "impacts", encoded, encoder=WORDS.identity)
    index(tmp_path / "impacts", tmp_path / "index")
    (tmp_path / "topics.tsv").write_text("q1\tcat\nq2\tdog bird\n")
    (tmp_path / "run.txt").write_text("q2 Q0 d1 1 9 x\nq2 Q0 d4 2 8 x\nq1 Q0 d3 1 5 x\nq1 Q0 d1 2 4 x\n")
    (tmp_path / "qrels.txt").write_text("q1 0 d2 1\nq1 0 d3 0\n")
    return tmp_path


def rescored(home: Path, *arguments: object) -> tuple[Outcome, list[ScoredDoc]]:
    output = home / "out.txt"
    output.unlink(missing_ok=True)
    outcome = run_stage("rescore", "--topics", home / "topics.tsv", "--output", output, *arguments)
    return outcome, list(read_run(output)) if output.exists() else []


EXPECTED = [ScoredDoc("q2", "d4", 79), ScoredDoc("q2", "d1", 8), ScoredDoc("q1", "d1", 10), ScoredDoc("q1", "d3", 3)]


def test_from_texts_come_the_scores_that_come_from_the_index(home: Path) -> None:
    for source in (("--index", home / "index"), ("--corpus", home / "corpus.tsv", "--encoder", "words")):
        outcome, run = rescored(home, *source, "--run", home / "run.txt")
        assert (outcome.code, outcome.err, run) == (0, "", EXPECTED)
        outcome, run = rescored(home, *source, "--qrels", home / "qrels.txt")
        assert (outcome.code, run) == (0, [ScoredDoc("q1", "d2", 5), ScoredDoc("q1", "d3", 3)])


def test_texts_without_an_entry_score_nothing(home: Path) -> None:
    scorer = TextScorer(CORPUS, open_documents(str(home / "corpus.tsv")), SpladeDocumentEncoder(WORDS, scale=100))
    assert isinstance(scorer, Scorer)
    assert scorer.scores({"cat": 2}, ["empty", "d1", "d3"]) == [0, 6, 2]


def test_bad_input_has_its_sentence_and_leaves_no_run(home: Path) -> None:
    unknown: Any = home / "unknown.txt"
    unknown.write_text("q1 Q0 d1 1 5 x\nq1 Q0 d9 2 5 x\nq1 Q0 empty 3 4 x\n")
    (home / "nothing.txt").touch()
    mismatch_warning = home / "mismatch_warning.txt"
    mismatch_warning.write_text("q9 Q0 d1 1 5 x\n")
    run = ("--run", home / "run.txt")
    of_index, of_texts = ("--index", home / "index"), ("--corpus", home / "corpus.tsv", "--encoder", "words")
    for arguments, said in [
        (of_index, "Neither --run nor --qrels"),
        ((*of_index, *run, "--qrels", home / "qrels.txt"), "Both --run and --qrels"),
        (run, "Neither --index nor --corpus"),
        ((*of_index, *of_texts, *run), "Both --index and --corpus"),
        (("--corpus", home / "corpus.tsv", *run), "--corpus needs --encoder"),
        ((*of_index, *run, "--top-k", 3), "--top-k"),
        ((*of_index, "--run", unknown), "2 of 3 documents are not in the index"),
        ((*of_texts, "--run", unknown), "1 of 3 documents have no text: the document 'd9' is not in"),
        ((*of_index, "--run", mismatch_warning), "Query 'q9' of the candidates is not among the topics"),
        ((*of_index, "--run", home / "nowhere.txt"), "nowhere.txt"),
        ((*of_index, "--run", home / "nothing.txt"), "nothing.txt is empty"),
        (("--index", home / "nowhere", *run), "nowhere"),
        (("--corpus", home / "nowhere.tsv", "--encoder", "words", *run), "nowhere.tsv"),
    ]:
        outcome, found = rescored(home, *arguments)
        assert (outcome.code, said in outcome.err, found) == (2, True, []), f"{arguments}: {outcome.err}"
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
