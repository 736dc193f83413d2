"""The command `sweep`, over small real indexes."""

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
    generator, qrels = random.Random(1), []
    for query_id, vector in QUERIES.items():
        matching = [id_ for id_, document in VECTORS.items() if vector.keys() & document.keys()]
        qrels += [f"{query_id} 0 {id_} {generator.randint(1, 2)}\n" for id_ in generator.sample(matching, 6)]
    (home / "qrels.txt").write_text("".join(qrels))
    return home


def sweep(home: Path, output: Path, *options: object) -> Outcome:
    inputs = ["--topics", home / "topics.tsv", "--qrels", home / "qrels.txt", "--pre-encoded", "--samples", 5]
    return run_stage("sweep", "--input", home / "impacts", *inputs, "--output", output, *options)


def rows(output: Path) -> dict[str, dict[str, str]]:
    with (output / "sweep.csv").open() as file:
        lines = list(csv.DictReader(file))
    variations = ("documents", "bits", "queries", "two-step")
    return {", ".join(f"{name} {line[name]}" for name in variations if line[name]) or "exact": line for line in lines}


def flops(queries: Mapping[str, Mapping[str, int]], vectors: Mapping[str, Mapping[str, int]]) -> float:
    """Return the mean number of shared tokens over all pairs of a query and a document of the exact index."""
    documents = [vector for id_, vector in vectors.items() if VECTORS[id_]]
    shared = sum(len(query.keys() & document.keys()) for query in queries.values() for document in documents)
    return shared / len(queries) / len(documents)


def evaluate_with_other_commands(
    home: Path, directory: Path, vectors: Mapping[str, Mapping[str, int]], *options: object
) -> dict[str, float]:
    """Index `vectors`, search them with `options`, and return the measures of the run."""
    write_documents(directory / "impacts" / "a.jsonl", documents(vectors))
    assert run_stage("index", "--input", directory / "impacts", "--index", directory / "index").code == 0
    search = ("--topics", home / "topics.tsv", "--pre-encoded", "--output", directory / "run.txt", *options)
    assert run_stage("search", "--index", directory / "index", *search).code == 0
    outcome = run_stage("evaluate", "--run", directory / "run.txt", "--qrels", home / "qrels.txt", "--format", "json")
    measures: dict[str, float] = json.loads(outcome.out)["measures"]
    return measures


def test_measures_are_those_of_index_search_and_evaluate(home: Path, tmp_path: Path) -> None:
    options = ("--documents", "top-k=2", "--bits", 2, "--queries", "min-impact=4", "--two-step", 1, "--candidates", 10)
    outcome = sweep(home, tmp_path / "out", *options, "--hits", 10)
    assert outcome.code == 0, outcome.err
    results = rows(tmp_path / "out")
    pruned = {id_: prune_top_k(vector, 2) for id_, vector in VECTORS.items()}
    requantized = {id_: requantize(vector, 2, 30) for id_, vector in VECTORS.items()}
    searches: dict[str, tuple[Mapping[str, Mapping[str, int]], tuple[object, ...]]] = {
        "exact": (VECTORS, ()),
        "documents top-k=2": (pruned, ()),
        "bits 2": (requantized, ()),
        "queries min-impact=4": (VECTORS, ("--query-min-impact", 4)),
        "two-step 1": (VECTORS, ("--two-step", 1, "--candidates", 10)),
    }
    assert results.keys() == searches.keys()
    for name, (vectors, search_options) in searches.items():
        directory = tmp_path / name.replace(" ", "-")
        expected = evaluate_with_other_commands(home, directory, vectors, "--hits", 10, *search_options)
        assert {measure: float(results[name][measure]) for measure in expected} == expected, name
    assert len({row["nDCG@10"] for row in results.values()}) > 3


