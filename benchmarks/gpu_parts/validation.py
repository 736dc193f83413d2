"""nDCG@10 and R@100 on Cranfield, which ships with the package, without the packages that usually compute them."""

import math
from collections import defaultdict
from collections.abc import Mapping, Sequence
from typing import Any

CUT_OFF, RECALL_CUT_OFF = 10, 100

type Judgements = Mapping[str, Mapping[str, int]]
"""Query → document → relevance."""


class CranfieldValidation:
    """Measures a student on Cranfield, as `train` calls it: encode, search exactly, evaluate."""

    def __init__(self, card: Any) -> None:
        from splade_anserini.cards.shipped import cranfield
        from splade_anserini.formats.corpora import open_corpus
        from splade_anserini.formats.topics import read_topics, topics_file

        self._card = card
        self._judgements = read_judgements(str(cranfield() / "qrels" / "test.tsv"))
        self._documents = list(open_corpus(cranfield()))
        topics = read_topics(str(topics_file(cranfield())))
        self._topics = [topic for topic in topics if topic.id in self._judgements]

    @property
    def description(self) -> list[str | int]:
        """What a run that resumes must have in common."""
        return ["Cranfield", len(self._documents), len(self._topics)]

    def __call__(self, student: Any) -> dict[str, float]:
        """Return the measures of a student by name; the first decides."""
        from splade_anserini.ordering import best
        from splade_anserini.training.validation import student_encoders
        from splade_anserini.vectors.quantization import quantize

        document_encoder, query_encoder = student_encoders(student, self._card)
        postings: dict[str, list[tuple[int, int]]] = defaultdict(list)
        vectors = document_encoder.encode([document.contents for document in self._documents])
        for number, vector in enumerate(vectors):
            for token, impact in quantize(vector, self._card.scale).items():
                postings[token].append((number, impact))
        ids = [document.id for document in self._documents]
        run = {}
        for topic, vector in zip(
            self._topics, query_encoder.encode([topic.text for topic in self._topics]), strict=True
        ):
            scores: dict[int, int] = defaultdict(int)
            for token, weight in quantize(vector, self._card.scale).items():
                for number, impact in postings.get(token, ()):
                    scores[number] += weight * impact
            hits = best(((ids[number], score) for number, score in scores.items()), RECALL_CUT_OFF)
            run[topic.id] = [id_ for id_, _ in hits]
        return means(run, self._judgements)


def read_judgements(path: str) -> dict[str, dict[str, int]]:
    """Read qrels/SPLIT.tsv of a BEIR directory."""
    judgements: dict[str, dict[str, int]] = defaultdict(dict)
    with open(path, encoding="utf-8") as file:  # noqa: PTH123  # a path of the package
        next(file)
        for line in file:
            query, document, relevance = line.split("\t")
            judgements[query][document] = int(relevance)
    return dict(judgements)


def means(run: Mapping[str, Sequence[str]], judgements: Judgements) -> dict[str, float]:
    """Return the means of nDCG@10 and R@100, as trec_eval defines them, over the judged queries."""
    pairs = [(run.get(query, ()), relevances) for query, relevances in judgements.items()]
    return {
        "nDCG@10": sum(ndcg(ranking, relevances) for ranking, relevances in pairs) / len(pairs),
        "R@100": sum(recall(ranking, relevances) for ranking, relevances in pairs) / len(pairs),
    }


def ndcg(ranking: Sequence[str], relevances: Mapping[str, int]) -> float:
    """Return Σ gain / log2(rank + 1) over the first 10, divided by that of the best ranking."""
    gains = [max(0, relevances.get(document, 0)) for document in ranking[:CUT_OFF]]
    best = sorted((max(0, relevance) for relevance in relevances.values()), reverse=True)[:CUT_OFF]
    return _discounted(gains) / _discounted(best) if any(best) else 0.0


def recall(ranking: Sequence[str], relevances: Mapping[str, int]) -> float:
    """Return the share of the relevant documents that are among the first 100."""
    relevant = {document for document, relevance in relevances.items() if relevance > 0}
    return len(relevant & {*ranking[:RECALL_CUT_OFF]}) / len(relevant) if relevant else 0.0


def _discounted(gains: Sequence[int]) -> float:
    return sum(gain / math.log2(rank + 1) for rank, gain in enumerate(gains, 1))
