"""The import rules of docs/architecture.md, read from the source."""

import ast
import subprocess
import sys
from pathlib import Path

import pytest

import splade_anserini
from splade_anserini.__main__ import COMMANDS

PACKAGE = Path(splade_anserini.__file__).parent
TIERS = [
    {"_version", "errors", "free_memory", "options", "ordering", "parallel", "progress", "records", "suggestions"},
    {"artifacts", "vectors", "workers"},
    {"cards"},
    {"formats"},
    {"conversion", "evaluation", "lucene", "modeling"},
    {"verification"},
    {"encoding", "exporting", "profiling"},
    {"indexing", "ray_data", "retrieval"},
    {"cli", "explaining", "training"},
    {"convert", "encode", "evaluate", "export", "fuse", "index", "merge", "mine", "profile", "rescore", "score"}
    | {"explain", "one_query", "search", "search_prompt", "pyserini", "text_index", "train", "warm_start"},
    {"impact_index", "reproduction", "tradeoffs"},
    {"inspection", "serving"},
    {"doctor", "info", "list", "pyterrier", "quickstart", "reproduce", "serve", "status", "sweep", "verify"},
    {"__init__", "__main__", "completion"},
]
"""From the ground up: a package imports from lower tiers; a module also from modules of its own tier."""
TIER = {name: tier for tier, names in enumerate(TIERS) for name in names}
SEPARATE = [{"encoding", "lucene"}, {"lucene", "modeling"}]
"""Packages that never import one another: they meet in retrieval and in the commands."""
HEAVY = {
    "torch": {"encoding", "exporting", "modeling", "training"},
    "transformers": {"modeling", "training"},
    "sentence_transformers": {"verification"},
    "onnx": {"exporting"},
    "onnxruntime": {"encoding", "exporting"},
    "jnius": {"lucene"},
    "pyserini": {"lucene"},
    "pyterrier": {"lucene", "pyterrier"},
    "pandas": {"artifacts", "evaluation", "explaining", "impact_index", "pyterrier", "retrieval"},
    "pyarrow": {"conversion", "formats", "ray_data"},
    "datasets": {"formats"},
    "matplotlib": {"artifacts", "evaluation", "explaining", "profiling", "tradeoffs", "training"},
    "scipy": {"evaluation"},
    "ray": {"ray_data", "serving", "workers"},
    "fastapi": {"serving"},
    "starlette": {"serving"},
    "uvicorn": {"serving"},
    "prometheus_client": {"serving"},
    # Only commands draw progress bars.
    "tqdm": {"cli"},
}


def package_of(path: Path) -> str:
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
def test_a_package_imports_only_from_lower_tiers(path: Path) -> None:
    here = package_of(path)
    for module in imports(path):
        parts = module.split(".")
        if parts[0] != "splade_anserini" or len(parts) == 1 or parts[1] == here:
            continue
        there = parts[1]
        modules = not any((PACKAGE / name).is_dir() for name in (here, there))
        assert TIER[there] < TIER[here] + modules, f"{here} imports {module}"
        assert {here, there} not in SEPARATE, f"{here} imports {module}"
        assert not any(part.startswith("_") for part in parts[2:]), f"{here} imports {module}, which is private"


def test_every_module_and_package_has_a_tier() -> None:
    assert set(TIER) == {package_of(path) for path in MODULES}


@pytest.mark.parametrize("path", MODULES, ids=lambda path: str(path.relative_to(PACKAGE)))
def test_a_heavy_package_is_imported_only_by_its_owners(path: Path) -> None:
    for module in imports(path):
        owners = HEAVY.get(module.split(".")[0])
        assert owners is None or package_of(path) in owners, f"{path.name} imports {module}"


TEST_MODULES = sorted(Path(__file__).parent.glob("test_*.py"))


