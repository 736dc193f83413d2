"""Loading sentence encoders, which a warm start gives a head."""

import importlib.util
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from splade_anserini.errors import DependencyError, InputError
from splade_anserini.modeling.checkpoint import load_tokenizer, pretrained

PACKAGE = "package:"
"""Before the name of an installed module that carries a model in its directory `model`."""


@dataclass(frozen=True, slots=True)
class Backbone:
    """A transformer without a head, and its tokenizer, which neither pads nor truncates by itself."""

    model: Any
    tokenizer: Any


def load_backbone(name: str) -> Backbone:
    """Load a Hugging Face id, a directory, or the model inside an installed package.

    Raises `InputError` when it cannot be read, `DependencyError` when the package is not installed.
    """
    from transformers import AutoModel

    place = place_of(name)
    # A head or pooler that the checkpoint has besides is not looked at.
    model, report = pretrained(AutoModel, place)
    missing = sorted(key for key in report["missing_keys"] if not key.startswith("pooler."))
    if missing:
        raise InputError(f"{name} lacks {len(missing)} weights of a {type(model).__name__}, {missing[0]} among them.")
    tokenizer = load_tokenizer(place)
    tokenizer.backend_tokenizer.no_padding()
    tokenizer.backend_tokenizer.no_truncation()
    return Backbone(model.float().eval(), tokenizer)


def place_of(name: str) -> str:
    """Return the directory that `package:<module>` names; other names as they are."""
    return _directory_of_package(name.removeprefix(PACKAGE)) if name.startswith(PACKAGE) else name


def _directory_of_package(module: str) -> str:
    found = importlib.util.find_spec(module) if module.isidentifier() else None
    if found is None or not found.submodule_search_locations:
        raise DependencyError.missing(module, "warm-start")
    directory = Path(found.submodule_search_locations[0]) / "model"
    if not directory.is_dir():
        raise InputError(f"The package {module} carries no model.", expected=f"a directory {directory}")
    return str(directory)
