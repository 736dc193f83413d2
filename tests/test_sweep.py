"""The stage sweep, over small real indexes."""

import csv
import json
import random
from collections.abc import Callable, Mapping
from pathlib import Path

import pytest

from splade_anserini.artifacts.manifests import IndexManifest, read_manifest
from splade_anserini.tradeoffs import measuring, running
from splade_anserini.vectors.pruning import prune_below, prune_top_k, requantize
from tests.cli_runner import Outcome, run_stage
from tests.impact_fixtures import documents, random_vectors, write_documents, write_encoded

pytestmark = pytest.mark.slow

VECTORS = random_vectors(5, 300, greatest=30) | {"no-tokens": {}}
QUERIES = {f"q{number}": vector for number, vector in enumerate([*random_vectors(6, 12, greatest=9).values()])}


@pytest.fixture(scope="module")
def home(tmp_path_factory: pytest.TempPathFactory) -> Path:
    home = tmp_path_factory.mktemp("sweep")
    write_documents(home / "impacts" / "a.jsonl", documents(VECTORS))
    lines = [
        f"{query_id}\t{' '.join(token for token, impact in vector.items() for _ in range(impact))}\n"
        for query_id, vector in QUERIES.items()
    ]
    (home / "topics.tsv").write_text("".join(lines))
    chance, judged = random.Random(1), []
    for query_id, vector in QUERIES.items():
        matching = [id_ for id_, document in VECTORS.items() if vector.keys() & document.keys()]
        judged += [f"{query_id} 0 {id_} {chance.randint(1, 2)}\n" for id_ in chance.sample(matching, 6)]
    (home / "qrels.txt").write_text("".join(judged))
    return home


def sweep(home: Path, output: Path, *options: object) -> Outcome:
    named = ["--topics", home / "topics.tsv", "--qrels", home / "qrels.txt", "--pre-encoded", "--samples", 5]
    return run_stage("sweep", "--input", home / "impacts", *named, "--output", output, *options)


def rows(output: Path) -> dict[str, dict[str, str]]:
    with (output / "sweep.csv").open() as file:
        lines = list(csv.DictReader(file))
    varied = ("documents", "bits", "queries", "two-phase")
    return {", ".join(f"{name} {line[name]}" for name in varied if line[name]) or "exact": line for line in lines}


def flops(queries: Mapping[str, Mapping[str, int]], vectors: Mapping[str, Mapping[str, int]]) -> float:
    """Count by hand: the tokens that a query and a document share, over all pairs."""
    held = [vector for id_, vector in vectors.items() if VECTORS[id_]]
    shared = sum(len(query.keys() & document.keys()) for query in queries.values() for document in held)
    return shared / len(queries) / len(held)


def measured(home: Path, place: Path, vectors: Mapping[str, Mapping[str, int]], *options: object) -> dict[str, float]:
    """Measure through the other stages what `vectors` find."""
    write_documents(place / "impacts" / "a.jsonl", documents(vectors))
    assert run_stage("index", "--input", place / "impacts", "--index", place / "index").code == 0
    asked = ("--topics", home / "topics.tsv", "--pre-encoded", "--output", place / "run.txt", *options)
    assert run_stage("search", "--index", place / "index", *asked).code == 0
    done = run_stage("evaluate", "--run", place / "run.txt", "--qrels", home / "qrels.txt", "--format", "json")
    found: dict[str, float] = json.loads(done.out)["measures"]
    return found


def test_settings_measure_what_the_other_stages_would(home: Path, tmp_path: Path) -> None:
    varied = ("--documents", "top-k=2", "--bits", 2, "--queries", "min-impact=4", "--two-step", 1, "--candidates", 10)
    done = sweep(home, tmp_path / "out", *varied, "--hits", 10)
    assert done.code == 0, done.err
    found = rows(tmp_path / "out")
    pruned = {id_: prune_top_k(vector, 2) for id_, vector in VECTORS.items()}
    lower = {id_: requantize(vector, 2, 30) for id_, vector in VECTORS.items()}
    same: tuple[Mapping[str, Mapping[str, int]], tuple[object, ...]] = (VECTORS, ())
    expected = {
        "exact": same,
        "documents top-k=2": (pruned, ()),
        "bits 2": (lower, ()),
        "queries min-impact=4": (VECTORS, ("--query-min-impact", 4)),
        "two-phase 1": (VECTORS, ("--two-step", 1, "--candidates", 10)),
    }
    assert found.keys() == expected.keys()
    for number, (name, (vectors, options)) in enumerate(expected.items()):
        values = measured(home, tmp_path / str(number), vectors, "--hits", 10, *options)
        assert {measure: float(found[name][measure]) for measure in values} == values, name
    assert len({found[name]["nDCG@10"] for name in found}) > 3


