"""What encoding takes on this machine, for a document and for a query, and what comes out."""

from dataclasses import dataclass
from functools import cache
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING

from splade_anserini.cards.finding import find_encoder
from splade_anserini.formats.irds import is_irds
from splade_anserini.records import ImpactVector
from splade_anserini.reproduction.contract import Contract
from splade_anserini.reproduction.execution import ExecutionOptions
from splade_anserini.reproduction.sample import Sample
from splade_anserini.reproduction.trial_run import QUERIES, clocked

if TYPE_CHECKING:
    from collections.abc import Mapping

QUERY_ENTRIES = 25.0
"""Of a query's vector: DistilSPLADE-max has so many on the dev queries of MS MARCO."""
QUERY_TOKENS = 10.0
TOKEN_OPERATIONS = 2 * (86e6 + 24e6)
"""Of BERT-base and its masked-language-model head: two for each weight, on each token."""
TOKENS_PER_WORD = 1.35
IMPACT_BYTES = 5.0
"""Of an entry, as gzipped JSON without the text."""
TEXTS = 16
"""Queries that are encoded to find out how long it takes."""

_ROUNDS, _PRODUCTS = 8, 5


def assumed_entries(words: float) -> float:
    """Return the entries of a document of so many words.

    A curve through MS MARCO with DistilSPLADE-max (56 words, 150 entries) and NFCorpus with SPLADE-v3 (232, 275).
    """
    return float(26.5 * max(words, 1.0) ** 0.43)


@dataclass(frozen=True, slots=True)
class DocumentRate:
    """What encoding a document takes."""

    seconds: float
    entries: float
    bytes: float
    basis: str
    vectors: tuple[ImpactVector, ...] = ()
    """Those of the sample, where it was encoded."""


@dataclass(frozen=True, slots=True)
class QueryRate:
    """What encoding a query takes."""

    seconds: float
    entries: float
    basis: str
    vectors: "Mapping[str, ImpactVector] | None" = None
    """Some of them, where they were encoded or are encoded already."""


def at_hand(contract: Contract) -> bool:
    """Say whether the encoder can be opened without a download."""
    return bool(contract.encoder) and Path(find_encoder(contract.encoder).location).exists()


def document_rate(contract: Contract, sample: Sample, means: ExecutionOptions) -> DocumentRate:
    """Measure what a document takes where the encoder is at hand; reckon it from the size of BERT-base elsewhere."""
    if at_hand(contract):
        return _measured(contract, sample, means)
    words = sum(len(document.contents.split()) for document in sample.documents) / max(len(sample.documents), 1)
    tokens = min(words * TOKENS_PER_WORD, contract.card.encode.max_length or 256)
    entries, speed = assumed_entries(words), operations_a_second()
    return DocumentRate(
        tokens * TOKEN_OPERATIONS / speed,
        entries,
        entries * IMPACT_BYTES,
        f"assumed, as the encoder is not at hand: BERT-base, {tokens:.0f} tokens and {entries:.0f} entries a document; "
        f"measured: this machine's processor, {speed / 1e9:,.0f} billion operations a second (a GPU takes less)",
    )


def _measured(contract: Contract, sample: Sample, means: ExecutionOptions) -> DocumentRate:
    from splade_anserini.encoding import SpladeDocumentEncoder, open_encoder
    from splade_anserini.formats.impacts import ImpactWriter

    said = contract.card.encode
    encoder = open_encoder(contract.encoder, means.encoder_options(said.max_length))
    encoder.encode(["to warm up"])
    vectors = []
    with TemporaryDirectory() as name, clocked() as clock:
        path = Path(name) / "sample.jsonl.gz"
        with ImpactWriter(path) as writer:
            documents = SpladeDocumentEncoder(encoder, scale=contract.scale, top_k=said.top_k, contents=said.contents)
            for document in documents.encode(sample.documents):
                vectors.append(document.vector)
                writer.write(document)
        size = path.stat().st_size
    number, entries = len(vectors), sum(map(len, vectors))
    basis = f"measured on {sample.told}, {entries / number:.0f} entries each"
    return DocumentRate(clock.seconds / number, entries / number, size / number, basis, tuple(vectors))


def query_rate(contract: Contract, means: ExecutionOptions) -> QueryRate:
    """Read queries that are encoded, or encode some; assume what they are like where neither can be."""
    from splade_anserini.retrieval.topics import read_encoded_topics

    for one in contract.evaluations:
        if is_irds(one.topics) or not Path(one.topics).exists():
            continue
        if one.asked.encoded:
            vectors = dict(list(read_encoded_topics(one.topics).items())[:QUERIES])
            entries = sum(map(len, vectors.values())) / len(vectors)
            return QueryRate(0.0, entries, f"read: {entries:.0f} entries a query", vectors)
        if at_hand(contract):
            return _encoded(contract, one.topics, means)
    seconds = QUERY_TOKENS * TOKEN_OPERATIONS / operations_a_second() if contract.encoder else 0.0
    basis = f"assumed: {QUERY_ENTRIES:.0f} entries a query"
    return QueryRate(seconds, QUERY_ENTRIES, basis + (f" of {QUERY_TOKENS:.0f} tokens" if seconds else ""))


def _encoded(contract: Contract, topics: str, means: ExecutionOptions) -> QueryRate:
    from splade_anserini.encoding import ImpactQueryEncoder, open_query_encoder
    from splade_anserini.retrieval.query_vectors import encode_queries
    from splade_anserini.retrieval.topics import read_topics

    said = contract.card.encode
    opened = open_query_encoder(contract.encoder, means.encoder_options(said.query_max_length))
    encoder = ImpactQueryEncoder(opened, scale=contract.scale)
    some = read_topics(topics)[:TEXTS]
    encode_queries(some[:1], encoder)
    with clocked() as clock:
        vectors = encode_queries(some, encoder)
    entries = sum(map(len, vectors.values())) / len(some)
    basis = f"measured: {entries:.0f} entries a query, {1000 * clock.seconds / len(some):.1f} ms to encode it"
    return QueryRate(clock.seconds / len(some), entries, basis, vectors)


@cache
def operations_a_second() -> float:
    """Multiply matrices of the shapes of BERT-base for a moment, on all cores; the fastest of a few rounds counts."""
    import numpy as np

    one, other = np.ones((512, 768), np.float32), np.ones((768, 3072), np.float32)
    rounds = []
    for _ in range(_ROUNDS):
        with clocked() as clock:
            for _ in range(_PRODUCTS):
                _ = one @ other
        rounds.append(clock.seconds)
    return _PRODUCTS * 2 * 512 * 768 * 3072 / min(rounds)
