"""What the application answers with: checks requests, has them encoded and searched, and remembers answers."""

import logging
import time
from abc import ABC, abstractmethod
from collections import OrderedDict
from collections.abc import Callable, Hashable, Mapping, Sequence
from contextlib import AbstractContextManager, nullcontext
from typing import Any, cast

from splade_anserini.errors import OutputError, SpladeAnseriniError
from splade_anserini.explaining.match import compare
from splade_anserini.records import ImpactVector
from splade_anserini.serving.errors import RequestError, without_paths
from splade_anserini.serving.metrics import Metrics
from splade_anserini.serving.opened_index import ServedMatch
from splade_anserini.serving.options import LimitOptions
from splade_anserini.serving.query_encoder import ServedIndex
from splade_anserini.serving.requests import CompareRequest, ExplainRequest, QueryRequest, SearchRequest
from splade_anserini.serving.searching import Answer

_log = logging.getLogger(__name__)

_FILTERS = 32
"""Most filters of a request."""

_LARGEST_CACHED = 1 << 17
"""Bytes of the largest answer that is kept."""


class SearchService[I: ServedIndex](ABC):
    """Answers requests about indexes of the type `I`; subclasses say where queries are encoded and searched for."""

    def __init__(self, limits: LimitOptions | None, metrics: Metrics | None, samples: Sequence[str]) -> None:
        self.limits = limits or LimitOptions()
        self.metrics = metrics or Metrics()
        self.is_ready = True
        """Whether it should get requests: not while it shuts down."""
        self._samples = samples
        self._cache: OrderedDict[Hashable, bytes] = OrderedDict()

    @abstractmethod
    def watch(self, pending: Callable[[], float]) -> None:
        """Let the metrics show how many requests there are, and what waits for them."""

    @abstractmethod
    def indexes(self) -> Sequence[I]:
        """Return the indexes, the one that is searched by default first."""

    def _used(self, index: I) -> AbstractContextManager[object]:  # noqa: ARG002  # subclasses may need it
        """Keep an index open for a block."""
        return nullcontext()

    @abstractmethod
    async def _encode(self, index: I, text: str) -> ImpactVector:
        """Return the impacts of a query before idf."""

    @abstractmethod
    async def _edit(self, index: I, vector: ImpactVector, weights: Mapping[str, float]) -> ImpactVector:
        """Return a query with other weights of some tokens."""

    @abstractmethod
    async def _check_tokens(self, index: I, vector: ImpactVector) -> None:
        """Raise `RequestError` for a token that the encoder of an index, which has one, does not have."""

    @abstractmethod
    async def _expand(self, index: I, text: str) -> dict[str, object]:
        """Return what a text becomes, as JSON values."""

    @abstractmethod
    async def _search(self, index: I, request: SearchRequest, vector: ImpactVector) -> Answer:
        """Search for a query that is encoded, or needs no vector."""

    @abstractmethod
    async def _explain(self, index: I, request: ExplainRequest, vector: ImpactVector) -> dict[str, object] | None:
        """Return the score of a document term by term, as JSON values; None for an id that the index lacks."""

    @abstractmethod
    async def _match(
        self, index: I, vector: ImpactVector, ids: Sequence[str], query_idf: float | None
    ) -> list[ServedMatch | None]:
        """Return the scores of documents term by term; None for an id that the index lacks."""

    @abstractmethod
    async def _read(self, index: I, doc_id: str) -> tuple[bool, Any]:
        """Return whether there is a document with this id, and what is stored of it."""

    async def search(self, request: SearchRequest) -> Answer:
        """Answer a search. Raises `RequestError`."""
        index = self._index(request.index)
        self._check(request, index)
        key = (index.name, index.generation, request.model_dump_json()) if self.limits.cache else None
        if key is not None and (body := self._cached(key)) is not None:
            return Answer(body)
        with self._used(index):
            start = time.perf_counter()
            vector = await self._vector(request, index)
            encoded = time.perf_counter() - start
            answer = await self._search(index, request, vector)
        if key is not None and answer.is_complete:
            self._remember(key, answer.body)
        return Answer(answer.body, {"encode": encoded, **answer.seconds}, answer.is_complete)

    async def encode(self, text: str, index_name: str | None) -> dict[str, object]:
        """Return what a text becomes, as JSON values. Raises `RequestError`."""
        index = self._index(index_name)
        self._check_text(text)
        self._check_encoder(index)
        with self._used(index):
            return await self._expand(index, text)

    async def explain(self, request: ExplainRequest) -> dict[str, object]:
        """Return the score of a document term by term, as JSON values. Raises `RequestError`."""
        index = self._index(request.index)
        self._check_engine(request.engine, index)
        if request.query is not None:
            self._check_text(request.query)
        with self._used(index):
            vector = await self._vector(request, index)
            values = await self._explain(index, request, vector)
        if values is None:
            raise self._no_document(index, request.id)
        return values

    async def compare(self, request: CompareRequest) -> dict[str, object]:
        """Return what makes the difference between two documents, as JSON values. Raises `RequestError`."""
        first, second = await self._matches(request, [request.first, request.second])
        differences = compare(first.match, second.match).values()
        return {**differences, "first": first.values(), "second": second.values()}

    async def _matches(self, request: QueryRequest, ids: Sequence[str]) -> list[ServedMatch]:
        index = self._index(request.index)
        if request.query is not None:
            self._check_text(request.query)
        with self._used(index):
            vector = await self._vector(request, index)
            matches = await self._match(index, vector, ids, request.query_idf)
        for doc_id, match in zip(ids, matches, strict=True):
            if match is None:
                raise self._no_document(index, doc_id)
        return cast("list[ServedMatch]", matches)

    async def document(self, doc_id: str, index_name: str | None) -> Any:
        """Return a stored document. Raises `RequestError` (404) when there is none with this id."""
        index = self._index(index_name)
        with self._used(index):
            found, document = await self._read(index, doc_id)
        if not found:
            raise self._no_document(index, doc_id)
        return document

    async def put(
        self,
        documents: Sequence[Mapping[str, Any]],  # noqa: ARG002  # for services that can
        index_name: str | None,
        *,
        replace: bool,  # noqa: ARG002
    ) -> dict[str, object]:
        """Add documents, and search in them from then on. Raises `RequestError`."""
        raise self._not_writable(index_name)

    async def delete(self, doc_id: str, index_name: str | None) -> dict[str, object]:  # noqa: ARG002
        """Delete a document. Raises `RequestError` (404) when there is none with this id."""
        raise self._not_writable(index_name)

    def descriptions(self) -> list[dict[str, object]]:
        """Return what is served, without paths."""
        return [index.description() for index in self.indexes()]

    def page_values(self) -> dict[str, object]:
        """Return what the page at `/` asks for first."""
        limits = {"max_hits": self.limits.max_hits, "max_query": self.limits.max_query}
        return {"indexes": self.descriptions(), "samples": self._samples, **limits}

    def _index(self, name: str | None) -> I:
        """Return an index by its name, without a name the first."""
        indexes = self.indexes()
        for index in indexes:
            if not name or index.name == name:
                return index
        raise RequestError(404, f"There is no index {name!r}. There is: {', '.join(i.name for i in indexes)}.")

    def _no_document(self, index: I, doc_id: str) -> RequestError:
        return RequestError(404, f"Index {index.name} has no document {doc_id!r}.")

    def _not_writable(self, index_name: str | None) -> RequestError:
        """Return the error of changes where there are none, or that of an index that is not there."""
        self._index(index_name)
        return RequestError(403, "Documents cannot be changed: the service was started without --writable.")

    def _check(self, request: SearchRequest, index: I) -> None:
        if request.k > self.limits.max_hits:
            raise RequestError(400, f"k is {request.k:,}. Expected at most {self.limits.max_hits:,}.")
        self._check_engine(request.engine, index)
        if request.query is not None:
            self._check_text(request.query)
        if len(request.filters) > _FILTERS:
            raise RequestError(400, f"There are {len(request.filters)} filters. Expected at most {_FILTERS}.")

    def _check_engine(self, engine: str, index: I) -> None:
        if engine != "impacts" and not index.has_texts:
            raise RequestError(400, f"Index {index.name} has no text index, so there is no engine {engine}.")

    def _check_text(self, text: str) -> None:
        if not text.strip():
            raise RequestError(400, "The query is empty. Expected at least one word.")
        if len(text) > self.limits.max_query:
            raise RequestError(
                400, f"The query has {len(text):,} characters. Expected at most {self.limits.max_query:,}."
            )

    def _check_encoder(self, index: I) -> None:
        if not index.can_encode:
            raise RequestError(
                400, f"Index {index.name} has no encoder: its manifest names none. Search it for a vector."
            )

    async def _vector(self, request: QueryRequest, index: I) -> ImpactVector:
        """Return the impacts of a query before idf, with the weights that the request changes."""
        if request.vector is not None:
            if index.can_encode:
                await self._check_tokens(index, request.vector)
            return request.vector
        if request.query is None or getattr(request, "engine", "") == "bm25":
            return {}
        self._check_encoder(index)
        vector = await self._encode(index, request.query)
        return await self._edit(index, vector, request.weights) if request.weights else vector

    def _cached(self, key: Hashable) -> bytes | None:
        body = self._cache.get(key)
        if body is not None:
            self._cache.move_to_end(key)
            self.metrics.cached.inc()
        return body

    def _remember(self, key: Hashable, body: bytes) -> None:
        if len(body) <= _LARGEST_CACHED:
            self._cache[key] = body
            if len(self._cache) > self.limits.cache:
                self._cache.popitem(last=False)


def as_request_error(
    error: SpladeAnseriniError, index: str, paths: Mapping[str, str]
) -> RequestError | SpladeAnseriniError:
    """Return an error of a request with a message without `paths`; other errors as they are: they are logged."""
    if isinstance(error, OutputError):
        return RequestError(409, f"Index {index} is changed by another process.")
    if error.exit_code != 2:
        return error
    _log.info("A request was refused: %s", error)
    return RequestError(400, without_paths(str(error), paths, "The request cannot be answered."))