def test_costs_are_what_a_count_by_hand_gives(home: Path, tmp_path: Path) -> None:
    varied = ("--documents", "min-impact=25", "--queries", "top-k=2", "--two-step", 2, "--grid")
    assert sweep(home, tmp_path / "out", *varied, "--hits", 3, "--candidates", 7).code == 0
    found = rows(tmp_path / "out")
    pruned = {id_: prune_below(vector, 25) for id_, vector in VECTORS.items()}
    shorter = {id_: prune_top_k(vector, 2) for id_, vector in QUERIES.items()}
    assert any(VECTORS[id_] and not vector for id_, vector in pruned.items())
    assert float(found["exact"]["flops"]) == pytest.approx(flops(QUERIES, VECTORS))
    assert float(found["documents min-impact=25"]["flops"]) == pytest.approx(flops(QUERIES, pruned))
    assert float(found["queries top-k=2"]["flops"]) == pytest.approx(flops(shorter, VECTORS))
    both = found["documents min-impact=25, queries top-k=2"]
    assert float(both["flops"]) == pytest.approx(flops(shorter, pruned))
    assert int(both["postings"]) == sum(map(len, pruned.values()))
    assert float(both["entries_document"]) == pytest.approx(sum(map(len, pruned.values())) / 300)
    assert float(both["entries_query"]) == pytest.approx(sum(map(len, shorter.values())) / len(QUERIES))
    # The first phase, and a look-up of each token of a long query in each candidate.
    matching = {id_: sum(bool(shorter[id_].keys() & vector.keys()) for vector in VECTORS.values()) for id_ in QUERIES}
    look_ups = sum(len(QUERIES[id_]) * min(7, matching[id_]) for id_ in QUERIES if len(QUERIES[id_]) > 2)
    expected = flops(shorter, VECTORS) + look_ups / len(QUERIES) / 300
    assert float(found["two-phase 2"]["flops"]) == pytest.approx(expected)
    assert found["two-phase 2"]["bytes"] == found["exact"]["bytes"] > both["bytes"]
    assert all(float(row["milliseconds"]) > 0 for row in found.values())


