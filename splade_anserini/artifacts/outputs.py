"""The one policy for outputs: what is finished is never replaced unless the user says so.

Beside an output file stands a manifest, `<file>.manifest`, with the command's settings and the fingerprints of its
inputs. The same command again finds its output there and has nothing to do; any other needs --overwrite.
"""

import logging
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

import pydantic

from splade_anserini.artifacts.files import whole_file
from splade_anserini.artifacts.fingerprints import fingerprint_of_file
from splade_anserini.artifacts.manifests import OutputManifest, changes, parse_manifest
from splade_anserini.errors import OutputError

SUFFIX = ".manifest"

_log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class OutputRecord:
    """What decides the content of an output: equal records mean equal content.

    Threads, devices and batch sizes are not part of it.
    """

    command: str
    settings: Mapping[str, pydantic.JsonValue] = field(default_factory=dict)
    inputs: Mapping[str, str] = field(default_factory=dict)
    """Input → its fingerprint."""


def is_up_to_date(output: Path, record: OutputRecord, *, overwrite: bool = False) -> bool:
    """Say whether `output` is there already, made by exactly this command and not changed since.

    With `overwrite` it is written in any case, as are pipes and devices. Raises `OutputError` when another output
    would be replaced.
    """
    if overwrite or not output.is_file():
        return False
    manifest = read_output_manifest(output)
    if manifest is None:
        raise already_exists(output)
    if manifest.sha256 != fingerprint_of_file(output):
        raise already_exists(output, "its content was changed after it was written")
    made = {"command": manifest.command, **manifest.settings, **manifest.inputs}
    now = {"command": record.command, **record.settings, **record.inputs}
    if made != now:
        raise already_exists(output, f"it was made with other settings or inputs: {changes(made, now)}")
    return True


def already_exists(output: Path, reason: str = "") -> OutputError:
    """Return the error for an output that would be replaced without --overwrite."""
    return OutputError(
        f"Output {output} already exists{f'; {reason}' if reason else ''}.",
        do="Add --overwrite to replace it, or choose another path.",
    )


def record_output(output: Path, record: OutputRecord, counts: Mapping[str, int] | None = None) -> None:
    """Write the manifest of an output that was just finished; nothing for a pipe or a device."""
    if not output.is_file():
        return
    manifest = OutputManifest(
        command=record.command,
        settings=dict(record.settings),
        inputs=dict(record.inputs),
        counts=dict(counts or {}),
        sha256=fingerprint_of_file(output),
    )
    with whole_file(manifest_path(output)) as file:
        file.write(manifest.model_dump_json(indent=1).encode() + b"\n")


def read_output_manifest(output: Path) -> OutputManifest | None:
    """Return the manifest beside an output file, or None when there is none. Raises `InputError` when it is invalid."""
    return parse_manifest(manifest_path(output), OutputManifest)


def manifest_path(output: Path) -> Path:
    """Return where the manifest of an output file is."""
    return output.with_name(output.name + SUFFIX)


def require_new_file(output: Path, *, overwrite: bool = False) -> None:
    """Raise `OutputError` when a file would be replaced that has no manifest to compare, without `overwrite`."""
    if not overwrite and output.is_file():
        raise already_exists(output)
