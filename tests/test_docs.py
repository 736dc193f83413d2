"""Every block of code in README, docs/, --help and model cards runs, with small files, or a mark says why not.

The blocks of a page run one after the other in one directory, those of Python in one namespace.
"""

import ast
import configparser
import json
import os
import re
import shlex
import subprocess
import sys
import unittest.mock
from collections import Counter
from collections.abc import Callable, Sequence
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import pydantic
import pytest

import splade_anserini
from splade_anserini.artifacts.manifests import CheckpointManifest, read_manifest
from splade_anserini.cards.finding import find_encoder_card
from splade_anserini.cards.shipped import encoders_home
from splade_anserini.cards.training_recipe import Head, Loss, Regularizer, TeacherSettings, TrainingRecipe
from tests.cli_runner import run_stage
from tests.doc_blocks import EXAMPLES, PAGES, ROOT, Block, blocks_of, parse
from tests.doc_files import Files, write_beir
from tests.shared_models import SharedModels

MARKS = {
    "CI runs it": 1,
    "another tool": 17,
    "diagram": 1,
    "formula": 3,
    "needs Docker": 2,
    "needs a GPU": 3,
    "needs a cluster": 7,
    "needs the network": 4,
    "needs the training data, and over an hour": 2,
    "output": 16,
    "takes hours": 3,
    "test_ray.py runs it": 1,
}
"""Reason → number of blocks that are not run."""

BLOCKS = {page.relative_to(ROOT).as_posix(): blocks_of(page) for page in PAGES}
ELSEWHERE = {"docs/coming-from-pyserini.md": "test_coming_from_pyserini.py"}
"""Pages whose blocks another test runs: in processes of their own, without Java."""
NEEDS = {
    "docs/fusion.md": "sentence_transformers",
    "docs/coming-from-pyterrier.md": "pyterrier",
    "docs/coming-from-sentence-transformers.md": "sentence_transformers",
}

SCALED = {
    "--steps 2000 --batch-size 32": "--steps 20 --batch-size 4",
    "--validate-every 1000": "--validate-every 10",
    "--samples 1000": "--samples 5",
    "--skip 10": "--skip 1",
    "top-k=32,64,128 --documents mass=0.8,0.9 --queries top-k=8,16": "top-k=32 --queries top-k=8",
}
"""What the docs say → what is run."""
ADDED = {
    "sweep": {"--samples": "5", "--documents": "top-k=32"},
    "profile": {"--samples": "5", "--warm-up": "1"},
}
"""Command → options that are added where the docs leave them to their defaults."""


class Page:
    """Runs the blocks of a page in the working directory."""

    def __init__(self, files: Files, namespace: dict[str, Any]) -> None:
        self._files, self._namespace = files, namespace

    def run(self, block: Block) -> None:
        """Run a block. Fails the test when there is no way to run it."""
        match block.language:
            case "sh":
                for line in block.commands:
                    self._run_command(shlex.split(os.path.expandvars(scaled(line)), comments=True), block)
            case "python":
                self._run_python(block)
            case "toml":
                self._write_card(block)
            case _:
                pytest.fail(f"{block} is not run: put a line <!-- not run: REASON --> before it")

    def _run_command(self, words: list[str], block: Block) -> None:
        match words:
            case ["splade-anserini", name, *arguments]:
                for word in inputs(name, arguments):
                    self._files.supply(word)
                if name == "serve":
                    with unittest.mock.patch("splade_anserini.serving.server.serve_forever", answer_once):
                        done = run_stage(name, *arguments)
                    assert done.code == 0, f"{block}: {shlex.join(words)}\n{done.out}{done.err}"
                    return
                added = {option: value for option, value in ADDED.get(name, {}).items() if option not in arguments}
                if name == "sweep" and "--index" in arguments:
                    del added["--documents"]
                done = run_stage(name, *arguments, *(word for pair in added.items() for word in pair))
                assert done.code == 0, f"{block}: {shlex.join(words)}\n{done.out}{done.err}"
                sys.stdout.write(done.out)
            case ["pip", "install", *packages]:
                for package in packages:
                    require_named_in_setup(package)
            case ["mkdir" | "cp" | "java", *arguments]:
                for word in arguments:
                    self._files.supply(word)
                subprocess.run(words, check=True, capture_output=True)
            case _:
                pytest.fail(f"{block}: nothing runs {shlex.join(words)}")

    def _run_python(self, block: Block) -> None:
        tree = ast.parse(block.text)
        for node in ast.walk(tree):
            if isinstance(node, ast.Constant) and isinstance(node.value, str):
                self._files.supply(node.value)
        code = compile("\n" * block.line + block.text, ROOT / block.page, "exec")
        exec(code, self._namespace)

    def _write_card(self, block: Block) -> None:
        """Write a card as the page says; a table of reference vectors into a card of splade-mini."""
        Path("encoders").mkdir(exist_ok=True)
        if name := re.match(r'name = "(.+)"', block.text):
            Path("encoders", f"{name[1]}.toml").write_text(block.text)
            source = re.search(r'^source = "(.+)"', block.text, flags=re.MULTILINE)
            assert source
            self._files.supply(source[1])
            return
        card = (encoders_home() / "splade-mini.toml").read_text(encoding="utf-8").partition("[[")[0]
        card = card.replace('"splade-mini"', '"referenced"', 1).replace(
            'source = "splade-mini"', f'source = "{encoders_home() / "splade-mini"}"'
        )
        Path("encoders", "referenced.toml").write_text(card + block.text)
        splade_anserini.open_query_encoder("referenced")


