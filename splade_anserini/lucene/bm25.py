"""Searches a text index with BM25: the hits and scores of Anserini, in Java but without Pyserini."""

from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from itertools import repeat
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from splade_anserini.errors import InputError
from splade_anserini.lucene.analyzers import analyzer_of, language_of_index
from splade_anserini.lucene.feedback import Feedback, check_document_vectors
from splade_anserini.lucene.index_reader import CONTENTS, kind_of_index
from splade_anserini.lucene.java.abandoned import close_when_freed
from splade_anserini.lucene.java.forks import has_own_java
from splade_anserini.lucene.java.method_handles import (
    STRING,
    bind,
    bind_int,
    bind_string,
    chain,
    next_element,
    virtual_method,
)
from splade_anserini.lucene.java.threads import JAVA_LOCK
from splade_anserini.lucene.lucene_searcher import LuceneSearcher
from splade_anserini.lucene.query_executor import GENERATOR, QUERY, Hits, QueryExecutor
from splade_anserini.lucene.ranking import Ranking
from splade_anserini.lucene.text_options import Bm25Options
from splade_anserini.records import Query, StrPath

if TYPE_CHECKING:
    from ir_measures import ScoredDoc

_ANALYZER = "org.apache.lucene.analysis.Analyzer"
_ANSERINI, _SCORED_DOC = "io.anserini.search.SimpleSearcher", "io.anserini.search.ScoredDoc"

_ATTRIBUTES = "org.apache.lucene.analysis.tokenattributes"

_RM3_DOCS = 50
"""Anserini's RM3 takes its feedback documents from the best 50."""


def search_bm25(
    index: StrPath,
    queries: Sequence[Query],
    hits: int,
    threads: int = 1,
    options: Bm25Options | None = None,
    feedback: Feedback | None = None,
) -> "Iterator[tuple[str, list[ScoredDoc]]]":
    """Yield each query's id and its best `hits` documents, in the order of `queries`, as Anserini ranks them.

    Raises what `open_bm25_searcher` raises.
    """
    with open_bm25_searcher(index, threads, options, feedback) as searcher:
        yield from searcher.search({query.id: query.text for query in queries}, hits)


def open_bm25_searcher(
    index: StrPath, threads: int = 1, options: Bm25Options | None = None, feedback: Feedback | None = None
) -> "Bm25Searcher":
    """Return the searcher of a text index, with feedback if `feedback` has a method.

    Raises `InputError` when `index` is not a Lucene index or holds impacts, or for feedback no document vectors.
    """
    if kind_of_index(index) == "impact":
        raise InputError(
            f"{index} is an impact index; BM25 needs a text index.",
            do="Build one with splade-anserini index --bm25.",
        )
    if feedback and feedback.method:
        return _FeedbackSearcher(index, threads, options or Bm25Options(), feedback)
    return Bm25Searcher(index, threads, options or Bm25Options())


