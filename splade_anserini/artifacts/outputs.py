"""The one policy for outputs: what is finished is never replaced unless the user says so.

Beside an output file, `<file>.manifest` holds the command's settings and the fingerprints of its inputs; in an output
directory, `output.manifest` does. The same command again finds its output there and has nothing to do; any other needs
--overwrite. The manifest of a file is written before the file takes its place, so that a command that is killed at any
moment leaves an output that the same command recognizes.
"""

import logging
import os
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

import pydantic

from splade_anserini.artifacts.changes import changes
from splade_anserini.artifacts.files import (
    BEIR_FILES,
    around_placement,
    partial_path,
    require_writable,
    resolved_output,
    whole_file,
)
from splade_anserini.artifacts.fingerprints import fingerprint_of_directory, fingerprint_of_file
from splade_anserini.artifacts.manifests import (
    KINDS,
    MANIFEST,
    OutputManifest,
    kind_of_manifest,
    manifest_bytes,
    parse_manifest,
)
from splade_anserini.errors import InputError, IntegrityError, OutputError
from splade_anserini.records import StrPath

SUFFIX = ".manifest"
IN_DIRECTORY = "output.manifest"
_KIND_OF = {"train": "checkpoint", "export": "encoder", "convert": "impacts"}
"""Command → the kind of the manifest in the directories that it writes."""

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
    notes: tuple[str, ...] = ()
    """How the names of those settings begin that are only recorded, such as `card.recipe`."""


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
    _require_place_for_manifest(output)
    if overwrite:
        require_replaceable(output)
        _require_kind(output, record.command)
        return False
    if not _is_there(output):
        if output.is_dir() or not output.exists():
            require_writable(output)
        return False
    manifest, sha256 = read_output_manifest(output), fingerprint_of_output(output)
    if manifest is None or manifest.sha256 != sha256:
        manifest = _recovered_manifest(output, sha256) or manifest
    if manifest is None:
        raise already_exists(output)
    if manifest.sha256 != sha256:
        raise already_exists(output, "its content was changed after it was written")
    made = {"command": manifest.command, **manifest.settings, **manifest.inputs}
    now = {"command": record.command, **record.settings, **record.inputs}
    if different := changes(made, now, record.notes):
        raise already_exists(output, f"it was made with other settings or inputs: {different}")
    return True


def _require_place_for_manifest(output: Path) -> None:
    """Raise `OutputError` when something else has the name of the manifest beside a file."""
    path = manifest_path(output)
    if _is_there(output) or not path.exists():
        return
    try:
        parse_manifest(path, OutputManifest)
    except InputError as error:
        raise OutputError(
            f"The manifest of {output} would replace {path}, which is something else.", do="Choose another path."
        ) from error


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
    manifest = _manifest(output, record, counts)
    with whole_file(manifest_path(output)) as file:
        file.write(manifest)


@contextmanager
def recorded(output: Path, record: OutputRecord) -> Iterator[None]:
    """Record a file or directory that is written in the block in the moment in which it takes its place.

    A command that is killed after that has made its output; `record_output` adds what it counted.
    """

    @contextmanager
    def with_manifest(finished: Path) -> Iterator[None]:
        text = _manifest(finished, record)
        if finished.is_dir():
            with whole_file(finished / IN_DIRECTORY) as file:
                file.write(text)
            yield
            return
        manifest = manifest_path(output)
        # Until it takes its place, too, it describes nothing: there may be an earlier output with its manifest.
        pending = partial_path(manifest)
        try:
            with pending.open("wb") as file:
                file.write(text)
                file.flush()
                os.fsync(file.fileno())
            yield
            pending.replace(manifest)
        finally:
            pending.unlink(missing_ok=True)

    with around_placement(output, with_manifest):
        yield


def _manifest(output: Path, record: OutputRecord, counts: Mapping[str, float | str] | None = None) -> bytes:
    manifest = OutputManifest(
        command=record.command,
        settings=dict(record.settings),
        inputs=dict(record.inputs),
        counts=dict(counts or {}),
        sha256=fingerprint_of_output(output),
    )
    return manifest_bytes(manifest)


def _recovered_manifest(output: Path, sha256: str) -> OutputManifest | None:
    """Return the manifest of a file if its command was killed between putting the file and the manifest in place.

    The manifest then takes its place.
    """
    if output.is_dir():
        return None
    path = manifest_path(output)
    try:
        manifest = parse_manifest(partial_path(path), OutputManifest)
    except (InputError, IntegrityError):  # it was being written
        return None
    if manifest is None or manifest.sha256 != sha256:
        return None
    partial_path(path).replace(path)
    return manifest


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
    paths = {path for pattern in (BEIR_FILES if beir else ["**/*"]) for path in directory.glob(pattern)}
    outputs = {path.parent for path in directory.rglob(IN_DIRECTORY)} - {directory}
    return {path for path in paths if path.is_file() and path.name != IN_DIRECTORY and outputs.isdisjoint(path.parents)}


def read_output_manifest(output: Path) -> OutputManifest | None:
    """Return the manifest of an output, or None when there is none. Raises `InputError` when it is invalid."""
    return parse_manifest(manifest_path(output), OutputManifest)


def manifest_path(output: Path) -> Path:
    """Return where the manifest of an output is: beside a file, inside a directory; with a link, where it leads."""
    path = resolved_output(output)
    return path / IN_DIRECTORY if path.is_dir() else path.with_name(path.name + SUFFIX)


def require_new_file(output: Path, *, overwrite: bool = False) -> None:
    """Raise `OutputError` when a file would be replaced that has no manifest to compare, without `overwrite`."""
    if not overwrite and output.is_file():
        raise already_exists(output)


def require_replaceable(output: Path) -> None:
    """Raise `OutputError` for a directory that --overwrite would remove, though this program did not write it.

    Neither may it be one that cannot be replaced.
    """
    if output.is_dir():
        require_writable(output)
    if (
        output.is_dir()
        and _is_there(output)
        and not any((output / name).is_file() for name in (MANIFEST, IN_DIRECTORY))
    ):
        raise OutputError(
            f"Output {output} already exists and was not written by splade-anserini.",
            do="Choose another path, or remove the directory first.",
        )


def _require_kind(output: Path, command: str) -> None:
    """Raise `OutputError` for a directory of another kind than the command writes: one wrong path removes a model."""
    found, expected = kind_of_manifest(output), _KIND_OF.get(command)
    if expected and found not in {None, "", expected}:
        raise OutputError(
            f"Output {output} is {KINDS.get(found or '', 'something else')}, which {command} does not replace.",
            expected=KINDS[expected],
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