def test_costs_are_those_counted_from_the_vectors(home: Path, tmp_path: Path) -> None:
    options = ("--documents", "min-impact=25", "--queries", "top-k=2", "--two-step", 2, "--grid")
    assert sweep(home, tmp_path / "out", *options, "--hits", 3, "--candidates", 7).code == 0
    results = rows(tmp_path / "out")
    pruned = {id_: prune_below(vector, 25) for id_, vector in VECTORS.items()}
    shorter = {id_: prune_top_k(vector, 2) for id_, vector in QUERIES.items()}
    assert any(VECTORS[id_] and not vector for id_, vector in pruned.items())
    assert float(results["exact"]["flops"]) == pytest.approx(flops(QUERIES, VECTORS))
    assert float(results["documents min-impact=25"]["flops"]) == pytest.approx(flops(QUERIES, pruned))
    assert float(results["queries top-k=2"]["flops"]) == pytest.approx(flops(shorter, VECTORS))
    both = results["documents min-impact=25, queries top-k=2"]
    assert float(both["flops"]) == pytest.approx(flops(shorter, pruned))
    assert int(both["postings"]) == sum(map(len, pruned.values()))
    assert float(both["entries_document"]) == pytest.approx(sum(map(len, pruned.values())) / 300)
    assert float(both["entries_query"]) == pytest.approx(sum(map(len, shorter.values())) / len(QUERIES))
    # The first step, and a lookup of each token of a long query in each candidate.
    matching = {id_: sum(bool(shorter[id_].keys() & vector.keys()) for vector in VECTORS.values()) for id_ in QUERIES}
    lookups = sum(len(QUERIES[id_]) * min(7, matching[id_]) for id_ in QUERIES if len(QUERIES[id_]) > 2)
    expected = flops(shorter, VECTORS) + lookups / len(QUERIES) / 300
    assert float(results["two-step 2"]["flops"]) == pytest.approx(expected)
    assert results["two-step 2"]["bytes"] == results["exact"]["bytes"] > both["bytes"]
    assert all(float(row["milliseconds"]) > 0 for row in results.values())


