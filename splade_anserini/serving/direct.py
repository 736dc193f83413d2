"""Searches that bypass FastAPI, whose layers take longer than the search of a small index."""

from collections.abc import Mapping
from types import SimpleNamespace
from typing import Any
from urllib.parse import parse_qsl

from pydantic import ValidationError
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from splade_anserini.serving.errors import RequestError
from splade_anserini.serving.requests import SearchParameters, SearchRequest
from splade_anserini.serving.search_service import SearchService

PATH = "/v1/search"

_ROUTE = SimpleNamespace(path=PATH)
"""What metrics count these requests under, as those of FastAPI's routes."""


class DirectSearch:
    """An ASGI application around FastAPI's, which describes searches and answers everything else.

    Both check requests by the same models. What is not valid here is passed on, and FastAPI says what is wrong.
    """

    def __init__(self, app: ASGIApp, service: SearchService[Any]) -> None:
        self._app, self._service = app, service

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer a request."""
        request = None
        if scope["type"] == "http" and scope["path"] == PATH:
            if scope["method"] == "GET":
                request = _request_of_parameters(scope["query_string"])
            elif scope["method"] == "POST" and _is_json(scope) and not scope["query_string"]:
                body = await _read(receive)
                request, receive = _request_of_body(body), _replayed(body, receive)
        if request is None:
            await self._app(scope, receive, send)
            return
        scope["route"] = _ROUTE
        answer = await self._service.search(request)
        headers = [
            (b"content-type", b"application/json"),
            (b"content-length", b"%d" % len(answer.body)),
            (b"server-timing", answer.timing.encode()),
        ]
        await send({"type": "http.response.start", "status": 200, "headers": headers})
        await send({"type": "http.response.body", "body": answer.body})


def _request_of_body(body: bytes) -> SearchRequest | None:
    try:
        return SearchRequest.model_validate_json(body)
    except ValidationError:
        return None


def _request_of_parameters(query: bytes) -> SearchRequest | None:
    pairs = parse_qsl(query.decode("latin-1"), keep_blank_values=True)
    values: dict[str, str | list[str]] = {**dict(pairs)}
    for name in SearchParameters.REPEATED & values.keys():
        values[name] = [value for each, value in pairs if each == name]
    once = [name for name, _ in pairs if name not in SearchParameters.REPEATED]
    if len(set(once)) < len(once):
        return None
    try:
        return SearchParameters.model_validate(values).request()
    except ValidationError:
        return None


def _is_json(scope: Scope) -> bool:
    headers: Mapping[bytes, bytes] = dict(scope["headers"])
    return headers.get(b"content-type", b"").partition(b";")[0].strip() == b"application/json"


async def _read(receive: Receive) -> bytes:
    """Return the body of a request."""
    parts: list[bytes] = []
    more = True
    while more:
        message = await receive()
        if message["type"] == "http.disconnect":
            raise RequestError(400, "The connection was closed before the end of the body.")
        parts.append(message.get("body", b""))
        more = message.get("more_body", False)
    return b"".join(parts)


def _replayed(body: bytes, receive: Receive) -> Receive:
    """Return a `receive` that begins with a body that was read already."""
    messages: list[Message] = [{"type": "http.request", "body": body, "more_body": False}]

    async def receive_again() -> Message:
        return messages.pop() if messages else await receive()

    return receive_again
