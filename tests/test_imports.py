"""Dependencies point one way, heavy packages stay in their rooms, and help is quick: read off the source."""

import ast
import subprocess
import sys
import time
from pathlib import Path

import pytest

import splade_anserini
from splade_anserini.__main__ import STAGES

PACKAGE = Path(splade_anserini.__file__).parent
FLOOR = [
    "records",
    "errors",
    "cards",
    "contracts",
    "manifests",
    "files",
    "fingerprints",
    "resources",
    "machine",
    "progress",
    "_version",
    "ahead",
    "recipes",
    "pruning",
    "pictures",
]
TIERS = dict.fromkeys(FLOOR, 0) | {
    "formats": 1,
    "evaluation": 2,
    "exchange": 2,
    "modeling": 2,
    "encoding": 3,
    "lucene": 3,
    "training": 4,
    "efficiency": 4,
}
STAGE_TIER = 5
HEAVY = {
    "torch": {"modeling", "encoding", "training"},
    "transformers": {"modeling", "training"},
    "onnx": {"modeling"},
    "onnxruntime": {"encoding", "modeling"},
    "jnius": {"lucene"},
    "pyserini": {"lucene", "formats"},
    "pyarrow": {"exchange"},
    "matplotlib": {"efficiency", "evaluation", "frontier", "pictures", "training"},
    "scipy": {"evaluation"},
}


def room(path: Path) -> str:
    return path.relative_to(PACKAGE).parts[0].removesuffix(".py")


def imports(path: Path, *, top_level_only: bool = False) -> set[str]:
    tree = ast.parse(path.read_text(encoding="utf-8"))
    nodes = tree.body if top_level_only else ast.walk(tree)
    found = set()
    for node in nodes:
        if isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and node.module:
            assert node.level == 0, f"{path}: relative import"
            found.add(node.module)
    return found


MODULES = sorted(PACKAGE.rglob("*.py"))


@pytest.mark.parametrize("path", MODULES, ids=lambda path: str(path.relative_to(PACKAGE)))
def test_a_room_imports_only_from_rooms_below_it(path: Path) -> None:
    if path.name in {"__init__.py", "__main__.py"} and path.parent == PACKAGE:
        return
    here = room(path)
    for module in imports(path):
        parts = module.split(".")
        if parts[0] != "splade_anserini" or len(parts) == 1 or parts[1] == here:
            continue
        there = parts[1]
        assert TIERS.get(there, STAGE_TIER) <= TIERS.get(here, STAGE_TIER), f"{here} imports {module}"
        assert {here, there} != {"lucene", "encoding"}, f"{here} imports {module}"
        assert {here, there} != {"lucene", "modeling"}, f"{here} imports {module}"


@pytest.mark.parametrize("path", MODULES, ids=lambda path: str(path.relative_to(PACKAGE)))
def test_a_heavy_package_is_imported_only_by_the_room_that_owns_it(path: Path) -> None:
    for module in imports(path):
        owners = HEAVY.get(module.split(".")[0])
        assert owners is None or room(path) in owners, f"{path.name} imports {module}"


@pytest.mark.parametrize("name", ["", *(f".{name.replace('-', '_')}" for name in STAGES), ".encoding", ".lucene"])
def test_importing_a_stage_imports_nothing_heavy(name: str) -> None:
    code = f"import sys, splade_anserini{name}; print(*sorted({set(HEAVY)} & set(sys.modules)))"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.split() == []


@pytest.mark.parametrize("stage", STAGES)
def test_help_answers_at_once_and_shows_an_example(stage: str) -> None:
    def ask() -> tuple[float, str]:
        start = time.perf_counter()
        module = f"splade_anserini.{stage.replace('-', '_')}"
        done = subprocess.run([sys.executable, "-m", module, "--help"], capture_output=True, text=True, check=True)
        return time.perf_counter() - start, done.stdout

    # Start-up, not speed: the best of a few, for the machine may be busy with other things.
    took, text = min(ask() for _ in range(5))
    assert took < 0.5
    assert f"splade-anserini {stage}" in text


def test_the_public_names_are_complete_sorted_and_there() -> None:
    assert splade_anserini.__all__ == sorted(splade_anserini.__all__)
    for name in splade_anserini.__all__:
        assert getattr(splade_anserini, name) is not None
    with pytest.raises(AttributeError, match="no attribute 'nonsense'"):
        splade_anserini.nonsense  # noqa: B018
