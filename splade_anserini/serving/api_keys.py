"""Keys that requests need."""

import hashlib
import hmac
from collections.abc import Sequence
from pathlib import Path

from splade_anserini.errors import InputError
from splade_anserini.records import StrPath

_SHORTEST = 16


class ApiKeys:
    """Keys of which only fingerprints are kept; comparing takes the same time for any key."""

    def __init__(self, keys: Sequence[str]) -> None:
        self._digests = [_digest(key.encode()) for key in keys]

    def allow(self, headers: Sequence[tuple[bytes, bytes]]) -> bool:
        """Return whether a request has one of the keys: `Authorization: Bearer KEY` or `X-API-Key: KEY`."""
        digest = _digest(_key_in(headers))
        matches = [hmac.compare_digest(digest, known) for known in self._digests]
        return any(matches)


def read_api_keys(path: StrPath) -> ApiKeys:
    """Read keys from a file, one on a line; # begins a comment.

    Raises `InputError` for a file that cannot be read or has no key, and for a key that is easily guessed.
    """
    try:
        lines = Path(path).read_text(encoding="utf-8").splitlines()
    except (OSError, UnicodeDecodeError) as error:
        raise InputError(f"--api-keys {path} cannot be read.", expected="a text file with one key on a line") from error
    keys = {number: key for number, line in enumerate(lines, 1) if (key := line.partition("#")[0].strip())}
    if not keys:
        raise InputError(f"--api-keys {path} has no key.", expected="one key on a line")
    for number, key in keys.items():
        if len(key) < _SHORTEST or not key.isascii() or not key.isprintable() or " " in key:
            raise InputError(
                f"--api-keys {path}, line {number}: the key cannot be used.",
                expected=f"at least {_SHORTEST} printable ASCII characters without spaces",
                do="Make one: openssl rand -hex 24",
            )
    return ApiKeys(list(keys.values()))


def _key_in(headers: Sequence[tuple[bytes, bytes]]) -> bytes:
    for name, value in headers:
        if name == b"x-api-key":
            return value.strip()
        if name == b"authorization" and value[:7].lower() == b"bearer ":
            return value[7:].strip()
    return b""


def _digest(key: bytes) -> bytes:
    return hashlib.sha256(key).digest()