def answer_once(service: Any, options: Any, keys: Any, listening: Callable[[str], None]) -> None:
    """Answer one request in place of a server."""
    from starlette.testclient import TestClient

    from splade_anserini.serving.server import gated

    with TestClient(gated(service)) as client:
        answer = client.get("/v1/search", params={"q": "cat"})
        assert answer.status_code == 200
        assert answer.json()["hits"]


def scaled(line: str) -> str:
    line = re.sub(" +", " ", line)
    for old, new in SCALED.items():
        line = line.replace(old, new)
    return line


def inputs(command: str, arguments: Sequence[str]) -> list[str]:
    """Return the arguments of a command that may name inputs."""
    builds = command == "index" and not {"--append", "--update", "--delete"} & set(arguments)
    outputs = {"--output", "--plot", "--write-reference"} | ({"--index"} if builds else set())
    return [word for option, word in zip(["", *arguments], arguments, strict=False) if option not in outputs]


def require_named_in_setup(package: str) -> None:
    """Fail unless a package of ours has the extras that are named, and another is in an extra of ours."""
    setup = configparser.ConfigParser()
    setup.read(ROOT / "setup.cfg")
    name, _, extras = package.removesuffix("]").partition("[")
    if name == "splade-anserini":
        assert set(filter(None, extras.split(","))) <= set(setup["options.extras_require"]), package
    else:
        assert re.split("[<>=]", name)[0] in str(dict(setup["options.extras_require"])), package


# Checks of what the blocks printed and wrote.


def check_readme(printed: str) -> None:
    assert re.search(r"^0 \d+\.0 Ibuprofen relieves a headache\.$", printed, flags=re.MULTILINE)
    assert re.search(r"^d0 \d+\.0$", printed, flags=re.MULTILINE)
    assert all(Path(run).is_file() for run in ("run.txt", "bm25.txt", "hybrid.txt"))
    done = run_stage("evaluate", "--run", "run.txt", "--qrels", "qrels.txt", "--measures", "RR@10")
    assert float(done.out.split()[-1]) > 0.8


def check_training(_: str) -> None:
    """The commands lead from triples to a distilled SPLADE."""
    for name in ("splade-v2-max", "distilsplade-v2-max"):
        manifest = read_manifest(Path("encoders", name), CheckpointManifest)
        assert manifest is not None
        assert manifest.steps == 20

    mined, scored = read_json_lines("mined.jsonl"), read_json_lines("scored.jsonl")
    assert [record["positive_id"] for record in scored] == [record["positive_id"] for record in mined] != []
    hits = {tuple(line.split()[::2][:2]) for line in Path("run.train.txt").read_text().splitlines()}
    for record in scored:
        assert len(record["scores"]) == 1 + len(record["negative_ids"]) > 1
        assert {(record["query_id"], negative) for negative in record["negative_ids"]} <= hits

    rows = read_json_lines("encoders/distilsplade-v2-max/log.jsonl")
    assert rows[-1]["margin-mse"] < rows[0]["margin-mse"]
    assert "rank-ibn" not in rows[0]


