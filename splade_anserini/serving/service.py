"""Encodes and searches for the application in threads of this process, and opens changed indexes again."""

import asyncio
import logging
import time
from collections import defaultdict
from collections.abc import Callable, Mapping, Sequence
from contextlib import AbstractContextManager
from typing import TYPE_CHECKING, Any

from splade_anserini.errors import InputError, SpladeAnseriniError
from splade_anserini.parallel import cpu_count
from splade_anserini.records import ImpactVector
from splade_anserini.serving.batcher import Batcher
from splade_anserini.serving.highlighting import explanation
from splade_anserini.serving.metrics import Metrics
from splade_anserini.serving.opened_index import Catalog, OpenedIndex, ServedMatch, fingerprint
from splade_anserini.serving.options import MOST_THREADS, LimitOptions, ServedOptions
from splade_anserini.serving.query_encoder import ServedEncoder
from splade_anserini.serving.requests import ExplainRequest, SearchRequest
from splade_anserini.serving.search_service import SearchService, as_request_error
from splade_anserini.serving.searching import Answer, Call, Search, SearchRunner
from splade_anserini.serving.writing import IndexWriter, change_values

if TYPE_CHECKING:
    from splade_anserini.lucene.index_changes import ChangedIndex

_log = logging.getLogger(__name__)

TEXTS, SEARCHES = 8, 32
"""Most texts and searches of a batch. Several texts at once only where the encoder runs them together."""

_WRITES = 16
"""Most changes that wait for one another."""


class Service(SearchService[OpenedIndex]):
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
        super().__init__(limits, metrics, samples)
        self.catalog = Catalog(indexes)
        self._served = served
        self._reloading = asyncio.Lock()
        self._failures: dict[str, str] = {}
        """Why an index could not be opened again: each reason is logged once."""
        waited = self.metrics.stages["queue"].observe
        self._encoders: Batcher[tuple[ServedEncoder, str] | Call, Any] = Batcher(
            "encode",
            self._encode_batch,
            size=TEXTS if any(index.encodes_together for index in indexes) else 1,
            threads=served.threads or min(cpu_count(), MOST_THREADS),
            limit=self.limits.queue,
            waited=waited,
        )
        self._searches: Batcher[Search | Call, Any] = Batcher(
            "search", SearchRunner(self.metrics), size=SEARCHES, limit=self.limits.queue, waited=waited
        )
        self._writers = {index.name: _writer(index) for index in indexes if served.writable}
        self._writes: Batcher[Call, Any] | None = (
            Batcher("write", _run_calls, size=1, limit=_WRITES, waited=lambda _: None) if served.writable else None
        )
        for index in self.catalog:
            self._report(index)

    def watch(self, pending: Callable[[], float]) -> None:
        """Let the metrics show how many requests there are, and what waits for the threads."""
        waiting = {"encode": lambda: self._encoders.waiting, "search": lambda: self._searches.waiting}
        self.metrics.watch(pending, waiting)

    def indexes(self) -> list[OpenedIndex]:
        """Return the indexes in their newest state."""
        return list(self.catalog)

    def _used(self, index: OpenedIndex) -> AbstractContextManager[object]:
        return self.catalog.used(index)

    async def _encode(self, index: OpenedIndex, text: str) -> ImpactVector:
        vector: ImpactVector = await self._submit(self._encoders, (index.encoder, text), index)
        return vector

    async def _edit(self, index: OpenedIndex, vector: ImpactVector, weights: Mapping[str, float]) -> ImpactVector:
        call = Call(lambda: index.encoder.edited(vector, weights))
        edited: ImpactVector = await self._submit(self._encoders, call, index)
        return edited

    async def _check_tokens(self, index: OpenedIndex, vector: ImpactVector) -> None:
        try:
            # Not in the encoder's thread: to look tokens up takes less time than to wait for it.
            index.encoder.check(vector)
        except InputError as error:
            raise as_request_error(error, index.name, index.paths) from error

    async def _expand(self, index: OpenedIndex, text: str) -> dict[str, object]:
        expansion = await self._submit(self._encoders, Call(lambda: index.encoder.expand(text)), index)
        values: dict[str, object] = expansion.values()
        return values

    async def _search(self, index: OpenedIndex, request: SearchRequest, vector: ImpactVector) -> Answer:
        answer: Answer = await self._submit(self._searches, Search(index, request, vector), index)
        return answer

    async def _explain(
        self, index: OpenedIndex, request: ExplainRequest, vector: ImpactVector
    ) -> dict[str, object] | None:
        call = Call(lambda: explanation(index, request, vector))
        values: dict[str, object] | None = await self._submit(self._searches, call, index)
        return values

    async def _match(
        self, index: OpenedIndex, vector: ImpactVector, ids: Sequence[str], query_idf: float | None
    ) -> list[ServedMatch | None]:
        call = Call(lambda: [index.explain(vector, doc_id, query_idf) for doc_id in ids])
        matches: list[ServedMatch | None] = await self._submit(self._searches, call, index)
        return matches

    async def _read(self, index: OpenedIndex, doc_id: str) -> tuple[bool, Any]:
        read: tuple[bool, Any] = await self._submit(self._searches, Call(lambda: index.document(doc_id)), index)
        return read

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
            raise self._not_writable(index.name)
        writer = self._writers[index.name]
        changed: ChangedIndex = await self._submit(self._writes, Call(lambda: change(writer)), index)
        async with self._reloading:
            # It may have been replaced meanwhile, by a newer state.
            served = self._index(index.name)
            is_current = await self._searches.submit(Call(served.reopen), in_any_case=True)
            self._cache.clear()
            self._report(served)
        if not is_current:
            await self.reload_changed()
        return changed

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
                await self._searches.submit(Call(idle.close), in_any_case=True)

    def close(self) -> None:
        """Finish what is waiting, and close the indexes."""
        if self._writes:
            self._writes.close()
        self._encoders.close()
        self._searches.close()
        for index in self.catalog:
            index.close()

    def _encode_batch(self, batch: Sequence[tuple[ServedEncoder, str] | Call]) -> list[Any]:
        return encode_batch(batch, self.metrics)

    async def _submit[I](self, thread: Batcher[I, Any], work: I, index: OpenedIndex) -> Any:
        try:
            return await thread.submit(work)
        except SpladeAnseriniError as error:
            raise as_request_error(error, index.name, index.paths) from error

    def _report(self, index: OpenedIndex) -> None:
        self.metrics.generation.labels(index.name).set(index.generation)
        self.metrics.documents.labels(index.name).set(len(index.index))


def _writer(index: OpenedIndex) -> IndexWriter:
    if index.source.text:
        raise InputError(
            f"--writable changes index {index.name}, but not its text index: BM25 would not find what is added.",
            do="Leave --bm25 out for this index, or --writable.",
        )
    return IndexWriter(index.source.directory)


def _run_calls(batch: Sequence[Call]) -> list[Any]:
    return [call.function() for call in batch]


def encode_batch(batch: Sequence[tuple[ServedEncoder, str] | Call], metrics: Metrics) -> list[Any]:
    """Do what the thread of the encoders does; texts of one encoder are encoded together."""
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
        vectors = pairs[0][0].encode([text for _, text in pairs])
        metrics.stages["encode"].observe(time.perf_counter() - start)
        results |= zip(positions, vectors, strict=True)
    return [results[position] for position in range(len(batch))]
