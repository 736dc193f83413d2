"""How far an artefact is: the result of `status`."""

import fcntl
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal

from splade_anserini.artifacts.files import partial_path

type State = Literal["whole", "in progress", "interrupted", "incomplete", "damaged"]
"""`in progress`: a process is writing it now; `interrupted`: none is, and the same command resumes or starts again."""

type PartState = Literal["whole", "missing", "in progress", "interrupted", "damaged"]


@dataclass(frozen=True, slots=True)
class Part:
    """A part of an artefact: a shard, a step, the directory of a machine."""

    name: str
    state: PartState
    detail: str = ""


@dataclass(slots=True)
class Status:
    """How far an artefact is."""

    path: str
    kind: str
    """What it is, in words."""
    state: State = "whole"
    detail: str = ""
    """Counts, in words."""
    parts: list[Part] = field(default_factory=list)
    next_step: str = ""
    """What to do now."""

    @property
    def is_whole(self) -> bool:
        """Whether nothing is missing, as far as manifests say."""
        return self.state == "whole"

    def values(self) -> dict[str, object]:
        """Return the status as JSON values."""
        return {
            "path": self.path,
            "kind": self.kind,
            "state": self.state,
            "detail": self.detail,
            "parts": [{"name": part.name, "state": part.state, "detail": part.detail} for part in self.parts],
            "next": self.next_step,
        }

    def text(self) -> str:
        """Return the status as lines: a summary, a row for each part, and what to do."""
        detail = f": {self.detail}" if self.detail else ""
        lines = [f"{self.path}: {self.kind}, {self.state}{detail}"]
        width = max((len(part.name) for part in self.parts), default=0)
        lines += [f"  {part.name:<{width}}  {part.state:<11}  {part.detail}".rstrip() for part in self.parts]
        lines += [f"next: {self.next_step}"] if self.next_step else []
        return "".join(f"{line}\n" for line in lines)


def is_held(lock: Path) -> bool:
    """Say whether a process holds a lock, as `artifacts.files` takes it; a killed process holds none."""
    try:
        with lock.open("rb") as file:
            fcntl.flock(file, fcntl.LOCK_SH | fcntl.LOCK_NB)
    except BlockingIOError:
        return True
    except OSError:
        return False
    return False


def named(path: Path) -> str:
    """Return the name of a directory, also of `.`, which has none."""
    return path.name if path.name not in {"", ".."} else path.resolve().name


def unfinished(path: Path, lock: Path) -> Literal["in progress", "interrupted"]:
    """Return whether a process is writing a path now, or one was stopped."""
    return "in progress" if is_held(lock) or is_held(partial_path(path.resolve())) else "interrupted"
