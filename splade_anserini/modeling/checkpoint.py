"""Loading masked-language models and their tokenizers from Hugging Face checkpoints."""

import inspect
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from splade_anserini.errors import InputError, MismatchError, first_line
from splade_anserini.formats.model_files import not_loaded
from splade_anserini.modeling.model_types import ACCEPTED, require_masked_lm
from splade_anserini.modeling.remote_code import is_refusal, refusal
from splade_anserini.modeling.transformers_logging import no_safetensors_conversion, quiet_transformers
from splade_anserini.modeling.vocabulary import token_count
from splade_anserini.records import StrPath

MAX_SPARE_ROWS = 1024
"""Rows that a model may have beyond its tokenizer: vocabularies are padded to round numbers, for speed."""


@dataclass(frozen=True, slots=True)
class Checkpoint:
    """A masked-language model with its tokenizer, both of transformers."""

    model: Any
    tokenizer: Any
    name: str
    """The name or directory that it was loaded by."""
    subfolder: str = ""
    """The directory of the model inside the one of this name."""

    @property
    def vocabulary_size(self) -> int:
        """Rows of the output layer."""
        return int(self.model.config.vocab_size)

    @property
    def max_length(self) -> int:
        """The longest input of the model, in tokens, special tokens included."""
        positions = int(getattr(self.model.config, "max_position_embeddings", None) or 512)
        # RoBERTa and models like it number positions from the padding id on.
        table = getattr(getattr(self.model.base_model, "embeddings", None), "position_embeddings", None)
        offset = getattr(table, "padding_idx", None)
        return min(positions if offset is None else positions - offset - 1, int(self.tokenizer.model_max_length))

    @property
    def takes_token_types(self) -> bool:
        """Whether the model has an input `token_type_ids`."""
        return "token_type_ids" in inspect.signature(self.model.forward).parameters


def load_checkpoint(name: StrPath, subfolder: str = "", *, trust_remote_code: bool = False) -> Checkpoint:
    """Load a Hugging Face id or directory, or a subfolder of it, in float32, ready for inference.

    With `trust_remote_code`, code that comes with the checkpoint is run. Raises `InputError` when it cannot be found or
    read, needs such code without leave, or has no masked-language-model head, and `MismatchError` when model and
    tokenizer do not belong together.
    """
    from transformers import AutoModelForMaskedLM

    name = str(name)
    require_masked_lm(name, _configuration(name, subfolder))
    model, report = pretrained(AutoModelForMaskedLM, name, subfolder, trust_remote_code=trust_remote_code)
    _require_head(name, model, report)
    tokenizer = load_tokenizer(name, subfolder, trust_remote_code=trust_remote_code)
    if tokenizer.truncation_side != "right":
        raise InputError(
            f"The tokenizer of {name} truncates on the {tokenizer.truncation_side} (truncation_side).",
            expected='"right": the beginning of a long text is read here',
            do="Change truncation_side in tokenizer_config.json if the model was not trained so.",
        )
    checkpoint = Checkpoint(model.float().eval(), tokenizer, name, subfolder)
    _require_match(checkpoint)
    return checkpoint


def pretrained(
    auto_class: Any, name: str, subfolder: str = "", *, trust_remote_code: bool = False
) -> tuple[Any, dict[str, Any]]:
    """Load a model by one of transformers' Auto classes; return it and transformers' report on its weights.

    Raises `InputError` when it cannot be found or read.
    """
    name, arguments = _part(name, subfolder)
    require_model(name)
    with _loading(name, "model"), no_safetensors_conversion():
        model, report = auto_class.from_pretrained(
            name, output_loading_info=True, trust_remote_code=trust_remote_code, **arguments
        )
    return model, report


@contextmanager
def _loading(name: str, part: str) -> Iterator[None]:
    """Turn off transformers' messages inside the block, and raise `InputError` for any error of transformers."""
    with quiet_transformers():
        try:
            yield
        except Exception as error:  # transformers, its hub client and the file formats share no base
            raise _unreadable(name, part, error) from error


