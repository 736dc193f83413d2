"""Idf of the tokens of an index, as Pyserini defines it."""

import math
from collections.abc import Iterator, Mapping
from functools import cached_property

from splade_anserini.lucene.impact_searcher import ImpactSearcher
from splade_anserini.lucene.index_reader import CONTENTS
from splade_anserini.lucene.java.java_errors import java_errors
from splade_anserini.lucene.java.threads import JAVA_LOCK


class TokenIdf(Mapping[str, float]):
    """ln(documents / documents with the token) of each token of an index, looked up when it is needed."""

    def __init__(self, searcher: ImpactSearcher) -> None:
        self._searcher = searcher
        self._idf: dict[str, float] = {}

    def __getitem__(self, token: str) -> float:
        if token not in self._idf:
            from jnius import autoclass

            with JAVA_LOCK:
                term = autoclass("org.apache.lucene.index.Term")(CONTENTS, token)
                frequency = self._searcher.lucene.getIndexReader().docFreq(term)
            if not frequency:
                raise KeyError(token)
            self._idf[token] = math.log(self._searcher.documents / frequency)
        return self._idf[token]

    def __iter__(self) -> Iterator[str]:
        return iter(self._tokens)

    def __len__(self) -> int:
        return len(self._tokens)

    @cached_property
    def _tokens(self) -> list[str]:
        from jnius import autoclass

        with JAVA_LOCK, java_errors("reading the tokens of an index"):
            terms = autoclass("org.apache.lucene.index.MultiTerms").getTerms(
                self._searcher.lucene.getIndexReader(), CONTENTS
            )
            tokens, iterator = [], terms and terms.iterator()
            while terms and (token := iterator.next()) is not None:
                tokens.append(str(token.utf8ToString()))
            return tokens
