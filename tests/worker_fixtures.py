"""Workers for tests of queues and backends: each does what its task says."""

import hashlib
import json
import os
import signal
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from splade_anserini.encoding import Encoder, open_encoder
from splade_anserini.encoding.workers import ShardResult, ShardTask, ShardWorker
from splade_anserini.errors import RecordError
from splade_anserini.progress import Progress
from splade_anserini.records import SparseVector
from tests.encoder_fixtures import write_dictionary_encoder


class Obedient:
    """Returns its task in upper case, after what the task's first word says: die, die-once FILE, fail, fail-oddly."""

    info = "obedient"

    def run(self, task: str, progress: Progress) -> str:
        progress(1)
        match task.split():
            case ["die"]:
                os.kill(os.getpid(), signal.SIGKILL)
            case ["die-once", file] if not Path(file).exists():
                Path(file).touch()
                os.kill(os.getpid(), signal.SIGKILL)
            case ["exit"]:
                os._exit(3)
            case ["fail"]:
                raise RecordError("corpus.jsonl", 3, "no text", expected="some")
            case ["fail-oddly"]:
                raise OddError(lambda: None)
            case ["sleep", seconds]:
                time.sleep(float(seconds))
        return task.upper()


class OddError(Exception):
    """Cannot be pickled."""


@dataclass
class Different(Obedient):
    info: str = ""  # type: ignore[misc]

    def __post_init__(self) -> None:
        self.info = f"process {os.getpid()}"


def dying() -> Obedient:
    os.kill(os.getpid(), signal.SIGKILL)
    return Obedient()


def alive(pid: int) -> bool:
    """Return whether a process is there, and not only waiting to be asked for its exit code."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except FileNotFoundError:
        return False


def wait_until_ended(pids: list[int], seconds: float = 30) -> None:
    """Wait for processes that are not ours to wait for. Fails when one is still there."""
    end = time.monotonic() + seconds
    while left := [pid for pid in pids if alive(pid)]:
        assert time.monotonic() < end, f"still there: {left}"
        time.sleep(0.02)


def children_of(pid: int) -> list[int]:
    """Return the processes that a process has started."""
    return [int(child) for path in Path(f"/proc/{pid}/task").glob("*/children") for child in path.read_text().split()]


def descendants(pid: int) -> list[int]:
    """Return the processes that a process, or one of these, has started."""
    try:
        children = children_of(pid)
    except OSError:  # it has ended
        return []
    return [each for child in children for each in (child, *descendants(child))]


def title_of(pid: int) -> bytes:
    """Return how a process calls itself; nothing if it has ended."""
    try:
        return Path(f"/proc/{pid}/cmdline").read_bytes()
    except OSError:
        return b""


@dataclass(frozen=True)
class FatalRecipe:
    """Opens an encoder whose process is killed when a text contains certain words."""

    name: str
    words: str

    def __call__(self) -> ShardWorker:
        encoder = open_encoder(self.name)
        return ShardWorker(_Fatal(encoder, self.words))


class _Fatal:
    def __init__(self, encoder: Encoder, words: str) -> None:
        self._encoder, self._words = encoder, words
        self.identity, self.max_length = encoder.identity, encoder.max_length

    def encode(self, texts: Sequence[str]) -> list[SparseVector]:
        if any(self._words in text for text in texts):
            os.kill(os.getpid(), signal.SIGKILL)
        return self._encoder.encode(texts)


@dataclass(frozen=True)
class SlowRecipe:
    """Opens an encoder that waits before each shard, so that there is time to disturb it."""

    name: str
    seconds: float

    def __call__(self) -> ShardWorker:
        return _Slow(open_encoder(self.name), self.seconds)


class _Slow(ShardWorker):
    def __init__(self, encoder: Encoder, seconds: float) -> None:
        super().__init__(encoder)
        self._seconds = seconds

    def run(self, task: ShardTask, progress: Progress) -> ShardResult:
        time.sleep(self._seconds)
        return super().run(task, progress)


def write_words_corpus(path: Path, documents: int) -> Path:
    """Write a corpus with texts of up to 20 words, of which some are unknown, and ids of which some have spaces."""

    def words(i: int) -> str:
        return " ".join(f"w{(7 * i + 3 * k) % 110}" for k in range(i % 20))

    ids = (f"d {i}" if i % 9 == 0 else f"d{i}" for i in range(documents))
    records = ({"_id": id_, "title": "cat", "text": words(i)} for i, id_ in enumerate(ids))
    path.write_text("".join(json.dumps(record) + "\n" for record in records))
    return path


def write_words_encoder(directory: Path) -> str:
    """Write an encoder of these words, without a model of note."""
    return write_dictionary_encoder(directory, {f"w{n}": {f"w{n}": 1.0, f"w{n + 1}": 0.5} for n in range(100)})


def bytes_of(directory: Path) -> dict[str, str]:
    """Return the digests of the files in a directory, except those that are hidden."""
    return {
        path.name: hashlib.sha256(path.read_bytes()).hexdigest()
        for path in directory.iterdir()
        if not path.name.startswith(".")
    }
