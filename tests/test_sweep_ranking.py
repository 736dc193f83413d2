"""The command `sweep` over powers of idf and weights of BM25."""

import csv
import json
import random
import shutil
from collections import Counter
from collections.abc import Mapping
from pathlib import Path

import orjson
import pytest

from splade_anserini import ImpactIndex
from splade_anserini.artifacts.manifests import IndexManifest, read_manifest, write_manifest
from splade_anserini.encoding import open_encoder, quantize
from splade_anserini.index import index
from splade_anserini.lucene import build_bm25_index
from splade_anserini.tradeoffs.text_search import TextSearch
from tests.cli_runner import Outcome, run_stage
from tests.encoder_fixtures import write_dictionary_encoder
from tests.impact_fixtures import write_encoded

pytestmark = pytest.mark.slow

# Words that the analyzer leaves as they are.
WORDS = [f"w{number}" for number in range(30)]


def draw_texts(seed: int, count: int, length: int, prefix: str) -> dict[str, str]:
    """Draw texts in which the first words are frequent."""
    chance = random.Random(seed)
    weights = [1 / (number + 1) for number in range(len(WORDS))]
    return {f"{prefix}{n}": " ".join(chance.choices(WORDS, weights, k=chance.randint(2, length))) for n in range(count)}


DOCUMENTS = draw_texts(3, 120, 25, "d")
TOPICS = draw_texts(4, 15, 6, "q")
# Weights differ by word, and each word activates its neighbour too, so that rankings differ from those of BM25.
EXPANSIONS = {
    word: {word: 0.2 + (7 * number % 30) / 10, WORDS[(number + 1) % 30]: 0.3} for number, word in enumerate(WORDS)
}


