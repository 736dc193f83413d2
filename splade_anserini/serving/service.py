"""What the application answers with: encodes and searches in threads of their own, and remembers answers."""

import asyncio
import logging
import time
from collections import OrderedDict, defaultdict
from collections.abc import Callable, Hashable, Mapping, Sequence
from typing import TYPE_CHECKING, Any, cast

from splade_anserini.errors import OutputError, SpladeAnseriniError
from splade_anserini.explaining.match import compare
from splade_anserini.parallel import cpu_count
from splade_anserini.records import ImpactVector
from splade_anserini.serving.batcher import Batcher
from splade_anserini.serving.errors import RequestError, without_paths
from splade_anserini.serving.highlighting import explanation
from splade_anserini.serving.metrics import Metrics
from splade_anserini.serving.opened_index import Catalog, OpenedIndex, ServedMatch, encode, fingerprint
from splade_anserini.serving.options import MOST_THREADS, LimitOptions, ServedOptions
from splade_anserini.serving.requests import CompareRequest, ExplainRequest, QueryRequest, SearchRequest
from splade_anserini.serving.searching import Answer, Call, Search, SearchRunner
from splade_anserini.serving.writing import IndexWriter, change_values

if TYPE_CHECKING:
    from splade_anserini.lucene.index_changes import ChangedIndex

_log = logging.getLogger(__name__)

_TEXTS, _SEARCHES = 8, 32
"""Most texts and searches of a batch. Several texts at once only where the encoder runs them together."""

_FILTERS = 32
"""Most filters of a request."""

_WRITES = 16
"""Most changes that wait for one another."""

_LARGEST_CACHED = 1 << 17
"""Bytes of the largest answer that is kept."""


