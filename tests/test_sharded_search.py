"""Sharded = merged = single = brute force, over random collections and shardings."""

import random
import tempfile
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from ir_measures import ScoredDoc

from splade_anserini.artifacts.manifests import Counts, IndexManifest, write_manifest
from splade_anserini.index import index
from splade_anserini.lucene import (
    BruteForceSearcher,
    Feedback,
    ImpactSearcher,
    IndexOptions,
    PyseriniImpactSearcher,
    TwoStepSearcher,
)
from splade_anserini.merge import MergeOptions, merge
from splade_anserini.records import ImpactVector
from splade_anserini.retrieval.query_idf import idf, weighted_by_idf
from splade_anserini.vectors.pruning import prune_top_k
from tests.impact_fixtures import documents, write_documents

TOKENS = [f"t{number}" for number in range(6)]
IDS = st.text(st.sampled_from("abAB09é文-"), min_size=1, max_size=4)
VECTORS = st.dictionaries(st.sampled_from(TOKENS), st.integers(1, 3), min_size=1, max_size=4)
COLLECTIONS = st.dictionaries(IDS, VECTORS, min_size=1, max_size=40)
QUERY = st.dictionaries(st.sampled_from([*TOKENS, "absent"]), st.integers(1, 3), min_size=1, max_size=5)
QUERIES = st.lists(QUERY, min_size=1, max_size=4)
DEPTHS = (1, 10, 1000)
OPTIONS = IndexOptions(threads=1, store_docvectors=True)

type Vectors = Mapping[str, Mapping[str, int]]
type Rankings = list[tuple[str, list[ScoredDoc]]]


def build(home: Path, name: str, vectors: Vectors) -> Path:
    write_documents(home / f"{name}.jsonl", documents(vectors))
    index(home / f"{name}.jsonl", home / name, OPTIONS)
    return home / name


def build_empty(path: Path, other: Path) -> Path:
    """Write an index without documents, as a program that filters may leave one."""
    from splade_anserini.artifacts.manifests import read_manifest
    from splade_anserini.lucene.lucene_writer import open_writer

    from jnius import autoclass  # isort: skip

    path.mkdir()
    analyzer = autoclass("org.apache.lucene.analysis.core.WhitespaceAnalyzer")()
    with open_writer(path, OPTIONS, analyzer, "io.anserini.search.similarity.ImpactSimilarity"):
        pass
    manifest = read_manifest(other, IndexManifest)
    assert manifest is not None
    write_manifest(path, manifest.model_copy(update={"counts": Counts(), "source": None, "ids_with_spaces": 0}))
    return path


def joined(home: Path, vectors: Vectors, shards: Sequence[Sequence[str]]) -> dict[str, Path]:
    """Index the documents as a whole and in shards, some of which may be empty; merge these and leave them apart."""
    single = build(home, "single", vectors)
    parts = [
        build(home, f"part-{number}", {id_: vectors[id_] for id_ in ids})
        if ids
        else build_empty(home / f"part-{number}", single)
        for number, ids in enumerate(shards)
    ]
    merge(parts, home / "merged")
    merge(parts, home / "copied", MergeOptions(optimize=False))
    merge(parts, home / "sharded", MergeOptions(sharded=True))
    return {"single": single} | {name: home / name for name in ("merged", "copied", "sharded")}


def check_searches(indexes: Mapping[str, Path], vectors: Vectors, queries: Mapping[str, ImpactVector]) -> None:
    exact = BruteForceSearcher(documents(vectors))
    weighted = by_idf(vectors, queries)
    for name, path in indexes.items():
        assert weighted_by_idf(queries, path, 0.75) == weighted, name
        with ImpactSearcher(path) as searcher:
            two_step = TwoStepSearcher(searcher, terms=2, candidates=5)
            for hits in (*DEPTHS, len(vectors) + 5):
                for some in (queries, weighted):
                    assert list(searcher.search(some, hits)) == list(exact.search(some, hits)), (name, hits)
            for hits in (1, 5):
                assert list(two_step.search(queries, hits)) == in_two_steps(exact, queries, hits), (name, hits)
            ids = sorted(vectors)
            assert all(searcher.scores(query, ids) == exact.scores(query, ids) for query in queries.values()), name


