"""The directory of a run that is not over: held by one process, and taken up again by the same run only."""

import json
import shutil
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from splade_anserini.artifacts.files import PARTIAL, directory_lock, output_errors, whole_file
from splade_anserini.errors import MismatchError
from splade_anserini.training.checkpoints import checkpoints

TOPICS = "topics.npz"
"""The cluster of each example, which took long to find."""

_RUN = "run.json"


@contextmanager
def claimed(work: Path, run: Mapping[str, Any]) -> Iterator[None]:
    """Hold `work` for the run that `run` describes. When it fails, `work` stays if there is something to go on from.

    Raises `MismatchError` when a run of another description has got somewhere there, `OutputError` when another
    process is at it.
    """
    with output_errors(work):
        work.mkdir(parents=True, exist_ok=True)
    with directory_lock(work):
        _take_up(work, run)
        try:
            yield
        finally:
            if not _has_begun(work):
                shutil.rmtree(work, ignore_errors=True)


def _take_up(work: Path, run: Mapping[str, Any]) -> None:
    place = work / _RUN
    if _has_begun(work):
        begun = json.loads(place.read_bytes())
        if begun != run:
            different = ", ".join(name for name in run if begun.get(name) != run[name])
            raise MismatchError(
                f"A run with other settings has begun in {work}: {different}.",
                expected="the same, to go on with it",
                do="Name another output, or remove that directory to begin anew.",
            )
    else:
        with whole_file(place) as file:
            file.write(json.dumps(run, indent=1).encode())
    for left in work.glob(f"*{PARTIAL}"):
        shutil.rmtree(left, ignore_errors=True)


def _has_begun(work: Path) -> bool:
    return bool(checkpoints(work)) or (work / TOPICS).exists()
