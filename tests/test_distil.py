"""The paper's two steps, as docs/training.md tells people to type them: tiny models, a slice of Cranfield."""

import json
import re
import shlex
from collections.abc import Sequence
from pathlib import Path

import pytest

from splade_anserini.artifacts.manifests import CheckpointManifest, read_manifest
from splade_anserini.cards.finding import find_encoder_card
from splade_anserini.cards.shipped import cranfield
from splade_anserini.formats.corpora import open_corpus
from splade_anserini.formats.qrels import read_qrels
from splade_anserini.formats.topics import read_topics
from tests.cli_runner import run_stage
from tests.tiny import tiny_checkpoint, tiny_tokenizer, tiny_vocabulary

PAGE = Path(__file__).parent.parent / "docs" / "training.md"

DOCUMENTS, QUERIES = 80, 40

SMALLER = [
    ("training.backbone", '"backbone"'),
    ("training.batch_size", "8"),
    ("training.steps", "20"),
    ("training.warmup_steps", "2"),
    ("training.learning_rate", "1e-3"),
    ("training.max_length", "32"),
    ("training.regularizer.lambda_q", "1e-3"),
    ("training.regularizer.lambda_d", "1e-3"),
]
"""What is changed in the paper's recipes, so that they take a second."""


def commands() -> list[list[str]]:
    """The commands of the section, with the names of small models in place of large ones."""
    section = PAGE.read_text(encoding="utf-8").split("## The paper's two steps")[1]
    (block,) = re.findall(r"^```sh\n(.*?)^```", section, flags=re.MULTILINE | re.DOTALL)
    lines = [
        shlex.split(line.replace("cross-encoder/ms-marco-MiniLM-L6-v2", "./teacher")) for line in block.split("\n")
    ]
    return [[*line, *changes(line)] for line in lines if line]


def changes(command: Sequence[str]) -> list[str]:
    return [part for name, value in SMALLER for part in ("--set", f"{name}={value}")] if command[1] == "train" else []


@pytest.fixture
def collection(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A working directory with files of MS MARCO's names, filled from Cranfield, and tiny models."""
    monkeypatch.chdir(tmp_path)
    documents = list(open_corpus(str(cranfield())))[:DOCUMENTS]
    known = {document.id for document in documents}
    judged = [qrel for qrel in read_qrels(str(cranfield())) if qrel.doc_id in known and qrel.relevance > 0]
    topics = [topic for topic in read_topics(str(cranfield())) if topic.id in {qrel.query_id for qrel in judged}]
    topics = topics[:QUERIES]
    asked = {topic.id for topic in topics}
    judged = [qrel for qrel in judged if qrel.query_id in asked]
    Path("collection.tsv").write_text("".join(f"{document.id}\t{document.text}\n" for document in documents))
    Path("queries.train.tsv").write_text("".join(f"{topic.id}\t{topic.text}\n" for topic in topics))
    Path("qrels.train.tsv").write_text("".join(f"{qrel.query_id} 0 {qrel.doc_id} 1\n" for qrel in judged))
    Path("triples.tsv").write_text(
        "".join(
            f"{qrel.query_id}\t{qrel.doc_id}\t{documents[number % len(documents)].id}\n"
            for number, qrel in enumerate(judged)
        )
    )
    tiny_checkpoint(Path("backbone"))
    tiny_cross_encoder(Path("teacher"))
    return tmp_path


def tiny_cross_encoder(directory: Path) -> None:
    import torch
    from transformers import BertConfig, BertForSequenceClassification

    torch.manual_seed(0)
    config = BertConfig(
        vocab_size=len(tiny_vocabulary()),
        hidden_size=32,
        num_hidden_layers=1,
        num_attention_heads=2,
        intermediate_size=64,
        num_labels=1,
        initializer_range=0.3,
    )
    BertForSequenceClassification(config).save_pretrained(directory)
    tiny_tokenizer().save_pretrained(directory)


@pytest.mark.slow
def test_the_commands_lead_from_triples_to_a_distilled_splade(collection: Path) -> None:
    typed = commands()
    assert [command[1] for command in typed] == ["train", "encode", "index", "search", "mine", "score", "train"]
    for command in typed:
        assert command[0] == "splade-anserini"
        done = run_stage(*command[1:])
        assert done.code == 0, done.err
    manifests = [read_manifest(Path("encoders", name), CheckpointManifest) for name in
                 ("splade-v2-max", "distilsplade-v2-max")]  # fmt: skip
    assert [manifest is not None and manifest.steps for manifest in manifests] == [20, 20]

    mined = [json.loads(line) for line in Path("mined.jsonl").read_text().splitlines()]
    scored = [json.loads(line) for line in Path("scored.jsonl").read_text().splitlines()]
    assert [record["positive_id"] for record in scored] == [record["positive_id"] for record in mined]
    assert all(len(record["scores"]) == 1 + len(record["negative_ids"]) == 9 for record in scored)
    found = {tuple(line.split()[::2][:2]) for line in Path("run.train.txt").read_text().splitlines()}
    assert {(record["query_id"], id_) for record in scored for id_ in record["negative_ids"]} <= found

    rows = [json.loads(line) for line in Path("encoders/distilsplade-v2-max/log.jsonl").read_text().splitlines()]
    assert rows[-1]["margin-mse"] < rows[0]["margin-mse"]
    assert "rank-ibn" not in rows[0]


def test_the_page_tells_of_every_recipe_that_ships() -> None:
    text = PAGE.read_text(encoding="utf-8")
    for name in ["splade-v1-sum", "splade-v2-max", "splade-v2-doc", "distilsplade-v2-max"]:
        assert find_encoder_card(name).training is not None
        assert f"| `{name}` |" in text


def test_the_page_of_cards_tells_of_every_field_of_a_recipe() -> None:
    from splade_anserini.cards.training_recipe import Head, Loss, Regularizer, Teacher, TrainingRecipe

    text = (PAGE.parent / "cards.md").read_text(encoding="utf-8")
    tables = {"regularizer", "teacher", "head"}
    for model in (TrainingRecipe, Loss, Regularizer, Teacher, Head):
        for field in model.model_fields:
            assert f"[training.{field}]" in text if field in tables else f"`{field}`" in text, field