def by_idf(vectors: Vectors, queries: Mapping[str, ImpactVector]) -> dict[str, ImpactVector]:
    frequency = {
        token: sum(token in vector for vector in vectors.values()) for query in queries.values() for token in query
    }
    products = {
        id_: {
            token: round(impact * idf(len(vectors), frequency[token]) ** 0.75)
            for token, impact in query.items()
            if frequency[token]
        }
        for id_, query in queries.items()
    }
    return {id_: {token: impact for token, impact in query.items() if impact} for id_, query in products.items()}


def in_two_steps(exact: BruteForceSearcher, queries: Mapping[str, ImpactVector], hits: int) -> Rankings:
    pruned = {id_: prune_top_k(query, 2) for id_, query in queries.items()}
    rankings = []
    for query_id, first in exact.search(pruned, max(5, hits)):
        ids = [hit.doc_id for hit in first]
        pairs = zip(exact.scores(queries[query_id], ids), ids, strict=True)
        best = sorted(pairs, key=lambda pair: (-pair[0], pair[1]))[:hits]
        rankings.append((query_id, [ScoredDoc(query_id, id_, score) for score, id_ in best]))
    return rankings


def check_feedback(indexes: Mapping[str, Path], queries: Mapping[str, ImpactVector]) -> None:
    for feedback in (Feedback(method="rm3", docs=3), Feedback(method="rocchio", docs=3)):
        runs = {}
        for name, path in indexes.items():
            with PyseriniImpactSearcher(path, 1, feedback) as searcher:
                runs[name] = list(searcher.search(queries, 10))
        assert all(run == runs["single"] for run in runs.values())


@st.composite
def shardings(draw: st.DrawFn) -> tuple[dict[str, dict[str, int]], list[list[str]]]:
    """Draw a collection, and its ids in one to five shards, in any order."""
    vectors = draw(COLLECTIONS)
    ids = draw(st.permutations(sorted(vectors)))
    count = draw(st.integers(1, 5))
    where = draw(st.lists(st.integers(0, count - 1), min_size=len(ids), max_size=len(ids)))
    shards = [[id_ for id_, number in zip(ids, where, strict=True) if number == shard] for shard in range(count)]
    return vectors, shards


def check(case: tuple[dict[str, dict[str, int]], list[list[str]]], queries: list[dict[str, int]]) -> None:
    vectors, shards = case
    named: dict[str, Any] = {f"q{number}": query for number, query in enumerate(queries)} | {"empty": {}}
    with tempfile.TemporaryDirectory() as name:
        indexes = joined(Path(name), vectors, shards)
        check_searches(indexes, vectors, named)


@pytest.mark.slow
@settings(max_examples=6, suppress_health_check=[HealthCheck.too_slow])
@given(shardings(), QUERIES)
def test_sharded_merged_and_single_indexes_and_brute_force_agree(case: Any, queries: list[dict[str, int]]) -> None:
    check(case, queries)


@pytest.mark.full
@settings(max_examples=300, suppress_health_check=[HealthCheck.too_slow])
@given(shardings(), QUERIES)
def test_they_agree_in_three_hundred_collections(case: Any, queries: list[dict[str, int]]) -> None:
    check(case, queries)


@pytest.mark.slow
@pytest.mark.parametrize("seed", [1, pytest.param(2, marks=pytest.mark.full), pytest.param(3, marks=pytest.mark.full)])
def test_feedback_expands_queries_by_documents_of_all_shards(tmp_path: Path, seed: int) -> None:
    chance = random.Random(seed)
    tokens = [f"t{number}" for number in range(30)]
    vectors = {
        f"d{number * 7919 % 1000}": {token: chance.randint(1, 4) for token in chance.sample(tokens, 5)}
        for number in range(200)
    }
    ids = list(vectors)
    chance.shuffle(ids)
    indexes = joined(tmp_path, vectors, [ids[:3], [], ids[3:150], ids[150:]])
    queries = {f"q{number}": {token: chance.randint(1, 4) for token in tokens[number::10]} for number in range(10)}
    check_searches(indexes, vectors, queries)
    check_feedback(indexes, queries)
