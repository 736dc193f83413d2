"""Exporting what a checkpoint has for its queries beside the documents' model: query weights, or a second model."""

from pathlib import Path

from splade_anserini.artifacts.files import whole_file
from splade_anserini.artifacts.fingerprints import fingerprint_of_file
from splade_anserini.artifacts.manifests import QUERY_MODEL, QUERY_WEIGHTS
from splade_anserini.errors import InputError, MismatchError
from splade_anserini.exporting.options import ExportOptions
from splade_anserini.formats.query_weights import read_query_weights
from splade_anserini.modeling.checkpoint import Checkpoint, load_checkpoint
from splade_anserini.modeling.identity import vocabulary_fingerprint


def copy_query_weights(checkpoint: Checkpoint, directory: Path) -> str:
    """Copy the query weights of a checkpoint into `directory`; return their SHA-256. Raises `InputError` if invalid."""
    source = Path(checkpoint.name)
    read_query_weights(source, checkpoint.tokenizer.get_vocab())
    with whole_file(directory / QUERY_WEIGHTS) as file:
        file.write((source / QUERY_WEIGHTS).read_bytes())
    return fingerprint_of_file(directory / QUERY_WEIGHTS)


def load_query_checkpoint(checkpoint: Checkpoint, options: ExportOptions) -> Checkpoint:
    """Load the query model of a checkpoint.

    Raises `InputError` when there is none, `MismatchError` when its vocabulary is not that of the documents' model.
    """
    directory = Path(checkpoint.name) / QUERY_MODEL
    if not directory.is_dir():
        raise InputError(
            f"{checkpoint.name} has the query side `separate`, but {directory} does not exist.",
            expected="a directory with a Hugging Face checkpoint",
        )
    query_checkpoint = load_checkpoint(directory, trust_remote_code=options.trust_remote_code)
    if vocabulary_fingerprint(query_checkpoint) != vocabulary_fingerprint(checkpoint):
        raise MismatchError(
            f"{directory} has another vocabulary than {checkpoint.name}.",
            expected="one vocabulary for both models, since a query matches documents by vocabulary entries",
        )
    return query_checkpoint
