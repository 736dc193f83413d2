"""The commands of docs/training.md that train DistilSPLADE-max, with tiny models and a part of Cranfield."""

import json
import re
import shlex
from collections.abc import Sequence
from pathlib import Path

import pydantic
import pytest

from splade_anserini.artifacts.manifests import CheckpointManifest, read_manifest
from splade_anserini.cards.finding import find_encoder_card
from splade_anserini.cards.shipped import cranfield
from splade_anserini.cards.training_recipe import Head, Loss, Regularizer, TeacherSettings, TrainingRecipe
from splade_anserini.formats.corpora import open_corpus
from splade_anserini.formats.qrels import read_qrels
from splade_anserini.formats.topics import read_topics
from tests.cli_runner import run_stage
from tests.tiny import tiny_checkpoint
from tests.training_fixtures import save_teacher, tiny_cross_encoder

DOCS = Path(__file__).parent.parent / "docs"

DOCUMENTS, QUERIES = 80, 40

CHANGES = {
    "training.backbone": '"backbone"',
    "training.batch_size": "8",
    "training.steps": "20",
    "training.warmup_steps": "2",
    "training.learning_rate": "1e-3",
    "training.max_length": "32",
    "training.regularizer.lambda_q": "1e-3",
    "training.regularizer.lambda_d": "1e-3",
}
"""Changes of the paper's recipes with which they take a second."""


def read_commands() -> list[list[str]]:
    """Return the commands of the section, with tiny models in place of large ones."""
    section = (DOCS / "training.md").read_text(encoding="utf-8").split("## DistilSPLADE-max")[1]
    (block,) = re.findall(r"^```sh\n(.*?)^```", section, flags=re.MULTILINE | re.DOTALL)
    lines = block.replace("cross-encoder/ms-marco-MiniLM-L6-v2", "./teacher").split("\n")
    return [with_changes(shlex.split(line)) for line in lines if line]


def with_changes(command: Sequence[str]) -> list[str]:
    changes = CHANGES if command[1] == "train" else {}
    return [*command, *(argument for name, value in changes.items() for argument in ("--set", f"{name}={value}"))]


@pytest.fixture
def working_directory(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A working directory with files named as those of MS MARCO, with texts of Cranfield, and tiny models."""
    monkeypatch.chdir(tmp_path)
    documents = list(open_corpus(str(cranfield())))[:DOCUMENTS]
    document_ids = {document.id for document in documents}
    qrels = [qrel for qrel in read_qrels(str(cranfield())) if qrel.doc_id in document_ids and qrel.relevance > 0]
    judged = {qrel.query_id for qrel in qrels}
    topics = [topic for topic in read_topics(str(cranfield())) if topic.id in judged][:QUERIES]
    topic_ids = {topic.id for topic in topics}
    qrels = [qrel for qrel in qrels if qrel.query_id in topic_ids]
    triples = [
        f"{qrel.query_id}\t{qrel.doc_id}\t{documents[index % len(documents)].id}\n" for index, qrel in enumerate(qrels)
    ]
    Path("collection.tsv").write_text("".join(f"{document.id}\t{document.text}\n" for document in documents))
    Path("queries.train.tsv").write_text("".join(f"{topic.id}\t{topic.text}\n" for topic in topics))
    Path("qrels.train.tsv").write_text("".join(f"{qrel.query_id} 0 {qrel.doc_id} 1\n" for qrel in qrels))
    Path("triples.tsv").write_text("".join(triples))
    tiny_checkpoint(Path("backbone"))
    save_teacher(Path("teacher"), tiny_cross_encoder(1, layers=1))
    return tmp_path


def read_json_lines(path: str) -> list[dict[str, object]]:
    return [json.loads(line) for line in Path(path).read_text().splitlines()]


@pytest.mark.slow
def test_the_commands_lead_from_triples_to_a_distilled_splade(working_directory: Path) -> None:
    commands = read_commands()
    assert [command[1] for command in commands] == ["train", "encode", "index", "search", "mine", "score", "train"]
    for command in commands:
        assert command[0] == "splade-anserini"
        done = run_stage(*command[1:])
        assert done.code == 0, done.err
    for name in ("splade-v2-max", "distilsplade-v2-max"):
        manifest = read_manifest(Path("encoders", name), CheckpointManifest)
        assert manifest is not None
        assert manifest.steps == 20

    mined, scored = read_json_lines("mined.jsonl"), read_json_lines("scored.jsonl")
    assert [record["positive_id"] for record in scored] == [record["positive_id"] for record in mined]
    hits = {tuple(line.split()[::2][:2]) for line in Path("run.train.txt").read_text().splitlines()}
    for record in scored:
        scores, negatives = record["scores"], record["negative_ids"]
        assert isinstance(scores, list)
        assert isinstance(negatives, list)
        assert len(scores) == 1 + len(negatives) == 9
        assert {(record["query_id"], negative) for negative in negatives} <= hits

    rows = read_json_lines("encoders/distilsplade-v2-max/log.jsonl")
    assert float(str(rows[-1]["margin-mse"])) < float(str(rows[0]["margin-mse"]))
    assert "rank-ibn" not in rows[0]


@pytest.mark.parametrize("name", ["splade-v1-sum", "splade-v2-max", "splade-v2-doc", "distilsplade-v2-max"])
def test_the_page_on_training_lists_every_recipe_that_ships(name: str) -> None:
    assert find_encoder_card(name).training is not None
    assert f"| `{name}` |" in (DOCS / "training.md").read_text(encoding="utf-8")


@pytest.mark.parametrize("table", [TrainingRecipe, Loss, Regularizer, TeacherSettings, Head])
def test_the_page_on_cards_lists_every_field_of_a_recipe(table: type[pydantic.BaseModel]) -> None:
    page = (DOCS / "cards.md").read_text(encoding="utf-8")
    for field in table.model_fields:
        heading = f"[training.{field}]" if field in {"regularizer", "teacher", "head"} else f"`{field}`"
        assert heading in page, field
