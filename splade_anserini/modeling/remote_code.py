"""Models that bring code of their own, which transformers runs when --trust-remote-code allows it."""

import inspect
import sys
from pathlib import Path
from typing import Any

from splade_anserini.artifacts.fingerprints import fingerprint_of_bytes
from splade_anserini.errors import InputError

_PACKAGE = "transformers_modules"
"""The package as which transformers imports the code of checkpoints."""


def is_refusal(error: Exception) -> bool:
    """Return whether transformers refused to run the code of a checkpoint."""
    return isinstance(error, ValueError) and "trust_remote_code" in str(error)


def refusal(name: str) -> InputError:
    """Return the error for a model that needs code of its own."""
    return InputError(
        f"{name} needs code of its own, which its configuration names under auto_map. That code can do on this machine "
        "whatever you can.",
        do="Read the code. If you trust whoever wrote it, add --trust-remote-code (in Python: trust_remote_code=True).",
    )


def remote_code_fingerprint(*objects: Any) -> str | None:
    """Return the SHA-256 of the code that the checkpoint of these objects brought; None when it brought none."""
    modules = [type(each).__module__ for each in objects if type(each).__module__.startswith(f"{_PACKAGE}.")]
    directories = {Path(inspect.getfile(sys.modules[module])).parent for module in modules}
    files = {file for directory in directories for file in directory.glob("*.py") if file.stat().st_size}
    if not files:
        return None
    parts = sorted((file.name.encode(), file.read_bytes()) for file in files)
    return fingerprint_of_bytes(*(part for name_and_content in parts for part in name_and_content))
