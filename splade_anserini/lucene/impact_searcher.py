"""Searches an impact index for impact vectors, and scores given documents."""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from itertools import repeat
from typing import TYPE_CHECKING, Any

from splade_anserini.lucene.explainers import explained
from splade_anserini.lucene.field_search import FieldExecutor
from splade_anserini.lucene.lucene_searcher import EMPTY, LuceneSearcher
from splade_anserini.lucene.query_executor import QueryExecutor
from splade_anserini.lucene.ranking import Ranking, hits_to_fetch, rank, sorted_ranking
from splade_anserini.lucene.searcher import check_no_missing
from splade_anserini.records import ImpactVector

if TYPE_CHECKING:
    from ir_measures import ScoredDoc


class ImpactSearcher(LuceneSearcher[ImpactVector]):
    """A `Searcher` and `Scorer` over a Lucene impact index that this package or Anserini built.

    Several Python threads may share it; they take turns. Raises `InputError` when `index` is not a Lucene index.
    """

    def search(self, queries: Mapping[str, ImpactVector], hits: int) -> "Iterator[tuple[str, list[ScoredDoc]]]":
        """Yield each query's id and its best `hits` documents, as `Searcher.search` defines them."""
        from ir_measures import ScoredDoc

        for query_id, ranking in self.rankings(queries.items(), hits, self.threads):
            rows = zip(repeat(query_id), ranking.ids, ranking.scores)
            # The constructor of a named tuple would take as long as the search of a small index.
            yield query_id, list(map(tuple.__new__, repeat(ScoredDoc), rows))

    def rank(self, query: ImpactVector, hits: int) -> Ranking:
        """Return the best `hits` documents of one query."""
        ((_, ranking),) = self.rankings([("", query)], hits)
        return ranking

    def rank_fields(self, query: ImpactVector, hits: int, fields: Mapping[str, float]) -> Ranking:
        """Return the best `hits` documents of one query; `fields` gives the fields to search and their boosts."""
        if not query or not self.documents:
            return EMPTY
        with self._locked():
            executor = FieldExecutor(self._reader, self._searcher, query, fields)
            executor.set_filter(self._filter)
            executor.search_task(query, hits_to_fetch(hits, self.documents)).call()
            return rank(executor, query, executor.hits(), hits, self._ids)

    def searchable_fields(self) -> tuple[str, ...]:
        """The fields of the index whose terms have frequencies, as impacts do, sorted."""
        from jnius import autoclass

        with self._locked():
            infos = autoclass("org.apache.lucene.index.FieldInfos").getMergedFieldInfos(self._reader).iterator()
            names = []
            while infos.hasNext():
                info = infos.next()
                if str(info.getIndexOptions().toString()) not in {"NONE", "DOCS"}:
                    names.append(str(info.name))
        return tuple(sorted(names))

    def scores(self, query: ImpactVector, ids: Sequence[str]) -> list[float]:
        """Return the score of each document, as in a search; 0 for one that shares no token with the query.

        For an id that the index contains more than once, the best score counts. Raises `InputError` when the index
        does not contain one of `ids`.
        """
        if not ids:
            return []
        with self._locked(), self._executor() as executor:
            docs = executor.find_docs(list(dict.fromkeys(ids)))
            unscored = Ranking(self._ids.of(docs, executor), [0.0] * len(docs), docs.tolist())
            scored = _scored(executor, query, unscored)
        best: dict[str, float] = {}
        for id_, score in zip(scored.ids, scored.scores, strict=True):
            best.setdefault(id_, score)
        check_no_missing([id_ for id_ in ids if id_ not in best], len(ids), f"the index {self._index}")
        return [best[id_] for id_ in ids]

    def rescored(self, query: ImpactVector, ranking: Ranking) -> Ranking:
        """Rank all documents of a ranking by their scores for `query`."""
        if not ranking.docs:
            return ranking
        with self._locked(), self._executor() as executor:
            return _scored(executor, query, ranking)

    def impacts(self, tokens: Iterable[str], docs: Sequence[int]) -> list[ImpactVector]:
        """Return the impacts of some tokens in documents, given by Lucene's numbers, in the order of both.

        Only the postings of these tokens are read. Tokens that a document lacks are left out.
        """
        impacts: list[dict[str, int]] = [{} for _ in docs]
        positions = {doc: position for position, doc in enumerate(docs)}
        if not docs:
            return []
        with self._locked(), self._executor() as executor:
            for token in tokens:
                executor.score_task({token: 1}, docs).call()
                for doc, impact in zip(*(column.tolist() for column in executor.hits()), strict=True):
                    if not impact:
                        # Documents with the token come first.
                        break
                    impacts[positions[doc]][token] = int(impact)
        return list(impacts)

    def explain(self, query: ImpactVector, doc_id: str) -> Any:
        """Return the score of a document term by term, a `splade_anserini.explaining.Match`.

        Raises `InputError` when the index lacks the document.
        """
        return explained(self.directory, query, doc_id)

    def _similarity(self) -> Any:
        from jnius import autoclass

        return autoclass("io.anserini.search.similarity.ImpactSimilarity")()

    def _new_executor(self) -> QueryExecutor:
        return QueryExecutor(self._reader, self._searcher)


def _scored(executor: QueryExecutor, query: ImpactVector, ranking: Ranking) -> Ranking:
    """Return the documents of a ranking with their scores for `query`, sorted by these."""
    if not query or not ranking.docs:
        return sorted_ranking(ranking.ids, [0.0] * len(ranking.ids), ranking.docs)
    executor.score_task(query, ranking.docs).call()
    docs, scores = executor.hits()
    ids = dict(zip(ranking.docs, ranking.ids, strict=True))
    doc_list = docs.tolist()
    return sorted_ranking([ids[doc] for doc in doc_list], scores.tolist(), doc_list)
