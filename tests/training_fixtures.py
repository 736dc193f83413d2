"""Tiny students, recipes, examples and teachers for tests of training; files and cards to train from."""

import json
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import torch

from splade_anserini.cards.finding import find_encoder_card
from splade_anserini.cards.training_recipe import TrainingRecipe
from splade_anserini.formats.examples import open_examples
from splade_anserini.formats.texts import open_texts
from splade_anserini.modeling.checkpoint import Checkpoint
from splade_anserini.modeling.query_sides import BagOfTokens, Pair
from splade_anserini.modeling.trainable import TrainableSplade
from splade_anserini.modeling.vocabulary import masked_entries
from splade_anserini.records import SPLADE_MAX, Aggregation, Example, QuerySide
from splade_anserini.train import train
from splade_anserini.training.batch import Collator, GroupTokenizer
from splade_anserini.training.batch_loader import SINGLE_DEVICE, BatchLoader, DevicePart
from splade_anserini.training.batch_plan import BatchPlan
from splade_anserini.training.options import TeacherOptions, TrainingOptions
from splade_anserini.training.student import Student
from splade_anserini.training.teachers.dense import DenseTeacher
from splade_anserini.training.teachers.sentence_pooling import SentencePooling
from tests.cli_runner import Outcome, run_stage
from tests.tiny import WORDS, tiny_bert, tiny_checkpoint, tiny_distilbert, tiny_tokenizer, tiny_vocabulary

QUERY_SIDES: list[QuerySide] = ["splade", "doc", "idf", "separate"]

_WORDS = WORDS.split()


class ExampleList(list[Example]):
    """Examples in memory."""

    name = "examples in memory"


def examples(count: int, *, negatives: int | None = 2, scores: bool = False, start: int = 0) -> ExampleList:
    """Return examples of a few words and different lengths; with `negatives` None they have from none to three."""
    result = ExampleList()
    for index in range(start, start + count):
        words = [_WORDS[(7 * index + 3 * step) % len(_WORDS)] for step in range(8)]
        negative_count = index % 4 if negatives is None else negatives
        negative_texts = []
        for column in range(negative_count):
            first = (5 * index + column) % 60
            negative_texts.append(" ".join([words[6], *_WORDS[first : first + 1 + column]]))
        values = tuple(float((index * 5 + column * 3) % 11) for column in range(negative_count + 1))
        result.append(
            Example(words[0], " ".join(words[: 2 + index % 5]), tuple(negative_texts), values if scores else None)
        )
    return result


def recipe(**changes: Any) -> TrainingRecipe:
    """Return a recipe with the paper's loss and regularizer for a few steps."""
    values: dict[str, Any] = {
        "backbone": "tiny",
        "losses": [{"kind": "rank-ibn"}],
        "regularizer": {"kind": "flops", "lambda_q": 0.03, "lambda_d": 0.02, "until": 4},
        "batch_size": 4,
        "learning_rate": 1e-3,
        "negatives": 2,
        "steps": 6,
        "max_length": 12,
        "query_max_length": 6,
    }
    if changes.get("query_side") in {"doc", "idf"}:
        values["regularizer"]["lambda_q"] = 0.0
    return TrainingRecipe.model_validate(values | changes)


def checkpoint(*, seed: int = 0, distilbert: bool = False, dropout: float = 0.0) -> Checkpoint:
    model = (tiny_distilbert if distilbert else tiny_bert)(seed=seed)
    for module in model.modules():
        if isinstance(module, torch.nn.Dropout):
            module.p = dropout
    return Checkpoint(model, tiny_tokenizer(token_types=not distilbert), "tiny")


def student(
    query_side: QuerySide = "splade", *, dropout: float = 0.0, aggregation: Aggregation = SPLADE_MAX
) -> Student:
    documents = checkpoint(dropout=dropout)
    module = TrainableSplade(documents, aggregation)
    if query_side == "splade":
        return Student(Pair(module), documents, None)
    if query_side == "separate":
        queries = checkpoint(seed=1, dropout=dropout)
        return Student(Pair(module, TrainableSplade(queries, aggregation)), documents, queries)
    size = documents.vocabulary_size
    masked = masked_entries(documents.tokenizer, size)
    return Student(Pair(module, BagOfTokens(torch.ones(size), masked, learned=query_side == "idf")), documents, None)


def collator(chosen: TrainingRecipe, *, budget: int = 4096, each_text_once: bool = False) -> Collator:
    tokenizer = tiny_tokenizer()
    return Collator(
        GroupTokenizer(tokenizer, chosen.query_max_length, budget),
        GroupTokenizer(tokenizer, chosen.max_length, budget),
        negatives=chosen.negatives,
        seed=chosen.seed,
        each_text_once=each_text_once,
    )


def batch_loader(
    chosen: TrainingRecipe, sources: Sequence[ExampleList], part: DevicePart = SINGLE_DEVICE, *, budget: int = 4096
) -> BatchLoader:
    plan = BatchPlan(
        [len(source) for source in sources],
        chosen.batch_size * part.devices,
        batches=chosen.steps * chosen.accumulation,
        seed=chosen.seed,
    )
    return BatchLoader(sources, plan, collator(chosen, budget=budget), part)


# Teachers.


