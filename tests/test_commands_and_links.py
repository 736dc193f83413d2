"""Every command writes through a link, and refuses one that leads nowhere before it reads anything."""

import os
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.cli_runner import run_stage
from tests.command_fixtures import write_collection
from tests.training_fixtures import data_options, write_card

pytestmark = pytest.mark.slow

CARD = """
name = "small"
description = "A collection of twelve documents."
corpus = "corpus.jsonl"
encoder = "./words"

[[evaluation]]
name = "test"
topics = "queries.jsonl"
qrels = "qrels.txt"
measures = ["nDCG@10"]
"""

COMMANDS: dict[str, Callable[[Path, Path], list[object]]] = {
    "encode": lambda home, out: ["--corpus", home / "corpus.jsonl", "--encoder", home / "words", "--output", out],
    "index": lambda home, out: ["--input", home / "encode", "--index", out],
    "index --bm25": lambda home, out: ["--bm25", "--input", home / "corpus.jsonl", "--index", out],
    "convert": lambda home, out: ["--input", home / "encode", "--output", out],
    "convert --to": lambda home, out: ["parquet", "--input", home / "encode", "--output", out],
    "search": lambda home, out: [
        *("--index", home / "index", "--topics", home / "queries.jsonl", "--output", out, "--encoder", home / "words")
    ],
    "rescore": lambda home, out: [
        *("--index", home / "index", "--topics", home / "queries.jsonl", "--output", out, "--encoder", home / "words"),
        *("--run", home / "search"),
    ],
    "fuse": lambda home, out: ["--run", home / "search", "--run", home / "search", "--output", out],
    "mine": lambda home, out: [
        *("--run", home / "search", "--qrels", home / "qrels.txt", "--output", out, "--negatives", 1)
    ],
    "evaluate": lambda home, out: ["--run", home / "search", "--qrels", home / "qrels.txt", "--output", out],
    "evaluate --baseline": lambda home, out: [
        *(
            "other",
            "--run",
            home / "search",
            "--run",
            f"other={home / 'fuse'}",
            "--qrels",
            home / "qrels.txt",
            "--plot",
            f"{out}.png",
        )
    ],
    "sweep": lambda home, out: [
        *("--input", home / "encode", "--topics", home / "queries.jsonl", "--qrels", home / "qrels.txt"),
        *("--encoder", home / "words", "--output", out, "--samples", 2, "--queries", "top-k=2"),
    ],
    "reproduce": lambda home, out: [home / "small.toml", "--output", out],
    "export": lambda home, out: ["--encoder", home / "checkpoint", "--output", out],
    "warm-start": lambda home, out: [
        *("--backbone", home / "checkpoint", "--threshold", 1, "--logit-scale", 1, "--output", out)
    ],
    "train": lambda home, out: [
        *("--card", write_card(home / "training"), "--output", out, *data_options(home / "training"))
    ],
}
"""Command → what makes its arguments from the directory of the inputs and the output."""


@pytest.fixture(scope="module")
def home(tmp_path_factory: pytest.TempPathFactory) -> Path:
    home = tmp_path_factory.mktemp("home")
    write_collection(home)
    (home / "small.toml").write_text(CARD)
    for name in ("encode", "index", "search", "fuse"):
        assert run_stage(name, *COMMANDS[name](home, home / name)).code == 0
    return home


def arguments(name: str, home: Path, output: Path) -> list[object]:
    return [*name.split(" "), *COMMANDS[name](home, output)]


def links_of(directory: Path) -> dict[str, str]:
    return {path.name: str(path.readlink()) for path in directory.iterdir()}


@pytest.mark.parametrize("name", COMMANDS)
def test_commands_write_through_links(home: Path, tmp_path: Path, name: str) -> None:
    """Twice, the second time to what is there: with --overwrite where the command has it."""
    disk, links = tmp_path / "disk", tmp_path / "links"
    disk.mkdir()
    links.mkdir()
    for suffix in ("", ".png"):
        (links / f"out{suffix}").symlink_to(os.path.relpath(disk / f"target{suffix}", links))
    before = links_of(links)
    command = [str(argument) for argument in arguments(name, home, links / "out")]
    for more in ([], ["--overwrite"]):
        outcome = run_stage(*command, *more)
        assert (outcome.code, outcome.complaints) == (0, ""), outcome.err
        assert links_of(links) == before
        assert [path.name for path in disk.iterdir() if path.name.startswith("target")] != []
        assert not list(disk.glob("*.partial")) + list(disk.glob(".*"))


@pytest.mark.parametrize("name", COMMANDS)
def test_commands_refuse_links_that_lead_nowhere_before_they_read(home: Path, tmp_path: Path, name: str) -> None:
    """The encoder, whose graph is opened first, cannot be read: the message is about the link."""
    broken = tmp_path / "home"
    shutil.copytree(home, broken, symlinks=True)
    for graph in (*broken.glob("*/model.onnx"), *broken.glob("*/*.safetensors")):
        graph.write_bytes(b"")
    for suffix in ("", ".png"):
        (tmp_path / f"out{suffix}").symlink_to(tmp_path / "missing" / "disk")
    refused = run_stage(*map(str, arguments(name, broken, tmp_path / "out")))
    assert (refused.code, "is a symbolic link to" in refused.err, "missing does not exist" in refused.err) == (
        *(2, True, True),
    ), refused.err
