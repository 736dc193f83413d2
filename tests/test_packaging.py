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
        *("README.md", "benchmarks", "docs", "encoders", "indexes", "pyproject.toml", "setup.cfg"),
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


@pytest.mark.slow
def test_the_wheel_passes_the_quickstart_in_a_fresh_environment_and_another_directory(
    wheel: Path, tmp_path: Path
) -> None:
    environment = tmp_path / "environment"
    venv.create(environment, with_pip=False)
    python = environment / "bin" / "python"
    site = next((environment / "lib").glob("python*")) / "site-packages"
    # The dependencies are those of this environment, so that gigabytes need not be installed again; the package is not.
    dependencies = [path for path in map(Path, sys.path) if path.name == "site-packages"]
    for entry in dependencies[0].iterdir():
        if not re.search(r"splade[-_]anserini", entry.name):
            (site / entry.name).symlink_to(entry)
    subprocess.run(
        [sys.executable, "-m", "pip", "--python", python, "install", "--quiet", "--no-deps", "--no-index", wheel],
        check=True,
    )
    elsewhere = tmp_path / "elsewhere"
    elsewhere.mkdir()
    clean = {name: value for name, value in os.environ.items() if not name.startswith(("PYTHON", "VIRTUAL_ENV"))}
    done = subprocess.run(
        [environment / "bin" / "splade-anserini", "quickstart", "--output", "here"],
        cwd=elsewhere,
        env=clean,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    assert "BM25" in done.stdout
    assert (elsewhere / "here" / "run.splade.txt").is_file()
    where = subprocess.run(
        [python, "-c", "import splade_anserini; print(splade_anserini.__file__)"],
        cwd=elsewhere, env=clean, capture_output=True, text=True, check=True,
    )  # fmt: skip
    assert str(environment) in where.stdout
