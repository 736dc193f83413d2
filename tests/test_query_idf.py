"""Query impacts times a power of the idf that their tokens have in the index."""

import json
import math
import random
from collections import Counter
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from ir_measures import ScoredDoc

from splade_anserini import ImpactIndex
from splade_anserini.artifacts.manifests import MANIFEST
from splade_anserini.errors import InputError
from splade_anserini.formats.impacts import ImpactWriter
from splade_anserini.formats.runs import read_rankings
from splade_anserini.lucene import FastLuceneImpactSearcher, Feedback, PyseriniImpactSearcher
from splade_anserini.lucene.frequencies import CollectionFrequencies, document_frequencies
from splade_anserini.lucene.query_weights import LARGEST_SCORE
from splade_anserini.records import ImpactDocument
from splade_anserini.retrieval.query_idf import weighted, with_exact_scores
from splade_anserini.retrieval.query_vectors import QuerySet
from splade_anserini.vectors.idf import idf
from tests.cli_runner import Outcome, run_stage

TOKENS = [f"t{n}" for n in range(12)]
ALPHA = 0.75

impacts = st.dictionaries(st.sampled_from(TOKENS), st.integers(1, 500))


def draw_vectors(count: int, prefix: str, seed: int, most: int) -> dict[str, dict[str, int]]:
    """Draw vectors in which the first tokens are frequent."""
    chance = random.Random(seed)
    return {
        f"{prefix}{n}": {
            token: chance.randint(1, most) for i, token in enumerate(TOKENS) if chance.random() < 1 / (i + 1)
        }
        for n in range(count)
    }


DOCUMENTS = draw_vectors(200, "d", 1, 4)
QUERIES = {id_: vector | {"absent": 9} for id_, vector in draw_vectors(20, "q", 2, 300).items() if vector}


def expected_queries(documents: Mapping[str, Mapping[str, int]], alpha: float) -> dict[str, dict[str, int]]:
    """Compute the weights of the queries in plain Python."""
    frequencies = Counter(token for vector in documents.values() for token in vector)
    n = len(documents)
    return {
        id_: {
            token: rounded
            for token, impact in vector.items()
            if (f := frequencies[token])
            and (rounded := round(impact * math.log(1 + (n - f + 0.5) / (f + 0.5)) ** alpha))
        }
        for id_, vector in QUERIES.items()
    }


def expected_scores(alpha: float) -> dict[str, dict[str, int]]:
    """Compute the scores of all documents that a query finds in plain Python."""
    queries = expected_queries(DOCUMENTS, alpha)
    scores = {
        query_id: {
            doc_id: sum(impact * vector.get(token, 0) for token, impact in query.items())
            for doc_id, vector in DOCUMENTS.items()
        }
        for query_id, query in queries.items()
    }
    return {id_: {doc_id: score for doc_id, score in found.items() if score} for id_, found in scores.items()}


class TestWeights:
    def test_idf_is_that_of_lucenes_bm25(self) -> None:
        assert idf(100, 100) == pytest.approx(math.log(1 + 0.5 / 100.5))
        assert idf(100, 1) > idf(100, 2) > idf(100, 50) > idf(100, 100) > 0

    @given(impacts, st.dictionaries(st.sampled_from(TOKENS), st.integers(0, 50)), st.floats(0, 3))
    def test_a_weight_is_the_rounded_product(
        self, vector: dict[str, int], counts: dict[str, int], alpha: float
    ) -> None:
        frequencies = CollectionFrequencies(50, dict.fromkeys(TOKENS, 0) | counts)
        products = {
            token: round(impact * math.log(1 + (50.5 - counts[token]) / (counts[token] + 0.5)) ** alpha)
            for token, impact in vector.items()
            if counts.get(token)
        }
        assert weighted(vector, frequencies, alpha) == {token: impact for token, impact in products.items() if impact}

    def test_an_alpha_of_0_leaves_queries_as_they_are(self, tmp_path: Path) -> None:
        queries = QuerySet("topics", vectors=QUERIES)
        queries.multiply_by_idf(tmp_path / "no index", 0.0)
        assert queries.vectors() == QUERIES

    def test_scores_that_float32_rounds_are_refused(self) -> None:
        below, above = ([("q", [ScoredDoc("q", "d", float(score))])] for score in (LARGEST_SCORE - 1, LARGEST_SCORE))
        assert list(with_exact_scores(below)) == below
        with pytest.raises(InputError, match="Query 'q' has a score of 16,777,216"):
            list(with_exact_scores(above))


