"""Workers for tests of queues and backends: each does what its task says."""

import os
import signal
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from splade_anserini.encoding import Encoder, open_encoder
from splade_anserini.encoding.workers import ShardWorker
from splade_anserini.errors import RecordError
from splade_anserini.progress import Progress
from splade_anserini.records import SparseVector


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
    return [int(child) for child in Path(f"/proc/{pid}/task/{pid}/children").read_text().split()]


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
