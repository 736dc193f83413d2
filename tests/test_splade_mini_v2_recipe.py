"""The recipe of splade-mini-v2: what it makes of splade-mini, and of the collections."""

import argparse
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
import torch
from safetensors.torch import load_file

from splade_anserini.artifacts.manifests import CheckpointManifest, read_manifest, write_manifest
from splade_anserini.artifacts.truncation import TextTruncation
from splade_anserini.cards.finding import find_encoder_card
from splade_anserini.cards.shipped import encoders_home
from splade_anserini.encoding import open_encoder
from tests.tiny import tiny_checkpoint

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


def test_all_passages_of_a_question_are_relevant(tmp_path: Path) -> None:
    made = recipe("splade_mini_v2")
    questions = made.Set("medquad")
    passages = [questions.add_passage(f"passage {number}") for number in range(4)]
    for text, passage in (("same", 0), ("same", 1), ("other", 2)):
        questions.add_query(text, passages[passage])
    path = tmp_path / "medquad.jsonl"
    made.write_examples(questions, [dict.fromkeys(questions.queries, passages)] * 2, path)
    negatives = [json.loads(line)["negative_ids"] for line in path.read_text().splitlines()]
    assert negatives == [passages[2:], passages[2:], [passages[0], passages[1], passages[3]]]


def test_data_that_were_made_otherwise_are_not_gone_on_with(tmp_path: Path) -> None:
    made = recipe("splade_mini_v2")
    settings = argparse.Namespace(data=tmp_path, output=tmp_path / "out", all=False, plain=False)
    assert made.other_settings(settings) == ""
    assert made.other_settings(settings) == ""
    settings.plain = True
    assert made.other_settings(settings) == "plain was False, is True"


@pytest.mark.slow
def test_the_mean_keeps_how_queries_are_weighted(tmp_path: Path) -> None:
    first, second = (tiny_checkpoint(tmp_path / name, seed=seed) for name, seed in (("first", 1), ("second", 2)))
    manifest = CheckpointManifest(
        pooling="max",
        query_side="splade",
        max_length=30,
        query_max_length=20,
        query_idf=0.75,
        steps=3,
        recipe={},
        truncation=TextTruncation(),
    )
    write_manifest(second, manifest)
    script = ROOT / "recipes" / "mean_of_checkpoints.py"
    arguments = [first, second, "--output", tmp_path / "mean"]
    subprocess.run([sys.executable, script, *arguments], check=True, capture_output=True)
    assert read_manifest(tmp_path / "mean", CheckpointManifest) == manifest.model_copy(update={"truncation": None})
    weights = [load_file(path / "model.safetensors") for path in (first, second, tmp_path / "mean")]
    for name, values in weights[2].items():
        torch.testing.assert_close(values, (weights[0][name] + weights[1][name]) / 2)


def test_ablations_undo_changes_of_the_card() -> None:
    recipe("splade_mini_v2")  # which the other one imports
    ablations = recipe("ablations")
    card = find_encoder_card(str(ablations.CARD))
    for changes in ablations.WITHOUT.values():
        assert find_encoder_card(str(ablations.CARD), changes).training != card.training
