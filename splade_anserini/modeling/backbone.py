"""Loading sentence encoders: transformers without a masked-language-model head."""

import importlib.util
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from splade_anserini.errors import DependencyError, InputError, counted
from splade_anserini.formats.model_files import ModelFiles
from splade_anserini.modeling.checkpoint import load_tokenizer, pretrained
from splade_anserini.modeling.vocabulary import lower_case

PACKAGE = "package:"
"""The prefix of an installed module that holds a model in its directory `model`."""


@dataclass(frozen=True, slots=True)
class Backbone:
    """A transformer without a head, and its tokenizer with padding and truncation turned off."""

    model: Any
    tokenizer: Any


def load_backbone(name: str, *, trust_remote_code: bool = False) -> Backbone:
    """Load a Hugging Face id, a directory, or the model in an installed package (`package:<module>`).

    With `trust_remote_code`, code that comes with the model is run. Raises `InputError` when it cannot be read or needs
    such code without leave, `DependencyError` when the package is not installed.
    """
    from transformers import AutoModel

    source = model_source(name)
    # A head or pooler in the checkpoint is ignored.
    model, report = pretrained(AutoModel, source, trust_remote_code=trust_remote_code)
    missing = sorted(key for key in report["missing_keys"] if not key.startswith("pooler."))
    if missing:
        raise InputError(
            f"{name} lacks {counted(len(missing), 'weight')} of a {type(model).__name__}, such as {missing[0]}.",
            expected="a complete Hugging Face checkpoint of a transformer",
        )
    tokenizer = load_tokenizer(source, trust_remote_code=trust_remote_code)
    settings = ModelFiles(source).json_object("sentence_bert_config.json") if Path(source).is_dir() else None
    if settings and settings.get("do_lower_case") is True:
        lower_case(tokenizer)
    tokenizer.backend_tokenizer.no_padding()
    tokenizer.backend_tokenizer.no_truncation()
    return Backbone(model.float().eval(), tokenizer)


def model_source(name: str) -> str:
    """Return the directory that `package:<module>` stands for; other names unchanged."""
    return _directory_of_package(name.removeprefix(PACKAGE)) if name.startswith(PACKAGE) else name


def _directory_of_package(module: str) -> str:
    spec = importlib.util.find_spec(module) if module.isidentifier() else None
    if spec is None or not spec.submodule_search_locations:
        raise DependencyError.missing(module, "warm-start")
    directory = Path(spec.submodule_search_locations[0]) / "model"
    if not directory.is_dir():
        raise InputError(f"The package {module} contains no model.", expected=f"a directory {directory}")
    return str(directory)
