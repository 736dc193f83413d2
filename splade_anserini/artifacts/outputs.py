"""The one policy for outputs: what is finished is never replaced unless the user says so.

Beside an output file, `<file>.manifest` holds the command's settings and the fingerprints of its inputs; in an output
directory, `output.manifest` does. The same command again finds its output there and has nothing to do; any other needs
--overwrite.
"""

import logging
import os
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

import pydantic

from splade_anserini.artifacts.files import whole_file
from splade_anserini.artifacts.fingerprints import fingerprint_of_directory, fingerprint_of_file
from splade_anserini.artifacts.manifests import MANIFEST, OutputManifest, changes, parse_manifest
from splade_anserini.errors import OutputError
from splade_anserini.records import StrPath

SUFFIX = ".manifest"
IN_DIRECTORY = "output.manifest"

_BEIR = ("corpus.jsonl*", "queries.jsonl*", "qrels/*")

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


_NOT_WRITTEN = (".bz2", ".xz", ".lzma", ".zst", ".zstd", ".zip", ".lz4", ".7z", ".tar", ".tgz")


def check_output_name(output: Path) -> None:
    """Raise `OutputError` for a name that promises a compression that is not written."""
    if suffix := next((suffix for suffix in _NOT_WRITTEN if output.name.lower().endswith(suffix)), ""):
        raise OutputError(
            f"{output} would not be compressed as its name says ({suffix}).",
            expected="a name that ends in .gz for a compressed file, or a name of a plain file",
            do="Choose another name.",
        )


def is_up_to_date(output: Path, record: OutputRecord, *, overwrite: bool = False) -> bool:
    """Say whether `output` is there already, made by exactly this command and not changed since.

    With `overwrite` it is written in any case, as are pipes and devices. Raises `OutputError` when another output
    would be replaced, or with `overwrite` a directory that this program did not write.
    """
    check_output_name(output)
    if overwrite:
        require_replaceable(output)
        return False
    if not _is_there(output):
        return False
    manifest = read_output_manifest(output)
    if manifest is None:
        raise already_exists(output)
    if manifest.sha256 != fingerprint_of_output(output):
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


def record_output(output: Path, record: OutputRecord, counts: Mapping[str, float | str] | None = None) -> None:
    """Write the manifest of a file or directory that was just finished; nothing for a pipe or a device."""
    if not (output.is_file() or output.is_dir()):
        return
    manifest = OutputManifest(
        command=record.command,
        settings=dict(record.settings),
        inputs=dict(record.inputs),
        counts=dict(counts or {}),
        sha256=fingerprint_of_output(output),
    )
    with whole_file(manifest_path(output)) as file:
        file.write(manifest.model_dump_json(indent=1).encode() + b"\n")


def fingerprints_of_inputs(names: Mapping[str, StrPath | None]) -> dict[str, str]:
    """Return the fingerprint of each input that is given, see `fingerprint_of_input`."""
    return {role: fingerprint_of_input(name) for role, name in names.items() if name is not None}


def fingerprint_of_input(name: StrPath) -> str:
    """Return the fingerprint of an input as a user names it: a file, a directory, DIR@SPLIT, or KIND: and one of these.

    Outputs that were written into an input directory do not count; of a BEIR directory, only corpus, queries and qrels
    do. What is not on this machine, such as irds:<name> or a model of the Hugging Face Hub, is identified by its name.
    """
    path, text = Path(name), os.fspath(name)
    if path.is_file():
        return fingerprint_of_file(path)
    if path.is_dir():
        return fingerprint_of_directory(path, _input_files(path))
    kind, colon, rest = text.partition(":")
    if colon and Path(rest.partition("@")[0]).exists():
        return f"{kind}:{fingerprint_of_input(rest)}"
    directory, at, split = text.rpartition("@")
    return f"{fingerprint_of_input(directory)}@{split}" if at and Path(directory).is_dir() else text


def _input_files(directory: Path) -> set[Path]:
    beir = (directory / "qrels").is_dir() or any(directory.glob("queries.jsonl*"))
    paths = {path for pattern in (_BEIR if beir else ["**/*"]) for path in directory.glob(pattern)}
    outputs = {path.parent for path in directory.rglob(IN_DIRECTORY)} - {directory}
    return {path for path in paths if path.is_file() and path.name != IN_DIRECTORY and outputs.isdisjoint(path.parents)}


def read_output_manifest(output: Path) -> OutputManifest | None:
    """Return the manifest of an output, or None when there is none. Raises `InputError` when it is invalid."""
    return parse_manifest(manifest_path(output), OutputManifest)


def manifest_path(output: Path) -> Path:
    """Return where the manifest of an output is: beside a file, inside a directory."""
    return output / IN_DIRECTORY if output.is_dir() else output.with_name(output.name + SUFFIX)


def require_new_file(output: Path, *, overwrite: bool = False) -> None:
    """Raise `OutputError` when a file would be replaced that has no manifest to compare, without `overwrite`."""
    if not overwrite and output.is_file():
        raise already_exists(output)


def require_replaceable(output: Path) -> None:
    """Raise `OutputError` for a directory that --overwrite would remove, though this program did not write it."""
    if (
        output.is_dir()
        and _is_there(output)
        and not any((output / name).is_file() for name in (MANIFEST, IN_DIRECTORY))
    ):
        raise OutputError(
            f"Output {output} already exists and was not written by splade-anserini.",
            do="Choose another path, or remove the directory first.",
        )


def _is_there(output: Path) -> bool:
    """Say whether there is a file, or a directory with something in it."""
    return output.is_file() or (output.is_dir() and any(output.iterdir()))


def fingerprint_of_output(output: Path) -> str:
    """Return the SHA-256 of an output file, or the fingerprint of all files of an output directory."""
    if output.is_dir():
        files = (path for path in output.rglob("*") if path.is_file() and path.name != IN_DIRECTORY)
        return fingerprint_of_directory(output, files)
    return fingerprint_of_file(output)
