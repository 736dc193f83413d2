"""Loading masked-language models, and refusing what is none."""

import inspect
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from splade_anserini.cards.finding import suggest_encoders
from splade_anserini.errors import InputError, MismatchError
from splade_anserini.modeling.transformers_logging import no_conversion, quiet

SPARE_ROWS = 1024
"""How many rows a model may have beyond its tokenizer: vocabularies are padded to round numbers, for speed."""

_KINDS = "the Hugging Face id or the directory of a model with a masked-language-model head, such as BERT's"


@dataclass(frozen=True, slots=True)
class Checkpoint:
    """A masked-language model with its tokenizer, both of transformers."""

    model: Any
    tokenizer: Any
    name: str
    """As it was named by the one who loaded it."""

    @property
    def vocabulary_size(self) -> int:
        """Rows of the output layer."""
        return int(self.model.config.vocab_size)

    @property
    def max_length(self) -> int:
        """The longest input the model can read, in tokens, special tokens counted."""
        positions = int(getattr(self.model.config, "max_position_embeddings", None) or 512)
        # RoBERTa and its kin number positions from the padding id on.
        table = getattr(getattr(self.model.base_model, "embeddings", None), "position_embeddings", None)
        offset = getattr(table, "padding_idx", None)
        return min(positions if offset is None else positions - offset - 1, int(self.tokenizer.model_max_length))

    @property
    def takes_token_types(self) -> bool:
        """Whether the model reads `token_type_ids`."""
        return "token_type_ids" in inspect.signature(self.model.forward).parameters


def load_checkpoint(name_or_dir: str) -> Checkpoint:
    """Load a Hugging Face id or directory, ready for inference.

    Raises `InputError` when it cannot be found or read, or has no masked-language-model head, and `MismatchError` when
    model and tokenizer do not belong together.
    """
    from transformers import AutoModelForMaskedLM

    model, report = pretrained(AutoModelForMaskedLM, name_or_dir)
    _require_head(name_or_dir, model, report)
    checkpoint = Checkpoint(model.float().eval(), load_tokenizer(name_or_dir), name_or_dir)
    _require_match(checkpoint)
    return checkpoint


def pretrained(kind: Any, name_or_dir: str) -> tuple[Any, dict[str, Any]]:
    """Load a model by one of transformers' Auto classes; return it, and what transformers reports of its weights.

    Raises `InputError` when it cannot be found or read.
    """
    require_model(name_or_dir)
    with quiet(), no_conversion():
        try:
            model, report = kind.from_pretrained(name_or_dir, output_loading_info=True)
        except Exception as error:  # transformers, its hub client and the file formats share no base
            raise unreadable(name_or_dir, "model", error) from error
    return model, report


def load_tokenizer(name_or_dir: str) -> Any:
    """Load the fast tokenizer of a Hugging Face id or directory. Raises `InputError` when there is none."""
    from transformers import AutoTokenizer

    with quiet():
        try:
            tokenizer = AutoTokenizer.from_pretrained(name_or_dir)
        except Exception as error:  # as above
            raise unreadable(name_or_dir, "tokenizer", error) from error
    if not getattr(tokenizer, "is_fast", False):
        raise InputError(
            f"{name_or_dir} has only a slow tokenizer, {type(tokenizer).__name__}.",
            expected="a fast tokenizer, which one tokenizer.json describes",
        )
    # For want of files, transformers makes a tokenizer of nothing but special tokens.
    if not set(tokenizer.get_vocab()) - set(tokenizer.all_special_tokens):
        raise InputError(
            f"{name_or_dir} has no tokenizer.",
            expected="tokenizer.json, or the vocabulary it is made from, beside the model",
            do="Save the tokenizer into the same directory: tokenizer.save_pretrained(…).",
        )
    return tokenizer


def vocabulary_size(name_or_dir: str) -> int:
    """Return the rows of a checkpoint's output layer, without loading the model. Raises `InputError` if it has none."""
    from transformers import AutoConfig

    require_model(name_or_dir)
    with quiet():
        try:
            return int(AutoConfig.from_pretrained(name_or_dir).vocab_size)
        except Exception as error:  # as above
            raise unreadable(name_or_dir, "configuration", error) from error


def require_model(name: str) -> None:
    """Raise `InputError` when `name` is a path, and no model can be there."""
    path = Path(name)
    if path.is_dir() and not (path / "config.json").is_file():
        raise InputError(f"{name} is no model: it holds no config.json.", expected=_KINDS)
    if path.is_file() or (not path.exists() and (name.startswith((".", "/", "~")) or name.count("/") > 1)):
        raise InputError(
            f"There is no model at {name}: " + ("it is a file." if path.is_file() else "nothing is there."),
            expected=_KINDS,
        )


def _require_head(name: str, model: Any, report: dict[str, Any]) -> None:
    missing = sorted(report["missing_keys"])
    if not missing:
        return
    raise InputError(
        f"{name} has no masked-language-model head: {len(missing)} of the weights of a {type(model).__name__} are "
        f"missing, {missing[0]} among them.",
        expected=_KINDS,
        do="A sentence encoder can be given a head: splade-anserini warm-start.",
    )


def _require_match(checkpoint: Checkpoint) -> None:
    rows, tokens = checkpoint.vocabulary_size, max(checkpoint.tokenizer.get_vocab().values()) + 1
    if tokens <= rows <= tokens + SPARE_ROWS:
        return
    raise MismatchError(
        f"{checkpoint.name}: the model has {rows:,} vocabulary entries, its tokenizer {tokens:,}.",
        expected="a tokenizer that the model was trained with",
        do="Save both into one directory again.",
    )


def unreadable(name: str, part: str, error: Exception) -> InputError:
    """Say in one sentence why a model or tokenizer could not be loaded."""
    reason = str(error).strip().split("\n", maxsplit=1)[0]
    if Path(name).is_dir():
        return InputError(f"The {part} in {name} cannot be loaded: {reason}", expected=_KINDS)
    check = "Check the name and the network; a model behind a licence needs `huggingface-cli login` first."
    return InputError(
        f"{name} is no directory, and its {part} cannot be had from Hugging Face: {reason}",
        expected=_KINDS,
        do=" ".join(filter(None, (suggest_encoders(name), check))),
    )
