"""Other weights of tokens, as a user gives them."""

from collections.abc import Mapping
from pathlib import Path

import orjson

from splade_anserini.errors import InputError
from splade_anserini.formats.parsing.unique_keys import duplicate_key


def read_weights(source: str) -> "Mapping[str, float]":
    """Return token → weight from a JSON object, or from the file after an @. Raises `InputError` for anything else."""
    name = "--query-weights"
    if source.startswith("@"):
        path = Path(source[1:])
        try:
            source, name = path.read_text(encoding="utf-8"), str(path)
        except (FileNotFoundError, IsADirectoryError, UnicodeDecodeError) as error:
            raise InputError(f"--query-weights {source} is not a text file that can be read.") from error
    expected = 'a JSON object such as {"pain": 1.2, "mission": 0}'
    try:
        weights = orjson.loads(source)
    except orjson.JSONDecodeError as error:
        raise InputError(f"{name} is not valid JSON: {error}.", expected=expected) from error
    if repeated := duplicate_key(source):
        raise InputError(f"{name} has the token {repeated[0]!r} twice.", expected="one weight for each token")
    numbers = isinstance(weights, dict) and all(
        isinstance(weight, int | float) and not isinstance(weight, bool) for weight in weights.values()
    )
    if not numbers:
        raise InputError(f"{name} is not an object of numbers.", expected=expected)
    return {str(token): float(weight) for token, weight in weights.items()}
