"""The entries of a tokenizer's vocabulary, in the order of their ids, and those that never get a weight."""

from collections.abc import Sequence
from typing import Any

from tokenizers import Tokenizer, normalizers

from splade_anserini.formats.tokens import is_indexable


def plain_tokenizer(tokenizer: Any) -> Tokenizer:
    """Return a copy of the fast tokenizer inside a transformers tokenizer, without padding and truncation."""
    plain = Tokenizer.from_str(tokenizer.backend_tokenizer.to_str())
    plain.no_padding()
    plain.no_truncation()
    return plain


def serialized(tokenizer: Any) -> bytes:
    """Return a transformers tokenizer as the bytes of a tokenizer.json."""
    return plain_tokenizer(tokenizer).to_str(pretty=False).encode()


def lower_case(tokenizer: Any) -> None:
    """Let a transformers tokenizer lower-case texts first, unless a step of its normalization does so already."""
    backend = tokenizer.backend_tokenizer
    normalizer: Any = backend.normalizer
    is_sequence = isinstance(normalizer, normalizers.Sequence)
    steps: list[Any] = []
    if normalizer is not None:
        steps = [normalizer[index] for index in range(len(normalizer))] if is_sequence else [normalizer]
    if not any(isinstance(step, normalizers.Lowercase) for step in steps):
        backend.normalizer = normalizers.Sequence([normalizers.Lowercase(), *steps])


def vocabulary(tokenizer: Any, size: int) -> list[str]:
    """Return the tokens of ids 0 to `size` − 1; an id that the tokenizer lacks has a name such as "[row 30522]"."""
    tokens = {token_id: token for token, token_id in tokenizer.get_vocab().items()}
    return [tokens.get(token_id, _row_name(token_id)) for token_id in range(size)]


def _row_name(token_id: int) -> str:
    """Return the name of an entry without a token, which never has a weight."""
    return f"[row {token_id}]"


def special_ids(tokenizer: Any) -> list[int]:
    """Return the ids of all special tokens of a tokenizer of transformers or a plain one, sorted."""
    return special_token_ids(tokenizer) if isinstance(tokenizer, Tokenizer) else sorted(set(tokenizer.all_special_ids))


def special_token_ids(tokenizer: Tokenizer) -> list[int]:
    """Return the ids of the special tokens of a plain tokenizer, the one for unknown words included."""
    special = {token_id for token_id, token in tokenizer.get_added_tokens_decoder().items() if token.special}
    unknown = tokenizer.token_to_id(getattr(tokenizer.model, "unk_token", None) or "")
    return sorted(special if unknown is None else {*special, unknown})


def unindexable_ids(tokens: Sequence[str]) -> list[int]:
    """Return the ids of the tokens that Lucene cannot hold, such as runs of spaces (docs/decisions/0020)."""
    return [
        token_id for token_id, token in enumerate(tokens) if not is_indexable(token) and token != _row_name(token_id)
    ]


def masked_entries(tokenizer: Any, size: int) -> list[int]:
    """Return the ids whose weight is always 0: special tokens, tokens Lucene cannot hold, and rows without a token."""
    # Rows without a token have names with a space, which Lucene cannot hold either.
    unindexable = (token_id for token_id, token in enumerate(vocabulary(tokenizer, size)) if not is_indexable(token))
    return sorted({*special_ids(tokenizer), *unindexable})


def token_count(tokenizer: Any) -> int:
    """Return how many ids the tokens of a tokenizer of transformers or a plain one take up."""
    return int(max(tokenizer.get_vocab().values())) + 1


def unused_ids(tokens: Sequence[str]) -> list[int]:
    """Return the ids of BERT's placeholders: "[unused0]" and so on."""
    return [token_id for token_id, token in enumerate(tokens) if token.startswith("[unused") and token.endswith("]")]
