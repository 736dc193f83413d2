"""What the README tells people to type works as it stands."""

import json
import re
import shlex
import subprocess
import sys
from pathlib import Path

import pytest

from tests.cli_runner import run_stage

ROOT = Path(__file__).parent.parent
README = (ROOT / "README.md").read_text(encoding="utf-8")


def blocks(language: str) -> list[str]:
    return re.findall(rf"^```{language}\n(.*?)^```", README, flags=re.MULTILINE | re.DOTALL)


@pytest.fixture
def collection(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A working directory with the files that the README's commands name."""
    monkeypatch.chdir(tmp_path)
    texts = {"d1": "Ibuprofen relieves a headache.", "d2": "Planes fly faster than sound."}
    Path("corpus.jsonl").write_text("".join(json.dumps({"id": k, "text": v}) + "\n" for k, v in texts.items()))
    Path("topics.tsv").write_text("q1\tpain in the head\nq2\tsupersonic aircraft\n")
    Path("qrels.txt").write_text("q1 0 d1 1\nq2 0 d2 1\n")
    return tmp_path


def run_block(number: int) -> list[str]:
    """Run the commands of a block of shell; return their names."""
    commands = [shlex.split(line) for line in blocks("sh")[number].splitlines()]
    for command in commands:
        assert command[0] == "splade-anserini"
        done = run_stage(*command[1:])
        assert done.code == 0, done.err
    return [command[1] for command in commands]


@pytest.mark.slow
def test_the_commands_lead_from_a_corpus_to_measures(collection: Path) -> None:
    assert run_block(0) == ["encode", "index", "search", "evaluate"]
    assert run_block(1) == ["index", "search", "search"]
    assert all(Path(run).is_file() for run in ("bm25.txt", "hybrid.txt"))
    done = run_stage("evaluate", "--run", "run.txt", "--qrels", "qrels.txt", "--measures", "RR@10")
    assert "RR@10" in done.out
    assert "1.0000" in done.out


@pytest.mark.slow
@pytest.mark.parametrize(
    ("number", "first"),
    [(0, r"0 \d+\.0 Ibuprofen relieves a headache\."), (1, r"d0 \d+\.0")],
    ids=["texts", "commands"],
)
def test_the_python_blocks_find_the_document_about_headaches(number: int, first: str, collection: Path) -> None:
    code = blocks("python")[number]
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert re.fullmatch(first, done.stdout.splitlines()[0])
    assert done.stderr == ""


def test_each_python_block_is_run() -> None:
    assert len(blocks("python")) == 2


def test_every_file_that_the_docs_point_to_is_there() -> None:
    for page in [
        ROOT / "README.md",
        ROOT / "CONTRIBUTING.md",
        *ROOT.glob("*/README.md"),
        *(ROOT / "docs").rglob("*.md"),
    ]:
        for target in re.findall(r"\]\(([^)#:]+)\)", page.read_text(encoding="utf-8")):
            assert (page.parent / target).exists(), f"{page.name} points to {target}"


def test_the_two_commands_are_those_that_ci_calls() -> None:
    ci = (ROOT / ".ci" / "run").read_text(encoding="utf-8")
    for command in ["make quickstart", "make test"]:
        assert f"    {command} " in README
        assert f"\n{command}\n" in ci
