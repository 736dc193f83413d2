"""Token weights of a query encoder without inference: one JSON object, token → weight, beside the model."""

import math
from collections.abc import Collection, Mapping
from pathlib import Path

import orjson

from splade_anserini.artifacts.files import whole_file
from splade_anserini.artifacts.manifests import QUERY_WEIGHTS
from splade_anserini.errors import InputError
from splade_anserini.formats.parsing.json_records import json_type
from splade_anserini.formats.parsing.unique_keys import duplicate_key, has_unique_keys
from splade_anserini.formats.tokens import GREATEST_IMPACT
from splade_anserini.records import StrPath

_EXPECTED = f'{{"token": 1.25, …}}, with tokens of the vocabulary and weights from 0 to {GREATEST_IMPACT:,}'


def read_query_weights(directory: StrPath, vocabulary: Collection[str]) -> dict[str, float]:
    """Return the weight of each token for the model in `directory`; tokens that are absent have weight 0.

    Raises `InputError` when the file is missing or malformed, or gives weight to a token outside `vocabulary`.
    """
    path = Path(directory, QUERY_WEIGHTS)
    if not path.is_file():
        raise InputError(f"The model in {directory} needs {QUERY_WEIGHTS}, which is missing.", expected=_EXPECTED)
    content = path.read_bytes()
    try:
        weights = orjson.loads(content)
    except orjson.JSONDecodeError as error:
        raise InputError(f"{path} is not valid JSON: {error.msg}, line {error.lineno}.", expected=_EXPECTED) from error
    if not isinstance(weights, dict):
        raise InputError(f"{path} contains {json_type(weights)}.", expected=_EXPECTED)
    if not has_unique_keys(weights, content) and (twice := duplicate_key(content.decode())):
        raise InputError(f"{path}: the token {twice[0]!r} occurs more than once.", expected=_EXPECTED)
    for token, weight in weights.items():
        if not _is_weight(weight):
            raise InputError(f"{path}: the weight of {token!r} is {json_type(weight)}.", expected=_EXPECTED)
        if weight and token not in vocabulary:
            raise InputError(
                f"{path}: the token {token!r} is not in the vocabulary.",
                expected=_EXPECTED,
                do="Create the weights with the tokenizer of this model.",
            )
    return {token: float(weight) for token, weight in weights.items()}


def write_query_weights(directory: StrPath, weights: Mapping[str, float]) -> None:
    """Write the weight of each token beside the model in `directory`; the same weights give the same bytes.

    Raises `InputError` for a weight that is negative, not finite or too large.
    """
    for token, weight in weights.items():
        if not _is_weight(weight):
            raise InputError(f"The weight of {token!r} is {weight}.", expected=_EXPECTED)
    with whole_file(Path(directory, QUERY_WEIGHTS)) as file:
        file.write(orjson.dumps(dict(weights), option=orjson.OPT_SORT_KEYS | orjson.OPT_APPEND_NEWLINE))


def _is_weight(value: object) -> bool:
    return type(value) in {int, float} and math.isfinite(value) and 0 <= value <= GREATEST_IMPACT  # type: ignore[arg-type,operator]
