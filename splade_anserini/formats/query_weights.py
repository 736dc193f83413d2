"""What the tokens of queries weigh where no model says so: one JSON object, token → weight."""

import math
from collections.abc import Collection, Mapping
from pathlib import Path

import orjson

from splade_anserini.artifacts.files import whole_file
from splade_anserini.artifacts.manifests import QUERY_WEIGHTS
from splade_anserini.errors import InputError
from splade_anserini.formats.parsing.json_records import kind
from splade_anserini.formats.tokens import GREATEST_IMPACT

_KIND = f'{{"token": 1.25, …}}, tokens that the vocabulary has and weights from 0 to {GREATEST_IMPACT:,}'


def read_query_weights(directory: Path, vocabulary: Collection[str]) -> dict[str, float]:
    """Return token → weight, of the model in `directory`; absent tokens weigh 0.

    Raises `InputError` when there is no such file, or it gives weight to tokens that are not in `vocabulary`.
    """
    path = directory / QUERY_WEIGHTS
    if not path.is_file():
        raise InputError(f"The model in {directory} weights its queries, but has no {QUERY_WEIGHTS}.", expected=_KIND)
    try:
        weights = orjson.loads(path.read_bytes())
    except orjson.JSONDecodeError as error:
        raise InputError(f"{path} is not JSON: {error.msg}, line {error.lineno}.", expected=_KIND) from error
    if not isinstance(weights, dict):
        raise InputError(f"{path} holds {kind(weights)}.", expected=_KIND)
    for token, weight in weights.items():
        if not _is_weight(weight):
            raise InputError(f"{path}: the weight of {token!r} is {kind(weight)}.", expected=_KIND)
        if weight and token not in vocabulary:
            raise InputError(
                f"{path}: the vocabulary has no token {token!r}.", expected=_KIND, do="Make it for this tokenizer."
            )
    return {token: float(weight) for token, weight in weights.items()}


def write_query_weights(directory: Path, weights: Mapping[str, float]) -> None:
    """Put token → weight beside the model in `directory`. The same weights give the same bytes."""
    for token, weight in weights.items():
        if not _is_weight(weight):
            raise InputError(f"The weight of {token!r} is {weight}.", expected=_KIND)
    with whole_file(directory / QUERY_WEIGHTS) as file:
        file.write(orjson.dumps(dict(weights), option=orjson.OPT_SORT_KEYS | orjson.OPT_APPEND_NEWLINE))


def _is_weight(value: object) -> bool:
    return type(value) in {int, float} and math.isfinite(value) and 0 <= value <= GREATEST_IMPACT  # type: ignore[arg-type,operator]
