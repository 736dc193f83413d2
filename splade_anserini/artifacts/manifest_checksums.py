"""The checksum that a manifest carries of itself, by which edits and damage are found."""

import hashlib
import json
from collections.abc import Mapping
from pathlib import Path

from splade_anserini.errors import IntegrityError

_KEY = "checksum"
"""The last key of a manifest: SHA-256 of all others. Manifests of earlier versions lack it."""


def with_checksum(text: str) -> bytes:
    """Return the content of the file of a manifest, which is given as indented JSON, with its checksum."""
    checksum = _checksum(json.loads(text))
    return f'{text.removesuffix("\n}")},\n "{_KEY}": "{checksum}"\n}}\n'.encode()


def without_checksum(path: Path, text: bytes) -> bytes:
    """Return the JSON of a manifest without its checksum, if it has one; what is not a JSON object is left as it is.

    Raises `IntegrityError` when the checksum is not that of the content.
    """
    try:
        record = json.loads(text)
    except ValueError:
        return text
    if not isinstance(record, dict) or _KEY not in record:
        return text
    recorded = str(record.pop(_KEY))
    if recorded != (checksum := _checksum(record)):
        raise IntegrityError(
            f"{path} was changed after it was written: its content has the checksum {checksum[:12]}….",
            expected=f"{recorded[:12]}…, which it records",
            do=f'Copy it again, or rebuild the directory. If it was edited on purpose, remove its line "{_KEY}".',
        )
    return json.dumps(record).encode()


def _checksum(record: Mapping[str, object]) -> str:
    """Return the SHA-256 of a manifest without its checksum, whatever the order of keys and white space."""
    text = json.dumps(record, sort_keys=True, separators=(",", ":"))
    return hashlib.sha256(text.encode()).hexdigest()
