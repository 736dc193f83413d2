"""Vectors by sentence-transformers, the library in whose layout most sparse encoders are published."""

import importlib.util
from collections.abc import Sequence
from importlib.metadata import version
from pathlib import Path
from typing import Any

from splade_anserini.artifacts.manifests import CheckpointManifest, read_manifest
from splade_anserini.errors import DependencyError, InputError, first_line
from splade_anserini.formats.model_files import ModelFiles
from splade_anserini.formats.sentence_transformers import MODULES
from splade_anserini.modeling.transformers_logging import no_safetensors_conversion, quiet_transformers
from splade_anserini.modeling.vocabulary import masked_entries, vocabulary
from splade_anserini.records import Side, SparseVector

_LENGTH_OF_SIDE: dict[Side, str] = {"document": "document_length", "query": "query_length"}
"""Attributes of a transformer, since sentence-transformers 6.0, that override its `max_seq_length`."""


def has_sentence_transformers() -> bool:
    """Say whether a version of sentence-transformers is installed that has sparse encoders."""
    if importlib.util.find_spec("sentence_transformers") is None:
        return False
    return int(version("sentence-transformers").partition(".")[0]) >= 5


def has_sentence_transformers_layout(location: str) -> bool:
    """Say whether a directory or Hugging Face id is in the layout of sentence-transformers: it names its modules.

    A checkpoint that was trained here with the pooling `norm` is not, since sentence-transformers refuses it. Raises
    `InputError` when the Hub cannot be asked.
    """
    if (trained := read_manifest(Path(location), CheckpointManifest)) and trained.pooling == "norm":
        return False
    return ModelFiles(location).path(MODULES) is not None


class SentenceTransformersEncoder:
    """A `SparseEncoder` on the CPU in float32, as it opens a directory or a Hugging Face id by itself.

    `lengths` replaces the number of tokens that it reads of a document or of a query. Raises `DependencyError` when
    sentence-transformers is not installed, `InputError` when it cannot open the model.
    """

    def __init__(
        self, location: str, lengths: dict[Side, int] | None = None, *, trust_remote_code: bool = False
    ) -> None:
        if not has_sentence_transformers():
            raise DependencyError(
                "sentence-transformers 5.0 or later is not installed.", do="Run: pip install 'sentence-transformers>=5'"
            )
        with quiet_transformers(), no_safetensors_conversion():
            from sentence_transformers import SparseEncoder

            try:
                model = SparseEncoder(location, device="cpu", trust_remote_code=trust_remote_code)
            except Exception as error:  # sentence-transformers, transformers and the hub client share no base
                reason = first_line(error)
                raise InputError(f"sentence-transformers cannot open {location}: {reason}") from error
        self._model: Any = model.float().eval()
        # Masked entries take places among the greatest there, and none here: they are left out before.
        self._limit, model.max_active_dims = model.max_active_dims, None
        self.name = f"sentence-transformers {version('sentence-transformers')}"
        for side, length in (lengths or {}).items():
            self._set_max_length(side, length)

    def encode(self, texts: Sequence[str], side: Side) -> list[SparseVector]:
        """Return the vector of each text, as token → weight; the entries of special tokens are among them."""
        encode = self._model.encode_query if side == "query" else self._model.encode_document
        with quiet_transformers():
            rows = encode(list(texts), batch_size=8, show_progress_bar=False, convert_to_sparse_tensor=False)
        tokenizer = self._input(side).tokenizer
        names = vocabulary(tokenizer, rows.shape[1])
        if self._limit:
            rows[:, masked_entries(tokenizer, rows.shape[1])] = 0
        vectors: list[SparseVector] = []
        for row in rows.float():
            ids = row.nonzero().flatten()
            if self._limit:
                ids = ids[row[ids].argsort(descending=True, stable=True)[: self._limit]]
            vectors.append(dict(zip((names[token_id] for token_id in ids.tolist()), row[ids].tolist(), strict=True)))
        return vectors

    def max_length(self, side: Side) -> int:
        """Return how many tokens of a text are read, special tokens included."""
        module = self._input(side)
        if _is_static(module):
            return int(module.tokenizer.model_max_length) + _special_tokens(module)
        length = getattr(module, _LENGTH_OF_SIDE[side], None) or module.max_seq_length
        return int(length or module.tokenizer.model_max_length)

    def _set_max_length(self, side: Side, length: int) -> None:
        """Read so many tokens of a text, special tokens included."""
        module = self._input(side)
        if hasattr(module, _LENGTH_OF_SIDE[side]):
            setattr(module, _LENGTH_OF_SIDE[side], length)
        elif _is_static(module):
            module.tokenizer.model_max_length = length - _special_tokens(module)
        else:
            module.max_seq_length = length

    def _input(self, side: Side) -> Any:
        """Return the module that tokenizes the texts of a side: the first of its route."""
        first = self._model[0]
        if not hasattr(first, "sub_modules"):
            return first
        mappings = getattr(first, "route_mappings", None) or {}
        keys = ((side, "text"), (side, None), (None, "text"), (None, None))
        route = next((mappings[key] for key in keys if key in mappings), side)
        return first.sub_modules[route][0]


def _is_static(module: Any) -> bool:
    """Say whether a module is a table of weights, which tokenizes without special tokens."""
    return type(module).__name__ == "SparseStaticEmbedding"


def _special_tokens(module: Any) -> int:
    return int(module.tokenizer.num_special_tokens_to_add(pair=False))
