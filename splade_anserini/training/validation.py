"""How good a student is: a collection is encoded, searched and evaluated, as it would be in earnest."""

from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING

from splade_anserini.cards import EncoderCard
from splade_anserini.encoding.bag import ALL_ONE, BagEncoder
from splade_anserini.encoding.options import EncoderOptions
from splade_anserini.encoding.protocol import Encoder
from splade_anserini.encoding.quantization import quantize
from splade_anserini.encoding.torch_encoder import TorchEncoder
from splade_anserini.lucene.searcher import BruteForceSearcher
from splade_anserini.modeling.vocabulary import plain_tokenizer, vocabulary
from splade_anserini.records import Document, ImpactDocument, ImpactVector, Query
from splade_anserini.training.saving import learned_weights
from splade_anserini.training.start import Student

if TYPE_CHECKING:
    from ir_measures import Measure, Qrel

HITS = 1000


class Validation:
    """A collection in memory; called with a student, it returns the measures."""

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

    def __call__(self, student: Student) -> dict[str, float]:
        """Return each measure's mean over the judged topics, by name."""
        import ir_measures

        documents = document_encoder(student, self._card)
        vectors = self._impacts(documents, [document.contents for document in self._documents])
        ids = (document.id for document in self._documents)
        searcher = BruteForceSearcher(ImpactDocument(id_, vector) for id_, vector in zip(ids, vectors, strict=True))
        queries = self._impacts(query_encoder(student, self._card), [topic.text for topic in self._topics])
        asked = {topic.id: vector for topic, vector in zip(self._topics, queries, strict=True)}
        run = [doc for _, hits in searcher.search(asked, HITS) for doc in hits]
        values = ir_measures.calc_aggregate(self._measures, self._qrels, run)
        return {str(measure): float(values[measure]) for measure in self._measures}

    def _impacts(self, encoder: Encoder, texts: Sequence[str]) -> list[ImpactVector]:
        return [quantize(vector, self._card.scale) for vector in encoder.encode(texts)]


def document_encoder(student: Student, card: EncoderCard) -> Encoder:
    """Return the student's documents' side as an encoder: a copy as it is now."""
    return TorchEncoder(student.documents, EncoderOptions(max_length=card.max_length, pooling=card.pooling))


def query_encoder(student: Student, card: EncoderCard) -> Encoder:
    """Return the student's queries' side as an encoder: a copy as it is now."""
    options = EncoderOptions(max_length=card.query_max_length, pooling=card.pooling)
    side = card.training.query_side if card.training else "splade"
    if side in {"doc", "idf"}:
        checkpoint = student.documents
        identity = document_encoder(student, card).identity.model_copy(update={"weights": ALL_ONE})
        tokens = vocabulary(checkpoint.tokenizer, checkpoint.vocabulary_size)
        weights = learned_weights(student) if side == "idf" else None
        return BagEncoder(identity, plain_tokenizer(checkpoint.tokenizer), tokens, weights, options)
    return TorchEncoder(student.queries or student.documents, options)
