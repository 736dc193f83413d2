"""Exporting what a checkpoint has for its queries beside the documents' model: query weights, or a second model."""

from pathlib import Path

from splade_anserini.artifacts.files import whole_file
from splade_anserini.artifacts.fingerprints import fingerprint_of_file
from splade_anserini.artifacts.manifests import QUERY_MODEL, QUERY_WEIGHTS
from splade_anserini.errors import InputError, MismatchError
from splade_anserini.formats.query_weights import read_query_weights, write_query_weights
from splade_anserini.formats.sentence_transformers import SpladeDescription, StaticDescription
from splade_anserini.modeling.checkpoint import Checkpoint, load_checkpoint, load_tokenizer
from splade_anserini.modeling.identity import tokenizer_fingerprint, vocabulary_fingerprint
from splade_anserini.modeling.published import load_published, load_static_weights

type QueryDescription = SpladeDescription | StaticDescription | None
"""How sentence-transformers' files describe the queries' side; None when a manifest of `train` does."""


def export_query_weights(checkpoint: Checkpoint, queries: QueryDescription, directory: Path) -> str:
    """Write the query weights of a checkpoint into `directory`; return their SHA-256.

    Raises `InputError` when they are invalid, `MismatchError` when queries have a tokenizer of their own.
    """
    if isinstance(queries, StaticDescription):
        tokenizer = load_tokenizer(checkpoint.name, queries.subfolder)
        if tokenizer_fingerprint(tokenizer) != tokenizer_fingerprint(checkpoint.tokenizer):
            raise MismatchError(
                f"{checkpoint.name} has another tokenizer for queries, in {queries.subfolder or 'its directory'}.",
                expected="one tokenizer for queries and documents, to export both into one directory",
                do="Use the checkpoint itself, without exporting it.",
            )
        write_query_weights(directory, load_static_weights(checkpoint.name, queries.weights, tokenizer))
        return fingerprint_of_file(directory / QUERY_WEIGHTS)
    source = Path(checkpoint.name)
    read_query_weights(source, checkpoint.tokenizer.get_vocab())
    with whole_file(directory / QUERY_WEIGHTS) as file:
        file.write((source / QUERY_WEIGHTS).read_bytes())
    return fingerprint_of_file(directory / QUERY_WEIGHTS)


def load_query_checkpoint(
    checkpoint: Checkpoint, queries: QueryDescription, *, trust_remote_code: bool = False
) -> Checkpoint:
    """Load the query model of a checkpoint.

    Raises `InputError` when there is none, `MismatchError` when its vocabulary is not that of the documents' model.
    """
    query_checkpoint = _query_checkpoint(checkpoint, queries, trust_remote_code=trust_remote_code)
    if vocabulary_fingerprint(query_checkpoint) != vocabulary_fingerprint(checkpoint):
        path = Path(query_checkpoint.name) / query_checkpoint.subfolder
        raise MismatchError(
            f"{path} has another vocabulary than {checkpoint.name}.",
            expected="one vocabulary for both models, since a query matches documents by vocabulary entries",
        )
    return query_checkpoint


def _query_checkpoint(checkpoint: Checkpoint, queries: QueryDescription, *, trust_remote_code: bool) -> Checkpoint:
    if isinstance(queries, SpladeDescription):
        return load_published(checkpoint.name, queries, trust_remote_code=trust_remote_code)
    directory = Path(checkpoint.name) / QUERY_MODEL
    if not directory.is_dir():
        raise InputError(
            f"{checkpoint.name} has the query side `separate`, but {directory} does not exist.",
            expected="a directory with a Hugging Face checkpoint",
        )
    return load_checkpoint(directory, trust_remote_code=trust_remote_code)
