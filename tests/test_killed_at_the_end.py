"""A command that is killed when its output is in place already has made it: the same command again exits with 0."""

import os
import shutil
import signal
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.cli_runner import Outcome, run_stage
from tests.command_fixtures import write_collection
from tests.training_fixtures import data_options, write_card

pytestmark = pytest.mark.slow

LONG = ("export", "train")
"""Commands whose kills are in `make full`."""

KILLED_COMMAND = """
import os, signal, sys
from splade_anserini.__main__ import main

output, left = sys.argv[1], int(sys.argv[2])
del sys.argv[1:3]
in_place = False

def watch(event, details):
    global in_place, left
    if not in_place:
        in_place = event == "os.rename" and os.path.realpath(details[1]) == output
    elif event.startswith(("os.", "open", "shutil.")):
        left -= 1
        if left == 0:
            os.kill(os.getpid(), signal.SIGKILL)

sys.addaudithook(watch)
try:
    main()
finally:
    if in_place:
        os.kill(os.getpid(), signal.SIGKILL)
"""
"""Runs the command, and kills it the nth time that it does anything with a file after the path was put in place."""


@pytest.fixture(scope="module")
def home(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A collection, its encoder, and what is made of it."""
    home = tmp_path_factory.mktemp("home")
    write_collection(home)
    for name in ("encode", "index", "search"):
        assert run_stage(*COMMANDS[name](home, home / name)).code == 0
    return home


COMMANDS: dict[str, Callable[[Path, Path], list[str]]] = {
    "encode": lambda home, output: [
        *("encode", "--corpus", f"{home}/corpus.jsonl", "--encoder", f"{home}/words"),
        *("--output", f"{output}", "--docs-per-shard", "5"),
    ],
    "index": lambda home, output: ["index", "--input", f"{home}/encode", "--index", f"{output}"],
    "index --bm25": lambda home, output: ["index", "--bm25", "--input", f"{home}/corpus.jsonl", "--index", f"{output}"],
    "convert to a file": lambda home, output: [
        *("convert", "--input", f"{home}/encode", "--output", f"{output}", "--to", "parquet")
    ],
    "convert to a directory": lambda home, output: ["convert", "--input", f"{home}/encode", "--output", f"{output}"],
    "search": lambda home, output: [
        *("search", "--index", f"{home}/index", "--topics", f"{home}/queries.jsonl", "--output", f"{output}"),
        *("--encoder", f"{home}/words"),
    ],
    "fuse": lambda home, output: [
        *("fuse", "--run", f"{home}/search", "--run", f"{home}/search", "--output", f"{output}")
    ],
    "mine": lambda home, output: [
        *("mine", "--run", f"{home}/search", "--qrels", f"{home}/qrels.txt", "--output", f"{output}"),
        *("--negatives", "1"),
    ],
    "sweep": lambda home, output: [
        *("sweep", "--input", f"{home}/encode", "--topics", f"{home}/queries.jsonl", "--qrels", f"{home}/qrels.txt"),
        *("--encoder", f"{home}/words", "--output", f"{output}", "--samples", "2", "--plot", "none"),
    ],
    "export": lambda home, output: ["export", "--encoder", f"{home}/checkpoint", "--output", f"{output}"],
    "train": lambda home, output: [
        *("train", "--card", f"{write_card(home / 'training')}", "--output", f"{output}"),
        *map(str, data_options(home / "training")),
    ],
}

IN_DIRECTORY = {"encode": "shard-00002.jsonl.gz", "sweep": "sweep.csv"}
"""Command → the last file of a directory that it fills in place."""

CHANGED = ("splade.manifest", "sweep.csv")
"""Files of such directories that the command completes when it is run again."""


def kill(command: list[str], output: Path, nth: int) -> None:
    """Run the command, and kill it the nth time that it does something after `output` is in place."""
    arguments = [sys.executable, "-c", KILLED_COMMAND, os.path.realpath(output), str(nth), *command]
    process = subprocess.run(arguments, capture_output=True, check=False, timeout=300)
    assert process.returncode == -signal.SIGKILL, process.stderr.decode()


def contents(output: Path) -> dict[str, bytes]:
    if output.is_file():
        return {"": output.read_bytes()}
    return {str(path.relative_to(output)): path.read_bytes() for path in output.rglob("*") if path.is_file()}


def leftovers(directory: Path) -> list[str]:
    return [path.name for path in directory.rglob("*") if path.name.endswith((".partial", ".training"))]


def again(command: list[str], output: Path) -> Outcome:
    """Run a command that was killed again; it succeeds and leaves the output as it is."""
    before = contents(output)
    outcome = run_stage(*command)
    assert (outcome.code, outcome.complaints) == (0, "")
    after = contents(output)
    in_place = command[0] in IN_DIRECTORY
    kept = [name for name in before if name != ".lock" and not (in_place and name in CHANGED)]
    assert {name: after[name] for name in kept} == {name: before[name] for name in kept}
    assert leftovers(output.parent) == []
    return outcome


@pytest.mark.parametrize("name", [pytest.param(name, marks=[pytest.mark.full] * (name in LONG)) for name in COMMANDS])
def test_a_command_that_is_killed_after_its_output_appeared_is_done(home: Path, tmp_path: Path, name: str) -> None:
    output = tmp_path / "output"
    command = COMMANDS[name](home, output)
    kill(command, output / IN_DIRECTORY.get(name, ""), 1)
    outcome = again(command, output)
    if command[0] in {"convert", "search", "fuse", "mine", "export", "train"}:
        assert outcome.out == f"{output} is up to date: this command made it before.\n"


@pytest.mark.parametrize("nth", [2, 3, 4, 5, 6, 1000])
@pytest.mark.parametrize("name", ["convert to a file", "convert to a directory"])
def test_it_may_be_killed_at_any_moment_after_that(home: Path, tmp_path: Path, name: str, nth: int) -> None:
    command = COMMANDS[name](home, tmp_path / "output")
    kill(command, tmp_path / "output", nth)
    assert "is up to date" in again(command, tmp_path / "output").out


def test_an_output_that_was_replaced_after_the_kill_is_not_taken_for_it(home: Path, tmp_path: Path) -> None:
    command = COMMANDS["fuse"](home, tmp_path / "output")
    kill(command, tmp_path / "output", 1)
    shutil.copy(home / "search", tmp_path / "output")
    with (tmp_path / "output").open("a") as file:
        file.write("q0 Q0 other 1 1 x\n")
    refused = run_stage(*command)
    assert (refused.code, "Add --overwrite" in refused.err) == (2, True)


def test_an_output_that_is_replaced_is_the_earlier_one_until_the_new_one_is_there(home: Path, tmp_path: Path) -> None:
    output = tmp_path / "output"
    first, second = COMMANDS["fuse"](home, output), [*COMMANDS["fuse"](home, output), "--hits", "2"]
    assert run_stage(*first).code == 0
    kill([*second, "--overwrite"], output, 1)
    assert "is up to date" in again(second, output).out
    refused = run_stage(*first)
    assert (refused.code, "it was made with other settings" in refused.err) == (2, True)
