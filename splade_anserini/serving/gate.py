"""What every request passes before it is parsed: keys, limits, the deadline; and errors in one shape."""

import asyncio
import logging
import time
from collections.abc import MutableMapping
from typing import Any

from starlette.responses import Response
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from splade_anserini.serving.api_keys import ApiKeys
from splade_anserini.serving.errors import FAILED, RequestError, error_response, overloaded
from splade_anserini.serving.metrics import Metrics
from splade_anserini.serving.options import LimitOptions

_log = logging.getLogger(__name__)

_OPEN = {"/healthz", "/readyz", "/"}
"""Paths that need no key and are answered however many requests wait."""

_PAGE = "/page/"
"""The files of the page: the same for everybody."""


class Gate:
    """An ASGI application around another one, which counts, refuses and times its requests."""

    def __init__(self, app: ASGIApp, limits: LimitOptions, metrics: Metrics, keys: ApiKeys | None = None) -> None:
        self._app, self._limits, self._metrics, self._keys = app, limits, metrics, keys
        self.pending = 0
        """Requests that run or wait."""

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer a request."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        start = time.perf_counter()
        answer = _Answer(send)
        try:
            await self._pass(scope, receive, answer)
        except RequestError as error:
            response = error_response(error.status_code, error.detail, error.headers, error.kind)
            await answer.replace(response, scope, receive)
        except Exception:
            _log.exception("%s %s failed", scope["method"], scope["path"])
            await answer.replace(error_response(500, FAILED), scope, receive)
        # An unknown path has no endpoint: clients cannot make up labels.
        endpoint = getattr(scope.get("route"), "path", "other")
        self._metrics.requests.labels(endpoint, answer.status).inc()
        self._metrics.request_seconds.labels(endpoint).observe(time.perf_counter() - start)

    async def _pass(self, scope: Scope, receive: Receive, answer: "_Answer") -> None:
        if scope["path"] in _OPEN or scope["path"].startswith(_PAGE):
            await self._app(scope, receive, answer)
            return
        if self._keys and not self._keys.allow(scope["headers"]):
            raise self._refused("key", RequestError(401, "The request needs an API key of this service."))
        if scope["method"] in {"POST", "PUT"} and not _is_json(scope):
            raise RequestError(
                415,
                "The Content-Type is not application/json. Send JSON, with the header Content-Type: application/json.",
            )
        if self.pending >= self._limits.queue:
            raise self._refused("queue", overloaded())
        self.pending += 1
        try:
            # A change that has begun is not given up.
            is_change = scope["method"] != "GET" and scope["path"].startswith("/v1/documents")
            async with asyncio.timeout(None if is_change else self._limits.timeout):
                await self._app(scope, self._limited(scope, receive), answer)
        except TimeoutError:
            raise self._refused("timeout", RequestError(504, "The request took too long.")) from None
        finally:
            self.pending -= 1

    def _limited(self, scope: Scope, receive: Receive) -> Receive:
        """Return `receive`, which refuses a body that is too large, by its header or as it comes."""
        largest, read = self._limits.max_body, 0
        too_large = RequestError(413, f"The body of the request is larger than {largest:,} bytes.")
        length = dict(scope["headers"]).get(b"content-length", b"0")
        if length.isdigit() and int(length) > largest:
            raise self._refused("body", too_large)

        async def receive_part() -> Message:
            nonlocal read
            message = await receive()
            read += len(message.get("body", b""))
            if read > largest:
                raise self._refused("body", too_large)
            return message

        return receive_part

    def _refused(self, reason: str, error: RequestError) -> RequestError:
        self._metrics.rejected.labels(reason).inc()
        return error


def _is_json(scope: Scope) -> bool:
    """Return whether a body is called JSON: pages of other sites can send any other without asking the browser."""
    return any(name == b"content-type" and b"json" in value for name, value in scope["headers"])


class _Answer:
    """Sends an answer, and knows whether it has begun."""

    def __init__(self, send: Send) -> None:
        self._send = send
        self._begun = False
        self.status = 500

    async def __call__(self, message: MutableMapping[str, Any]) -> None:
        if message["type"] == "http.response.start":
            self._begun, self.status = True, message["status"]
        await self._send(message)

    async def replace(self, response: Response, scope: Scope, receive: Receive) -> None:
        """Answer with an error unless an answer has begun, which then stays incomplete."""
        if not self._begun:
            await response(scope, receive, self)
