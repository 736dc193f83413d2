"""Write and find the checkpoints of an unfinished run; a checkpoint appears whole or not at all."""

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


def find_checkpoints(directory: Path) -> dict[int, Path]:
    """Return the checkpoints in the directory of a run, by step."""
    matches = (re.fullmatch(rf"{_STEP}(\d+)", path.name) for path in directory.glob(f"{_STEP}*"))
    return {int(match[1]): directory / match[0] for match in matches if match}


def save_checkpoint(accelerator: Any, directory: Path, step: int) -> None:
    """Write the state of `accelerator` on all devices, then remove the earlier checkpoints.

    Raises `OutputError` when it cannot be written; the earlier checkpoints then stay.
    """
    path = directory / f"{_STEP}{step}"
    partial = path.with_name(path.name + PARTIAL)
    try:
        with torch_output_errors(path):
            accelerator.save_state(str(partial), safe_serialization=False)
            accelerator.wait_for_everyone()
            if accelerator.is_main_process:
                earlier = find_checkpoints(directory)
                for written in (*partial.iterdir(), partial):
                    sync_directory(written)
                partial.replace(path)
                sync_directory(directory)
                for checkpoint in earlier.values():
                    shutil.rmtree(checkpoint)
    except BaseException:
        shutil.rmtree(partial, ignore_errors=True)
        raise


@contextmanager
def torch_output_errors(path: Path) -> Iterator[None]:
    """Raise an `OutputError` for any error of torch or safetensors while they write `path`.

    Neither passes on the system's error: a full disk is a `RuntimeError` about positions in a file.
    """
    try:
        with output_errors(path):
            yield
    except (RuntimeError, SafetensorError) as error:
        raise OutputError(
            f"{path} cannot be written: {str(error).splitlines()[0]}.",
            do="If the disk is full, free some space. The same command then resumes from the last checkpoint.",
        ) from error