@pytest.mark.parametrize("path", TEST_MODULES, ids=lambda path: path.name)
def test_test_modules_do_not_import_one_another(path: Path) -> None:
    others = {f"tests.{other.stem}" for other in TEST_MODULES if other != path}
    assert not imports(path) & others
    assert "tests" not in imports(path), "import from tests.<module>"


@pytest.mark.slow
@pytest.mark.parametrize("name", ["", *(f".{name.replace('-', '_')}" for name in COMMANDS), ".encoding", ".lucene"])
def test_importing_a_stage_imports_nothing_heavy(name: str) -> None:
    code = f"import sys, splade_anserini{name}; print(*sorted({set(HEAVY)} & set(sys.modules)))"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.split() == []


@pytest.mark.slow
@pytest.mark.parametrize("name", COMMANDS)
def test_help_shows_an_example_and_loads_nothing_heavy(name: str) -> None:
    module = f"splade_anserini.{name.replace('-', '_')}"
    code = (
        f"import sys; from {module} import command; from splade_anserini.cli.console import application\n"
        f"application(command)(['--help'], standalone_mode=False)\n"
        f"print(*sorted({set(HEAVY)} & set(sys.modules)), file=sys.stderr)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert f"splade-anserini {name}" in done.stdout
    assert done.stderr.split() == []


PUBLIC = [
    "BruteForceSearcher",
    "Corpus",
    "DependencyError",
    "DictionaryEncoder",
    "Document",
    "EncodeOptions",
    "Encoder",
    "EncoderOptions",
    "Example",
    "FastLuceneImpactSearcher",
    "Feedback",
    "ImpactDocument",
    "ImpactIndex",
    "ImpactQueryEncoder",
    "ImpactSearcher",
    "ImpactVector",
    "InMemoryCorpus",
    "IndexOptions",
    "InputError",
    "IntegrityError",
    "JavaError",
    "MismatchError",
    "OnnxQueryEncoder",
    "OutputError",
    "PyseriniImpactSearcher",
    "Query",
    "RecordError",
    "Scorer",
    "SearchOptions",
    "Searcher",
    "SparseVector",
    "SpladeAnseriniError",
    "SpladeDocumentEncoder",
    "TorchQueryEncoder",
    "TrainingError",
    "TwoStepSearcher",
    "WorkerError",
    "__version__",
    "open_corpus",
    "open_encoder",
    "open_query_encoder",
    "read_qrels",
    "read_run",
    "read_topics",
    "write_run",
]
"""What semantic versioning covers: a name that is missing here is not public, one that vanishes is a major version."""


def test_the_public_names_are_complete_sorted_and_there() -> None:
    assert splade_anserini.__all__ == sorted(splade_anserini.__all__) == sorted(PUBLIC)
    for name in splade_anserini.__all__:
        assert getattr(splade_anserini, name) is not None
    with pytest.raises(AttributeError, match="no attribute 'nonsense'"):
        splade_anserini.nonsense  # noqa: B018


def test_commands_are_modules_and_are_not_hidden_by_a_function() -> None:
    from splade_anserini import encode, search

    assert callable(encode.encode)
    assert callable(search.search)


def functions(path: Path) -> list[ast.FunctionDef]:
    tree = ast.parse(path.read_text(encoding="utf-8"))
    return [node for node in ast.walk(tree) if isinstance(node, ast.FunctionDef)]


@pytest.mark.parametrize("path", MODULES, ids=lambda path: str(path.relative_to(PACKAGE)))
def test_no_function_has_more_than_eight_parameters_and_no_file_more_than_400_lines(path: Path) -> None:
    for function in functions(path):
        arguments = [*function.args.args, *function.args.kwonlyargs]
        own = [argument for argument in arguments if argument.arg not in {"self", "cls"}]
        # That of Pyserini's method.
        assert len(own) <= 8 or function.name == "set_rocchio", (
            f"{path}:{function.lineno} {function.name} has {len(own)} parameters"
        )
    assert len(path.read_text(encoding="utf-8").splitlines()) <= 400
