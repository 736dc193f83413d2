"""What the replicas of a service on Ray Serve do: encode queries, search a shard, search a text index.

Their methods raise nothing: what goes wrong is their answer, `Refused`, and what they do not answer at all is an error
of Ray.
"""

import logging
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from splade_anserini.errors import SpladeAnseriniError, WorkerError
from splade_anserini.parallel import cpu_count
from splade_anserini.records import ImpactVector
from splade_anserini.serving.batcher import Batcher
from splade_anserini.serving.errors import FAILED, RequestError
from splade_anserini.serving.highlighting import explanation, snippet_values, text_values
from splade_anserini.serving.metrics import Metrics
from splade_anserini.serving.options import ServedOptions
from splade_anserini.serving.query_encoder import ServedEncoder, query_options
from splade_anserini.serving.requests import ExplainRequest, SearchRequest
from splade_anserini.serving.search_service import as_request_error
from splade_anserini.serving.searching import Call, Search, SearchRunner
from splade_anserini.serving.service import SEARCHES, TEXTS, encode_batch
from splade_anserini.serving.shards import OpenedShard, Shard, ShardedIndex, open_texts

if TYPE_CHECKING:
    from splade_anserini.explaining.snippets import SpansOf
    from splade_anserini.records import JsonDocument

_log = logging.getLogger(__name__)

_HANGS = 3.0
"""A replica hangs when one batch takes so many times as long as a shard may take to answer."""


@dataclass(frozen=True, slots=True)
class Refused:
    """Instead of an answer: why there is none, as `RequestError` has it."""

    status: int
    message: str
    retry_after: int | None = None


@dataclass(frozen=True, slots=True)
class OtherDeployment:
    """Instead of an answer: the replica belongs to an earlier or a later deployment of the service."""


class Replica:
    """A process with a thread that works in batches; requests wait for it in the event loop."""

    def __init__(self, deployment: str, cpus: float, limit: int, timeout: float) -> None:
        from splade_anserini.lucene.parallel_writer import take_heap

        self._deployment = deployment
        take_heap(min(1.0, cpus / cpu_count()))
        self._metrics = Metrics()
        self._cpus, self._limit, self._timeout = cpus, limit, timeout
        self._batcher: Batcher[Any, Any]

    async def answer(self, deployment: str, method: str, *arguments: Any) -> Any:
        """Return what a method returns, or `Refused`; `OtherDeployment` unless this is a replica of `deployment`.

        While a service is deployed again there are replicas of both, which may have other indexes and encoders.
        """
        if deployment != self._deployment:
            return OtherDeployment()
        return await getattr(self, method)(*arguments)

    def check_health(self) -> None:
        """Raise `WorkerError` when the thread hangs, so that Ray replaces this replica."""
        if self._batcher.running_for > _HANGS * self._timeout:
            raise WorkerError(f"A batch is running for {self._batcher.running_for:.0f} s.")

    async def _result(self, work: Any, index: str, paths: Mapping[str, str]) -> Any:
        """Return the result of work, or `Refused`."""
        try:
            return await self._batcher.submit(work)
        except RequestError as error:
            return Refused(error.status_code, error.detail, 1 if error.headers else None)
        except SpladeAnseriniError as error:
            refused = as_request_error(error, index, paths)
            if isinstance(refused, RequestError):
                return Refused(refused.status_code, refused.detail)
            _log.exception("A request failed.")
        except Exception:
            _log.exception("A request failed.")
        return Refused(500, FAILED)