@pytest.fixture(scope="module")
def home(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """An index of several segments, with topics."""
    directory = tmp_path_factory.mktemp("idf")
    for part in range(2):
        with ImpactWriter(directory / "impacts" / f"{part}.jsonl") as writer:
            for id_, vector in list(DOCUMENTS.items())[part::2]:
                writer.write(ImpactDocument(id_, vector))
    lines = (json.dumps({"id": id_, "vector": vector}) for id_, vector in QUERIES.items())
    (directory / "topics.jsonl").write_text("\n".join(lines))
    outcome = run_stage("index", "--input", directory / "impacts", "--index", directory / "index", "--store-docvectors")
    assert outcome.code == 0, outcome.err
    return directory


def search(home: Path, output: Path, *options: object) -> Outcome:
    return run_stage(
        "search", "--index", home / "index", "--topics", home / "topics.jsonl", "--output", output, *options
    )


def scores_of(run: Path) -> dict[str, dict[str, int]]:
    return {id_: {doc.doc_id: round(doc.score) for doc in ranking} for id_, ranking in read_rankings(run)}


@pytest.mark.slow
class TestSearch:
    def test_frequencies_are_those_of_the_documents(self, home: Path) -> None:
        frequencies = Counter(token for vector in DOCUMENTS.values() for token in vector)
        expected = {token: frequencies[token] for token in [*TOKENS, "absent"]}
        indexed = sum(1 for vector in DOCUMENTS.values() if vector)
        assert document_frequencies(home / "index", expected) == (indexed, expected)

    def test_deleted_documents_do_not_count(self, home: Path, tmp_path: Path) -> None:
        import shutil

        from jnius import autoclass

        # The counts of the manifest would not be those of an index with deleted documents.
        shutil.copytree(home / "index", tmp_path / "index", ignore=shutil.ignore_patterns(MANIFEST))
        directory: Any = autoclass("org.apache.lucene.store.FSDirectory")
        writer_class, config, term = (
            autoclass(f"org.apache.lucene.{name}")
            for name in ("index.IndexWriter", "index.IndexWriterConfig", "index.Term")
        )
        query = autoclass("org.apache.lucene.search.TermQuery")
        path = autoclass("java.nio.file.Paths").get(str(tmp_path / "index"))
        configuration = config()
        configuration.setMergePolicy(autoclass("org.apache.lucene.index.NoMergePolicy").INSTANCE)
        writer = writer_class(directory.open(path), configuration)
        for id_ in ("d0", "d7"):
            writer.deleteDocuments(query(term("id", id_)))
        writer.close()
        left = {id_: vector for id_, vector in DOCUMENTS.items() if id_ not in ("d0", "d7") and vector}
        frequencies = Counter(token for vector in left.values() for token in vector)
        expected = {token: frequencies[token] for token in TOKENS}
        assert document_frequencies(tmp_path / "index", TOKENS) == (len(left), expected)

    @pytest.mark.parametrize("options", [[], ["--searcher", "pyserini"]])
    def test_scores_are_those_of_a_computation_in_plain_python(
        self, home: Path, tmp_path: Path, options: list[object]
    ) -> None:
        assert all(DOCUMENTS.values()), "documents without tokens would not count"
        outcome = search(home, tmp_path / "run", "--query-idf", ALPHA, *options)
        assert outcome.code == 0, outcome.err
        assert scores_of(tmp_path / "run") == {id_: found for id_, found in expected_scores(ALPHA).items() if found}

    def test_an_alpha_of_0_gives_the_run_without_the_option(self, home: Path, tmp_path: Path) -> None:
        assert search(home, tmp_path / "with", "--query-idf", 0).code == 0
        assert search(home, tmp_path / "without").code == 0
        assert (tmp_path / "with").read_bytes() == (tmp_path / "without").read_bytes()
        assert search(home, tmp_path / "alpha", "--query-idf", 1).code == 0
        assert (tmp_path / "alpha").read_bytes() != (tmp_path / "without").read_bytes()

    def test_another_alpha_is_another_run(self, home: Path, tmp_path: Path) -> None:
        assert search(home, tmp_path / "run", "--query-idf", ALPHA).code == 0
        again = search(home, tmp_path / "run", "--query-idf", ALPHA)
        assert "up to date" in again.out
        other = search(home, tmp_path / "run", "--query-idf", 1)
        assert (other.code, "query idf was 0.75, is 1" in other.err) == (2, True)

    def test_two_step_search_and_rescoring_use_it(self, home: Path, tmp_path: Path) -> None:
        options = ["--query-idf", ALPHA]
        assert search(home, tmp_path / "exact", *options).code == 0
        two_step = ["--two-step", 12, "--candidates", 1000]
        assert search(home, tmp_path / "two", *options, *two_step).code == 0
        assert (tmp_path / "two").read_bytes() == (tmp_path / "exact").read_bytes()
        topics = ["--topics", home / "topics.jsonl", "--run", tmp_path / "exact"]
        rescored = run_stage("rescore", "--index", home / "index", *topics, "--output", tmp_path / "rescored", *options)
        assert rescored.code == 0, rescored.err
        assert scores_of(tmp_path / "rescored") == scores_of(tmp_path / "exact")

    def test_a_possible_rounding_ends_the_search_without_a_run(self, home: Path, tmp_path: Path) -> None:
        (tmp_path / "topics.jsonl").write_text(json.dumps({"id": "q", "vector": {"t11": 1_000_000, "t10": 1_000_000}}))
        topics = ["--topics", tmp_path / "topics.jsonl", "--output", tmp_path / "run"]
        outcome = run_stage("search", "--index", home / "index", *topics, "--query-idf", 4)
        assert (outcome.code, "may have been rounded" in outcome.err) == (2, True)
        assert not (tmp_path / "run").exists()


class QueriesByName:
    """A query encoder whose texts are ids of queries."""

    def encode(self, text: str) -> Mapping[str, int]:
        return QUERIES[text]


@pytest.mark.slow
class TestOtherSearchers:
    """All of them give the hits of `search --query-idf`."""

    @pytest.fixture(scope="class")
    @staticmethod
    def expected(home: Path) -> dict[str, list[tuple[str, int]]]:
        run = home / "expected.txt"
        outcome = search(home, run, "--query-idf", ALPHA, "--hits", 30)
        assert outcome.code == 0, outcome.err
        return {id_: [(doc.doc_id, round(doc.score)) for doc in ranking] for id_, ranking in read_rankings(run)}

    def test_an_impact_index(self, home: Path, expected: dict[str, list[tuple[str, int]]]) -> None:
        with ImpactIndex.open(home / "index", query_idf=ALPHA) as index:
            found = dict(zip(QUERIES, index.search_vectors(QUERIES.values(), 30), strict=True))
            assert {id_: [(hit.id, hit.score) for hit in hits] for id_, hits in found.items() if hits} == expected
            assert {id_: index.weighted(query) for id_, query in QUERIES.items()} == expected_queries(DOCUMENTS, ALPHA)
        with ImpactIndex.open(home / "index", query_idf=0) as index:
            assert {id_: index.weighted(query) for id_, query in QUERIES.items()} == QUERIES

    def test_pyserinis_searcher_reimplemented(self, home: Path, expected: dict[str, list[tuple[str, int]]]) -> None:
        with FastLuceneImpactSearcher(home / "index", QueriesByName(), -1, query_idf=ALPHA) as searcher:
            single = {id_: [(hit.docid, hit.score) for hit in searcher.search(id_, 30)] for id_ in QUERIES}
            batch = searcher.batch_search(list(QUERIES), list(QUERIES), 30, threads=2)
            assert {id_: ranking for id_, ranking in single.items() if ranking} == expected
            assert {id_: [(hit.docid, hit.score) for hit in hits] for id_, hits in batch.items()} == single
            assert searcher.encode("q0") == QUERIES["q0"]
        with FastLuceneImpactSearcher(home / "index", QueriesByName(), -1) as searcher:
            assert searcher.query_idf == 0
            assert [(hit.docid, hit.score) for hit in searcher.search("q0", 30)] != single["q0"]

    @pytest.mark.parametrize("method", ["rm3", "rocchio"])
    def test_feedback(self, home: Path, tmp_path: Path, method: Any) -> None:
        feedback = Feedback(method=method)
        with PyseriniImpactSearcher(home / "index", 1, feedback) as searcher:
            plain = dict(searcher.search(expected_queries(DOCUMENTS, ALPHA), 30))
        outcome = search(home, tmp_path / "run", "--query-idf", ALPHA, "--hits", 30, "--feedback", method)
        assert outcome.code == 0, outcome.err
        of_search = {id_: [doc.doc_id for doc in ranking] for id_, ranking in read_rankings(tmp_path / "run")}
        assert of_search == {id_: [doc.doc_id for doc in ranking] for id_, ranking in plain.items() if ranking}
        with FastLuceneImpactSearcher(home / "index", QueriesByName(), -1, query_idf=ALPHA) as fast:
            if method == "rm3":
                fast.set_rm3(filter_terms=False)
            else:
                fast.set_rocchio()
            assert {id_: [hit.docid for hit in fast.search(id_, 30)] for id_ in of_search} == of_search

    def test_pyterrier(self, home: Path, expected: dict[str, list[tuple[str, int]]]) -> None:
        pytest.importorskip("pyterrier", reason="needs the extra `pyterrier`")
        import pandas as pd

        from splade_anserini.pyterrier import ImpactReranker, ImpactRetriever

        topics = pd.DataFrame({"qid": list(QUERIES), "query_toks": list(QUERIES.values())})
        frame = ImpactRetriever(home / "index", num_results=30, query_idf=ALPHA)(topics)
        # Scores that are equal are lowered, by less than 1.
        rows = list(zip(frame["qid"], frame["docno"], frame["score"], strict=True))
        assert {
            id_: [(docno, round(score)) for qid, docno, score in rows if qid == id_] for id_ in expected
        } == expected
        reranked = ImpactReranker(home / "index", query_idf=ALPHA)(frame.drop(columns=["score", "rank"]))
        assert [*reranked["score"]] == [*frame["score"]]
        assert [*reranked["docno"]] == [*frame["docno"]]
        with ImpactIndex.open(home / "index") as index, pytest.raises(InputError, match="has its power of idf"):
            ImpactRetriever(index, query_idf=ALPHA)

    @pytest.mark.parametrize("power", [-1, 11, math.nan])
    def test_a_power_out_of_range_is_an_error(self, home: Path, power: float) -> None:
        for opened in (ImpactIndex.open, lambda path, **p: FastLuceneImpactSearcher(path, QueriesByName(), **p)):
            with pytest.raises(InputError, match="Expected a number from 0 to 10"):
                opened(home / "index", query_idf=power)

    def test_a_possible_rounding_is_an_error(self, home: Path) -> None:
        query = {"t11": 1_000_000, "t10": 1_000_000}
        with (
            ImpactIndex.open(home / "index", query_idf=4) as index,
            pytest.raises(InputError, match="may have been rounded"),
        ):
            list(index.search_vectors([query]))

    def test_queries_that_stay_in_java_cannot_be_multiplied(self, home: Path) -> None:
        with pytest.raises(InputError, match="query_idf cannot be used with the encoder type onnx"):
            FastLuceneImpactSearcher(home / "index", "SpladeV3", encoder_type="onnx", query_idf=1)
