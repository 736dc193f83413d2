"""The tokens of a vocabulary in the order of their ids, from a file or an encoder, for vectors of ids."""

import json
from codecs import BOM_UTF8
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from splade_anserini.cards.finding import find_encoder
from splade_anserini.errors import InputError, counted
from splade_anserini.formats.model_files import ModelFiles
from splade_anserini.formats.parsing.lines import Location, decode_utf8
from splade_anserini.records import StrPath

_FILES = ("tokenizer.json", "vocab.txt", "vocab.json")
_LARGEST_ID = 1 << 24


def read_vocabulary(source: StrPath) -> list[str]:
    """Return the tokens of vocab.txt, tokenizer.json, a JSON object {"token": id}, or an encoder; "" for unused ids.

    An encoder is a directory with one of these files, the name of a card or a Hugging Face id. Raises `InputError`
    when there is no vocabulary.
    """
    path = Path(source)
    if path.is_file():
        return _read_file(path)
    files = ModelFiles(path if path.is_dir() else find_encoder(source).location)
    for name in _FILES:
        if found := files.path(name):
            return _read_file(found)
    raise InputError(
        f"{source} has no vocabulary.",
        expected=f"a file, or an encoder with {', '.join(_FILES[:-1])} or {_FILES[-1]}",
        do="Pass the file of the encoder's tokenizer.",
    )


def _read_file(path: Path) -> list[str]:
    content = path.read_bytes().removeprefix(BOM_UTF8)
    is_json = content.lstrip()[:1] in (b"{", b"[") and path.suffix != ".txt"
    try:
        return _of_json(json.loads(content, object_pairs_hook=_unique)) if is_json else _of_lines(content, path)
    except (ValueError, TypeError, KeyError, AttributeError, RecursionError) as error:
        raise InputError(
            f"{path} is not a vocabulary: {error}.",
            expected='vocab.txt (one token per line), tokenizer.json, or a JSON object {"token": id, …}',
        ) from error


def _unique(members: list[tuple[str, Any]]) -> dict[str, Any]:
    values = dict(members)
    if len(values) < len(members):
        raise ValueError("a key occurs twice in an object")
    return values


def _of_lines(content: bytes, path: Path) -> list[str]:
    """Return one token per line; only \\n and \\r\\n end a line, as tokens may be other separators."""
    lines = content.removesuffix(b"\n").split(b"\n")
    tokens = [decode_utf8(line.removesuffix(b"\r"), Location(path, number)) for number, line in enumerate(lines, 1)]
    if len(tokens) < 2:
        raise ValueError(f"it has {counted(len(tokens), 'line')}")
    return tokens


def _of_json(content: Any) -> list[str]:
    if isinstance(content, list):
        return _in_order((token, token_id) for token_id, token in enumerate(content))
    if "model" not in content:
        return _in_order(content.items())
    entries = content["model"]["vocab"]
    # Unigram models have a list of pairs, token and score.
    pairs = [(entry[0], token_id) for token_id, entry in enumerate(entries)] if isinstance(entries, list) else None
    added = [(token["content"], token["id"]) for token in content.get("added_tokens") or []]
    return _in_order([*(pairs or entries.items()), *added])


def _in_order(entries: Iterable[tuple[Any, Any]]) -> list[str]:
    tokens: dict[int, str] = {}
    for token, token_id in entries:
        if not isinstance(token, str) or type(token_id) is not int or not 0 <= token_id < _LARGEST_ID:
            raise ValueError(f"{token!r} has the id {token_id!r}")
        tokens[token_id] = token
    if not tokens:
        raise ValueError("it has no tokens")
    return [tokens.get(token_id, "") for token_id in range(max(tokens) + 1)]