def test_a_sweep_resumes_and_takes_more_values(home: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(running, "measure", Interruption(measuring.measure, after=1))
    options = ("--documents", "top-k=1,2")
    with pytest.raises(Interrupted):
        sweep(home, tmp_path / "out", *options)
    assert [*rows(tmp_path / "out")] == ["exact"]
    milliseconds = rows(tmp_path / "out")["exact"]["milliseconds"]
    measure = Interruption(measuring.measure, after=9)
    monkeypatch.setattr(running, "measure", measure)
    assert sweep(home, tmp_path / "out", *options).code == 0
    assert measure.settings == ["documents top-k=1", "documents top-k=2"]
    assert rows(tmp_path / "out")["exact"]["milliseconds"] == milliseconds
    assert sweep(home, tmp_path / "out", "--documents", "top-k=2", "--queries", "top-k=3").code == 0
    assert measure.settings[2:] == ["queries top-k=3"]
    assert [*rows(tmp_path / "out")] == ["exact", "queries top-k=3", "documents top-k=2"]
    assert {path.name for path in (tmp_path / "out").iterdir()} == {"splade.manifest", "sweep.csv", "sweep.png"}


def test_partial_files_of_a_killed_sweep_are_removed(home: Path, tmp_path: Path) -> None:
    partial = tmp_path / "out" / "indexes" / "impacts.partial"
    write_documents(partial / "a.jsonl", documents({"foreign": {"t1": 9}}))
    (tmp_path / "out" / "indexes" / "documents-top-k=1.partial").mkdir()
    assert sweep(home, tmp_path / "out", "--documents", "top-k=1").code == 0
    assert int(rows(tmp_path / "out")["documents top-k=1"]["postings"]) == 300
    assert not (tmp_path / "out" / "indexes").exists()


class Interrupted(Exception):  # noqa: N818  # stands for a power failure, not an error of the package
    """Raised in place of a power failure."""


class Interruption:
    """Calls a function a number of times, records the settings it is called with, and then raises `Interrupted`."""

    def __init__(self, function: Callable[..., object], after: int) -> None:
        self.function, self.remaining, self.settings = function, after, list[str]()

    def __call__(self, index: Path, settings: list[object], *others: object) -> object:
        if not self.remaining:
            raise Interrupted
        self.remaining -= 1
        self.settings += [str(setting) for setting in settings]
        return self.function(index, settings, *others)


def test_other_inputs_need_overwrite(home: Path, tmp_path: Path) -> None:
    assert sweep(home, tmp_path / "out", "--queries", "top-k=1").code == 0
    before = (tmp_path / "out" / "splade.manifest").read_bytes()
    other = sweep(home, tmp_path / "out", "--queries", "top-k=1", "--hits", 5)
    assert other.code == 2
    assert "was created with other inputs: hits was 1000, is 5" in other.err
    assert (tmp_path / "out" / "splade.manifest").read_bytes() == before
    assert sweep(home, tmp_path / "out", "--queries", "top-k=1", "--hits", 5, "--overwrite").code == 0
    assert (tmp_path / "out" / "splade.manifest").read_bytes() != before


def test_kept_indexes_record_pruning_and_bits(home: Path, tmp_path: Path) -> None:
    write_encoded(tmp_path / "impacts", {id_: vector for id_, vector in VECTORS.items() if vector})
    options = ("--documents", "top-k=2", "--bits", 3, "--grid", "--keep-indexes", "--plot", tmp_path / "plot.svg")
    inputs = ["--topics", home / "topics.tsv", "--qrels", home / "qrels.txt", "--pre-encoded", "--samples", 5]
    out = tmp_path / "out"
    outcome = run_stage("sweep", "--input", tmp_path / "impacts", *inputs, "--output", out, *options)
    assert outcome.code == 0, outcome.err
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
    assert {path.name for path in out.iterdir()} == {"splade.manifest", "sweep.csv", "indexes"}
    assert (tmp_path / "plot.svg").exists()
    search = ("--topics", home / "topics.tsv", "--pre-encoded", "--output", tmp_path / "run.txt")
    assert run_stage("search", "--index", out / "indexes" / "bits-3", *search).code == 0


def test_a_setting_that_finds_nothing_measures_0(tmp_path: Path) -> None:
    write_documents(tmp_path / "impacts" / "a.jsonl", documents({"d1": {"cat": 9, "dog": 1}}))
    (tmp_path / "topics.tsv").write_text("q1\tdog dog\n")
    (tmp_path / "qrels.txt").write_text("q1 0 d1 1\n")
    assert sweep(tmp_path, tmp_path / "out", "--documents", "top-k=1", "--measures", "RR@10").code == 0
    results = rows(tmp_path / "out")
    assert [float(results[name]["RR@10"]) for name in ("exact", "documents top-k=1")] == [1, 0]


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (("--documents", "top=3"), "Invalid pruning 'top=3'"),
        (
            ("--documents", "min-impact=31"),
            "Pruning documents by min-impact=31 removes all entries.\nExpected a min-impact of at most 30.",
        ),
        (
            ("--queries", "min-impact=10"),
            "Pruning queries by min-impact=10 removes all entries.\nExpected a min-impact of at most 9.",
        ),
        (("--candidates", "9"), "--candidates (9) is less than --hits (1,000)"),
        (("--measures", "fun"), "There is no measure 'fun'"),
        (("--encoder", "splade-mini"), "are impact vectors, but --encoder splade-mini is given"),
    ],
)
def test_invalid_options_are_an_error_before_anything_is_measured(
    home: Path, tmp_path: Path, options: tuple[str, str], message: str
) -> None:
    outcome = sweep(home, tmp_path / "out", *options)
    assert outcome.code == 2
    assert message in outcome.err
    assert not (tmp_path / "out" / "sweep.csv").exists()


def test_json_is_printed(home: Path, tmp_path: Path) -> None:
    outcome = sweep(home, tmp_path / "out", "--queries", "top-k=1", "--measures", "RR@10", "--format", "json")
    assert outcome.code == 0, outcome.err
    exact, pruned = json.loads(outcome.out)
    assert (exact["setting"], pruned["setting"]) == ({}, {"queries": "top-k=1"})
    assert exact["flops"] == pytest.approx(flops(QUERIES, VECTORS))
    assert exact["measures"].keys() == {"RR@10"}


def test_an_output_that_is_a_file_is_an_error(home: Path, tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    outcome = sweep(home, tmp_path / "file")
    assert outcome.code == 2
    assert "is a file" in outcome.err


def test_an_output_inside_the_input_is_an_error(home: Path) -> None:
    outcome = sweep(home, home / "impacts" / "out")
    assert outcome.code == 2
    assert f"is inside input {home / 'impacts'}" in outcome.err
