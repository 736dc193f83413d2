"""Answers requests about indexes whose shards are searched elsewhere; hits of all shards are merged here."""

import asyncio
import logging
import time
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass
from heapq import merge
from itertools import islice
from typing import Any, Protocol

import orjson

from splade_anserini.ordering import rank_key
from splade_anserini.records import ImpactVector
from splade_anserini.serving.errors import RequestError
from splade_anserini.serving.highlighting import text_values
from splade_anserini.serving.metrics import Metrics
from splade_anserini.serving.opened_index import ServedMatch
from splade_anserini.serving.options import LimitOptions
from splade_anserini.serving.ray_options import MissingShards
from splade_anserini.serving.replicas import Refused, products_of, snippets_of
from splade_anserini.serving.requests import ExplainRequest, SearchRequest
from splade_anserini.serving.search_service import SearchService
from splade_anserini.serving.searching import Answer, with_fields
from splade_anserini.serving.shards import ShardedIndex

_log = logging.getLogger(__name__)


FAILS = "failed, and its log says why"
"""What is said of a replica that raised an error of its own."""


class Unanswered(Exception):  # noqa: N818  # it is not an error until it is decided so
    """Raised when a replica does not answer; `reason` completes "shard … "."""

    def __init__(self, name: str, status: int, reason: str) -> None:
        super().__init__(name, status, reason)
        self.name, self.status, self.reason = name, status, reason


class Replicas(Protocol):
    """The replicas of a shard, or of the encoders, of which one answers a call."""

    @property
    def name(self) -> str:
        """The name of the shard."""
        ...

    async def call(self, method: str, *arguments: Any) -> Any:
        """Return what a method of `ShardReplica` or `EncoderReplica` returns.

        Raises `RequestError` when the request cannot be answered, `Unanswered` when no replica does.
        """
        ...


def checked(name: str, answer: Any) -> Any:
    """Return the answer of a replica. Raises what `Replicas.call` does when it is `Refused`."""
    if not isinstance(answer, Refused):
        return answer
    if answer.status == 500:
        raise Unanswered(name, 500, FAILS)
    raise RequestError(answer.status, answer.message, retry_after=answer.retry_after)


@dataclass(frozen=True, slots=True)
class ServedReplicas:
    """All replicas of a service."""

    encoders: Replicas | None
    """None when no index has an encoder."""
    shards: Mapping[str, Replicas]
    """By the names of the shards and of the text indexes."""


