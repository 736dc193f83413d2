"""What decides the result of each step: compared before a step is skipped.

The keys are written to the ledger, and digests of them are part of the settings of later steps, so they never change.
"""

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from splade_anserini.artifacts.fingerprints import fingerprint_of_bytes, fingerprint_of_file
from splade_anserini.formats.irds import is_irds
from splade_anserini.reproduction.ledger import Settings
from splade_anserini.reproduction.resolved_card import ResolvedCard

if TYPE_CHECKING:
    from splade_anserini.encoding import Encoder
    from splade_anserini.retrieval.query_vectors import QuerySet


def document_settings(resolved: ResolvedCard, encoder: "Encoder | None") -> Settings:
    """Return the settings of encoding a corpus, or, without an encoder, of linking encoded documents.

    Files are compared by content, wherever they are; datasets of ir_datasets by name.
    """
    card = resolved.card
    if encoder is None:
        return {"contents": _content_fingerprint(str(resolved.impacts), impacts=True)}
    return {
        **({"corpus": card.corpus} if is_irds(card.corpus) else {}),
        "contents": _content_fingerprint(resolved.corpus),
        **{f"encoder {name}": value for name, value in _identity(encoder).items()},
        "scale": resolved.scale,
        "max_length": encoder.max_length,
        "top_k": card.encode.top_k,
        "text": card.encode.contents,
        "docs_per_shard": card.encode.docs_per_shard,
    }


def index_settings(resolved: ResolvedCard, documents: Settings) -> Settings:
    """Return the settings of an index of documents with these settings."""
    return {"documents": _digest(documents), **resolved.card.index.model_dump()}


def search_settings(resolved: ResolvedCard, documents: Settings, queries: "QuerySet") -> Settings:
    """Return the settings of a search for these queries in an index of documents with these settings."""
    search = resolved.card.search
    encoder = queries.encoder.encoder if queries.encoder else None
    return {
        "documents": _digest(documents),
        "queries": fingerprint_of_bytes(repr(_plain(queries)).encode()),
        **({f"query encoder {name}": value for name, value in _identity(encoder).items()} if encoder else {}),
        "query_max_length": encoder.max_length if encoder else None,
        "hits": search.hits,
        "remove_query": search.remove_query,
        **({"query_idf": queries.query_idf} if queries.query_idf else {}),
    }


def _plain(queries: "QuerySet") -> object:
    if queries.texts is not None:
        return [(query.id, query.text) for query in queries.texts]
    return [(query_id, sorted(vector.items())) for query_id, vector in queries.vectors().items()]


def _identity(encoder: "Encoder") -> dict[str, str]:
    # The name depends on where the encoder is; the fingerprints identify it.
    return {name: str(value) for name, value in encoder.identity.model_dump(exclude={"name"}).items()}


def _content_fingerprint(source: str, *, impacts: bool = False) -> str:
    """Return one fingerprint of all files of a source, or "" for a dataset of ir_datasets."""
    from splade_anserini.formats.corpora import open_corpus
    from splade_anserini.formats.impacts import impact_files

    path = Path(source)
    if path.is_file():
        files: Sequence[Path] = [path]
    else:
        files = impact_files(path) if impacts else getattr(open_corpus(source), "files", ())
    return fingerprint_of_bytes(*(fingerprint_of_file(file).encode() for file in files)) if files else ""


def _digest(settings: Settings) -> str:
    return fingerprint_of_bytes(repr(sorted(settings.items())).encode())
