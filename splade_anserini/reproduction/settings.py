"""What decides the outcome of each step: compared before a step is skipped."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from splade_anserini.artifacts.fingerprints import fingerprint_of_bytes, fingerprint_of_file
from splade_anserini.formats.irds import is_irds
from splade_anserini.reproduction.contract import Contract
from splade_anserini.reproduction.ledger import Settings

if TYPE_CHECKING:
    from splade_anserini.encoding import Encoder
    from splade_anserini.records import ImpactVector, Query


def settings_of_documents(contract: Contract, encoder: "Encoder | None", scale: float | None) -> Settings:
    """Of encoding a corpus, or of taking documents that are encoded already.

    Files count by their contents, wherever they are; what ir_datasets has counts by its name.
    """
    card = contract.card
    if encoder is None:
        return {"contents": _contents(str(contract.impacts), impacts=True)}
    return {
        **({"corpus": card.corpus} if is_irds(card.corpus) else {}),
        "contents": _contents(contract.corpus),
        **{f"encoder {name}": value for name, value in _identity(encoder).items()},
        "scale": scale,
        "max_length": encoder.max_length,
        "top_k": card.encode.top_k,
        "text": card.encode.contents,
        "docs_per_shard": card.encode.docs_per_shard,
    }


def settings_of_index(contract: Contract, documents: Settings) -> Settings:
    """Of building the index of these documents."""
    return {"documents": _digest(documents), **contract.card.index.model_dump()}


def settings_of_search(
    contract: Contract,
    documents: Settings,
    queries: "Sequence[Query] | Mapping[str, ImpactVector]",
    encoder: "Encoder | None",
) -> Settings:
    """Of searching for these queries in the index of these documents."""
    search = contract.card.search
    return {
        "documents": _digest(documents),
        "queries": fingerprint_of_bytes(repr(_plain(queries)).encode()),
        **({f"query encoder {name}": value for name, value in _identity(encoder).items()} if encoder else {}),
        "query_max_length": encoder.max_length if encoder else None,
        "hits": search.hits,
        "remove_query": search.remove_query,
    }


def _plain(queries: "Sequence[Query] | Mapping[str, ImpactVector]") -> object:
    if isinstance(queries, Mapping):
        return [(id_, sorted(vector.items())) for id_, vector in queries.items()]
    return [(query.id, query.text) for query in queries]


def _identity(encoder: "Encoder") -> dict[str, str]:
    # A name is where the encoder was found; what it is, the fingerprints say.
    return {name: str(value) for name, value in encoder.identity.model_dump(exclude={"name"}).items()}


def _contents(source: str, *, impacts: bool = False) -> str:
    """Return one fingerprint of all files that are read, or "" for what is no file."""
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
