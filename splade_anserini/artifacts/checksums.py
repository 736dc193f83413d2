"""Checksums that manifests record of files, and what it means that a file has another one."""

from dataclasses import dataclass
from pathlib import Path

from splade_anserini.artifacts.fingerprints import fingerprint_of_file
from splade_anserini.artifacts.manifests import MANIFEST
from splade_anserini.artifacts.outputs import manifest_path, read_output_manifest
from splade_anserini.errors import IntegrityError


@dataclass(frozen=True, slots=True)
class Checksum:
    """The checksum of a file, and where it is recorded."""

    sha256: str
    manifest: Path
    """The path of the manifest."""

    def check(self, path: Path) -> None:
        """Raise `IntegrityError` unless the file has this checksum."""
        actual = fingerprint_of_file(path)
        if actual != self.sha256:
            raise IntegrityError(
                f"{path} was changed after it was written: its SHA-256 is {actual[:12]}….",
                expected=f"{self.sha256[:12]}…, as {self.manifest} says",
                do=f"{self._remedy} To use the file as it is, move {self.manifest.name} elsewhere.",
            )

    @property
    def _remedy(self) -> str:
        if self.manifest.name == MANIFEST:
            return "Remove it and run the command that wrote it again: encode writes it once more."
        return "Run the command that wrote it again, with --overwrite."


def checksum_of_output(path: Path) -> Checksum | None:
    """Return the checksum in the manifest beside an output file; None without a manifest.

    Raises `InputError` for a manifest that is not valid.
    """
    manifest = read_output_manifest(path)
    return Checksum(manifest.sha256, manifest_path(path)) if manifest else None
