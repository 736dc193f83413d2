"""Tie-breaking: descending scores, equal ones by ascending document id, in one place for all that ranks."""

import ast
import random
from pathlib import Path

import pytest

import splade_anserini
from splade_anserini.ordering import best, rank_key
from splade_anserini.rescore import rescore
from splade_anserini.retrieval.fusion import best_documents

HITS = [("b", 1.0), ("a", 1.0), ("B", 1.0), ("c", 2.0), ("á", 1.0), ("d", 0.5)]
RANKED = ["c", "B", "a", "b", "á", "d"]
"""By code point: capitals before small letters, accents last."""


@pytest.mark.parametrize("count", [None, 0, 1, 3, 6, 9])
def test_the_best_hits_come_first_and_ties_are_in_the_order_of_ids(count: int | None) -> None:
    for seed in range(5):
        shuffled = random.Random(seed).sample(HITS, len(HITS))
        assert [doc_id for doc_id, _ in best(shuffled, count)] == RANKED[: len(HITS) if count is None else count]


def test_the_key_sorts_as_best_does() -> None:
    assert [doc_id for doc_id, _ in sorted(HITS, key=lambda hit: rank_key(hit[1], hit[0]))] == RANKED


def test_fusion_and_rescoring_break_ties_alike() -> None:
    class Scores:
        def scores(self, query: object, ids: list[str]) -> list[float]:  # noqa: ARG002  # a Scorer
            return [dict(HITS)[id_] for id_ in ids]

    ((_, rescored),) = rescore([("q", [doc_id for doc_id, _ in HITS])], {"q": {}}, Scores())
    assert [hit.doc_id for hit in rescored] == RANKED
    assert [hit.doc_id for hit in best_documents("q", dict(HITS), 9)] == RANKED


def test_no_other_module_sorts_by_negated_scores() -> None:
    package = Path(splade_anserini.__file__).parent
    for path in package.rglob("*.py"):
        if path.name == "ordering.py":
            continue
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if isinstance(node, ast.Tuple) and len(node.elts) == 2 and isinstance(node.elts[0], ast.UnaryOp):
                negated = ast.unparse(node.elts[0])
                assert "score" not in negated, f"{path}:{node.lineno} sorts by {ast.unparse(node)}"
