"""Whether topics are texts or impact vectors, and vectors that are written as texts."""

import re
from collections.abc import Callable, Sequence
from enum import Enum
from itertools import groupby
from typing import NamedTuple

import orjson

from splade_anserini.formats.parsing.lines import Location
from splade_anserini.formats.parsing.numbers import parse_number
from splade_anserini.formats.tokens import count_tokens
from splade_anserini.formats.topic_fields import TopicRecord, topic_text
from splade_anserini.formats.topic_json import as_vector

SAMPLE_SIZE = 100
_REPETITIONS_OF_TOKENS = 3
"""Encoded topics repeat each token more often than this in a row, on average over the sample."""
_REPETITIONS_OF_TEXT = 1.2
"""Texts of people repeat each word fewer times than this (1.0003 at most, in four collections of queries); what is
between the two is ambiguous."""
_TOO_FEW_WORDS = 20
"""Of fewer words than this, repetitions say nothing: `cat cat cat` may be a text."""

_WEIGHTED = re.compile(r"(\S+)[:^|=](\d+(?:\.\d*)?(?:[eE][+-]?\d+)?)")
_BRACKETED = re.compile(r"\s*(?:\{.*\}|\[[(\[].*\])\s*")
_PIECE = re.compile(r"(?:^|\s)(?:##\w|\u2581)|\[(?:CLS|SEP)\]|\s\u0120\w+ \u0120")
"""Word pieces of BERT, of SentencePiece, two of RoBERTa in a row, and special tokens."""
_TOKEN = re.compile(r"(?:##)?\w+|[^\w\s]")
_EXPORTED_BY_SPLADE = re.compile(r"queries_anserini\.tsv\b")
"""The name that SPLADE's own repository gives to encoded topics."""


class Kind(Enum):
    """What topics look like."""

    TEXTS = "texts"
    VECTORS = "impact vectors"
    AMBIGUOUS = "ambiguous"


class Reading(NamedTuple):
    """What topics look like, why, and how the vector of a query is read from its text if they are encoded."""

    kind: Kind
    reason: str
    vector_of: Callable[[str, Location], object]
    has_vectors: bool = False
    """Whether the vectors are fields of records."""

    @property
    def has_weights(self) -> bool:
        """Whether tokens have weights, instead of being repeated."""
        return self.has_vectors or self.vector_of is not _tokens


def reading_of(topics: Sequence[TopicRecord], source: str, field: str) -> Reading:
    """Return what a sample of topics looks like."""
    if any(topic.vector is not None for topic in topics):
        beside = " beside their texts" if any(topic.has_text for topic in topics) else ""
        return Reading(Kind.VECTORS, f"they have vectors{beside}", _tokens, has_vectors=True)
    texts = [text for topic in topics if (text := topic_text(topic, field)).strip()]
    readings = (
        reading for read in (_weighted, _repeated, _pieces, _few_repetitions, _numbers) if (reading := read(texts))
    )
    if texts and (reading := next(readings, None)):
        return reading
    if texts and _EXPORTED_BY_SPLADE.search(source):
        return Reading(Kind.AMBIGUOUS, "SPLADE gives this name to encoded topics, but no token is repeated", _tokens)
    return Reading(Kind.TEXTS, "", _tokens)


def _weighted(texts: list[str]) -> Reading | None:
    if all(as_vector(text) is not None for text in texts):
        return Reading(Kind.VECTORS, "their texts are JSON vectors", _from_json)
    if all(_BRACKETED.fullmatch(text) for text in texts):
        vector_of = _from_json if any(map(_is_json, texts)) else _tokens
        return Reading(Kind.AMBIGUOUS, "they are in brackets, but not JSON objects of tokens and weights", vector_of)
    words = [word for text in texts for word in text.split()]
    weighted = [word for word in words if _WEIGHTED.fullmatch(word)]
    # `10:30` alone is a time.
    if all(word[0].isdigit() for word in weighted):
        return None
    if len(weighted) == len(words):
        return Reading(Kind.VECTORS, "each token has a weight", _from_weights)
    if 2 * len(weighted) > len(words):
        return Reading(Kind.AMBIGUOUS, "most words have a weight", _tokens)
    return None


def _is_json(text: str) -> bool:
    try:
        return isinstance(orjson.loads(text), dict | list)
    except orjson.JSONDecodeError:
        return False


def _numbers(texts: list[str]) -> Reading | None:
    words = [text.split() for text in texts]
    if sum(map(len, words)) < _TOO_FEW_WORDS:
        return None
    numbers = [[parse_number(word) is not None for word in text] for text in words]
    if all(map(all, numbers)):
        return Reading(Kind.AMBIGUOUS, "all words are numbers, as ids of tokens are", _tokens)
    if all(len(text) % 2 == 0 and all(text[1::2]) and not any(text[::2]) for text in numbers):
        return Reading(Kind.AMBIGUOUS, "every second word is a number, as weights are", _tokens)
    return None


def _repeated(texts: list[str]) -> Reading | None:
    words, groups = _words_and_groups(texts)
    if words > _REPETITIONS_OF_TOKENS * groups:
        return Reading(Kind.VECTORS, "tokens are repeated as their impacts say", _tokens)
    return None


def _pieces(texts: list[str]) -> Reading | None:
    if not any(_PIECE.search(text) for text in texts):
        return None
    if all(map(_are_single_tokens, texts)):
        return Reading(Kind.VECTORS, "they are word pieces, each of them once", _tokens)
    return Reading(Kind.AMBIGUOUS, "some words are word pieces", _tokens)


def _few_repetitions(texts: list[str]) -> Reading | None:
    words, groups = _words_and_groups(texts)
    if words > _REPETITIONS_OF_TEXT * groups and words >= _TOO_FEW_WORDS:
        return Reading(Kind.AMBIGUOUS, "words are repeated, but not often", _tokens)
    return None


def _words_and_groups(texts: list[str]) -> tuple[int, int]:
    """Return the number of words, and of groups of equal words in a row."""
    words = [text.split() for text in texts]
    return sum(map(len, words)), sum(1 for text in words for _ in groupby(text))


def _are_single_tokens(text: str) -> bool:
    """Return whether a text is what a BERT tokenizer makes of one, each token once."""
    words = text.split()
    return len(set(words)) == len(words) and not words[0].startswith("##") and all(map(_TOKEN.fullmatch, words))


def _tokens(text: str, location: Location) -> object:  # noqa: ARG001  # one of several readers
    return count_tokens(text)


def _from_weights(text: str, location: Location) -> object:
    vector: dict[str, object] = {}
    for word in text.split():
        match = _WEIGHTED.fullmatch(word)
        weight = parse_number(match[2]) if match else None
        if match is None or weight is None:
            raise location.error(f"{word!r} has no weight", expected="token:weight, as in the topics before")
        if match[1] in vector:
            raise location.error(f"the token {match[1]!r} occurs twice", expected="each token once")
        vector[match[1]] = int(weight) if weight.is_integer() else weight
    return vector


def _from_json(text: str, location: Location) -> object:
    if not text.strip():
        return {}
    vector = as_vector(text)
    if vector is None:
        raise location.error(
            "the text is not a JSON object of numbers", expected='{"token": weight, …}, each token once'
        )
    return vector
