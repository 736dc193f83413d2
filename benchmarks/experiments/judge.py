"""Evaluation of an encoder on a collection: measures of an exact search, active entries, FLOPS.

Documents are encoded, quantized and multiplied with the queries as sparse matrices of integers, which gives the scores
of Lucene; `check` compares the two.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from ir_measures import Qrel, ScoredDoc
from scipy.sparse import csr_array

from splade_anserini.artifacts.files import whole_directory
from splade_anserini.encoding import EncoderOptions, open_encoder, open_query_encoder, quantize
from splade_anserini.evaluation.evaluation import evaluate
from splade_anserini.evaluation.measures import parse_measures
from splade_anserini.formats.corpora import open_corpus
from splade_anserini.formats.impacts import ImpactWriter
from splade_anserini.formats.qrels import read_qrels
from splade_anserini.formats.runs import strictly_decreasing
from splade_anserini.formats.topics import read_topics
from splade_anserini.index import index
from splade_anserini.lucene import ImpactSearcher
from splade_anserini.records import Document, ImpactDocument, ImpactVector, Query

HITS, SCALE = 100, 100.0
PRECISION = "bf16"
"""The precision of all rows."""
MEASURES = ("RR@10", "nDCG@10", "R@100")

type Ranking = tuple[str, list[ScoredDoc]]


@dataclass(frozen=True)
class Collection:
    """A collection in memory, its documents in ascending order of ids."""

    documents: Sequence[Document]
    queries: Sequence[Query]
    qrels: Sequence[Qrel]

    @classmethod
    def read(cls, directory: Path) -> "Collection":
        """Read a BEIR directory's documents, and the queries and judgements of its test split."""
        documents = sorted(open_corpus(str(directory)), key=lambda document: document.id)
        return cls(documents, read_topics(str(directory)), read_qrels(str(directory)))

    def measures(self, rankings: Iterator[Ranking]) -> dict[str, float]:
        """Return the means over the judged queries."""
        run = [
            doc._replace(score=score)
            for _, docs in rankings
            for doc, score in zip(docs, strictly_decreasing([doc.score for doc in docs]), strict=True)
        ]
        return dict(evaluate(run, self.qrels, parse_measures(MEASURES)).aggregate)


@dataclass(frozen=True)
class Encoded:
    """The impact vectors of a collection's documents and queries."""

    documents: Sequence[ImpactVector]
    queries: Sequence[ImpactVector]

    @classmethod
    def of(cls, name: str, collection: Collection, max_length: int) -> "Encoded":
        """Encode with an encoder; documents are truncated to `max_length` tokens, queries to the encoder's length."""
        documents = open_encoder(name, EncoderOptions(max_length=max_length, precision=PRECISION))
        queries = open_query_encoder(name, EncoderOptions(precision=PRECISION))
        return cls(
            [quantize(vector, SCALE) for vector in documents.encode([doc.contents for doc in collection.documents])],
            [quantize(vector, SCALE) for vector in queries.encode([query.text for query in collection.queries])],
        )

    def matrices(self) -> tuple[Any, Any]:
        """Return the impacts as matrices [queries, tokens] and [documents, tokens]."""
        tokens = sorted({token for vector in (*self.queries, *self.documents) for token in vector})
        numbers = {token: number for number, token in enumerate(tokens)}
        queries, documents = (_matrix(vectors, numbers) for vectors in (self.queries, self.documents))
        return queries, documents

    def sparsity(self) -> dict[str, float]:
        """Return the mean number of active entries, and FLOPS = Σ_j p_j^q p_j^d (SPLADE v2, section 4)."""
        queries, documents = ((matrix > 0).mean(axis=0) for matrix in self.matrices())
        return {
            "entries q": float(queries.sum()),
            "entries d": float(documents.sum()),
            "FLOPS": float(queries @ documents),
        }


def rankings(collection: Collection, encoded: Encoded) -> Iterator[Ranking]:
    """Yield each query's best documents, ordered as Lucene orders them: by score in float32, then by id."""
    queries, documents = encoded.matrices()
    scores = (queries @ documents.T).toarray().astype(np.float32)
    for query, row in zip(collection.queries, scores, strict=True):
        best = np.argsort(-row, kind="stable")[:HITS]
        yield (
            query.id,
            [ScoredDoc(query.id, collection.documents[i].id, float(row[i])) for i in best if row[i] > 0],
        )


def check(collection: Collection, encoded: Encoded, work: Path) -> None:
    """Index and search the same vectors with Lucene. Raises `ValueError` if a hit or a score differs."""
    with whole_directory(work, replace=True) as partial:
        with ImpactWriter(partial / "impacts" / "documents.jsonl") as writer:
            for document, vector in zip(collection.documents, encoded.documents, strict=True):
                writer.write(ImpactDocument(document.id, vector, ""))
        index(partial / "impacts", partial / "index")
        queries = {query.id: vector for query, vector in zip(collection.queries, encoded.queries, strict=True)}
        with ImpactSearcher(partial / "index", threads=1) as searcher:
            expected = dict(searcher.search(queries, HITS))
    for query_id, docs in rankings(collection, encoded):
        if docs != expected[query_id]:
            raise ValueError(f"query {query_id}: expected {expected[query_id][:3]} … as in Lucene, got {docs[:3]} …")


def _matrix(vectors: Sequence[ImpactVector], numbers: dict[str, int]) -> Any:
    starts = np.cumsum([0, *map(len, vectors)])
    columns = np.array([numbers[token] for vector in vectors for token in vector], dtype=np.int64)
    values = np.array([value for vector in vectors for value in vector.values()], dtype=np.int64)
    return csr_array((values, columns, starts), shape=(len(vectors), len(numbers)))
