"""Mutation testing: change one operator or constant at a time, and check whether a test fails.

Run: python benchmarks/mutants.py [--count 150] [--seed 0] [--jobs 2] [--only lucene …] [--report FILE]

Mutants are drawn by a seed from the packages below, equally many of each, without decorators and the layout of
figures. Each mutant is tested in a copy of the repository, with the test files that import its module and those of
its package: first the quick tests, then, if they pass, the slow ones. The survivors are printed with file, line and
change.
"""

import argparse
import ast
import copy
import json
import os
import random
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict, dataclass
from pathlib import Path
from queue import SimpleQueue

ROOT = Path(__file__).resolve().parent.parent
PACKAGE = Path("splade_anserini")
TESTS = {
    "retrieval": "fuse search rescore hybrid profile feedback two_step",
    "formats": "corpora corpus_files topics topic_formats runs run_formats qrels impacts other_vectors examples "
    "silent_readings ids_with_spaces beir",
    "evaluation": "evaluate comparison significance sweep",
    "vectors": "quantization pruning tradeoffs encode",
    "encoding": "encode pipeline encoders query_sides resuming",
    "lucene": "index searcher two_step fast_searcher feedback writers hybrid bm25 ids_with_spaces",
}
"""Package → the test files that are run for its mutants, after those that import the changed module."""
TIMEOUT = 900
NO_TESTS = 5
"""The exit code of pytest when no test was selected."""

_COMPARISONS = {
    ast.Lt: ast.LtE, ast.LtE: ast.Lt, ast.Gt: ast.GtE, ast.GtE: ast.Gt,
    ast.Eq: ast.NotEq, ast.NotEq: ast.Eq, ast.In: ast.NotIn, ast.NotIn: ast.In, ast.Is: ast.IsNot, ast.IsNot: ast.Is,
}  # fmt: skip
_OPERATORS = {
    ast.Add: ast.Sub, ast.Sub: ast.Add, ast.Mult: ast.Add, ast.Div: ast.Mult, ast.FloorDiv: ast.Mult, ast.Mod: ast.Mult,
}  # fmt: skip
_MESSAGES = ("Error", "error", "warning", "info", "option")
"""Ends of the names of functions whose arguments are messages."""


@dataclass(frozen=True)
class Mutant:
    """One change of one file."""

    path: str
    line: int
    before: str
    after: str
    source: str
    """The whole file, changed."""


def mutants_of(path: Path) -> Iterator[Mutant]:
    """Yield all changes of a file, one operator or constant each."""
    text = (ROOT / path).read_text(encoding="utf-8")
    tree = ast.parse(text)
    nodes = list(_mutable(tree))
    for index, node in enumerate(nodes):
        for variant in range(_variants(node)):
            changed = copy.deepcopy(tree)
            target = list(_mutable(changed))[index]
            before = ast.unparse(target)
            _change(target, variant)
            after = ast.unparse(target)
            if before != after:
                yield Mutant(str(path), node.lineno, before, after, ast.unparse(changed))


def _mutable(tree: ast.AST) -> Iterator[ast.expr]:
    """Yield the nodes that can be changed; not annotations, nor messages of errors."""
    decorators = getattr(tree, "decorator_list", [])
    for node in ast.iter_child_nodes(tree):
        if node in decorators:
            continue
        if isinstance(node, ast.Raise | ast.JoinedStr | ast.AnnAssign | ast.arg):
            if isinstance(node, ast.AnnAssign) and node.value is not None:
                yield from _mutable(node)
            continue
        if isinstance(node, ast.Call) and ast.unparse(node.func).endswith(_MESSAGES):
            continue
        if _variants(node):
            yield node  # type: ignore[misc]
        yield from _mutable(node)


def _variants(node: ast.AST) -> int:
    if isinstance(node, ast.Compare):
        return int(type(node.ops[0]) in _COMPARISONS)
    if isinstance(node, ast.BinOp):
        return int(type(node.op) in _OPERATORS)
    if isinstance(node, ast.BoolOp):
        return 1
    if isinstance(node, ast.UnaryOp):
        return int(isinstance(node.op, ast.Not | ast.USub))
    return int(isinstance(node, ast.Constant) and isinstance(node.value, bool | int | float))


