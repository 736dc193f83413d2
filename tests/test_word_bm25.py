"""BM25 over words as a teacher's scores: those that Lucene would give, with the statistics of each source."""

from collections.abc import Sequence
from itertools import islice
from pathlib import Path

import pytest

from splade_anserini.formats.corpora import open_corpus
from splade_anserini.lucene import search_bm25
from splade_anserini.lucene.analyzers import open_analyzer
from splade_anserini.records import Document, Example, Query
from splade_anserini.text_index import index_texts
from splade_anserini.training.word_bm25 import SourcesBM25, WordBM25
from tests.training_fixtures import ExampleList, collator, recipe

LENGTH = 35
"""Words of a document: Lucene stores lengths up to 40 exactly."""


class Documents(list[Document]):
    name = "documents in memory"


def test_scores_are_those_of_a_search_in_lucene(tmp_path: Path) -> None:
    corpus = islice(open_corpus("cranfield"), 60)
    documents = Documents(Document(each.id, "", " ".join(each.text.split()[:LENGTH])) for each in corpus)
    texts = [
        "what is the effect of the shape of the wing on its lift in supersonic flow ?",
        "heat heat transfer",
        "a wing in the flow of air past a plate, and of the boundary layer",
    ]
    index_texts(documents, tmp_path / "index")
    queries = [Query(str(number), text) for number, text in enumerate(texts)]
    scores = WordBM25((each.text for each in documents), open_analyzer()).scores(texts, [d.text for d in documents])
    rows = {document.id: row for row, document in enumerate(documents)}
    for query_id, hits in search_bm25(tmp_path / "index", queries, len(documents)):
        expected = {rows[hit.doc_id]: hit.score for hit in hits}
        assert len(expected) > 10
        found = {row: score for row, score in enumerate(scores[int(query_id)].tolist()) if score}
        assert found == pytest.approx(expected, abs=2e-4)


def test_a_batch_is_scored_with_the_statistics_of_its_source() -> None:
    def source(*positives: str) -> ExampleList:
        return ExampleList(Example(text.split()[0], text, ()) for text in positives)

    rare = source("tree house", "cat mouse", "dog house")
    common = source("tree house", "tree mouse", "tree dog")
    scores_of = SourcesBM25([rare, common], str.split, seed=0)
    chosen = recipe(negatives=0)
    scores = [scores_of(collator(chosen)(0, source("tree house"), number)).item() for number in (0, 1)]
    expected = [
        WordBM25(_positives(each), str.split).scores(["tree"], ["tree house"]).item() for each in (rare, common)
    ]
    assert scores == expected
    assert scores[0] > 3 * scores[1]


def test_a_word_that_no_document_has_still_counts() -> None:
    bm25 = WordBM25(["the cat", "the dog"], str.split)
    unknown, known = bm25.scores(["mouse", "cat"], ["the mouse", "the cat"]).diagonal().tolist()
    assert unknown > known > 0
    assert bm25.scores([""], ["the cat", ""]).tolist() == [[0.0, 0.0]]


def _positives(source: ExampleList) -> Sequence[str]:
    return [example.positive for example in source]