class Bm25Searcher(LuceneSearcher[str]):
    """Searches the field `contents` of a text index that this package or Anserini built.

    Hits and scores are those of Anserini's SearchCollection and SimpleSearcher and of Pyserini's LuceneSearcher: scores
    are rounded to four decimals, and of equal ones, which are in ascending order of ids, millionths are subtracted.
    `open_bm25_searcher` opens it.
    """

    def __init__(self, index: StrPath, threads: int, options: Bm25Options) -> None:
        self._options = options
        super().__init__(index, threads)
        with JAVA_LOCK:
            self._analyzer = analyzer_of(options.language or language_of_index(index))

    def search(self, queries: Mapping[str, str], hits: int) -> "Iterator[tuple[str, list[ScoredDoc]]]":
        """Yield each query's id and the best `hits` documents for its text, in the order of `queries`."""
        from ir_measures import ScoredDoc

        for query_id, ranking in self.rankings(queries.items(), hits, self.threads):
            rows = zip(repeat(query_id), ranking.ids, ranking.scores)
            yield query_id, list(map(tuple.__new__, repeat(ScoredDoc), rows))

    def words(self, text: str) -> list[str]:
        """Return the words of a text as the analyzer of the index makes them, for which a search looks."""
        from jnius import autoclass

        with JAVA_LOCK:
            return [str(word) for word in autoclass("io.anserini.analysis.AnalyzerUtils").analyze(self._analyzer, text)]

    def word_spans(self, text: str) -> list[tuple[str, int, int]]:
        """Return each word of a text as `words` does, with where it begins and ends in the text."""
        from jnius import autoclass, cast

        # Java counts characters beyond the basic plane twice.
        positions = [position for position, char in enumerate(text) for _ in range(1 + (char > "\uffff"))] + [len(text)]
        spans = []
        with self._locked():
            named = autoclass("java.lang.Class").forName
            stream = self._analyzer.tokenStream(CONTENTS, text)
            names = [f"{_ATTRIBUTES}.{name}Attribute" for name in ("CharTerm", "Offset")]
            term, offset = (cast(name, stream.getAttribute(named(name))) for name in names)
            stream.reset()
            while stream.incrementToken():
                spans.append((str(term.toString()), positions[offset.startOffset()], positions[offset.endOffset()]))
            stream.end()
            stream.close()
        return spans

    def term_scores(self, text: str, doc_id: str) -> dict[str, float]:
        """Return the score of each word of a query for a document, 0 for one that it lacks.

        Their sum is the score of the document, before it is rounded. Raises `InputError` when it is not indexed.
        """
        counts = Counter(self.words(text))
        with self._locked(), self._executor() as executor:
            docs = executor.find_docs([doc_id])
        if not len(docs):
            raise InputError(
                f"Index {self._index} has no document {doc_id!r}.", expected="an index of the same documents"
            )
        (scores,) = self.word_scores(counts, docs[:1].tolist())
        return {word: count * scores.get(word, 0.0) for word, count in counts.items()}

    def word_scores(self, words: Iterable[str], docs: Sequence[int]) -> list[dict[str, float]]:
        """Return the scores of words, as `words` returns them, in documents that are given by Lucene's numbers.

        Words that a document lacks are left out.
        """
        from jnius import autoclass, cast

        scores: list[dict[str, float]] = [{} for _ in docs]
        with self._locked():
            term, query = (autoclass(f"org.apache.lucene.{name}") for name in ("index.Term", "search.TermQuery"))
            for word in words:
                word_query = query(term(CONTENTS, word), signature="(Lorg/apache/lucene/index/Term;)V")
                for position, doc in enumerate(docs):
                    explanation = self.lucene.explain(cast(QUERY, word_query), doc)
                    if explanation.isMatch():
                        scores[position][word] = float(explanation.getValue().doubleValue())
        return scores

    def _similarity(self) -> Any:
        from jnius import autoclass

        similarity = autoclass("org.apache.lucene.search.similarities.BM25Similarity")
        return similarity(float(self._options.k1), float(self._options.b), signature="(FF)V")

    def _new_executor(self) -> QueryExecutor:
        return _TextExecutor(self._reader, self._searcher, self._analyzer)

    def _rank(self, executor: QueryExecutor, query: str, found: Hits, hits: int) -> Ranking:
        ranking = super()._rank(executor, query, found, hits)
        return Ranking(ranking.ids, anserini_scores(ranking.scores), ranking.docs)


