"""A file with the embeddings of a teacher, which several runs read and extend: they take hours to compute on a CPU."""

import json
import os
from collections.abc import Mapping, Sequence
from hashlib import blake2b
from pathlib import Path

import numpy as np
import numpy.typing as npt

from splade_anserini.artifacts.files import output_errors
from splade_anserini.artifacts.outputs import fingerprint_of_input
from splade_anserini.cards.training_recipe import TeacherSettings
from splade_anserini.errors import MismatchError
from splade_anserini.training.teachers.dense import DenseTeacher

_HEADER = 1024
"""Bytes of the first line, filled up with spaces: what the embeddings are those of."""
_DIGEST = 16

type Embedding = npt.NDArray[np.float16]


class EmbeddingFile:
    """Embeddings by the hash of their text; new ones are appended.

    A record that a killed run left half written is overwritten by the next. One process at a time may add. Raises
    `MismatchError` when the file holds embeddings of another teacher, or is no such file.
    """

    def __init__(self, path: Path, identity: Mapping[str, str | int | bool], width: int) -> None:
        self._path = path
        self._record = np.dtype([("digest", np.void, _DIGEST), ("embedding", np.float16, width)])
        header = json.dumps({"format": "splade-anserini embeddings", "width": width, **identity}).encode()
        with output_errors(path):
            if not path.exists() or path.stat().st_size < _HEADER:
                path.parent.mkdir(parents=True, exist_ok=True)
                path.write_bytes(header.ljust(_HEADER - 1) + b"\n")
        with path.open("rb") as file:
            found = file.read(_HEADER).strip()
        if found != header:
            raise MismatchError(
                f"{path} holds embeddings of another teacher: {found[:300].decode(errors='replace')}",
                expected=header.decode(),
                do="Name another file, or remove this one.",
            )
        whole = (path.stat().st_size - _HEADER) // self._record.itemsize
        os.truncate(path, _HEADER + whole * self._record.itemsize)
        digests = np.memmap(path, self._record, "r", _HEADER, (whole,))["digest"] if whole else ()
        self._rows = {bytes(digest): row for row, digest in enumerate(digests)}

    def __len__(self) -> int:
        return len(self._rows)

    def read(self, texts: Sequence[str]) -> dict[str, Embedding]:
        """Return the embeddings [width] of those of `texts` that the file has."""
        rows = {text: row for text in texts if (row := self._rows.get(_digest(text))) is not None}
        if not rows:
            return {}
        records = np.memmap(self._path, self._record, "r", _HEADER, (len(self._rows),))
        return dict(zip(rows, np.array(records["embedding"][list(rows.values())]), strict=True))

    def add(self, embeddings: Mapping[str, Embedding]) -> None:
        """Append embeddings [width] of texts that the file does not have."""
        records = np.empty(len(embeddings), self._record)
        for row, (text, embedding) in enumerate(embeddings.items()):
            records[row] = (np.void(_digest(text)), embedding)
        with output_errors(self._path), self._path.open("ab") as file:
            file.write(records.tobytes())
        for text in embeddings:
            self._rows[_digest(text)] = len(self._rows)


def open_embedding_file(path: Path, teacher: DenseTeacher, settings: TeacherSettings, precision: str) -> EmbeddingFile:
    """Open a file for the embeddings of a recipe's teacher; the fingerprint of its weights identifies it."""
    identity: dict[str, str | int | bool] = {
        "teacher": fingerprint_of_input(settings.model),
        "max_length": settings.max_length,
        "precision": precision,
    }
    return EmbeddingFile(path, identity, teacher.width)


def _digest(text: str) -> bytes:
    return blake2b(text.encode(), digest_size=_DIGEST).digest()
