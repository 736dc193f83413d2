"""What Anserini's Java encoder needs beside the graph: its vocabulary file, its scale, its maximum length."""

import json
import logging
import re
from collections.abc import Sequence
from fractions import Fraction
from pathlib import Path
from typing import Any

from tokenizers import Tokenizer
from tokenizers.pre_tokenizers import BertPreTokenizer

from splade_anserini.artifacts.manifests import CheckpointManifest
from splade_anserini.errors import InputError
from splade_anserini.exporting.options import ExportOptions

JAVA_MODEL = "model.anserini.onnx"
JAVA_VOCABULARY = "vocab.txt"

JAVA_SCALE = float(Fraction(256, 5))
"""Anserini's encoders have no option for it: impact = round(weight / 5 × 256)."""

JAVA_MAX_LENGTH = 511
"""Tokens of a query that Anserini's encoders read: [CLS], at most 509 others, [SEP]."""

_LEFT_OUT_IDS = (0, 101, 102)
"""Anserini's Java encoders leave these entries out."""

_SPECIAL = re.compile(r"\[(?:PAD|UNK|CLS|SEP|MASK|unused\d+)\]")

_log = logging.getLogger(__name__)


def require_java_tokenizer(tokenizer: Tokenizer) -> None:
    """Raise `InputError` unless Anserini's Java tokenizer reads plain text as this tokenizer does.

    It is BERT's for lower-cased text: words are split at white space and punctuation, lower-cased, their accents
    removed, and divided by WordPiece.
    """
    settings: dict[str, Any] = json.loads(tokenizer.to_str())
    model, normalizer = settings["model"], settings["normalizer"] or {}
    vocabulary = tokenizer.get_vocab()
    left_out, split = _left_out_words(tokenizer), _split_tokens(tokenizer)
    differences = [
        difference
        for difference, differs in [
            (f"it is {_article(model['type'])}", model["type"] != "WordPiece"),
            ("it keeps capital letters", normalizer.get("type") != "BertNormalizer" or not normalizer.get("lowercase")),
            ("it keeps accents", normalizer.get("strip_accents") is False),
            (
                "it does not split words as BERT does",
                (settings["pre_tokenizer"] or {}).get("type") != "BertPreTokenizer",
            ),
            ("its word pieces do not begin with ##", model.get("continuing_subword_prefix") != "##"),
            ("it lacks [CLS], [SEP] or [UNK]", not {"[CLS]", "[SEP]", "[UNK]"} <= vocabulary.keys()),
            (
                "it does not put [CLS] before and [SEP] after a text",
                tokenizer.encode("a").tokens[::2] != ["[CLS]", "[SEP]"],
            ),
            (f"the words {', '.join(left_out)} have ids that Anserini leaves out", bool(left_out)),
            (f"Anserini splits the added tokens {', '.join(split)}", bool(split)),
        ]
        if differs
    ]
    if differences:
        raise InputError(
            f"--anserini is not possible with the tokenizer of this model: {'; '.join(differences)}.",
            expected="the tokenizer of a BERT model for lower-cased text, which is the only one that Anserini's Java "
            "encoder has",
            do="Leave out --anserini, and encode queries with splade-anserini.",
        )


def _left_out_words(tokenizer: Tokenizer) -> list[str]:
    """Return the tokens that queries in Java lose: those of BERT's ids of [PAD], [CLS] and [SEP]."""
    tokens = [tokenizer.id_to_token(token_id) for token_id in _LEFT_OUT_IDS]
    return [repr(token) for token in tokens if token and not _SPECIAL.fullmatch(token)]


def _split_tokens(tokenizer: Tokenizer) -> list[str]:
    """Return the first added tokens that are words for this tokenizer and several for Java's."""
    added = [token.content for token in tokenizer.get_added_tokens_decoder().values() if not token.special]
    split = [token for token in added if len(BertPreTokenizer().pre_tokenize_str(token)) > 1]
    return [repr(token) for token in split if not _SPECIAL.fullmatch(token)][:3]


def write_java_vocabulary(tokens: Sequence[str], path: Path) -> None:
    """Write one token a line, in the order of their ids."""
    path.write_text("".join(f"{token}\n" for token in tokens), encoding="utf-8", newline="\n")


def java_scale(options: ExportOptions, trained: CheckpointManifest | None) -> float:
    """Return the scale of an encoder directory for Anserini; log a warning where it is not what the user expects."""
    if options.scale is not None and options.scale != JAVA_SCALE:
        _log.warning(
            "Anserini's Java encoder quantizes queries with the scale 256/5, not %g: encode documents with --scale "
            "256/5, or leave out --scale.",
            options.scale,
        )
        return options.scale
    if options.scale is None and trained is not None and trained.scale != JAVA_SCALE:
        _log.warning(
            "The encoder's scale is 256/5, not the checkpoint's %g: Anserini's Java encoder has no other.",
            trained.scale,
        )
    return JAVA_SCALE


def _article(model: str) -> str:
    return f"an {model}" if model[0] in "AEIOU" else f"a {model}"