@pytest.fixture(scope="module")
def home(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A collection as impacts, as an impact index and as a text index."""
    home = tmp_path_factory.mktemp("sweep")
    encoder = open_encoder(write_dictionary_encoder(home / "encoder", EXPANSIONS))
    vectors = encoder.encode(list(DOCUMENTS.values()))
    impacts = {id_: quantize(vector, 100) for id_, vector in zip(DOCUMENTS, vectors, strict=True)}
    write_encoded(home / "impacts", impacts, shard_size=50, encoder=encoder.identity)
    index(home / "impacts", home / "index")
    (home / "json").mkdir()
    rows = b"".join(orjson.dumps({"id": id_, "contents": text}) + b"\n" for id_, text in DOCUMENTS.items())
    (home / "json" / "a.jsonl").write_bytes(rows)
    build_bm25_index(home / "json", home / "bm25")
    (home / "topics.tsv").write_text("".join(f"{id_}\t{text}\n" for id_, text in TOPICS.items()))
    chance, qrels = random.Random(5), []
    for query_id in TOPICS:
        qrels += [f"{query_id} 0 {id_} {chance.randint(1, 2)}\n" for id_ in chance.sample(list(DOCUMENTS), 20)]
    (home / "qrels.txt").write_text("".join(qrels))
    return home


def sweep(home: Path, source: str, output: Path, *options: object, topics: str = "topics.tsv") -> Outcome:
    inputs = [f"--{source}", home / ("impacts" if source == "input" else "index"), "--topics", home / topics]
    others = ["--qrels", home / "qrels.txt", "--samples", 5, "--hits", 20, "--plot", "none"]
    return run_stage("sweep", *inputs, *others, "--output", output, *options)


def rows(output: Path) -> dict[str, dict[str, str]]:
    with (output / "sweep.csv").open() as file:
        lines = list(csv.DictReader(file))
    names = ("documents", "bits", "queries", "two-step", "query-idf", "hybrid")
    return {", ".join(f"{name} {line[name]}" for name in names if line.get(name)) or "exact": line for line in lines}


def measures(home: Path, index: Path, directory: Path, *options: object) -> dict[str, float]:
    """Search an index with `options`, and return the measures of the run."""
    directory.mkdir(exist_ok=True)
    run = directory / f"{len(list(directory.iterdir()))}.txt"
    search = ("--topics", home / "topics.tsv", "--output", run, "--hits", 20, *options)
    assert run_stage("search", "--index", index, *search).code == 0
    outcome = run_stage("evaluate", "--run", run, "--qrels", home / "qrels.txt", "--format", "json")
    values: dict[str, float] = json.loads(outcome.out)["measures"]
    return values


def of(row: Mapping[str, str], expected: Mapping[str, float]) -> dict[str, float]:
    return {measure: float(row[measure]) for measure in expected}


def test_measures_are_those_of_search_with_the_same_options(home: Path, tmp_path: Path) -> None:
    hybrid = ("--hybrid", f"bm25:{home / 'bm25'}")
    options = ("--query-idf", "0,0.5,1", *hybrid, "--hybrid-weight", "0.5,2", "--k1", 1.2, "--grid")
    outcome = sweep(home, "index", tmp_path / "out", *options)
    assert outcome.code == 0, outcome.err
    results = rows(tmp_path / "out")
    assert len(results) == 3 * 3
    for alpha in (0, 0.5, 1):
        for weight in (None, 0.5, 2):
            name = [f"query-idf {alpha:g}"] if alpha else []
            name += [] if weight is None else [f"hybrid {weight:g}"]
            fused = () if weight is None else (*hybrid, "--hybrid-weight", weight, "--k1", 1.2)
            expected = measures(home, home / "index", tmp_path / "runs", "--query-idf", alpha, *fused)
            assert of(results[", ".join(name) or "exact"], expected) == expected
    assert len({row["nDCG@10"] for row in results.values()}) > 5
    best = max(results, key=lambda name: float(results[name]["nDCG@10"]))
    assert outcome.out.splitlines()[-1] == f"Best nDCG@10: {best} ({float(results[best]['nDCG@10']):.4f})."


def test_idf_is_that_of_the_pruned_index_and_comes_before_query_pruning(home: Path, tmp_path: Path) -> None:
    options = ("--documents", "top-k=3", "--queries", "top-k=2", "--query-idf", 2, "--grid", "--keep-indexes")
    hybrid = ("--hybrid", f"bm25:{home / 'bm25'}", "--hybrid-weight", 1)
    outcome = sweep(home, "input", tmp_path / "out", *options, *hybrid)
    assert outcome.code == 0, outcome.err
    results = rows(tmp_path / "out")
    index = tmp_path / "out" / "indexes" / "documents-top-k=3"
    search = ("--query-idf", 2, "--query-top-k", 2)
    expected = measures(home, index, tmp_path / "runs", *search)
    assert of(results["documents top-k=3, queries top-k=2, query-idf 2"], expected) == expected
    fused = measures(home, index, tmp_path / "runs", *search, *hybrid)
    assert of(results["documents top-k=3, queries top-k=2, query-idf 2, hybrid 1"], fused) == fused
    assert fused != expected != of(results["documents top-k=3, queries top-k=2"], expected)


def test_an_index_and_its_documents_give_the_same_results(home: Path, tmp_path: Path) -> None:
    for source in ("index", "input"):
        assert sweep(home, source, tmp_path / source, "--query-idf", "0.5,0.75").code == 0
    of_index, of_input = (
        [{k: v for k, v in row.items() if "milliseconds" not in k} for row in rows(tmp_path / source).values()]
        for source in ("index", "input")
    )
    assert of_index == of_input
    assert not (tmp_path / "index" / "indexes").exists()


def test_other_values_are_tried_with_the_power_of_idf_that_the_index_records(home: Path, tmp_path: Path) -> None:
    shutil.copytree(home / "index", tmp_path / "index")
    manifest = read_manifest(home / "index", IndexManifest)
    assert manifest
    write_manifest(tmp_path / "index", manifest.model_copy(update={"query_idf": 0.5}))
    data = ("--topics", home / "topics.tsv", "--qrels", home / "qrels.txt", "--samples", 0)
    options = ("--query-idf", "0,1", "--queries", "top-k=2", "--plot", "none")
    outcome = run_stage("sweep", "--index", tmp_path / "index", *data, *options, "--output", tmp_path / "out")
    assert outcome.code == 0, outcome.err
    assert [*rows(tmp_path / "out")] == ["query-idf 0.5", "exact", "query-idf 1", "queries top-k=2, query-idf 0.5"]
    expected = measures(home, tmp_path / "index", tmp_path / "runs", "--hits", 1000)
    assert of(rows(tmp_path / "out")["query-idf 0.5"], expected) == expected
    with ImpactIndex.open(tmp_path / "index") as index:
        assert index.query_idf == 0.5


def test_the_costs_of_a_hybrid_search_are_those_of_both(home: Path, tmp_path: Path) -> None:
    outcome = sweep(home, "index", tmp_path / "out", "--hybrid", f"bm25:{home / 'bm25'}", "--hybrid-weight", "0.5")
    assert outcome.code == 0, outcome.err
    results = rows(tmp_path / "out")
    exact, hybrid = results["exact"], results["hybrid 0.5"]
    frequencies = Counter(word for text in DOCUMENTS.values() for word in set(text.split()))
    postings = sum(frequencies[word] for text in TOPICS.values() for word in set(text.split()))
    expected = float(exact["flops"]) + postings / len(TOPICS) / len(DOCUMENTS)
    assert float(hybrid["flops"]) == pytest.approx(expected)
    size = sum(path.stat().st_size for path in (home / "bm25").iterdir())
    assert int(hybrid["bytes"]) == int(exact["bytes"]) + size
    assert hybrid["entries_query"] == exact["entries_query"]


def test_bm25_searches_once_for_all_settings(home: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from splade_anserini.lucene.bm25 import Bm25Searcher

    sizes, search = [], Bm25Searcher.search

    def counted(self: Bm25Searcher, queries: Mapping[str, str], hits: int) -> object:
        sizes.append(len(queries))
        return search(self, queries, hits)

    monkeypatch.setattr(Bm25Searcher, "search", counted)
    options = ("--documents", "top-k=3,4", "--hybrid", f"bm25:{home / 'bm25'}", "--grid")
    assert sweep(home, "input", tmp_path / "out", *options, "--samples", 0).code == 0
    assert sizes == [len(TOPICS)]
    assert len(rows(tmp_path / "out")) == 3 * 4


def test_a_sweep_takes_weights_of_bm25_later(home: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    hybrid = ("--hybrid", f"bm25:{home / 'bm25'}", "--hybrid-weight", "0.5")
    assert sweep(home, "index", tmp_path / "out", "--query-idf", "0.5").code == 0
    assert sweep(home, "index", tmp_path / "out", "--query-idf", "0.5", *hybrid).code == 0
    other = sweep(home, "index", tmp_path / "out", *hybrid, "--b", 0.7)
    assert (other.code, "bm25 was k1 0.9, b 0.4, is k1 0.9, b 0.7" in other.err) == (2, True)
    # All results are there: no text is searched for.
    monkeypatch.setattr(TextSearch, "_rankings", None)
    assert sweep(home, "index", tmp_path / "out", "--query-idf", "0.5", *hybrid).code == 0
    assert [*rows(tmp_path / "out")] == ["exact", "hybrid 0.5", "query-idf 0.5"]


def test_json_has_each_setting_and_names_the_best(home: Path, tmp_path: Path) -> None:
    outcome = sweep(home, "index", tmp_path / "out", "--query-idf", "0.5,3", "--format", "json")
    assert outcome.code == 0, outcome.err
    results = json.loads(outcome.out)
    assert [each["setting"] for each in results] == [{}, {"query-idf": "0.5"}, {"query-idf": "3"}]
    greatest = max(each["measures"]["nDCG@10"] for each in results)
    assert [each["measures"]["nDCG@10"] for each in results if each["best"]] == [greatest]


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (("--hybrid-weight", "0.5"), "--hybrid-weight needs --hybrid."),
        (("--k1", "2"), "--k1 needs --hybrid."),
        (("--hybrid", "index"), "--hybrid 'index' is not valid."),
        (("--hybrid", "bm25:HOME/index"), "is an impact index; BM25 needs a text index."),
        (("--hybrid", "bm25:HOME/bm25", "--hybrid-weight", "-1"), "--hybrid-weight '-1' is not valid."),
        (("--query-idf", "0.5,x"), "--query-idf 'x' is not valid."),
        (("--query-idf", "10.5"), "Expected numbers of at least 0 and at most 10, such as 0.25,0.5."),
        (("--documents", "top-k=3"), "--documents needs the vectors of the documents, but --index is given."),
        (("--bits", "3"), "--bits needs the vectors of the documents, but --index is given."),
        (("--input", "HOME/impacts"), "--input and --index exclude each other."),
        (
            ("--query-idf", "1", "--queries", "min-impact=9999", "--grid"),
            "Pruning queries by min-impact=9999 removes all entries.",
        ),
        (("--query-idf", "9", "--scale", "90000", "--force"), "may have been rounded"),
    ],
)
def test_invalid_options_are_an_error(home: Path, tmp_path: Path, options: tuple[str, ...], message: str) -> None:
    words = [option.replace("HOME", str(home)) for option in options]
    outcome = sweep(home, "index", tmp_path / "out", *words)
    assert outcome.code == 2
    assert message in outcome.err
    assert not (tmp_path / "out" / "sweep.csv").exists()


def test_neither_documents_nor_an_index_is_an_error(home: Path, tmp_path: Path) -> None:
    data = ("--topics", home / "topics.tsv", "--qrels", home / "qrels.txt")
    outcome = run_stage("sweep", *data, "--output", tmp_path / "out")
    assert (outcome.code, "Neither --input nor --index is given." in outcome.err) == (2, True)


def test_bm25_needs_texts_of_the_queries_and_the_same_documents(home: Path, tmp_path: Path) -> None:
    (home / "vectors.tsv").write_text("q0\tw1 w1 w2\n")
    hybrid = ("--hybrid", f"bm25:{home / 'bm25'}")
    outcome = sweep(home, "index", tmp_path / "out", *hybrid, "--pre-encoded", topics="vectors.tsv")
    assert (outcome.code, "are impact vectors, but --hybrid needs their texts" in outcome.err) == (2, True)
    write_encoded(tmp_path / "impacts", {"other": {"w1": 3}})
    data = ("--topics", home / "topics.tsv", "--qrels", home / "qrels.txt", "--encoder", home / "encoder", "--force")
    outcome = run_stage("sweep", "--input", tmp_path / "impacts", *data, *hybrid, "--output", tmp_path / "out")
    assert (outcome.code, "have no document in common" in outcome.err) == (2, True)
