"""Encoder directories as `export` writes them: what they say of themselves, and whether it is still true."""

from pathlib import Path

from tokenizers import Tokenizer

from splade_anserini.artifacts.fingerprints import fingerprint_of_file
from splade_anserini.artifacts.manifests import EncoderManifest, read_manifest
from splade_anserini.errors import InputError


def exported_manifest(directory: Path) -> EncoderManifest:
    """Return the manifest. Raises `InputError` when there is none."""
    manifest = read_manifest(directory, EncoderManifest)
    if manifest is None:
        raise InputError(
            f"{directory} holds a model.onnx but no manifest.", expected="a directory that splade-anserini export wrote"
        )
    return manifest


def check_file(path: Path, fingerprint: str) -> None:
    """Raise `InputError` unless a file is the one that the manifest describes."""
    if not path.is_file() or fingerprint_of_file(path) != fingerprint:
        raise InputError(
            f"{path} is missing or not the file that the manifest describes.", do="Export the encoder again."
        )


def exported_tokenizer(directory: Path, fingerprint: str) -> Tokenizer:
    """Return the tokenizer. Raises `InputError` when it is not the one that the manifest describes."""
    path = directory / "tokenizer.json"
    check_file(path, fingerprint)
    try:
        return Tokenizer.from_file(str(path))
    except Exception as error:  # tokenizers raises nothing narrower
        raise InputError(f"{path} is no tokenizer: {error}.", do="Export the encoder again.") from error