class RecordingTeacher(DenseTeacher):
    """A sentence encoder that records the texts that it embeds."""

    def __init__(self, pooling: SentencePooling | None = None) -> None:
        model = Checkpoint(tiny_bert(seed=2).bert, tiny_tokenizer(), "tiny")
        super().__init__(model, pooling or SentencePooling(), TeacherOptions(device="cpu"))
        self.embedded: list[str] = []

    def embed(self, texts: Sequence[str], max_length: int, *, bf16: bool = False) -> torch.Tensor:
        self.embedded += texts
        return super().embed(texts, max_length, bf16=bf16)


def tiny_cross_encoder(outputs: int, *, layers: int = 2, seed: int = 0) -> Any:
    """Return a BertForSequenceClassification with random weights, large enough that scores differ."""
    from transformers import BertConfig, BertForSequenceClassification

    torch.manual_seed(seed)
    config = BertConfig(
        vocab_size=len(tiny_vocabulary()),
        hidden_size=32,
        num_hidden_layers=layers,
        num_attention_heads=2,
        intermediate_size=64,
        num_labels=outputs,
        initializer_range=0.3,
    )
    return BertForSequenceClassification(config).eval()


def save_teacher(
    directory: Path, model: Any, pooling: Mapping[str, Any] | None = None, modules: Sequence[str] = ()
) -> str:
    """Save a model with the files that sentence-transformers puts beside it; return the directory's name."""
    model.save_pretrained(directory)
    tiny_tokenizer(token_types="Distil" not in type(model).__name__).save_pretrained(directory)
    if pooling is not None:
        (directory / "1_Pooling").mkdir()
        (directory / "1_Pooling" / "config.json").write_text(json.dumps(pooling))
    if modules:
        types = [{"idx": index, "type": f"sentence_transformers.models.{name}"} for index, name in enumerate(modules)]
        (directory / "modules.json").write_text(json.dumps(types))
    return str(directory)


# Files to train from.

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
"""Document d<n> is relevant to query q<n>."""

CARD = """
name = "tiny"
description = "A test."
license = "MIT"
source = "tiny"
pooling = "{pooling}"
activation = "{activation}"
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


def write_training_data(directory: Path) -> Path:
    """Fill `directory` with a BEIR collection with splits train and dev, scored triples and a backbone; return it."""
    documents = [{"_id": id_, "title": title, "text": text} for id_, (title, text) in DOCUMENTS.items()]
    _write_json_lines(directory / "corpus.jsonl", documents)
    _write_json_lines(directory / "queries.jsonl", [{"_id": id_, "text": text} for id_, text in QUERIES.items()])
    (directory / "qrels").mkdir()
    (directory / "cards").mkdir()
    for split in ("train", "dev"):
        pairs = "".join(f"q{index}\td{index}\t1\n" for index in range(8))
        (directory / "qrels" / f"{split}.tsv").write_text(f"query-id\tcorpus-id\tscore\n{pairs}")
    triples = [
        {
            "query_id": f"q{index}",
            "positive_id": f"d{index}",
            "negative_ids": [f"d{(index + step) % 8}" for step in (1, 3)],
            "scores": [9.0, 2.0 + index % 3, 1.0],
        }
        for index in range(8)
    ]
    _write_json_lines(directory / "triples.jsonl", triples)
    tiny_checkpoint(directory / "backbone")
    return directory


def _write_json_lines(path: Path, records: Sequence[Mapping[str, Any]]) -> None:
    path.write_text("".join(json.dumps(record) + "\n" for record in records), encoding="utf-8")


def write_card(
    directory: Path,
    name: str = "tiny",
    *,
    pooling: str = "max",
    activation: str = "relu",
    query_side: str = "splade",
) -> Path:
    """Write the card of a run of six steps; return its path."""
    path = directory / "cards" / f"{name}.toml"
    values = {"pooling": pooling, "activation": activation, "query_side": query_side}
    path.write_text(CARD.format(backbone=directory / "backbone", **values))
    return path


def data_options(directory: Path) -> list[object]:
    """Return the options that name the triples and the texts of their ids."""
    return [
        *("--data", directory / "triples.jsonl"),
        *("--corpus", directory / "corpus.jsonl"),
        *("--topics", directory / "queries.jsonl"),
    ]


def run_train(directory: Path, output: Path, *options: object, **card: str) -> Outcome:
    """Train on the triples with a card that `write_card` writes."""
    path = write_card(directory, output.name, **card)
    return run_stage("train", "--card", path, *data_options(directory), "--output", output, *options)


def changes(*lines: str) -> list[str]:
    return [argument for line in lines for argument in ("--set", line)]


def read_log(directory: Path) -> list[dict[str, float]]:
    return [json.loads(line) for line in (directory / "log.jsonl").read_text().splitlines()]


def call_after(step: int, callback: Callable[[], Any]) -> Callable[[int], None]:
    """Return a progress callback that calls `callback` after a step."""
    steps_done = 0

    def progress(count: int) -> None:
        nonlocal steps_done
        steps_done += count
        if steps_done == step:
            callback()

    return progress


def train_with(home: Path, output: Path, progress: Callable[[int], Any], *lines: str) -> None:
    """Train as `run_train` does, with a checkpoint every 2 steps and a progress callback; `lines` change the card."""
    card = find_encoder_card(str(write_card(home, output.name)), lines)
    texts = open_texts(str(home / "corpus.jsonl"), str(home / "queries.jsonl"))
    options = TrainingOptions(checkpoint_every=2, log_every=1)
    train(card, [open_examples(str(home / "triples.jsonl"), texts)], output, options, progress=progress)
