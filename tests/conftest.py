import math
import os
import tempfile
from collections.abc import Callable, Mapping
from importlib.metadata import version
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from hypothesis import settings

from splade_anserini.cli import console

if TYPE_CHECKING:
    from tests.shared_models import SharedModels

# Without this, every name that is not a model's costs half a minute of attempts to reach the network.
os.environ["HF_HUB_OFFLINE"] = "1"

# The models of tests are tiny: further threads slow them down, several times on a busy machine.
os.environ.setdefault("OMP_NUM_THREADS", "1")
os.environ.setdefault("MKL_NUM_THREADS", "1")

# Which indexes were checked is no affair of the user's who runs the tests.
os.environ["SPLADE_ANSERINI_CACHE"] = f"{tempfile.gettempdir()}/splade-anserini-tests-{os.getpid()}"

# How long an example takes depends on the machine, which may be busy, not on the code.
settings.register_profile("busy", deadline=None)
settings.register_profile("quick", deadline=None, max_examples=8)
settings.load_profile("busy")

# Nor does whether a command writes lines of progress: tests see the same messages on a slow machine.
console.INTERVAL = math.inf


LONGEST = ["test_splade_tiny.py", "test_packaging.py", "test_docs.py", "test_nfcorpus.py"]
"""Files that run first, so that no process waits for another at the end."""


HEAVY_TESTS = (
    "activation checkpoint description encoders fused gradients heads hub loop losses objective optimizer pooling "
    "published pyterrier sparse_projection splade_mini teachers text_attention train trainable unindexable_entries "
    "verify warm_start two_step index convert other_vectors edited_shards damaged_indexes status hybrid rescore "
    "merge index_workers"
)
"""Files whose tests run models with torch, or start Java: seconds in each process. They count as slow."""


@pytest.hookimpl(tryfirst=True)
def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Mark the tests of heavy files as slow, and move the files that take longest to the front."""
    heavy = {f"test_{name}.py" for name in HEAVY_TESTS.split()}
    for item in items:
        if item.path.name in heavy:
            item.add_marker("slow")
    items.sort(key=lambda item: item.path.name not in LONGEST)


def pytest_report_header() -> str:
    """Say which Pyserini the tests run with: `make test-pyserini VERSION=…` puts another one before the newest."""
    return f"pyserini {version('pyserini')}"


@pytest.fixture(scope="session")
def shared_index(tmp_path_factory: pytest.TempPathFactory) -> Callable[..., Path]:
    """Return a function that builds an impact index of vectors, once for all tests with the same vectors and options.

    The index and the `impacts` beside it are shared: tests must not change them.
    """
    from splade_anserini.index import index
    from splade_anserini.lucene import IndexOptions
    from tests.impact_fixtures import write_encoded

    built: dict[str, Path] = {}

    def build(
        vectors: Mapping[str, Mapping[str, int]], options: IndexOptions | None = None, **encoding: object
    ) -> Path:
        options = options or IndexOptions()
        key = repr((vectors, options, encoding))
        if key not in built:
            home = tmp_path_factory.mktemp("shared-index")
            write_encoded(home / "impacts", vectors, shard_size=100, **encoding)
            index(home / "impacts", home / "index", options)
            built[key] = home / "index"
        return built[key]

    return build


@pytest.fixture(scope="session")
def shared_models(tmp_path_factory: pytest.TempPathFactory) -> "SharedModels":
    """Checkpoints and exports of tiny models, made once for all tests, which must not change them."""
    from tests.shared_models import SharedModels

    return SharedModels(tmp_path_factory.mktemp("models"))


@pytest.fixture(scope="session")
def training_home(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A directory with a collection, triples and a tiny backbone to train from; tests add cards and outputs."""
    from tests.training_fixtures import write_training_data

    return write_training_data(tmp_path_factory.mktemp("training"))
