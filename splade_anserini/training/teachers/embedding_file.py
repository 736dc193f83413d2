"""A file with the embeddings of a teacher, which several runs read and extend: they take hours to compute on a CPU."""

import fcntl
import json
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from hashlib import blake2b
from pathlib import Path
from typing import IO

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
    """Embeddings by the hash of their text; new ones are appended, by several processes in turn.

    A record that a killed run left half written is removed. Raises `MismatchError` when the file holds embeddings of
    another teacher, or is no such file.
    """

    def __init__(self, path: Path, identity: Mapping[str, str | int | bool], width: int) -> None:
        self._path = path
        self._record = np.dtype([("digest", np.void, _DIGEST), ("embedding", np.float16, width)])
        self._rows: dict[bytes, int] = {}
        self._records = 0
        header = json.dumps({"format": "splade-anserini embeddings", "width": width, **identity}).encode()
        line = header.ljust(_HEADER - 1) + b"\n"
        with output_errors(path):
            path.parent.mkdir(parents=True, exist_ok=True)
        with self._held() as file:
            with path.open("rb") as beginning:
                found = beginning.read(_HEADER)
            if found != line and line.startswith(found):
                # New, or of a run that was killed just then.
                file.truncate(0)
                file.write(line)
            elif found != line:
                raise MismatchError(
                    f"{path} holds no embeddings of this teacher: {found[:300].decode(errors='replace').strip()}",
                    expected=header.decode(),
                    do="Name another file, or remove this one.",
                )
            file.flush()
            self._read_new(file)

    def __len__(self) -> int:
        return len(self._rows)

    def read(self, texts: Sequence[str]) -> dict[str, Embedding]:
        """Return the embeddings [width] of those of `texts` that the file has."""
        rows = {text: row for text in texts if (row := self._rows.get(_digest(text))) is not None}
        if not rows:
            return {}
        records = np.memmap(self._path, self._record, "r", _HEADER, (self._records,))
        return dict(zip(rows, np.array(records["embedding"][list(rows.values())]), strict=True))

    def add(self, embeddings: Mapping[str, Embedding]) -> None:
        """Append embeddings [width] of texts, except those that the file has."""
        with self._held() as file:
            self._read_new(file)
            new = {_digest(text): embedding for text, embedding in embeddings.items()}
            new = {digest: embedding for digest, embedding in new.items() if digest not in self._rows}
            records = np.empty(len(new), self._record)
            for row, (digest, embedding) in enumerate(new.items()):
                records[row] = (np.void(digest), embedding)
            file.write(records.tobytes())
        for row, digest in enumerate(new, self._records):
            self._rows[digest] = row
        self._records += len(new)

    @contextmanager
    def _held(self) -> Iterator[IO[bytes]]:
        """Open the file to append to it, when no other process does."""
        with output_errors(self._path), self._path.open("ab") as file:
            fcntl.flock(file, fcntl.LOCK_EX)
            yield file

    def _read_new(self, file: IO[bytes]) -> None:
        """Look for what others have added."""
        whole = (self._path.stat().st_size - _HEADER) // self._record.itemsize
        file.truncate(_HEADER + whole * self._record.itemsize)
        if whole > self._records:
            digests = np.memmap(self._path, self._record, "r", _HEADER, (whole,))["digest"]
            for row in range(self._records, whole):
                self._rows.setdefault(bytes(digests[row]), row)
            self._records = whole


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
