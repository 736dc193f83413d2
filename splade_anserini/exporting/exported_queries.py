"""What a checkpoint has for its queries besides the documents' model."""

from pathlib import Path

from splade_anserini.artifacts.files import whole_file
from splade_anserini.artifacts.fingerprints import fingerprint_of_file
from splade_anserini.artifacts.manifests import QUERY_MODEL, QUERY_WEIGHTS
from splade_anserini.errors import InputError, MismatchError
from splade_anserini.formats.query_weights import read_query_weights
from splade_anserini.modeling.checkpoint import Checkpoint, load_checkpoint
from splade_anserini.modeling.identity import vocabulary_fingerprint


def copy_query_weights(checkpoint: Checkpoint, directory: Path) -> str:
    """Copy the weights of the queries' tokens into `directory`; return the SHA-256. Raises `InputError` if unusable."""
    source = Path(checkpoint.name)
    read_query_weights(source, checkpoint.tokenizer.get_vocab())
    with whole_file(directory / QUERY_WEIGHTS) as file:
        file.write((source / QUERY_WEIGHTS).read_bytes())
    return fingerprint_of_file(directory / QUERY_WEIGHTS)


def load_query_checkpoint(checkpoint: Checkpoint) -> Checkpoint:
    """Load the queries' own model. Raises `MismatchError` when it has another vocabulary than the documents'."""
    directory = Path(checkpoint.name) / QUERY_MODEL
    if not directory.is_dir():
        raise InputError(
            f"The queries of {checkpoint.name} have a model of their own, but there is none at {directory}.",
            expected="a directory of a Hugging Face checkpoint",
        )
    found = load_checkpoint(str(directory))
    if vocabulary_fingerprint(found) != vocabulary_fingerprint(checkpoint):
        raise MismatchError(
            f"{directory} has another vocabulary than {checkpoint.name}.",
            expected="two models over one vocabulary, or no query matches a document",
        )
    return found
