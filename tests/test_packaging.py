"""The wheel holds what the checkout holds, and works without it."""

import configparser
import os
import re
import subprocess
import sys
import venv
import zipfile
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent
PACKAGE = ROOT / "splade_anserini"


def configuration() -> configparser.ConfigParser:
    parser = configparser.ConfigParser(interpolation=None)
    parser.read(ROOT / "setup.cfg", encoding="utf-8")
    return parser


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A wheel built from a copy without git."""
    copy = tmp_path_factory.mktemp("source")
    files = subprocess.run(["git", "ls-files", "-z"], cwd=ROOT, capture_output=True, check=True).stdout.decode()
    for name in filter(None, files.split("\0")):
        if (ROOT / name).is_file():
            (copy / name).parent.mkdir(parents=True, exist_ok=True)
            (copy / name).write_bytes((ROOT / name).read_bytes())
    out = tmp_path_factory.mktemp("wheel")
    subprocess.run([sys.executable, "-m", "pip", "wheel", "--quiet", "--no-deps", "--wheel-dir", out, copy], check=True)
    (built,) = out.glob("*.whl")
    return built


def test_the_listed_packages_are_those_there_are() -> None:
    listed = set(configuration()["options"]["packages"].split())
    there = {".".join(path.parent.relative_to(ROOT).parts) for path in PACKAGE.rglob("*.py")}
    assert listed == there | {"splade_anserini.encoders", "splade_anserini.indexes"}


def test_metadata_stands_in_setup_cfg_and_nowhere_else() -> None:
    assert "[project]" not in (ROOT / "pyproject.toml").read_text(encoding="utf-8")


def test_the_top_level_holds_what_every_project_of_this_kind_has() -> None:
    files = subprocess.run(["git", "ls-files"], cwd=ROOT, capture_output=True, text=True, check=True).stdout
    assert {name.split("/")[0] for name in files.splitlines()} <= {
        *(".ci", ".gitignore", ".python-version", "CHANGELOG.md", "CONTRIBUTING.md", "LICENSE", "Makefile"),
        *("README.md", "benchmarks", "docs", "encoders", "indexes", "pyproject.toml", "recipes", "setup.cfg"),
        *("splade_anserini", "tests"),
    }


@pytest.mark.slow
def test_a_wheel_built_without_git_holds_the_package_the_cards_the_encoder_and_the_collection(wheel: Path) -> None:
    with zipfile.ZipFile(wheel) as archive:
        names = {name for name in archive.namelist() if ".dist-info/" not in name}
    files = subprocess.run(["git", "ls-files"], cwd=ROOT, capture_output=True, text=True, check=True).stdout
    expected = set()
    for name in files.splitlines():
        if name.startswith("splade_anserini/"):
            expected.add(name)
        elif re.match(r"(encoders|indexes)/(?!\.gitignore)", name):
            expected.add(f"splade_anserini/{name}")
    assert names == expected


@pytest.fixture(scope="module")
def installed(wheel: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The wheel in a fresh environment, whose `bin` is returned.

    The dependencies are links to those of this environment, so that gigabytes need not be installed again.
    """
    environment = tmp_path_factory.mktemp("environment")
    venv.create(environment, with_pip=False)
    site = next((environment / "lib").glob("python*")) / "site-packages"
    dependencies = next(path for path in map(Path, sys.path) if path.name == "site-packages")
    for entry in dependencies.iterdir():
        if not re.search(r"splade[-_]anserini", entry.name):
            (site / entry.name).symlink_to(entry)
    python = environment / "bin" / "python"
    pip = [sys.executable, "-m", "pip", "--python", python, "install", "--quiet", "--no-deps", "--no-index", wheel]
    subprocess.run(pip, check=True)
    return environment / "bin"


def run_elsewhere(directory: Path, *command: str | Path) -> str:
    """Run a command without anything that points to the checkout; return what it printed."""
    clean = {name: value for name, value in os.environ.items() if not name.startswith(("PYTHON", "VIRTUAL_ENV"))}
    done = subprocess.run(command, cwd=directory, env=clean, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    # On a slow machine, a line of progress a minute; and the lines that say how inputs were read.
    expected = ("Checking:", "Encoding:", "NOTE: ")
    assert [line for line in done.stderr.splitlines() if not line.startswith(expected)] == []
    return done.stdout


@pytest.mark.full
def test_the_wheel_passes_the_quickstart_in_a_fresh_environment_and_another_directory(
    installed: Path, tmp_path: Path
) -> None:
    where = run_elsewhere(
        tmp_path, installed / "python", "-c", "import splade_anserini; print(splade_anserini.__file__)"
    )
    assert where.startswith(str(installed.parent))
    printed = run_elsewhere(tmp_path, installed / "splade-anserini", "quickstart", "--output", "here")
    scores = {
        name: [
            float(value) for value in re.findall(rf"^{name} +([\d.]+) +([\d.]+) +([\d.]+) +([\d.]+)$", printed, re.M)[0]
        ]
        for name in ["splade-mini-v2", "BM25"]
    }
    # Anserini's BM25 on Cranfield, and the encoder that ships: nDCG@10, RR@10, R@100, R@1000.
    assert scores["BM25"] == pytest.approx([0.3510, 0.5078, 0.7224, 0.9518], abs=1e-3)
    assert scores["splade-mini-v2"] == pytest.approx([0.3935, 0.5590, 0.7721, 0.9768], abs=5e-3)
    for file in ["run.splade.txt", "run.bm25.txt", "impacts/splade.manifest", "index/splade.manifest"]:
        assert (tmp_path / "here" / file).is_file(), file
    assert "similarity laws" in printed
    run = [line.split() for line in (tmp_path / "here" / "run.splade.txt").read_text().splitlines()]
    assert len({line[0] for line in run}) == 225

    # The commands that it names next, in the other spelling.
    evaluate = [installed / "python", "-m", "splade_anserini.evaluate", "--run", "here/run.bm25.txt", "--format", "csv"]
    qrels = ROOT / "splade_anserini" / "data" / "cranfield" / "qrels" / "test.tsv"
    assert "nDCG@10" in run_elsewhere(tmp_path, *evaluate, "--qrels", qrels)