class Service:
    """The indexes that are served, and the threads that encode and search.

    Java is used by one thread of Python at a time, so there is one that searches. Encoders run on one processor, and
    several threads encode: on two processors that answers more requests than one encoder on both.
    """

    def __init__(
        self,
        indexes: Sequence[OpenedIndex],
        served: ServedOptions,
        limits: LimitOptions | None = None,
        metrics: Metrics | None = None,
        samples: Sequence[str] = (),
    ) -> None:
        self.limits = limits or LimitOptions()
        self.metrics = metrics or Metrics()
        self.catalog = Catalog(indexes)
        self.is_ready = True
        """Whether it should get requests: not while it shuts down."""
        self._served = served
        self._samples = samples
        self._cache: OrderedDict[Hashable, bytes] = OrderedDict()
        self._reloading = asyncio.Lock()
        self._failures: dict[str, str] = {}
        """Why an index could not be opened again: each reason is logged once."""
        waited = self.metrics.stages["queue"].observe
        self._encoders: Batcher[tuple[OpenedIndex, str] | Call, Any] = Batcher(
            "encode",
            self._encode,
            size=_TEXTS if any(index.encodes_together for index in indexes) else 1,
            threads=served.threads or min(cpu_count(), MOST_THREADS),
            limit=self.limits.queue,
            waited=waited,
        )
        self._searches: Batcher[Search | Call, Any] = Batcher(
            "search", SearchRunner(self.metrics), size=_SEARCHES, limit=self.limits.queue, waited=waited
        )
        self._writers = {index.name: IndexWriter(index.source.directory) for index in indexes if served.writable}
        self._writes: Batcher[Call, Any] | None = (
            Batcher("write", _run_calls, size=1, limit=_WRITES, waited=lambda _: None) if served.writable else None
        )
        for index in self.catalog:
            self._report(index)

    def watch(self, pending: Callable[[], float]) -> None:
        """Let the metrics show how many requests there are, and what waits for the threads."""
        waiting = {"encode": lambda: self._encoders.waiting, "search": lambda: self._searches.waiting}
        self.metrics.watch(pending, waiting)

    async def search(self, request: SearchRequest) -> Answer:
        """Answer a search. Raises `RequestError`."""
        index = self._index(request.index)
        self._check(request, index)
        key = (index.name, index.generation, request.model_dump_json()) if self.limits.cache else None
        if key is not None and (body := self._cached(key)) is not None:
            return Answer(body)
        with self.catalog.used(index):
            start = time.perf_counter()
            vector = await self._vector(request, index)
            encoded = time.perf_counter() - start
            search = Search(
                index,
                request.engine,
                request.query,
                vector,
                request.k,
                request.documents,
                request.terms,
                request.snippets,
                request.query_idf,
                request.filters,
            )
            answer: Answer = await self._submit(self._searches, search, index)
        answer = Answer(answer.body, {"encode": encoded, **answer.seconds})
        if key is not None:
            self._remember(key, answer.body)
        return answer

    async def encode(self, text: str, index_name: str | None) -> dict[str, object]:
        """Return what a text becomes, as JSON values. Raises `RequestError`."""
        index = self._index(index_name)
        self._check_text(text)
        self._check_encoder(index)
        with self.catalog.used(index):
            expansion = await self._submit(self._encoders, Call(lambda: index.index.expand(text)), index)
        values: dict[str, object] = expansion.values()
        return values

    async def explain(self, request: ExplainRequest) -> dict[str, object]:
        """Return the score of a document term by term, as JSON values. Raises `RequestError`."""
        index = self._index(request.index)
        self._check_engine(request.engine, index)
        if request.query is not None:
            self._check_text(request.query)
        with self.catalog.used(index):
            vector = await self._vector(request, index)
            values = await self._submit(self._searches, Call(lambda: explanation(index, request, vector)), index)
        if values is None:
            raise self._no_document(index, request.id)
        return cast("dict[str, object]", values)

    async def compare(self, request: CompareRequest) -> dict[str, object]:
        """Return what makes the difference between two documents, as JSON values. Raises `RequestError`."""
        first, second = await self._matches(request, [request.first, request.second])
        differences = compare(first.match, second.match).values()
        return {**differences, "first": first.values(), "second": second.values()}

    async def _matches(self, request: QueryRequest, ids: Sequence[str]) -> list[ServedMatch]:
        index = self._index(request.index)
        if request.query is not None:
            self._check_text(request.query)
        with self.catalog.used(index):
            vector = await self._vector(request, index)
            call = Call(lambda: [index.explain(vector, doc_id, request.query_idf) for doc_id in ids])
            matches = await self._submit(self._searches, call, index)
        for doc_id, match in zip(ids, matches, strict=True):
            if match is None:
                raise self._no_document(index, doc_id)
        return cast("list[ServedMatch]", matches)

    async def document(self, doc_id: str, index_name: str | None) -> Any:
        """Return a stored document. Raises `RequestError` (404) when there is none with this id."""
        index = self._index(index_name)
        with self.catalog.used(index):
            found, document = await self._submit(self._searches, Call(lambda: index.document(doc_id)), index)
        if not found:
            raise self._no_document(index, doc_id)
        return document

    async def put(
        self, documents: Sequence[Mapping[str, Any]], index_name: str | None, *, replace: bool
    ) -> dict[str, object]:
        """Add documents, and search in them from then on. Raises `RequestError`."""
        index = self._index(index_name)
        changed = await self._changed(index, lambda writer: writer.put(documents, replace=replace))
        return change_values(changed)

    async def delete(self, doc_id: str, index_name: str | None) -> dict[str, object]:
        """Delete a document. Raises `RequestError` (404) when there is none with this id."""
        index = self._index(index_name)
        changed = await self._changed(index, lambda writer: writer.delete(doc_id))
        if changed.missing:
            raise self._no_document(index, doc_id)
        return change_values(changed)

    async def _changed(self, index: OpenedIndex, change: "Callable[[IndexWriter], ChangedIndex]") -> "ChangedIndex":
        if self._writes is None:
            raise RequestError(403, "Documents cannot be changed: the service was started without --writable.")
        writer = self._writers[index.name]
        changed: ChangedIndex = await self._submit(self._writes, Call(lambda: change(writer)), index)
        await self.reload_changed()
        return changed

    def descriptions(self) -> list[dict[str, object]]:
        """Return what is served, without paths."""
        return [index.description() for index in self.catalog]

    def page_values(self) -> dict[str, object]:
        """Return what the page at `/` asks for first."""
        limits = {"max_hits": self.limits.max_hits, "max_query": self.limits.max_query}
        return {"indexes": self.descriptions(), "samples": self._samples, **limits}

    async def reload_changed(self) -> None:
        """Open the indexes that were changed, and serve them from then on; one that cannot be opened stays."""
        async with self._reloading:
            for index in self.catalog:
                try:
                    if await asyncio.to_thread(fingerprint, index.source) != index.fingerprint:
                        newer = await asyncio.to_thread(OpenedIndex, index.source, self._served, index)
                        self.catalog.replace(newer)
                        self._failures.pop(index.name, None)
                        self._cache.clear()
                        self._report(newer)
                        _log.info("Index %s was changed and opened again.", index.name)
                except (SpladeAnseriniError, OSError) as error:
                    # It may be in the middle of being replaced; the next look finds it whole.
                    self.metrics.reload_failures.inc()
                    if self._failures.get(index.name) != str(error):
                        _log.warning("Index %s cannot be opened again; the old one is served: %s", index.name, error)
                    self._failures[index.name] = str(error)
            for idle in self.catalog.take_idle():
                await self._searches.submit(Call(idle.close))

    def close(self) -> None:
        """Finish what is waiting, and close the indexes."""
        if self._writes:
            self._writes.close()
        self._encoders.close()
        self._searches.close()
        for index in self.catalog:
            index.close()

    def _index(self, name: str | None) -> OpenedIndex:
        index = self.catalog.get(name)
        if index is None:
            raise RequestError(404, f"There is no index {name!r}. There is: {', '.join(i.name for i in self.catalog)}.")
        return index

    def _no_document(self, index: OpenedIndex, doc_id: str) -> RequestError:
        return RequestError(404, f"Index {index.name} has no document {doc_id!r}.")

    def _check(self, request: SearchRequest, index: OpenedIndex) -> None:
        if request.k > self.limits.max_hits:
            raise RequestError(400, f"k is {request.k:,}. Expected at most {self.limits.max_hits:,}.")
        self._check_engine(request.engine, index)
        if request.query is not None:
            self._check_text(request.query)
        if len(request.filters) > _FILTERS:
            raise RequestError(400, f"There are {len(request.filters)} filters. Expected at most {_FILTERS}.")

    def _check_engine(self, engine: str, index: OpenedIndex) -> None:
        if engine != "impacts" and not index.text:
            raise RequestError(400, f"Index {index.name} has no text index, so there is no engine {engine}.")

    def _check_text(self, text: str) -> None:
        if not text.strip():
            raise RequestError(400, "The query is empty. Expected at least one word.")
        if len(text) > self.limits.max_query:
            raise RequestError(
                400, f"The query has {len(text):,} characters. Expected at most {self.limits.max_query:,}."
            )

    def _check_encoder(self, index: OpenedIndex) -> None:
        if not index.can_encode:
            raise RequestError(
                400, f"Index {index.name} has no encoder: its manifest names none. Search it for a vector."
            )

    async def _vector(self, request: QueryRequest, index: OpenedIndex) -> ImpactVector:
        """Return the impacts of a query before idf, with the weights that the request changes."""
        if request.vector is not None:
            return request.vector
        if request.query is None or getattr(request, "engine", "") == "bm25":
            return {}
        self._check_encoder(index)
        vector: ImpactVector = await self._submit(self._encoders, (index, request.query), index)
        if not request.weights:
            return vector
        weights = request.weights
        return cast(
            "ImpactVector", await self._submit(self._encoders, Call(lambda: index.edited(vector, weights)), index)
        )

    def _encode(self, batch: Sequence[tuple[OpenedIndex, str] | Call]) -> list[Any]:
        """Do what the thread of the encoders does; texts of one index are encoded together."""
        results: dict[int, Any] = {}
        groups: dict[int, list[int]] = defaultdict(list)
        for position, work in enumerate(batch):
            if isinstance(work, Call):
                results[position] = work.function()
            else:
                groups[id(work[0])].append(position)
        for positions in groups.values():
            start = time.perf_counter()
            pairs = [work for position in positions if not isinstance(work := batch[position], Call)]
            vectors = encode(pairs[0][0].index, [text for _, text in pairs])
            self.metrics.stages["encode"].observe(time.perf_counter() - start)
            results |= zip(positions, vectors, strict=True)
        return [results[position] for position in range(len(batch))]

    async def _submit[I](self, thread: Batcher[I, Any], work: I, index: OpenedIndex) -> Any:
        try:
            return await thread.submit(work)
        except SpladeAnseriniError as error:
            raise self._as_request_error(error, index) from error

    def _as_request_error(self, error: SpladeAnseriniError, index: OpenedIndex) -> RequestError | SpladeAnseriniError:
        """Return an error of the request with a message without paths; other errors as they are: they are logged."""
        if isinstance(error, OutputError):
            return RequestError(409, f"Index {index.name} is changed by another process.")
        if error.exit_code != 2:
            return error
        _log.info("A request was refused: %s", error)
        return RequestError(400, without_paths(str(error), index.paths, "The request cannot be answered."))

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

    def _report(self, index: OpenedIndex) -> None:
        self.metrics.generation.labels(index.name).set(index.generation)
        self.metrics.documents.labels(index.name).set(len(index.index))


def _run_calls(batch: Sequence[Call]) -> list[Any]:
    return [call.function() for call in batch]
