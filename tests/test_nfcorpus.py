"""Real SPLADE-v3 vectors are indexed, searched and evaluated: the scores are known from exact search."""

import re
import subprocess
import sys
from collections.abc import Iterable
from pathlib import Path

import pytest
from ir_measures import Qrel, ScoredDoc, calc_aggregate, nDCG

from splade_anserini.artifacts.manifests import IndexManifest, read_manifest
from splade_anserini.cards.finding import find_index_cards
from splade_anserini.formats.runs import read_run
from splade_anserini.formats.topics import read_encoded_topics
from splade_anserini.index import index
from splade_anserini.lucene import IndexOptions
from splade_anserini.reproduction.plan import OutputPaths
from splade_anserini.reproduction.plan_report import IMPACT_BYTES, POSTINGS_PER_DOCUMENT, estimate_steps
from splade_anserini.reproduction.resolved_card import resolve_card
from tests.cli_runner import Outcome, run_stage
from tests.shared_data import DATA, needs_data

CARD = "nfcorpus.splade-v3"
VECTORS = DATA / "splade-v3.nfcorpus"
TOPICS = VECTORS / "topics.test.tsv.gz"
QRELS = DATA / "nfcorpus" / "qrels" / "test.tsv"

pytestmark = [pytest.mark.slow, needs_data("splade-v3.nfcorpus", "nfcorpus")]

PYSERINI = """
import runpy, sys
from splade_anserini.lucene import start_jvm
start_jvm()
sys.argv[0] = "search"
runpy.run_module("pyserini.search.lucene", run_name="__main__")
"""


@pytest.fixture(scope="module")
def reproduced(tmp_path_factory: pytest.TempPathFactory) -> Outcome:
    return run_stage("reproduce", CARD, "--data", DATA, "--output", tmp_path_factory.getbasetemp() / "nfcorpus")


@pytest.fixture(scope="module")
def nfcorpus(reproduced: Outcome, tmp_path_factory: pytest.TempPathFactory) -> Path:
    assert (reproduced.code, reproduced.complaints) == (0, "")
    return tmp_path_factory.getbasetemp() / "nfcorpus"


@pytest.fixture(scope="module")
def run(nfcorpus: Path) -> list[ScoredDoc]:
    outcome = run_stage(
        "search", "--index", nfcorpus / CARD, "--topics", TOPICS, "--pre-encoded", "--output", nfcorpus / "run.txt"
    )
    assert (outcome.code, outcome.complaints) == (0, "")
    return list(read_run(nfcorpus / "run.txt"))


def by_query(run: Iterable[ScoredDoc]) -> dict[str, dict[str, float]]:
    """Return query → document → score, in the order of the run."""
    scores: dict[str, dict[str, float]] = {}
    for hit in run:
        scores.setdefault(hit.query_id, {})[hit.doc_id] = hit.score
    return scores


def test_the_score_is_the_expected_one(reproduced: Outcome) -> None:
    assert (reproduced.code, reproduced.complaints) == (0, "")
    assert re.search(r"nDCG@10 +0.3632 +0.3632 .* pass", reproduced.out)


def test_the_disk_space_of_the_plan_is_within_a_factor_of_two(nfcorpus: Path) -> None:
    paths = OutputPaths(nfcorpus, CARD)
    (card,) = find_index_cards(CARD)
    estimates = estimate_steps(resolve_card(card, DATA), OutputPaths(nfcorpus / "elsewhere", CARD))
    planned = {estimate.step.name: estimate.bytes or 0 for estimate in estimates}
    index_size = sum(file.stat().st_size for file in paths.index.rglob("*"))
    assert index_size / 2 < planned["index"] < index_size * 2
    run_size = paths.run("test").stat().st_size
    assert run_size / 2 < planned["search test"] < run_size * 2
    manifest = read_manifest(paths.index, IndexManifest)
    assert manifest
    impacts_size = (VECTORS / "docs.jsonl.gz").stat().st_size
    assert impacts_size / 2 < manifest.counts.documents * POSTINGS_PER_DOCUMENT * IMPACT_BYTES < impacts_size * 2


def test_ndcg_is_what_exact_search_gives(run: list[ScoredDoc]) -> None:
    qrels = [line.split() for line in QRELS.read_text().splitlines()[1:]]
    judged = [Qrel(query_id, doc_id, int(relevance)) for query_id, doc_id, relevance in qrels]
    assert round(calc_aggregate([nDCG @ 10], judged, run)[nDCG @ 10], 4) == 0.3632


def test_pyserinis_own_command_gives_the_same_scores_and_ranks(nfcorpus: Path, run: list[ScoredDoc]) -> None:
    arguments = ["--index", nfcorpus / CARD, "--topics", TOPICS, "--impact", "--min-idf", "-1", "--hits", "1000"]
    path = nfcorpus / "pyserini.txt"
    subprocess.run(
        [sys.executable, "-c", PYSERINI, *arguments, "--output", path, "--threads", "2", "--batch-size", "32"],
        check=True,
        capture_output=True,
    )
    theirs = by_query(read_run(path))
    ours = by_query(run)
    assert ours.keys() == theirs.keys()
    for query_id, scores in ours.items():
        assert list(scores) == list(theirs[query_id])
        assert max(abs(score - theirs[query_id][doc_id]) for doc_id, score in scores.items()) < 0.5


def test_anserinis_writer_and_pyserinis_searcher_give_the_same_file(nfcorpus: Path, run: list[ScoredDoc]) -> None:
    index(
        nfcorpus / f"{CARD}.reproduction" / "impacts",
        nfcorpus / "anserinis",
        IndexOptions(threads=1, writer="anserini"),
    )
    arguments = ["--index", nfcorpus / "anserinis", "--topics", TOPICS, "--output", nfcorpus / "theirs.txt"]
    outcome = run_stage("search", *arguments, "--pre-encoded", "--searcher", "pyserini")
    assert (outcome.code, outcome.complaints) == (0, "")
    assert (nfcorpus / "theirs.txt").read_bytes() == (nfcorpus / "run.txt").read_bytes()


def test_searching_needs_no_pyserini(nfcorpus: Path) -> None:
    code = "import sys; from splade_anserini.__main__ import main; main(); assert 'pyserini' not in sys.modules"
    arguments = ["search", "--index", nfcorpus / CARD, "--topics", TOPICS, "--output", nfcorpus / "again.txt"]
    subprocess.run([sys.executable, "-c", code, *arguments, "--pre-encoded"], check=True, capture_output=True)
    assert (nfcorpus / "again.txt").read_bytes() == (nfcorpus / "run.txt").read_bytes()


def test_every_query_is_answered(run: list[ScoredDoc]) -> None:
    assert {hit.query_id for hit in run} == read_encoded_topics(str(TOPICS)).keys()