class ShardedService(SearchService[ShardedIndex]):
    """Lets replicas encode and search, and merges the hits of the shards of an index."""

    def __init__(
        self,
        indexes: Sequence[ShardedIndex],
        replicas: ServedReplicas,
        limits: LimitOptions | None = None,
        missing_shards: MissingShards = "error",
        samples: Sequence[str] = (),
    ) -> None:
        super().__init__(limits, Metrics(), samples)
        self._indexes, self._replicas, self._missing_shards = indexes, replicas, missing_shards
        for index in indexes:
            self.metrics.generation.labels(index.name).set(index.generation)
            self.metrics.documents.labels(index.name).set(index.documents)

    def watch(self, pending: Callable[[], float]) -> None:
        """Let the metrics show how many requests there are."""
        self.metrics.watch(pending, {})

    def indexes(self) -> Sequence[ShardedIndex]:
        """Return the indexes."""
        return self._indexes

    async def _encode(self, index: ShardedIndex, text: str) -> ImpactVector:
        with self.metrics.stages["encode"].time():
            vector: ImpactVector = await self._ask_encoder("encode", index.name, text)
        return vector

    async def _edit(self, index: ShardedIndex, vector: ImpactVector, weights: Mapping[str, float]) -> ImpactVector:
        edited: ImpactVector = await self._ask_encoder("edit", index.name, vector, weights)
        return edited

    async def _check_tokens(self, index: ShardedIndex, vector: ImpactVector) -> None:
        await self._ask_encoder("check", index.name, list(vector))

    async def _expand(self, index: ShardedIndex, text: str) -> dict[str, object]:
        values: dict[str, object] = await self._ask_encoder("expand", index.name, text)
        return values

    async def _search(self, index: ShardedIndex, request: SearchRequest, vector: ImpactVector) -> Answer:
        start = time.perf_counter()
        asked = request if request.engine == "bm25" else _asked_of_shards(request)
        if request.engine == "impacts":
            answers, missing = await self._ask_shards(index, "search", asked, vector)
        else:
            answers, missing = [await self._ask_texts(index, "search", asked, vector)], []
        if missing and (self._missing_shards == "error" or not answers):
            raise self._failed(index, missing)
        seconds = {"search": time.perf_counter() - start}
        self.metrics.stages["search"].observe(seconds["search"])
        if len(answers) == 1 and asked is request and not missing:
            return Answer(answers[0].body, seconds)
        values = _merged([orjson.loads(answer.body) for answer in answers], request.k)
        if asked is not request:
            start = time.perf_counter()
            await self._add_snippets(index, request, values["hits"])
            seconds["documents"] = time.perf_counter() - start
            self.metrics.stages["documents"].observe(seconds["documents"])
        if missing:
            values["missing_shards"] = [unanswered.name for unanswered in missing]
        return Answer(orjson.dumps(values), seconds, is_complete=not missing)

    async def _add_snippets(self, index: ShardedIndex, request: SearchRequest, hits: Sequence[dict[str, Any]]) -> None:
        """Add titles and passages to hits, and take out what the request does not want."""
        if self._replicas.encoders and hits:
            snippets = await self._ask_encoder("snippets", index.name, hits)
        else:
            snippets = [snippets_of(hit, None) for hit in hits]
        for hit, snippets_of_hit in zip(hits, snippets, strict=True):
            hit["document"] = _shown(request, hit["document"])
            if not request.terms:
                del hit["terms"]
            hit.update(snippets_of_hit)

    async def _explain(
        self, index: ShardedIndex, request: ExplainRequest, vector: ImpactVector
    ) -> dict[str, object] | None:
        values: dict[str, object] | None
        if request.engine == "bm25":
            values = await self._ask_texts(index, "explain", request, vector)
            return values
        asked = request.model_copy(update={"highlights": False})
        answers, missing = await self._ask_shards(index, "explain", asked, vector)
        values = next((answer for answer in answers if answer is not None), None)
        if values is None and missing:
            raise self._failed(index, missing)
        if values is not None and request.highlights:
            values |= await self._text_values(index, request.id, values)
        return values

    async def _text_values(self, index: ShardedIndex, doc_id: str, values: dict[str, Any]) -> dict[str, object]:
        _, document = await self._read(index, doc_id)
        products = products_of(values["terms"])
        if self._replicas.encoders is None:
            return text_values(document, products, None)
        texts: dict[str, object] = await self._ask_encoder("texts", index.name, document, products)
        return texts

    async def _match(
        self, index: ShardedIndex, vector: ImpactVector, ids: Sequence[str], query_idf: float | None
    ) -> list[ServedMatch | None]:
        answers, missing = await self._ask_shards(index, "match", vector, ids, query_idf)
        matches = [next((match for match in of_shards if match), None) for of_shards in zip(*answers, strict=True)]
        if missing and (not answers or None in matches):
            raise self._failed(index, missing)
        return matches

    async def _read(self, index: ShardedIndex, doc_id: str) -> tuple[bool, Any]:
        if index.text:
            read: tuple[bool, Any] = await self._ask_texts(index, "document", doc_id)
            return read
        answers, missing = await self._ask_shards(index, "document", doc_id)
        for found, document in answers:
            if found:
                return True, document
        if missing:
            raise self._failed(index, missing)
        return False, None

    async def _ask_encoder(self, method: str, *arguments: Any) -> Any:
        if self._replicas.encoders is None:
            raise RequestError(400, "No index has an encoder.")
        try:
            return await self._replicas.encoders.call(method, *arguments)
        except Unanswered as error:
            raise _as_request_error(f"The query encoder {error.reason}.", [error]) from error

    async def _ask_texts(self, index: ShardedIndex, method: str, *arguments: Any) -> Any:
        """Ask the replicas that have the text index of an index, without which there is no answer."""
        assert index.text is not None  # noqa: S101  # checked before
        try:
            return await self._replicas.shards[index.text.name].call(method, *arguments)
        except Unanswered as error:
            raise self._failed(index, [error]) from error

    async def _ask_shards(
        self, index: ShardedIndex, method: str, *arguments: Any
    ) -> tuple[list[Any], list[Unanswered]]:
        """Ask all shards of an index at once; return what they answer, and which do not. Raises `RequestError`."""
        calls: list[Awaitable[Any]] = [
            self._replicas.shards[shard.name].call(method, *arguments) for shard in index.shards
        ]
        results = await asyncio.gather(*calls, return_exceptions=True)
        missing = [result for result in results if isinstance(result, Unanswered)]
        for result in results:
            if isinstance(result, BaseException) and not isinstance(result, Unanswered):
                raise result
        for unanswered in missing:
            self.metrics.missing.labels(unanswered.name).inc()
            _log.warning("Shard %s %s", unanswered.name, unanswered.reason)
        return [result for result in results if not isinstance(result, Unanswered)], missing

    def _failed(self, index: ShardedIndex, missing: Sequence[Unanswered]) -> RequestError:
        """Return the error of a request that cannot be answered without some shards."""
        shards = "; ".join(f"shard {unanswered.name} {unanswered.reason}" for unanswered in missing)
        return _as_request_error(f"Index {index.name} cannot be searched completely: {shards}.", missing)


def _as_request_error(message: str, missing: Sequence[Unanswered]) -> RequestError:
    """Return the error for what did not answer: 503, 504 if it took too long, 500 if it failed."""
    statuses = {unanswered.status for unanswered in missing}
    status = 503 if 503 in statuses else max(statuses)
    return RequestError(status, message, retry_after=1 if status == 503 else None, kind="missing_shards")


def _asked_of_shards(request: SearchRequest) -> SearchRequest:
    """Return what shards are asked for: snippets are made when the hits are merged, of documents and terms."""
    if not request.snippets:
        return request
    return request.model_copy(update={"snippets": False, "documents": True, "fields": None, "terms": True})


def _shown(request: SearchRequest, document: Any) -> Any:
    """Return what a hit shows of its document."""
    if document is None or not request.documents:
        return None
    return document if request.fields is None else with_fields(document, request.fields)


def _merged(answers: Sequence[dict[str, Any]], hits: int) -> dict[str, Any]:
    """Return the answer of all shards: all are alike but for the hits, whose best are kept."""
    best = merge(*(answer["hits"] for answer in answers), key=lambda hit: rank_key(hit["score"], hit["id"]))
    ranked = [{**hit, "rank": rank} for rank, hit in enumerate(islice(best, hits), 1)]
    return {**answers[0], "hits": ranked}