def read_json_lines(path: str) -> list[dict[str, Any]]:
    return [json.loads(line) for line in Path(path).read_text().splitlines()]


CHECKS: dict[str, Callable[[str], None]] = {"README.md": check_readme, "docs/training.md": check_training}


@pytest.fixture(scope="module")
def files(tmp_path_factory: pytest.TempPathFactory, shared_models: SharedModels) -> Files:
    return Files(tmp_path_factory.mktemp("docs"), shared_models)


@pytest.fixture
def page(files: Files, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Page:
    """An empty working directory outside the checkout, and a small Cranfield in place of the one that ships."""
    from splade_anserini.lucene.java.jvm import anserini_jar
    from splade_anserini.lucene.java.runtime import find_java

    small = tmp_path / "shipped"
    write_beir(small)
    for module in ("cards.shipped", "formats.beir"):
        monkeypatch.setattr(f"splade_anserini.{module}.cranfield", lambda: small)
    monkeypatch.setattr("splade_anserini.quickstart.TOPIC", "q1")
    (tmp_path / "work").mkdir()
    monkeypatch.chdir(tmp_path / "work")
    monkeypatch.setenv("PYSERINI_CACHE", str(tmp_path / "cache"))
    monkeypatch.setenv("ANSERINI_JAR", str(anserini_jar(os.environ)))
    monkeypatch.setenv("PATH", f"{find_java(os.environ).home / 'bin'}:{os.environ['PATH']}")
    files.models.reuse_traces(monkeypatch)
    return Page(files, namespace())


def namespace() -> dict[str, Any]:
    """Return what the blocks of sentence-transformers leave to the reader."""
    names: dict[str, Any] = {"__name__": "page"}
    if find_spec("sentence_transformers"):
        from datasets import Dataset
        from sentence_transformers import SparseEncoderTrainingArguments

        triplets = {"anchor": ["cat", "wing"], "positive": ["the cat", "the wing"], "negative": ["a dog", "a fish"]}
        names |= {
            "triplets": Dataset.from_dict(triplets),
            "arguments": SparseEncoderTrainingArguments("arguments", max_steps=2, report_to="none", use_cpu=True),
            "queries": {"q1": "where do cats sleep"},
            "corpus": {"d1": "A cat sleeps all day.", "d2": "The plane has a wing."},
            "relevant_docs": {"q1": {"d1"}},
        }
    return names


@pytest.mark.slow
@pytest.mark.parametrize("name", [name for name in BLOCKS if name not in ELSEWHERE])
def test_the_blocks_of_a_page_run(name: str, page: Page, capsys: pytest.CaptureFixture[str]) -> None:
    if name in NEEDS:
        pytest.importorskip(NEEDS[name])
    for block in BLOCKS[name]:
        if not block.reason:
            page.run(block)
    CHECKS.get(name, lambda _: None)(capsys.readouterr().out)


@pytest.mark.slow
@pytest.mark.parametrize("command", EXAMPLES)
def test_the_examples_in_the_help_of_a_command_run(command: str, page: Page) -> None:
    page.run(EXAMPLES[command])


@pytest.mark.slow
def test_the_blocks_of_the_model_card_that_train_writes_run(page: Page) -> None:
    pytest.importorskip("sentence_transformers")
    page.run(EXAMPLES["train"])
    card = Path("encoders/splade-v2-max/README.md").read_text(encoding="utf-8")
    blocks = parse(card.replace("ENCODER", "encoders/splade-v2-max"), "README.md")
    assert [block.language for block in blocks] == ["sh", "python", "json"]
    for block in blocks[:2]:
        page.run(block)


@pytest.mark.full
def test_the_blocks_of_python_in_the_readme_run_again(tmp_path: Path) -> None:
    for block in BLOCKS["README.md"]:
        if block.language == "python":
            runs = [
                subprocess.run(
                    [sys.executable, "-c", block.text], cwd=tmp_path, capture_output=True, text=True, check=False
                )
                for _ in range(2)
            ]
            assert [(done.returncode, done.stderr) for done in runs] == [(0, "")] * 2
            assert runs[0].stdout == runs[1].stdout != ""


def test_every_block_that_is_not_run_says_why() -> None:
    reasons = Counter(block.reason for blocks in BLOCKS.values() for block in blocks if block.reason)
    assert reasons == MARKS


def test_every_other_block_is_of_a_language_that_is_run() -> None:
    for blocks in BLOCKS.values():
        for block in blocks:
            languages = {"sh", "python", "toml", *(["yaml"] if block.page in ELSEWHERE else [])}
            assert block.reason or block.language in languages, f"{block}: mark it, or make it a block of commands"


def test_docstrings_have_no_other_code() -> None:
    """Commands are in the examples of commands, which are run."""
    examples = {line for block in EXAMPLES.values() for line in block.text.splitlines()}
    for path in Path(splade_anserini.__file__).parent.rglob("*.py"):
        text = path.read_text(encoding="utf-8")
        if not re.search(r"^\s*(>>>|```|\.\. code|splade-anserini \w)", text, flags=re.MULTILINE):
            continue
        for node in ast.walk(ast.parse(text)):
            if isinstance(node, ast.Module | ast.ClassDef | ast.FunctionDef):
                for line in (ast.get_docstring(node) or "").splitlines():
                    assert not re.match(r"\s*(>>>|```|\.\. code)", line), f"{path}: {line}"
                    if re.match(r"\s*splade-anserini \w", line):
                        assert line.strip() in {example.strip() for example in examples}, f"{path}: {line}"


def test_blocks_and_marks_are_parsed() -> None:
    text = "a\n\n    pip install x\n\n<!-- not run: why -->\n\n    b\n\n    c\n\n* d\n\n```python\nx\n```\n\n    e\n"
    assert [(block.language, block.text, block.reason) for block in parse(text)] == [
        ("sh", "pip install x\n", ""),
        ("", "b\n\nc\n", "why"),
        ("python", "x\n", ""),
        ("", "e\n", ""),
    ]


def test_a_mark_is_for_one_block() -> None:
    text = "<!-- not run: why -->\n```sh\na\n```\n\n```sh\nb\n```\n\n<!-- not run: why -->\ntext\n\n    c\n"
    assert [block.reason for block in parse(text)] == ["why", "", ""]


def test_every_change_of_scale_is_of_something_in_the_docs() -> None:
    blocks = [*EXAMPLES.values(), *(block for blocks in BLOCKS.values() for block in blocks)]
    commands = re.sub(" +", " ", "\n".join(line for block in blocks for line in block.commands))
    assert [old for old in SCALED if old not in commands] == []


# What pages list, links, and the commands of CI.


@pytest.mark.parametrize("name", ["splade-v1-sum", "splade-v2-max", "splade-v2-doc", "distilsplade-v2-max"])
def test_the_page_on_training_lists_every_recipe_that_ships(name: str) -> None:
    assert find_encoder_card(name).training is not None
    assert f"| `{name}` |" in (ROOT / "docs" / "training.md").read_text(encoding="utf-8")


@pytest.mark.parametrize("table", [TrainingRecipe, Loss, Regularizer, TeacherSettings, Head])
def test_the_page_on_cards_lists_every_field_of_a_recipe(table: type[pydantic.BaseModel]) -> None:
    page = (ROOT / "docs" / "cards.md").read_text(encoding="utf-8")
    for field in table.model_fields:
        heading = f"[training.{field}]" if field in {"regularizer", "teacher", "head"} else f"`{field}`"
        assert heading in page, field


def test_every_file_that_the_docs_point_to_is_there() -> None:
    for path in [*PAGES, ROOT / "CONTRIBUTING.md", *ROOT.glob("*/README.md"), *(ROOT / "docs").rglob("*.md")]:
        for target in re.findall(r"\]\(([^)#:]+)\)", path.read_text(encoding="utf-8")):
            assert (path.parent / target).exists(), f"{path.name} points to {target}"


def test_the_two_commands_are_those_that_ci_calls() -> None:
    ci = (ROOT / ".ci" / "run").read_text(encoding="utf-8")
    for command in ["make quickstart", "make test"]:
        assert f"    {command} " in (ROOT / "README.md").read_text(encoding="utf-8")
        assert f"\n{command}\n" in ci