def _change(node: ast.AST, _variant: int) -> None:
    if isinstance(node, ast.Compare):
        node.ops[0] = _COMPARISONS[type(node.ops[0])]()
    elif isinstance(node, ast.BinOp):
        node.op = _OPERATORS[type(node.op)]()
    elif isinstance(node, ast.BoolOp):
        node.op = ast.And() if isinstance(node.op, ast.Or) else ast.Or()
    elif isinstance(node, ast.UnaryOp):
        node.op = ast.UAdd() if isinstance(node.op, ast.USub) else ast.Not()
        if isinstance(node.op, ast.Not):
            node.operand = ast.UnaryOp(ast.Not(), node.operand)
    elif isinstance(node, ast.Constant):
        node.value = not node.value if isinstance(node.value, bool) else node.value + 1  # type: ignore[operator]


def draw(count: int, seed: int, packages: list[str]) -> list[Mutant]:
    """Draw `count` mutants, equally many of each package."""
    chance = random.Random(seed)
    mutants: list[Mutant] = []
    for package_index, package in enumerate(packages):
        paths = sorted(path for path in (ROOT / PACKAGE / package).rglob("*.py") if path.name != "plots.py")
        candidates = [mutant for path in paths for mutant in mutants_of(path.relative_to(ROOT))]
        share = count // len(packages) + (package_index < count % len(packages))
        mutants += chance.sample(candidates, min(share, len(candidates)))
    return mutants


def tests_of(path: Path, repository: Path) -> list[str]:
    """Return the test files that import a module, then those of its package."""
    module = ".".join(path.with_suffix("").parts)
    importing = [
        file.relative_to(repository).as_posix()
        for file in sorted((repository / "tests").glob("test_*.py"))
        if module in file.read_text(encoding="utf-8")
    ]
    of_package = [f"tests/test_{name}.py" for name in TESTS[path.parts[1]].split()]
    return list(dict.fromkeys([*importing, *(name for name in of_package if (repository / name).exists())]))


def verdict(mutant: Mutant, copy_of_repository: Path) -> str:
    """Return "killed" if a test fails, "timeout" if the tests do not end, "survived" if all pass."""
    path = copy_of_repository / mutant.path
    original = path.read_text(encoding="utf-8")
    files = tests_of(Path(mutant.path), copy_of_repository)
    command = [sys.executable, "-m", "pytest", "-x", "-q", "-p", "no:cacheprovider", *files]
    environment = os.environ | {"PYTHONPATH": str(copy_of_repository)}
    path.write_text(mutant.source, encoding="utf-8")
    try:
        for tests in ("not slow and not full", "slow and not full"):
            done = subprocess.run(
                [*command, "-m", tests],
                cwd=copy_of_repository,
                env=environment,
                capture_output=True,
                timeout=TIMEOUT,
                check=False,
            )
            if done.returncode not in {0, NO_TESTS}:
                return "killed"
    except subprocess.TimeoutExpired:
        return "timeout"
    finally:
        path.write_text(original, encoding="utf-8")
    return "survived"


def main() -> None:
    """Draw mutants, test them, and print the survivors."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--count", type=int, default=150)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--jobs", type=int, default=2)
    parser.add_argument("--only", nargs="*", choices=sorted(TESTS), default=[])
    parser.add_argument("--report", type=Path, default=Path("build/mutants.jsonl"))
    arguments = parser.parse_args()
    packages = arguments.only or list(TESTS)
    mutants = draw(arguments.count, arguments.seed, packages)
    arguments.report.parent.mkdir(parents=True, exist_ok=True)
    copies: SimpleQueue[Path] = SimpleQueue()
    with tempfile.TemporaryDirectory() as directory, arguments.report.open("w", encoding="utf-8") as report:
        shared = ROOT.parent / "shared"
        if shared.exists():
            (Path(directory) / "shared").symlink_to(shared.resolve())
        for job in range(arguments.jobs):
            target = Path(directory) / f"copy{job}"
            shutil.copytree(ROOT, target, ignore=shutil.ignore_patterns(".venv", ".git", "build", ".*_cache"))
            copies.put(target)

        def judge(mutant: Mutant) -> tuple[Mutant, str]:
            repository = copies.get()
            try:
                return mutant, verdict(mutant, repository)
            finally:
                copies.put(repository)

        survivors = 0
        with ThreadPoolExecutor(arguments.jobs) as pool:
            for mutant, result in pool.map(judge, mutants):
                survivors += result == "survived"
                row = {name: value for name, value in asdict(mutant).items() if name != "source"} | {"result": result}
                report.write(json.dumps(row) + "\n")
                report.flush()
                if result == "survived":
                    print(f"{mutant.path}:{mutant.line}: {mutant.before}  ->  {mutant.after}", flush=True)
    print(f"{len(mutants) - survivors} of {len(mutants)} mutants killed ({1 - survivors / max(len(mutants), 1):.0%})")


if __name__ == "__main__":
    main()