class _FeedbackSearcher(Bm25Searcher):
    """Searches through Anserini's SimpleSearcher, which expands queries and ranks the hits itself."""

    def __init__(self, index: StrPath, threads: int, options: Bm25Options, feedback: Feedback) -> None:
        if feedback.method == "rm3" and feedback.docs > _RM3_DOCS:
            raise InputError(f"--feedback-docs must be at most {_RM3_DOCS} with --bm25 and rm3, got {feedback.docs:,}.")
        check_document_vectors(index, records_will_do=False)
        super().__init__(index, threads, options)
        self._feedback = feedback
        with self._locked():
            self._anserini = self._open_anserini()
            close_when_freed(self, self._anserini)

    def close(self) -> None:
        """Close the index."""
        if has_own_java():
            with JAVA_LOCK:
                self._anserini.close()
        super().close()

    def _open_anserini(self) -> Any:
        from jnius import autoclass

        searcher = autoclass(_ANSERINI)(
            str(Path(self._index).absolute()),
            self._analyzer,
            signature=f"(Ljava/lang/String;L{_ANALYZER.replace('.', '/')};)V",
        )
        searcher.set_bm25(float(self._options.k1), float(self._options.b))
        self._feedback.apply_to_text(searcher)
        # Makes the IndexSearcher, which the threads share.
        searcher.search("", 1)
        return searcher

    def _new_executor(self) -> QueryExecutor:
        return _AnseriniExecutor(self._reader, self._searcher, self._anserini)

    def _depth(self, hits: int) -> int:
        # Rocchio takes the feedback documents from the hits.
        return min(max(hits, self._feedback.docs), self.documents)

    def rank_all(self, queries: Sequence[str], hits: int) -> list[Ranking]:
        """Return the best `hits` documents of each query, one after the other: Anserini searches for one at a time."""
        return [ranking for _, ranking in self.rankings((("", query) for query in queries), hits)]

    def _rank(self, executor: QueryExecutor, query: str, found: Hits, hits: int) -> Ranking:  # noqa: ARG002
        # Anserini has ranked the hits.
        docs, scores = found
        docs = docs[:hits]
        return Ranking(self._ids.of(docs, executor), scores[:hits].tolist(), docs.tolist())


class _TextExecutor(QueryExecutor):
    """Searches for texts, from which Anserini's generator builds queries."""

    def __init__(self, reader: Any, searcher: Any, analyzer: Any) -> None:
        self._analyzer = analyzer
        super().__init__(reader, searcher)

    def _compose_query(self) -> Any:
        # String text = stringReader.readValue(request.toByteArray());
        # return build(text);
        return chain(self._request.parse_string(), self._compose_build())

    def _compose_batch_query(self) -> tuple[Any, Any]:
        return self._request.list_parser(STRING), chain(next_element(STRING), self._compose_build())

    def _compose_build(self) -> Any:
        # return generator.buildQuery("contents", analyzer, text);
        build = bind(virtual_method(GENERATOR, "buildQuery", QUERY, STRING, _ANALYZER, STRING), self._generator)
        return bind(bind_string(build, 0, CONTENTS), self._analyzer)


class _AnseriniExecutor(QueryExecutor):
    """Searches for texts through Anserini's SimpleSearcher."""

    def __init__(self, reader: Any, searcher: Any, anserini: Any) -> None:
        self._anserini = anserini
        super().__init__(reader, searcher)

    def _compose_search(self, hits: int) -> Any:
        # String text = stringReader.readValue(request.toByteArray());
        # write(anserini.search(text, hits));
        search = bind(virtual_method(_ANSERINI, "search", f"[L{_SCORED_DOC};", STRING, "int"), self._anserini)
        write = self._compose_write_array(_SCORED_DOC, "lucene_docid")
        return chain(self._request.parse_string(), bind_int(search, 1, hits), write)


def anserini_scores(scores: Sequence[float]) -> list[float]:
    """Return scores, best first, as Anserini reports them.

    They are rounded to four decimals. The n-th of those that follow a score and are at most 1e-4 below the one before
    is lowered by n millionths, as far as float32 can represent them.
    """
    exact = np.asarray(scores, dtype=np.float32).astype(np.float64)
    # Java rounds halves up.
    rounded = (np.floor(exact * 10_000 + 0.5) / 10_000).astype(np.float32)
    tie, millionth = np.float32(1e-4), np.float32(1e-6)
    # No score is lowered by more than its rank in millionths: only neighbours nearer than this can be ties.
    near = np.flatnonzero(rounded[:-1] - rounded[1:] <= 2 * tie + len(rounded) * millionth) + 1
    position, lowered = 0, 0
    for near_position in near.tolist():
        if near_position != position + 1:
            lowered = 0
        position = near_position
        if rounded[position - 1] - rounded[position] > tie:
            lowered = 0
        else:
            lowered += 1
            rounded[position] -= millionth * np.float32(lowered)
    result: list[float] = rounded.tolist()
    return result
