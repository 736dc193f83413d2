"""The recipe of splade-mini-v2: what it makes of splade-mini, and of the collections."""

import importlib.util
import json
import random
import subprocess
import sys
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np
import pytest

from splade_anserini.cards.finding import find_encoder_card
from splade_anserini.cards.shipped import encoders_home
from splade_anserini.encoding import open_encoder

ROOT = Path(__file__).parents[1]
TEXTS = [
    "how long do cats sleep",
    "A supersonic wing meets a shock wave long before the pilot hears it.",
    "Glaucoma is a group of diseases that can damage the eye's optic nerve and result in vision loss and blindness.",
    "def read_lines(path): return open(path).read().splitlines()",
]


def recipe(name: str) -> Any:
    if not (path := ROOT / "recipes" / f"{name}.py").is_file():
        pytest.skip("the recipes are in the repository, and not beside these tests")
    spec = importlib.util.spec_from_file_location(name, path)
    assert spec is not None
    assert spec.loader is not None
    module: ModuleType = importlib.util.module_from_spec(spec)
    sys.modules[name] = module
    spec.loader.exec_module(module)
    return module


@pytest.mark.slow
def test_training_starts_from_the_weights_of_splade_mini(tmp_path: Path) -> None:
    script = ROOT / "recipes" / "unpack_splade_mini.py"
    checkpoint = tmp_path / "checkpoint"
    arguments = [encoders_home() / "splade-mini", "--output", checkpoint]
    subprocess.run([sys.executable, script, *arguments], check=True, capture_output=True)
    graph, module = (open_encoder(str(name)).encode(TEXTS) for name in ("splade-mini", checkpoint))
    for expected, got in zip(graph, module, strict=True):
        product = sum(weight * got.get(token, 0.0) for token, weight in expected.items())
        # Only the activations are rounded in one and not in the other; weights of another model give less than 0.5.
        assert product / (np.linalg.norm([*expected.values()]) * np.linalg.norm([*got.values()])) > 0.95


def test_some_queries_are_drawn_with_their_passages() -> None:
    made = recipe("splade_mini_v2")
    whole = made.Set("qamr")
    for number in range(4000):
        passage = whole.add_passage(f"passage {number}")
        whole.add_query(f"query {number}", passage)
    drawn = made.drawn(whole, random.Random(1))
    assert len(drawn.queries) == made.QUERIES["qamr"]
    assert drawn.queries.items() <= whole.queries.items()
    assert set(drawn.passages) == set(drawn.relevant.values())
    assert all(drawn.passages[drawn.relevant[query]][7:] == text[5:] for query, text in drawn.queries.items())
    assert drawn == made.drawn(whole, random.Random(1))


def test_health_is_less_than_a_quarter_of_the_queries() -> None:
    queries = recipe("splade_mini_v2").QUERIES
    health = sum(count for name, count in queries.items() if name.startswith("medquad"))
    assert health < sum(queries.values()) / 4


def write_collection(home: Path, texts: list[str]) -> None:
    """Write a BEIR directory, each of whose documents has two questions."""
    (home / "qrels").mkdir(parents=True)
    documents = ({"_id": f"s{n}", "title": "", "text": text} for n, text in enumerate(texts))
    (home / "corpus.jsonl").write_text("".join(json.dumps(document) + "\n" for document in documents))
    queries = [(f"q{n}{letter}", n) for n in range(len(texts)) for letter in "ab"]
    lines = (json.dumps({"_id": id_, "text": f"what is question {id_} about?"}) for id_, _ in queries)
    (home / "queries.jsonl").write_text("\n".join(lines))
    for split, rows in (("dev", queries[::2]), ("test", queries[1::2])):
        judged = "".join(f"{id_}\ts{n}\t1\n" for id_, n in rows)
        (home / "qrels" / f"{split}.tsv").write_text("query-id\tcorpus-id\tscore\n" + judged)


def test_passages_join_sentences_and_questions_unless_they_are_plain(tmp_path: Path) -> None:
    made = recipe("splade_mini_v2")
    texts = [f"This is sentence number {n} of an article." for n in range(60)]
    write_collection(tmp_path / "squad-sentences-nqg", texts)
    joined = made.squad(tmp_path, made.Shape(), random.Random(1))
    assert all(3 <= text.count("sentence number") <= 6 for text in [*joined.passages.values()][:-1])
    assert any(query.count("question") > 1 for query in joined.queries.values())
    plain = made.squad(tmp_path, made.PLAIN, random.Random(1))
    assert [*plain.passages.values()] == texts
    assert all(query.count("question") == 1 for query in plain.queries.values())
    assert len(joined.queries) == len(plain.queries) == 120


def test_ablations_undo_changes_of_the_card() -> None:
    recipe("splade_mini_v2")  # which the other one imports
    ablations = recipe("ablations")
    card = find_encoder_card(str(ablations.CARD))
    for changes in ablations.WITHOUT.values():
        assert find_encoder_card(str(ablations.CARD), changes).training != card.training
