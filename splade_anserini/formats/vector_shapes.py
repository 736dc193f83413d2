"""The forms in which tools write a sparse vector: an object, pairs, two lists, Vespa's cells, a named vector."""

from collections.abc import Iterable, Mapping, Sequence
from typing import NamedTuple

import orjson

from splade_anserini.errors import counted
from splade_anserini.formats.parsing.columns import column_key
from splade_anserini.formats.parsing.lines import Location
from splade_anserini.formats.parsing.unique_keys import check_unique_keys_of

EXPECTED = (
    '{"token": weight, …}, [["token", weight], …], [{"token": …, "weight": …}, …], '
    '{"tokens": […], "weights": […]} or {"indices": […], "values": […]}'
)

_NAMES_OF_TOKENS = "token tokens term terms word words key keys name names indices index tokenids tokenid id ids"
_NAMES_OF_WEIGHTS = "weight weights impact impacts value values score scores freq freqs frequency frequencies"
TOKEN_KEYS = tuple(_NAMES_OF_TOKENS.split())
"""Names of tokens, or of ids in a vocabulary, as `column_key` returns them."""
WEIGHT_KEYS = tuple(_NAMES_OF_WEIGHTS.split())

_NUMBERS = {int, float}


class Columns(NamedTuple):
    """The entries of a vector: tokens or ids in a vocabulary, and as many weights, neither of them checked."""

    tokens: Sequence[object]
    weights: Sequence[object]
    names: str = ""
    """The names of the two lists."""


def columns_of(value: object, location: Location) -> Columns | None:
    """Return the entries of a sparse vector in any form that is known, None for anything else.

    Raises `RecordError` when two lists have different lengths, an object holds several vectors, or a key occurs twice
    in the text of one.
    """
    if isinstance(value, str) and value[:1] in ("{", "["):
        text = value
        try:
            value = orjson.loads(text)
        except orjson.JSONDecodeError:
            return None
        if isinstance(value, dict):
            check_unique_keys_of(value, text.encode(), location)
    if isinstance(value, dict):
        return _of_object(value, location)
    return _of_list(value) if isinstance(value, list | tuple) else None


def parallel_columns(value: Mapping[str, object], location: Location) -> Columns | None:
    """Return the two lists of an object, such as `tokens` and `weights`, None if it does not hold two."""
    tokens_key, weights_key = (
        next((key for key, item in value.items() if column_key(key) in names and isinstance(item, list)), None)
        for names in (TOKEN_KEYS, WEIGHT_KEYS)
    )
    if tokens_key is None or weights_key is None:
        return None
    tokens, weights = value[tokens_key], value[weights_key]
    if not isinstance(tokens, list) or not isinstance(weights, list) or any(isinstance(item, list) for item in weights):
        return None
    if len(tokens) != len(weights):
        have = " and ".join(
            counted(len(items), _singular(key), f"{_singular(key)}s" if key != "indices" else key)
            for key, items in ((tokens_key, tokens), (weights_key, weights))
        )
        raise location.error(
            have,
            expected=f"as many {weights_key} as {tokens_key}",
        )
    return Columns(tokens, weights, f"{tokens_key} and {weights_key}")


def _singular(key: str) -> str:
    return {"indices": "index"}.get(key, key.removesuffix("s"))


def _of_object(value: Mapping[str, object], location: Location) -> Columns | None:
    if set(map(type, value.values())) <= _NUMBERS:
        return Columns(list(value), list(value.values()))
    if columns := parallel_columns(value, location):
        return columns
    if "cells" in value and (columns := columns_of(value["cells"], location)):
        return columns
    nested = {
        key: columns
        for key, item in value.items()
        if isinstance(item, dict | list) and (columns := columns_of(item, location))
    }
    if len(nested) > 1:
        raise location.error(
            f"several vectors: {', '.join(nested)}",
            expected="one vector in a document",
            do="Name one with --vector-field, with a dot before its name: vector.NAME.",
        )
    return next(iter(nested.values()), None)


def _of_list(items: Sequence[object]) -> Columns | None:
    pairs = [_pair(item) for item in items]
    if any(pair is None for pair in pairs):
        return None
    known = [pair for pair in pairs if pair is not None]
    return Columns([token for token, _ in known], [weight for _, weight in known])


def _pair(item: object) -> tuple[object, object] | None:
    """Return token and weight of an item of a list, None if it is neither a pair nor an object with both."""
    token: object
    weight: object
    if isinstance(item, list | tuple) and len(item) == 2:
        token, weight = item
    elif isinstance(item, dict) and len(item) == 1:
        token, weight = next(iter(item.items()))
    elif isinstance(item, dict):
        token, weight = _first(item, (*TOKEN_KEYS, "address")), _first(item, WEIGHT_KEYS)
        if isinstance(token, dict) and len(token) == 1:
            (token,) = token.values()
    else:
        return None
    return (token, weight) if isinstance(token, str | int) and isinstance(weight, int | float) else None


def _first(item: Mapping[str, object], keys: Iterable[str]) -> object:
    values = {column_key(name): value for name, value in item.items()}
    return next((values[key] for key in keys if key in values), None)
