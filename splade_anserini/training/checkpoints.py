"""Checkpoints of a run that is not over: whole or not at all, and never none where there was one."""

import re
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from safetensors import SafetensorError

from splade_anserini.artifacts.files import PARTIAL, output_errors, sync_directory
from splade_anserini.errors import OutputError

_STEP = "step-"


def checkpoints(work: Path) -> dict[int, Path]:
    """Return the checkpoints in a run's directory, by their steps."""
    found = (re.fullmatch(rf"{_STEP}(\d+)", path.name) for path in work.glob(f"{_STEP}*"))
    return {int(match[1]): work / match[0] for match in found if match}


def save_checkpoint(accelerator: Any, work: Path, step: int) -> None:
    """Write all of `accelerator`'s state, of all devices; then the checkpoints before it go.

    Raises `OutputError` when it cannot be written; then those before it stay.
    """
    place = work / f"{_STEP}{step}"
    partial = place.with_name(place.name + PARTIAL)
    try:
        with writing(place):
            accelerator.save_state(str(partial), safe_serialization=False)
            accelerator.wait_for_everyone()
            if accelerator.is_main_process:
                before = checkpoints(work)
                for path in (*partial.iterdir(), partial):
                    sync_directory(path)
                partial.replace(place)
                sync_directory(work)
                for old in before.values():
                    shutil.rmtree(old)
    except BaseException:
        shutil.rmtree(partial, ignore_errors=True)
        raise


@contextmanager
def writing(path: Path) -> Iterator[None]:
    """Turn what goes wrong while torch or safetensors write `path` into an `OutputError`.

    Neither passes on what the system said: a full disk is a `RuntimeError` about positions.
    """
    try:
        with output_errors(path):
            yield
    except (RuntimeError, SafetensorError) as error:
        raise OutputError(
            f"{path} cannot be written: {str(error).splitlines()[0]}.",
            do="If the disk is full, free some space. The same command then goes on from the last checkpoint.",
        ) from error
