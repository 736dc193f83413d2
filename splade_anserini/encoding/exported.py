"""Reading the encoder directories that `export` writes, and checking their files against their manifest."""

from pathlib import Path

from tokenizers import Tokenizer

from splade_anserini.artifacts.fingerprints import fingerprint_of_file
from splade_anserini.artifacts.manifests import EncoderManifest, read_manifest
from splade_anserini.errors import InputError


def exported_manifest(directory: Path) -> EncoderManifest:
    """Return the manifest of an encoder directory. Raises `InputError` when there is none."""
    manifest = read_manifest(directory, EncoderManifest)
    if manifest is None:
        raise InputError(
            f"{directory} holds a model.onnx but no manifest.", expected="a directory that splade-anserini export wrote"
        )
    return manifest


def check_file(path: Path, fingerprint: str) -> None:
    """Raise `InputError` unless a file has the fingerprint that the manifest records."""
    if not path.is_file() or fingerprint_of_file(path) != fingerprint:
        raise InputError(f"{path} is missing or differs from the manifest beside it.", do="Export the encoder again.")


def exported_tokenizer(directory: Path, fingerprint: str) -> Tokenizer:
    """Return the tokenizer of an encoder directory. Raises `InputError` unless it has this fingerprint."""
    path = directory / "tokenizer.json"
    check_file(path, fingerprint)
    try:
        return Tokenizer.from_file(str(path))
    except Exception as error:  # tokenizers raises nothing narrower
        raise InputError(f"{path} is not a valid tokenizer: {error}.", do="Export the encoder again.") from error