class EncoderReplica(Replica):
    """Encodes queries of all indexes, each with the encoder of its index."""

    def __init__(self, indexes: Sequence[ShardedIndex], options: ServedOptions, *settings: Any) -> None:
        """Open the encoders; each encodes one text, so that the first request is not slow."""
        from splade_anserini.retrieval.query_vectors import open_query_encoder_for

        super().__init__(*settings)
        query = query_options(options, None)
        self._indexes = {index.name: index for index in indexes}
        self._encoders = {
            index.name: ServedEncoder(
                open_query_encoder_for(index.manifest, f"Index {index.source.directory}", query, low_latency=True)
            )
            for index in indexes
            if index.can_encode
        }
        for encoder in self._encoders.values():
            encoder.encode(["the"])
        self._batcher = Batcher(
            "encode",
            lambda batch: encode_batch(batch, self._metrics),
            size=TEXTS if any(encoder.encodes_together for encoder in self._encoders.values()) else 1,
            threads=options.threads or max(1, round(self._cpus)),
            limit=self._limit,
            waited=lambda _: None,
        )

    async def encode(self, index: str, text: str) -> Any:
        """Return the impacts of a query before idf."""
        return await self._for(index, (self._encoders[index], text))

    async def edit(self, index: str, vector: ImpactVector, weights: Mapping[str, float]) -> Any:
        """Return a query with other weights of some tokens."""
        return await self._for(index, Call(lambda: self._encoders[index].edited(vector, weights)))

    async def check(self, index: str, tokens: Sequence[str]) -> Any:
        """Refuse a token that the encoder does not have."""
        return await self._for(index, Call(lambda: self._encoders[index].check(tokens)))

    async def expand(self, index: str, text: str) -> Any:
        """Return what a text becomes, as JSON values."""
        return await self._for(index, Call(lambda: self._encoders[index].expand(text).values()))

    async def snippets(self, index: str, hits: Sequence[Mapping[str, Any]]) -> Any:
        """Return the title and the best passage of hits that have documents and terms."""
        return await self._for(index, Call(lambda: [snippets_of(hit, self._spans_of(index)) for hit in hits]))

    async def texts(self, index: str, document: "JsonDocument | None", products: Mapping[str, float]) -> Any:
        """Return the title and the whole text of a document, with the words that bring its score."""
        return await self._for(index, Call(lambda: text_values(document, products, self._spans_of(index))))

    def _spans_of(self, index: str) -> "SpansOf | None":
        return self._encoders[index].spans_of if index in self._encoders else None

    async def _for(self, index: str, work: Any) -> Any:
        return await self._result(work, index, self._indexes[index].paths)


class ShardReplica(Replica):
    """Searches one shard of an index, or with a text index the whole, for the engines bm25 and hybrid."""

    def __init__(self, index: ShardedIndex, shard: Shard, options: ServedOptions, *settings: Any) -> None:
        """Open the shard. Raises what `OpenedShard` raises; Ray tries again then."""
        from splade_anserini.serving.java import start_java

        super().__init__(*settings)
        start_java()
        self._index = index
        self._opened = open_texts(index, options) if shard == index.text else OpenedShard(index, shard, options)
        self._batcher = Batcher(
            "search", SearchRunner(self._metrics), size=SEARCHES, limit=self._limit, waited=lambda _: None
        )

    async def search(self, request: SearchRequest, vector: ImpactVector) -> Any:
        """Search for a query that is encoded, or needs no vector."""
        return await self._for(Search(self._opened, request, vector))

    async def explain(self, request: ExplainRequest, vector: ImpactVector) -> Any:
        """Return the score of a document term by term, as JSON values; None for one of another shard."""
        return await self._for(Call(lambda: explanation(self._opened, request, vector)))

    async def match(self, vector: ImpactVector, ids: Sequence[str], query_idf: float | None) -> Any:
        """Return the scores of documents term by term; None for those of other shards."""
        return await self._for(Call(lambda: [self._opened.explain(vector, id_, query_idf) for id_ in ids]))

    async def document(self, doc_id: str) -> Any:
        """Return whether a document is here, and what is stored of it."""
        return await self._for(Call(lambda: self._opened.document(doc_id)))

    async def _for(self, work: Any) -> Any:
        return await self._result(work, self._index.name, self._index.paths)


def snippets_of(hit: Mapping[str, Any], spans_of: "SpansOf | None") -> dict[str, object]:
    """Return the title and the best passage of a hit, as JSON has it, with its document and terms."""
    return snippet_values(hit["document"], products_of(hit["terms"]), spans_of)


def products_of(terms: Sequence[Mapping[str, Any]]) -> dict[str, float]:
    """Return what each token of a score contributes, of terms as JSON has them."""
    return {term["token"]: term["product"] for term in terms}
