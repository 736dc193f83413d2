"""The reference vectors on an encoder's card, with which its first use is compared."""

import json
import threading
from collections.abc import Iterable, Sequence
from operator import attrgetter
from pathlib import Path

from splade_anserini.artifacts.files import whole_file
from splade_anserini.cards.encoder_card import EncoderCard
from splade_anserini.errors import IntegrityError
from splade_anserini.records import Side, StrPath
from splade_anserini.vectors.pruning import by_strength
from splade_anserini.verification.comparison import Comparison
from splade_anserini.verification.reference_vectors import ReferenceVector
from splade_anserini.verification.verification import Encode

ENTRIES = 8
"""Entries of a vector that are written for a card."""

SHORTEST = 64
"""Tokens that an encoder must read before its vectors are compared: shorter ones would cut the texts of cards."""

_lock = threading.Lock()
_checked: set[tuple[object, ...]] = set()
"""What was compared in this process."""


def card_references(card: EncoderCard) -> list[ReferenceVector]:
    """Return the reference vectors of a card."""
    return [
        ReferenceVector(f"reference {number}", table.text, table.side, table.entries, complete=False)
        for number, table in enumerate(card.reference, 1)
    ]


def write_card_references(path: StrPath, references: Iterable[ReferenceVector]) -> int:
    """Write tables `[[reference]]` for a card: the entries of greatest weight of each vector; return their number.

    An empty vector has no table.
    """
    count = 0
    with whole_file(Path(path)) as file:
        for reference in filter(attrgetter("vector"), references):
            strongest = by_strength(reference.vector.items())[:ENTRIES]
            entries = ", ".join(f"{_toml(token)} = {weight:.5g}" for token, weight in strongest)
            table = f"[[reference]]\ntext = {_toml(reference.text)}\nside = {_toml(reference.side)}\n"
            file.write(f"{table}entries = {{ {entries} }}\n\n".encode())
            count += 1
    return count


def _toml(text: str) -> str:
    """Return a TOML string; its escapes are JSON's."""
    return json.dumps(text, ensure_ascii=False)


def check_first_use(card: EncoderCard, side: Side, encode: Encode, key: Sequence[object]) -> None:
    """Compare an encoder with the reference vectors of its card, once per process for each `key`.

    `key` identifies the encoder and how it runs. Raises `IntegrityError` when a vector differs by more than the
    tolerance on the card.
    """
    tables = [table for table in card.reference if table.side == side]
    fingerprint = (card.name, side, *key, *(table.model_dump_json() for table in tables))
    with _lock:
        if not tables or fingerprint in _checked:
            return
    references = [reference for reference in card_references(card) if reference.side == side]
    vectors = encode([reference.text for reference in references])
    for table, reference, vector in zip(tables, references, vectors, strict=True):
        comparison = Comparison(side, scale=1.0)
        comparison.add(reference, vector)
        if not comparison.max_difference <= table.tolerance:
            raise IntegrityError(
                f"The encoder {card.name} does not give the reference vectors of its card: {comparison.greatest}.",
                expected=f"differences of at most {table.tolerance:g}",
                do="Install or download the encoder again. If it was changed on purpose, replace [[reference]] in the "
                "card: splade-anserini verify --write-reference FILE.toml writes it.",
            )
    with _lock:
        _checked.add(fingerprint)