def _part(name: str, subfolder: str) -> tuple[str, dict[str, str]]:
    """Return the name and the arguments by which transformers loads a subfolder of a directory or Hugging Face id."""
    if not subfolder:
        return name, {}
    return (str(Path(name) / subfolder), {}) if Path(name).is_dir() else (name, {"subfolder": subfolder})


def load_tokenizer(name: str, subfolder: str = "", *, trust_remote_code: bool = False) -> Any:
    """Load the fast tokenizer of a Hugging Face id or directory. Raises `InputError` when there is none."""
    from transformers import AutoTokenizer

    name, arguments = _part(name, subfolder)
    with _loading(name, "tokenizer"):
        tokenizer = AutoTokenizer.from_pretrained(name, trust_remote_code=trust_remote_code, **arguments)
    if not getattr(tokenizer, "is_fast", False):
        raise InputError(
            f"{name} has only a slow tokenizer, {type(tokenizer).__name__}.",
            expected="a fast tokenizer, which has a tokenizer.json",
        )
    # Where its files are missing, transformers returns a tokenizer that has special tokens only.
    if not set(tokenizer.get_vocab()) - set(tokenizer.all_special_tokens):
        raise InputError(
            f"{name} has no tokenizer.",
            expected="tokenizer.json, or the vocabulary to make it from, beside the model",
            do="Save the tokenizer into the same directory: tokenizer.save_pretrained(…).",
        )
    return tokenizer


def vocabulary_size(name: str, subfolder: str = "", *, trust_remote_code: bool = False) -> int:
    """Return the rows of a checkpoint's output layer without loading the model. Raises `InputError` if it has none."""
    from transformers import AutoConfig

    name, arguments = _part(name, subfolder)
    require_model(name)
    with _loading(name, "configuration"):
        config = AutoConfig.from_pretrained(name, trust_remote_code=trust_remote_code, **arguments)
        return int(config.vocab_size)


def _configuration(name: str, subfolder: str) -> dict[str, Any]:
    """Return the content of a checkpoint's config.json. Raises `InputError` when it cannot be found or read."""
    from transformers import PretrainedConfig

    name, arguments = _part(name, subfolder)
    require_model(name)
    with _loading(name, "model"):
        content: dict[str, Any] = PretrainedConfig.get_config_dict(name, **arguments)[0]
    return content


def require_model(name: str) -> None:
    """Raise `InputError` when `name` is a path that cannot be a model."""
    path = Path(name)
    if path.is_dir() and not (path / "config.json").is_file():
        raise InputError(f"{name} is not a model: it has no config.json.", expected=ACCEPTED)
    if path.is_file():
        raise InputError(f"{name} is not a model but a file.", expected=ACCEPTED)
    if not path.exists() and (name.startswith((".", "/", "~")) or name.count("/") > 1):
        raise InputError(f"The model {name} does not exist.", expected=ACCEPTED)


def _require_head(name: str, model: Any, report: dict[str, Any]) -> None:
    missing = sorted(report["missing_keys"])
    if not missing:
        return
    raise InputError(
        f"{name} has no masked-language-model head: {len(missing)} of the weights of a {type(model).__name__} are "
        f"missing, such as {missing[0]}.",
        expected=ACCEPTED,
        do="To give a sentence encoder a head, run splade-anserini warm-start.",
    )


def _require_match(checkpoint: Checkpoint) -> None:
    rows, tokens = checkpoint.vocabulary_size, token_count(checkpoint.tokenizer)
    if tokens <= rows <= tokens + MAX_SPARE_ROWS:
        return
    raise MismatchError(
        f"{checkpoint.name}: the model has {rows:,} vocabulary entries, its tokenizer {tokens:,}.",
        expected="the tokenizer that the model was trained with",
        do="Save both into one directory again.",
    )


def _unreadable(name: str, part: str, error: Exception) -> InputError:
    """Return the error for a model, tokenizer or configuration that could not be loaded."""
    if is_refusal(error):
        return refusal(name)
    reason = first_line(error)
    if Path(name).is_dir():
        return InputError(f"The {part} in {name} cannot be loaded: {reason}", expected=ACCEPTED)
    return not_loaded(name, part, reason, expected=ACCEPTED)
