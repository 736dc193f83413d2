"""Validate a student by encoding, searching and evaluating a collection."""

from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING

from splade_anserini.cards.encoder_card import EncoderCard
from splade_anserini.encoding.bag import BagEncoder
from splade_anserini.encoding.options import EncoderOptions
from splade_anserini.encoding.protocol import Encoder
from splade_anserini.encoding.torch_encoder import TorchEncoder
from splade_anserini.errors import InputError
from splade_anserini.evaluation.providers import aggregate, measure_queries
from splade_anserini.formats.beir import BeirDirectory
from splade_anserini.formats.corpora import open_corpus
from splade_anserini.formats.qrels import read_qrels
from splade_anserini.formats.topics import topics_file
from splade_anserini.lucene.searcher import BruteForceSearcher
from splade_anserini.modeling.query_sides import BagOfTokens
from splade_anserini.modeling.vocabulary import plain_tokenizer, vocabulary
from splade_anserini.records import Document, ImpactDocument, ImpactVector, Query
from splade_anserini.retrieval.topics import read_topics
from splade_anserini.training.saving import learned_query_weights
from splade_anserini.training.student import Student
from splade_anserini.vectors.idf import CollectionIdf, multiplied
from splade_anserini.vectors.quantization import quantize

if TYPE_CHECKING:
    from ir_measures import Measure, Qrel

HITS = 1000


class Validation:
    """A collection in memory with which a student is measured; queries without judgements are left out."""

    def __init__(
        self,
        documents: Iterable[Document],
        topics: Sequence[Query],
        qrels: Sequence["Qrel"],
        measures: Sequence["Measure"],
        card: EncoderCard,
    ) -> None:
        judged = {qrel.query_id for qrel in qrels}
        self._documents = list(documents)
        self._topics = [topic for topic in topics if topic.id in judged]
        self._qrels, self._measures, self._card = list(qrels), list(measures), card
        if not self._topics:
            raise InputError("No validation query has a judgement.", expected="topics and qrels with common ids")

    @property
    def description(self) -> list[str | int]:
        """The measures and the sizes of the collection: runs with other values cannot be compared."""
        return [*map(str, self._measures), len(self._documents), len(self._topics), len(self._qrels)]

    def __call__(self, student: Student) -> dict[str, float]:
        """Return the mean of each measure over the judged topics, by name."""
        document_encoder, query_encoder = student_encoders(student, self._card)
        vectors = self._encode(document_encoder, [document.contents for document in self._documents])
        query_vectors = self._with_idf(self._encode(query_encoder, [topic.text for topic in self._topics]), vectors)
        ids = (document.id for document in self._documents)
        searcher = BruteForceSearcher(ImpactDocument(id_, vector) for id_, vector in zip(ids, vectors, strict=True))
        queries = {topic.id: vector for topic, vector in zip(self._topics, query_vectors, strict=True)}
        strict = {
            query_id: {doc.doc_id: float(len(ranking) - place) for place, doc in enumerate(ranking)}
            for query_id, ranking in searcher.search(queries, HITS)
            if ranking
        }
        return aggregate(measure_queries(strict, self._qrels, self._measures), self._measures)

    def _with_idf(self, queries: Sequence[ImpactVector], documents: Sequence[ImpactVector]) -> Sequence[ImpactVector]:
        """Return queries as a search weights them: times the power of the idf that the card says."""
        if not self._card.query_idf:
            return queries
        collection = CollectionIdf(
            self._card.query_idf,
            sum(map(bool, documents)),
            Counter(token for vector in documents for token, impact in vector.items() if impact),
        )
        return [multiplied(vector, collection.factors) for vector in queries]

    def _encode(self, encoder: Encoder, texts: Sequence[str]) -> list[ImpactVector]:
        return [quantize(vector, self._card.scale) for vector in encoder.encode(texts)]


def student_encoders(student: Student, card: EncoderCard) -> tuple[Encoder, Encoder]:
    """Return the encoders of documents and of queries, with copies of the student's present weights."""
    options = EncoderOptions(max_length=card.max_length, pooling=card.pooling, activation=card.activation)
    documents = TorchEncoder(student.documents, options, prompt=card.prompt)
    options = replace(options, max_length=card.query_max_length)
    if not isinstance(student.pair.queries, BagOfTokens):
        return documents, TorchEncoder(student.queries or student.documents, options, prompt=card.query_prompt)
    tokenizer = student.documents.tokenizer
    tokens = vocabulary(tokenizer, student.documents.vocabulary_size)
    identity = documents.identity.model_copy(update={"prompt": card.query_prompt})
    return documents, BagEncoder(identity, plain_tokenizer(tokenizer), tokens, learned_query_weights(student), options)


def open_validation(source: str, measures: Sequence["Measure"], card: EncoderCard) -> Validation:
    """Read a BEIR directory into memory: DIR for its split dev, or DIR@SPLIT.

    Raises `InputError` when there is no such directory or split.
    """
    directory = BeirDirectory.parse(source)
    if directory is None:
        raise InputError(
            f"--validation {source} is not a BEIR directory.", expected="DIR, for its split dev, or DIR@SPLIT"
        )
    qrels = read_qrels(source, "dev")
    topics = read_topics(str(topics_file(directory.path)))
    return Validation(open_corpus(directory.path), topics, qrels, measures, card)
