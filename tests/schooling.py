"""A tiny model to train, something to train it on, and the card that says how."""

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from tests.cli_runner import Outcome, run_stage
from tests.tiny import tiny_checkpoint

DOCUMENTS = {
    "d0": ("headache", "A migraine is a headache; the doctor has a drug for the pain."),
    "d1": ("wing", "The wing of a supersonic plane: lift, drag and the flow of the boundary layer."),
    "d2": ("cat", "The cat and the dog, the bird and the fish, the horse on the tree."),
    "d3": ("index", "A sparse index ranks documents by the weight of a term."),
    "d4": ("virus", "A vaccine is no cure for a virus, fever or cold."),
    "d5": ("shock", "The shock wave heats the plate at high speed."),
    "d6": ("river", "A river, a mountain, a city and a road."),
    "d7": ("music", "Music, film and paper: the game of a school book."),
}
"""Titles and texts by id."""

QUERIES = {
    "q0": "what is a cure for pain in the head",
    "q1": "flow over a wing",
    "q2": "which animal: cat or dog",
    "q3": "searching by term weight",
    "q4": "fever and virus",
    "q5": "heat of a shock",
    "q6": "where is the river",
    "q7": "film music",
}
"""Query q<n> is answered by document d<n>."""

CARD = """
name = "tiny"
description = "A test."
license = "MIT"
source = "tiny"
pooling = "{pooling}"
max_length = 24
query_max_length = 12
scale = 50

[training]
backbone = "{backbone}"
query_side = "{query_side}"
losses = [{{ kind = "rank-ibn" }}]
max_length = 24
query_max_length = 12
batch_size = 4
learning_rate = 1e-3
warmup_steps = 2
steps = 6

[training.regularizer]
lambda_d = 1e-3
until = 4
"""


def school(directory: Path) -> Path:
    """Fill `directory` with a BEIR collection with splits train and dev, triples with scores, a backbone; return it."""
    lines = [{"_id": id_, "title": title, "text": text} for id_, (title, text) in DOCUMENTS.items()]
    _write(directory / "corpus.jsonl", lines)
    _write(directory / "queries.jsonl", [{"_id": id_, "text": text} for id_, text in QUERIES.items()])
    (directory / "qrels").mkdir()
    (directory / "cards").mkdir()
    for split in ("train", "dev"):
        pairs = "".join(f"q{number}\td{number}\t1\n" for number in range(8))
        (directory / "qrels" / f"{split}.tsv").write_text(f"query-id\tcorpus-id\tscore\n{pairs}")
    triples = [
        {
            "query_id": f"q{number}",
            "positive_id": f"d{number}",
            "negative_ids": [f"d{(number + step) % 8}" for step in (1, 3)],
            "scores": [9.0, 2.0 + number % 3, 1.0],
        }
        for number in range(8)
    ]
    _write(directory / "triples.jsonl", triples)
    tiny_checkpoint(directory / "backbone")
    return directory


def _write(path: Path, records: Sequence[Mapping[str, Any]]) -> None:
    path.write_text("".join(json.dumps(record) + "\n" for record in records), encoding="utf-8")


def card(directory: Path, name: str = "tiny", *, pooling: str = "max", query_side: str = "splade") -> Path:
    """Write the card of a run that takes a second; return its path."""
    path = directory / "cards" / f"{name}.toml"
    path.write_text(CARD.format(backbone=directory / "backbone", pooling=pooling, query_side=query_side))
    return path


def triples(directory: Path) -> list[object]:
    """Return the options that name the triples and their texts."""
    return [
        *("--data", directory / "triples.jsonl"),
        *("--corpus", directory / "corpus.jsonl"),
        *("--topics", directory / "queries.jsonl"),
    ]


def train(directory: Path, output: Path, *options: object, **chosen: str) -> Outcome:
    """Train on the triples with a card as `card` writes it."""
    described = card(directory, output.name, **chosen)
    return run_stage("train", "--card", described, *triples(directory), "--output", output, *options)
