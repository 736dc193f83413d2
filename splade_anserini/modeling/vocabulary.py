"""What a tokenizer's entries are, in the order of their ids, and which of them never stand for a text."""

from collections.abc import Sequence
from typing import Any

from tokenizers import Tokenizer


def plain_tokenizer(tokenizer: Any) -> Tokenizer:
    """Return a copy of the fast tokenizer inside a transformers tokenizer, without its padding and truncation."""
    plain = Tokenizer.from_str(tokenizer.backend_tokenizer.to_str())
    plain.no_padding()
    plain.no_truncation()
    return plain


def serialized(tokenizer: Any) -> bytes:
    """Return the bytes of the tokenizer.json that stands for a transformers tokenizer."""
    return plain_tokenizer(tokenizer).to_str(pretty=False).encode()


def vocabulary(tokenizer: Any, size: int) -> list[str]:
    """Return the tokens of ids 0 to `size` − 1; rows that the model has and the tokenizer lacks are "[row 30522]"."""
    tokens = {number: token for token, number in tokenizer.get_vocab().items()}
    return [tokens.get(number, f"[row {number}]") for number in range(size)]


def special_ids(tokenizer: Any) -> list[int]:
    """Return the ids of all special tokens, sorted."""
    return sorted(set(tokenizer.all_special_ids))


def masked_entries(tokenizer: Any, size: int) -> list[int]:
    """Return the ids whose weight is always 0: special tokens, and rows that have no token."""
    known = set(tokenizer.get_vocab().values())
    return sorted({*special_ids(tokenizer), *(number for number in range(size) if number not in known)})


def unused_ids(tokens: Sequence[str]) -> list[int]:
    """Return the ids of BERT's place holders, "[unused0]" and so on."""
    return [number for number, token in enumerate(tokens) if token.startswith("[unused") and token.endswith("]")]