def test_what_is_measured_is_not_measured_again_and_more_can_be_added(
    home: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    stops = Stops(measuring.measure, after=1)
    monkeypatch.setattr(running, "measure", stops)
    varied = ("--documents", "top-k=1,2")
    with pytest.raises(Stopped):
        sweep(home, tmp_path / "out", *varied)
    assert [*rows(tmp_path / "out")] == ["exact"]
    first = rows(tmp_path / "out")["exact"]["milliseconds"]
    goes_on = Stops(measuring.measure, after=9)
    monkeypatch.setattr(running, "measure", goes_on)
    assert sweep(home, tmp_path / "out", *varied).code == 0
    assert goes_on.asked == ["documents top-k=1", "documents top-k=2"]
    assert rows(tmp_path / "out")["exact"]["milliseconds"] == first
    assert sweep(home, tmp_path / "out", "--documents", "top-k=2", "--queries", "top-k=3").code == 0
    assert goes_on.asked[2:] == ["queries top-k=3"]
    assert [*rows(tmp_path / "out")] == ["exact", "queries top-k=3", "documents top-k=2"]
    assert {path.name for path in (tmp_path / "out").iterdir()} == {"splade.manifest", "sweep.csv", "sweep.png"}


def test_what_a_killed_sweep_left_goes(home: Path, tmp_path: Path) -> None:
    left = tmp_path / "out" / "indexes" / "impacts.partial"
    write_documents(left / "a.jsonl", documents({"foreign": {"t1": 9}}))
    (tmp_path / "out" / "indexes" / "documents-top-k=1.partial").mkdir()
    assert sweep(home, tmp_path / "out", "--documents", "top-k=1").code == 0
    assert int(rows(tmp_path / "out")["documents top-k=1"]["postings"]) == 300
    assert not (tmp_path / "out" / "indexes").exists()


class Stopped(Exception):  # noqa: N818  # no error of ours
    """As if the power had gone."""


class Stops:
    """Does what it wraps so many times, notes for what, and then fails."""

    def __init__(self, does: Callable[..., object], after: int) -> None:
        self.does, self.left, self.asked = does, after, list[str]()

    def __call__(self, index: Path, settings: list[object], *others: object) -> object:
        if not self.left:
            raise Stopped
        self.left -= 1
        self.asked += [str(setting) for setting in settings]
        return self.does(index, settings, *others)


def test_another_sweep_is_not_mixed_in(home: Path, tmp_path: Path) -> None:
    assert sweep(home, tmp_path / "out", "--queries", "top-k=1").code == 0
    before = (tmp_path / "out" / "splade.manifest").read_bytes()
    other = sweep(home, tmp_path / "out", "--queries", "top-k=1", "--hits", 5)
    assert other.code == 2
    assert "was begun with other inputs: hits was 1000, is 5" in other.err
    assert (tmp_path / "out" / "splade.manifest").read_bytes() == before
    assert sweep(home, tmp_path / "out", "--queries", "top-k=1", "--hits", 5, "--overwrite").code == 0
    assert (tmp_path / "out" / "splade.manifest").read_bytes() != before


def test_indexes_can_be_kept_and_say_how_they_were_made(home: Path, tmp_path: Path) -> None:
    write_encoded(tmp_path / "impacts", {id_: vector for id_, vector in VECTORS.items() if vector})
    options = ("--documents", "top-k=2", "--bits", 3, "--grid", "--keep-indexes", "--picture", "svg")
    named = ["--topics", home / "topics.tsv", "--qrels", home / "qrels.txt", "--pre-encoded", "--samples", 5]
    out = tmp_path / "out"
    done = run_stage("sweep", "--input", tmp_path / "impacts", *named, "--output", out, *options)
    assert done.code == 0, done.err
    assert {path.name for path in (out / "indexes").iterdir()} == {
        "exact",
        "bits-3",
        "documents-top-k=2",
        "documents-top-k=2-bits-3",
    }
    manifest = read_manifest(out / "indexes" / "documents-top-k=2-bits-3", IndexManifest)
    assert manifest
    assert manifest.options["documents"] == "top-k=2"
    assert manifest.options["bits"] == "3"
    assert manifest.scale == 100
    assert (out / "sweep.svg").exists()
    searched = ("--topics", home / "topics.tsv", "--pre-encoded", "--output", tmp_path / "run.txt")
    assert run_stage("search", "--index", out / "indexes" / "bits-3", *searched).code == 0


def test_a_setting_that_finds_nothing_has_nothing(tmp_path: Path) -> None:
    write_documents(tmp_path / "impacts" / "a.jsonl", documents({"d1": {"cat": 9, "dog": 1}}))
    (tmp_path / "topics.tsv").write_text("q1\tdog dog\n")
    (tmp_path / "qrels.txt").write_text("q1 0 d1 1\n")
    assert sweep(tmp_path, tmp_path / "out", "--documents", "top-k=1", "--measures", "RR@10").code == 0
    found = rows(tmp_path / "out")
    assert [float(found[name]["RR@10"]) for name in ("exact", "documents top-k=1")] == [1, 0]


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (("--documents", "top=3"), "There is no pruning 'top=3'"),
        (
            ("--documents", "min-impact=31"),
            "documents by min-impact=31 leaves nothing: the greatest impact is 30",
        ),
        (
            ("--queries", "min-impact=10"),
            "queries by min-impact=10 leaves nothing: the greatest impact is 9",
        ),
        (("--candidates", "9"), "--candidates (9) is less than --hits (1,000)"),
        (("--measures", "fun"), "There is no measure 'fun'"),
        (("--encoder", "splade-mini"), "need no --encoder"),
    ],
)
def test_bad_input_is_told_and_nothing_is_measured(
    home: Path, tmp_path: Path, options: tuple[str, str], message: str
) -> None:
    done = sweep(home, tmp_path / "out", *options)
    assert done.code == 2
    assert message in done.err
    assert not (tmp_path / "out" / "sweep.csv").exists()


def test_the_output_is_no_file_and_not_in_the_input(home: Path, tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    assert "is a file" in sweep(home, tmp_path / "file").err
    assert "lies in the input" in sweep(home, home / "impacts" / "out").err
