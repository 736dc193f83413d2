"""A trained SPLADE that others made, through all stages, and beside sentence-transformers."""

import json
from importlib.util import find_spec
from pathlib import Path

import pytest

from splade_anserini.cards.shipped import cranfield
from tests.cli_runner import run_stage
from tests.shared_data import DATA, needs_data
from tests.splade_tiny import splade_tiny

pytestmark = pytest.mark.slow

LENGTHS = ("--max-length", "512", "--query-max-length", "512")


@pytest.fixture(scope="module")
def model() -> Path:
    return splade_tiny()


def ndcg(model: Path, corpus: Path, home: Path) -> float:
    """Encode a collection, index it, search it with its test queries, and return nDCG@10."""
    for arguments in (
        ("encode", "--corpus", corpus, "--encoder", model, "--output", home / "impacts"),
        ("index", "--input", home / "impacts", "--index", home / "index"),
        ("search", "--index", home / "index", "--topics", corpus, "--hits", "100", "--output", home / "run.txt"),
    ):
        done = run_stage(*map(str, arguments))
        assert done.code == 0, done.err
    evaluated = run_stage(
        *("evaluate", "--run", home / "run.txt", "--qrels", corpus, "--measures", "nDCG@10", "--format", "json")
    )
    assert evaluated.code == 0, evaluated.err
    return float(json.loads(evaluated.out)["measures"]["nDCG@10"])


@pytest.mark.full
def test_cranfield_has_the_effectiveness_of_the_first_measurement(model: Path, tmp_path: Path) -> None:
    assert ndcg(model, cranfield(), tmp_path) == pytest.approx(0.3637, abs=5e-4)


@pytest.mark.full
@needs_data("nfcorpus")
def test_nfcorpus_has_the_effectiveness_of_the_first_measurement(model: Path, tmp_path: Path) -> None:
    assert ndcg(model, DATA / "nfcorpus", tmp_path) == pytest.approx(0.3071, abs=5e-4)


@pytest.mark.skipif(
    find_spec("sentence_transformers") is None, reason="sentence-transformers, of the extra `test`, is missing"
)
def test_its_vectors_are_those_of_sentence_transformers(model: Path) -> None:
    done = run_stage("verify", model, "--against", "sentence-transformers", *LENGTHS, "--format", "json")
    assert done.code == 0, done.out + done.err
    report = json.loads(done.out)
    for side in report["sides"].values():
        assert side["max_difference"] < 1e-5
        assert side["entries"] > 2_000
        assert side["equal_impacts"] > 0.999


def test_its_export_has_its_vectors(model: Path, tmp_path: Path) -> None:
    done = run_stage("export", "--encoder", model, "--output", tmp_path / "export")
    assert done.code == 0, done.err
    verified = run_stage("verify", tmp_path / "export", "--format", "json")
    assert verified.code == 0, verified.out + verified.err
    assert json.loads(verified.out)["against"] == str(model)
