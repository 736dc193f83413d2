"""What an earlier version wrote is read, and gone on with, by this one: tests/golden says what it holds."""

import csv
import gzip
import json
import shutil
import tomllib
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from splade_anserini.cards.encoder_card import EncoderCard
from splade_anserini.cards.finding import read_card
from splade_anserini.cards.index_card import IndexCard
from splade_anserini.reproduction.expectations import Check
from splade_anserini.reproduction.report import Report
from tests.cli_runner import Outcome, run_stage

pytestmark = pytest.mark.slow

GOLDEN = Path(__file__).parent / "golden"
MANIFEST = "splade.manifest"


@pytest.fixture
def golden(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A copy of the set to work in. Manifests say {golden} where the directory's own path stood."""
    place = Path(shutil.copytree(GOLDEN, tmp_path / "golden"))
    for manifest in place.rglob(MANIFEST):
        manifest.write_text(manifest.read_text().replace("{golden}", str(place)))
    monkeypatch.chdir(place)
    return place


def done(stage: str, *arguments: object) -> Outcome:
    outcome = run_stage(stage, *arguments)
    assert outcome.code == 0, outcome.err
    return outcome


def said(directory: Path) -> dict[str, Any]:
    """What a manifest says, but for the version that wrote it and its checksum."""
    content: dict[str, Any] = json.loads((directory / MANIFEST).read_bytes())
    return {name: value for name, value in content.items() if name not in {"version", "checksum"}}


def lines(directory: Path) -> dict[str, bytes]:
    """What stands in the shards of a directory: how well they are packed is the affair of zlib."""
    return {path.name: gzip.decompress(path.read_bytes()) for path in directory.rglob("*.gz")}


def stamps(*places: Path) -> dict[Path, tuple[int, int]]:
    """Inode and time of all files: those of a file that was written anew are others."""
    files = [file for place in places for file in (place.rglob("*") if place.is_dir() else [place]) if file.is_file()]
    return {file: (file.stat().st_ino, file.stat().st_mtime_ns) for file in files}


def leaves(content: object) -> Iterator[object]:
    if isinstance(content, dict | list | tuple):
        for part in content.values() if isinstance(content, dict) else content:
            yield from leaves(part)
    else:
        yield content


# Cards.


@pytest.mark.parametrize("name", ["tiny", "idf", "separate", "warm"])
def test_all_that_an_encoder_card_says_is_understood(name: str) -> None:
    assert_understood(GOLDEN / "encoders" / f"{name}.toml", EncoderCard)


@pytest.mark.parametrize("name", ["tiny", "encoded"])
def test_all_that_an_index_card_says_is_understood(name: str) -> None:
    assert_understood(GOLDEN / "indexes" / f"{name}.toml", IndexCard)


def assert_understood(path: Path, kind: type[EncoderCard | IndexCard]) -> None:
    """Each value stands somewhere in the card as it was read, whatever it is called there."""
    content = tomllib.loads(path.read_text())
    if kind is IndexCard:
        content.pop("words", None)  # no longer used
    values = Counter(leaves(content))
    assert values <= Counter(leaves(read_card(path, kind).model_dump(mode="json")))


# Encoders and impacts.


def without_new_fields(manifest: dict[str, Any]) -> list[dict[str, Any]]:
    """Return the shards without what version 0.1.0 did not record: batches' sizes, counts of cut texts, checksums."""
    new = {"batching", "truncation", "sha256"}
    return [{name: value for name, value in shard.items() if name not in new} for shard in manifest["shards"]]


@pytest.mark.parametrize("encoder", ["tiny", "checkpoints/tiny"])
def test_an_encoder_makes_the_impacts_that_it_made(golden: Path, encoder: str) -> None:
    done("encode", "--corpus", "collection", "--encoder", encoder, "--docs-per-shard", 4, "--output", "new")
    assert lines(golden / "new") == lines(golden / "impacts")
    before, now = said(golden / "impacts"), said(golden / "new")
    assert (now["counts"], now["empty"]) == (before["counts"], before["empty"])
    assert without_new_fields(now) == before["shards"]
    assert now["settings"]["encoder"]["vocabulary"] == before["settings"]["encoder"]["vocabulary"]


def test_encoding_that_was_killed_goes_on(golden: Path) -> None:
    first = stamps(golden / "impacts-interrupted" / "shard-00000.jsonl.gz")
    output = ("--output", "impacts-interrupted")
    done("encode", "--corpus", "collection", "--encoder", "tiny", "--docs-per-shard", 4, *output)
    assert stamps(*first) == first
    assert lines(golden / "impacts-interrupted") == lines(golden / "impacts")
    now, before = said(golden / "impacts-interrupted"), said(golden / "impacts")
    assert now | {"shards": without_new_fields(now)} == before
    assert {path.name for path in (golden / "impacts-interrupted").iterdir()} == {*lines(golden / "impacts"), MANIFEST}


# Indexes and runs.


@pytest.mark.parametrize(
    ("impacts", "index", "counts"),
    [("impacts", "index", (9, 198, 2335)), ("parts", "index-of-parts", (9, 90, 1578))],
)
def test_impacts_are_indexed_whole(golden: Path, impacts: str, index: str, counts: tuple[int, int, int]) -> None:
    done("index", "--input", impacts, "--index", "new")
    now, before = said(golden / "new"), said(golden / index)
    assert now["counts"] == before["counts"] == dict(zip(("documents", "postings", "impacts"), counts, strict=True))
    assert all(now[name] == before[name] for name in ("encoder", "scale", "max_length", "corpus"))


@pytest.mark.parametrize(
    ("run", "options"),
    [
        ("tiny", []),
        ("tiny", ["--encoder", "checkpoints/tiny"]),
        # Of other checkpoints than the documents, which is an error today.
        ("idf", ["--encoder", "idf", "--force"]),
        ("idf", ["--encoder", "checkpoints/idf", "--force"]),
        ("separate", ["--encoder", "separate", "--force"]),
        ("separate", ["--encoder", "checkpoints/separate", "--force"]),
        ("rm3", ["--feedback", "rm3", "--feedback-docs", 2, "--hits", 5]),
    ],
)
def test_an_index_is_searched_to_the_same_run(golden: Path, run: str, options: list[object]) -> None:
    done("search", "--index", "index", "--topics", "collection", "--output", "new.txt", *options)
    assert (golden / "new.txt").read_bytes() == (golden / "runs" / f"{run}.txt").read_bytes()


def test_topics_that_were_encoded_find_what_their_texts_find(golden: Path) -> None:
    done("search", "--index", "index", "--topics", "topics.encoded.tsv", "--output", "new.txt")
    assert (golden / "new.txt").read_bytes() == (golden / "runs" / "tiny.txt").read_bytes()


def test_runs_are_fused_to_the_same_run(golden: Path) -> None:
    done("fuse", "--run", "runs/tiny.txt", "--run", "runs/idf.txt", "--output", "new.txt")
    assert (golden / "new.txt").read_bytes() == (golden / "runs" / "fused.txt").read_bytes()


@pytest.mark.parametrize("qrels", ["qrels.txt", "collection"])
@pytest.mark.parametrize(
    ("run", "values"),
    [
        ("tiny", (0.824459, 0.854167, 0.9375)),
        ("rm3", (0.809471, 0.854167, 0.9375)),
        ("idf", (0.899334, 1.0, 0.875)),
        ("separate", (0.657948, 0.630208, 0.875)),
        ("fused", (0.882164, 0.9375, 0.9375)),
    ],
)
def test_runs_are_measured_the_same(golden: Path, run: str, values: tuple[float, float, float], qrels: str) -> None:
    options = ("--measures", "nDCG@10 RR@10 R@5", "--format", "json")
    found = json.loads(done("evaluate", "--run", f"runs/{run}.txt", "--qrels", qrels, *options).out)
    expected = dict(zip(("nDCG@10", "RR@10", "R@5"), values, strict=True))
    assert found["measures"] == pytest.approx(expected, abs=1e-6)


# Training.

EXAMPLES = [
    *("--data", "collection/triples.jsonl"),
    *("--corpus", "collection/corpus.jsonl"),
    *("--topics", "collection/queries.jsonl"),
]
EACH = {
    "tiny": ["--data", "collection@train"],
    "idf": ["--validation", "collection", "--validate-every", 2, "--measures", "RR@10"],
    "separate": [],
}
"""By the names of the cards: of what kind the run is, besides."""


@pytest.mark.parametrize("name", EACH)
def test_training_that_was_stopped_goes_on_to_the_same_end(golden: Path, name: str) -> None:
    output = trained(golden, name)
    expected = golden / "checkpoints" / name
    for now, before in zip(log_of(output), log_of(expected), strict=True):
        assert now == pytest.approx(before, rel=1e-5, abs=1e-6)
    for now, before in zip(vectors_of(output), vectors_of(expected), strict=True):
        assert np.linalg.norm(now - before) <= 1e-5 * np.linalg.norm(before)
    assert said(output)["steps"] == said(expected)["steps"]


def test_clusters_that_were_found_are_not_looked_for_again(golden: Path) -> None:
    place = golden / "interrupted" / "tiny.training" / "topics.npz"
    with np.load(place) as known:
        others = [np.zeros_like(known[name]) for name in known.files]
    np.savez(place, *others)
    trained(golden, "tiny")
    assert log_of(golden / "interrupted" / "tiny")[-1] != pytest.approx(log_of(golden / "checkpoints" / "tiny")[-1])


def trained(golden: Path, name: str) -> Path:
    """Go on from the last checkpoint, and not from the backbone."""
    forget(golden / "backbone")
    steps = ("--checkpoint-every", 2, "--log-every", 3)
    done("train", "--card", name, *EXAMPLES, *EACH[name], *steps, "--output", f"interrupted/{name}")
    return golden / "interrupted" / name


def forget(model: Path) -> None:
    """Set all weights to 0. They are the checkpoint's from there on; a run that began anew would not end well."""
    from safetensors.numpy import load_file, save_file

    weights = {name: np.zeros_like(value) for name, value in load_file(model / "model.safetensors").items()}
    save_file(weights, model / "model.safetensors", metadata={"format": "pt"})


def log_of(directory: Path) -> list[dict[str, float]]:
    return [json.loads(line) for line in (directory / "log.jsonl").read_text().splitlines()]


def vectors_of(checkpoint: Path) -> Iterator[np.ndarray[Any, Any]]:
    """All that was learned, a vector for each file."""
    from safetensors.numpy import load_file

    models = [directory for directory in (checkpoint, checkpoint / "query") if (directory / "config.json").exists()]
    for file in (directory / "model.safetensors" for directory in models):
        weights = load_file(file)
        yield np.concatenate([weights[name].ravel() for name in sorted(weights)])
    if (checkpoint / "query_weights.json").exists():
        known = json.loads((checkpoint / "query_weights.json").read_bytes())
        yield np.array([known[token] for token in sorted(known)])


# What is measured, and not measured again.


SWEEP_NAMES = {"two-phase": "two-step"}
PROFILE_NAMES = {"surroundings": "environment"}
"""Keys and columns in the golden set → what they are called today."""
FRONTS = ("front ", "pareto_")
"""How the columns start that say whether a row is on a Pareto front, in the golden set and today."""


def test_a_sweep_takes_up_what_it_has_measured(golden: Path) -> None:
    before = rows(golden / "sweep")
    done(
        *("sweep", "--input", "impacts", "--topics", "collection", "--qrels", "qrels.txt", "--output", "sweep"),
        *("--documents", "top-k=4,2", "--bits", 3, "--queries", "min-impact=5", "--two-phase", 2, "--samples", 5),
        *("--hits", 10, "--candidates", 20, "--measures", "nDCG@10", "--measures", "RR@10", "--picture", "none"),
    )
    now = rows(golden / "sweep")
    assert now.keys() - before.keys() == {("top-k=2", "", "", "")}
    # A time is never the same twice.
    assert {setting: row for setting, row in now.items() if setting in before} == before
    assert len(before) == 5


def rows(sweep: Path) -> dict[tuple[str, ...], dict[str, str]]:
    """The rows of a sweep by their settings, but for what depends on other rows."""
    with (sweep / "sweep.csv").open() as file:
        table = [
            {SWEEP_NAMES.get(name, name): value for name, value in row.items() if not name.startswith(FRONTS)}
            for row in csv.DictReader(file)
        ]
    return {tuple(row[name] for name in ("documents", "bits", "queries", "two-step")): row for row in table}


def test_a_profile_counts_the_same(golden: Path) -> None:
    options = ("--samples", 3, "--warm-up", 0, "--no-cold", "--tokens", 3, "--picture", "none")
    found = done(
        *("profile", "--index", "index", "--topics", "collection", "--hits", 2, "--threads", 1),
        *("--format", "json", *options),
    )
    before, now = json.loads((golden / "profile" / "profile.json").read_bytes()), json.loads(found.out)
    assert now["costs"] == before["costs"]
    assert now.keys() == {PROFILE_NAMES.get(name, name) for name in before} | {"truncation"}


def test_a_reproduction_does_nothing_again(golden: Path) -> None:
    made = stamps(golden / "indexes" / "tiny", *(golden / "indexes" / "tiny.reproduction").rglob("*.gz"))
    before = report(golden / "indexes")
    assert "tiny: pass" in done("reproduce", "tiny").out
    assert stamps(*made) == made
    assert report(golden / "indexes") == before


def test_a_reproduction_that_was_killed_goes_on(golden: Path) -> None:
    made = stamps(golden / "killed" / "tiny", *(golden / "killed" / "tiny.reproduction").rglob("*.gz"))
    assert not (golden / "killed" / "tiny.reproduction" / "run.vectors.txt.gz").exists()
    done("reproduce", "tiny", "--output", "killed")
    assert stamps(*made) == made
    assert report(golden / "killed") == report(golden / "indexes")
    for directory in ("killed", "indexes"):
        assert not [*(golden / directory).rglob("*.partial")]
    assert lines(golden / "killed") == lines(golden / "indexes")


def report(home: Path, name: str = "tiny") -> tuple[Check, ...]:
    """Return the scores of a card, compared with those that it expects."""
    return Report.model_validate_json((home / f"{name}.reproduction" / "report.json").read_bytes()).checks


def test_an_index_card_of_encoded_documents_is_reproduced(golden: Path) -> None:
    done("reproduce", "encoded")
    (check,) = report(golden / "indexes", "encoded")
    assert (check.measure, check.value) == ("nDCG@10", pytest.approx(0.824459, abs=1e-6))
