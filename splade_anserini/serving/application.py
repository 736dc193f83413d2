"""The application: routes, and the OpenAPI description that FastAPI makes of them."""

from collections import Counter
from collections.abc import Callable
from contextlib import AbstractAsyncContextManager
from typing import Annotated, Any

import orjson
from fastapi import Depends, FastAPI, Path, Query
from fastapi.exceptions import RequestValidationError
from pydantic import ValidationError
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import Response

from splade_anserini._version import __version__
from splade_anserini.serving.errors import FAILED, RequestError, error_response, validation_message
from splade_anserini.serving.metrics import CONTENT_TYPE
from splade_anserini.serving.requests import (
    ChangeAnswer,
    CompareAnswer,
    CompareRequest,
    DocumentsRequest,
    DocumentText,
    EncodeAnswer,
    EncodeParameters,
    EncodeRequest,
    ErrorAnswer,
    ExplainAnswer,
    ExplainRequest,
    IndexDescription,
    IndexParameters,
    PageAnswer,
    SearchAnswer,
    SearchParameters,
    SearchRequest,
)
from splade_anserini.serving.search_service import SearchService
from splade_anserini.serving.searching import Answer
from splade_anserini.serving.web_page import add_page

type Lifespan = Callable[[FastAPI], AbstractAsyncContextManager[None]]

_ERRORS: dict[int | str, dict[str, Any]] = {
    400: {"model": ErrorAnswer, "description": "The request is not valid."},
    401: {"model": ErrorAnswer, "description": "It has no API key of this service."},
    404: {"model": ErrorAnswer, "description": "There is no such index or document."},
    503: {"model": ErrorAnswer, "description": "Too many requests are waiting; Retry-After says when to try again."},
    504: {"model": ErrorAnswer, "description": "It took too long."},
    # Without it, FastAPI describes an answer that is never given.
    "default": {"model": ErrorAnswer, "description": "Another error."},
}

_CHANGES: dict[str, Any] = {
    "response_model": None,
    "responses": {
        200: {"model": ChangeAnswer},
        403: {"model": ErrorAnswer, "description": "The service was started without --writable."},
        409: {"model": ErrorAnswer, "description": "Another process changes the index."},
        **_ERRORS,
    },
}

DocumentId = Annotated[str, Path(description="The id of the document.")]
Parameters = Annotated[IndexParameters, Query()]


async def _check_url(request: Request) -> None:
    """Refuse what FastAPI would pass over: parameters beside a body, and all but the last of several."""
    occurrences = Counter(name for name, _ in request.query_params.multi_items())
    if request.method == "POST" and occurrences:
        raise RequestError(400, f"Parameters in the URL: {', '.join(occurrences)}; expected them in the body.")
    for name in SearchParameters.model_fields.keys() - SearchParameters.REPEATED:
        if (count := occurrences[name]) > 1:
            raise RequestError(400, f"Parameter {name} occurs {count} times; expected once.")


def create_application(service: SearchService[Any], lifespan: Lifespan | None = None) -> FastAPI:
    """Return the application that answers with `service`."""
    app = FastAPI(
        title="splade-anserini",
        version=__version__,
        description="Searches Lucene impact indexes for texts and impact vectors.",
        # Its pages would load scripts from another server.
        docs_url=None,
        redoc_url=None,
        lifespan=lifespan,
        dependencies=[Depends(_check_url)],
    )
    _add_searches(app, service)
    _add_explanations(app, service)
    _add_documents(app, service)
    _add_operations(app, service)
    add_page(app)

    @app.exception_handler(RequestValidationError)
    async def invalid(_: Request, error: RequestValidationError) -> Response:
        return error_response(400, validation_message(error.errors()))

    @app.exception_handler(HTTPException)
    async def refused(_: Request, error: HTTPException) -> Response:
        return error_response(error.status_code, error.detail, error.headers, getattr(error, "kind", ""))

    @app.exception_handler(Exception)
    async def failed(_: Request, __: Exception) -> Response:
        return error_response(500, FAILED)

    return app


def _add_searches(app: FastAPI, service: SearchService[Any]) -> None:
    described: dict[str, Any] = {"response_model": None, "responses": {200: {"model": SearchAnswer}, **_ERRORS}}

    @app.get("/v1/search", tags=["search"], summary="Search for a text", **described)
    async def search_for_text(parameters: Annotated[SearchParameters, Query()]) -> Response:
        try:
            request = parameters.request()
        except ValidationError as error:
            raise RequestError(400, validation_message(error.errors())) from error
        return _response(await service.search(request))

    @app.post("/v1/search", tags=["search"], summary="Search for a text or a vector", **described)
    async def search(request: SearchRequest) -> Response:
        return _response(await service.search(request))


def _add_explanations(app: FastAPI, service: SearchService[Any]) -> None:
    def described(model: type) -> dict[str, Any]:
        return {"tags": ["explain"], "response_model": None, "responses": {200: {"model": model}, **_ERRORS}}

    @app.get("/v1/encode", summary="What a text becomes as a query", **described(EncodeAnswer))
    async def encode_text(parameters: Annotated[EncodeParameters, Query()]) -> Response:
        return _json(await service.encode(parameters.q, parameters.index))

    @app.post("/v1/encode", summary="What a text becomes as a query", **described(EncodeAnswer))
    async def encode(request: EncodeRequest) -> Response:
        return _json(await service.encode(request.text, request.index))

    @app.post("/v1/explain", summary="The score of a document, term by term", **described(ExplainAnswer))
    async def explain(request: ExplainRequest) -> Response:
        return _json(await service.explain(request))

    @app.post("/v1/compare", summary="What makes the difference between two documents", **described(CompareAnswer))
    async def compare(request: CompareRequest) -> Response:
        return _json(await service.compare(request))


def _add_documents(app: FastAPI, service: SearchService[Any]) -> None:
    @app.get("/v1/documents/{id:path}", tags=["documents"], summary="A stored document", responses=_ERRORS)
    async def document(id: DocumentId, parameters: Parameters) -> Response:  # noqa: A002  # the name in the URL
        stored = await service.document(id, parameters.index)
        return _json({"id": id, "document": stored})

    @app.post("/v1/documents", tags=["documents"], summary="Add documents", **_CHANGES)
    async def add(request: DocumentsRequest) -> Response:
        documents = [document.record(document.id) for document in request.documents]
        return _json(await service.put(documents, request.index, replace=request.replace))

    @app.put("/v1/documents/{id:path}", tags=["documents"], summary="Add or replace a document", **_CHANGES)
    async def put(id: DocumentId, content: DocumentText, parameters: Parameters) -> Response:  # noqa: A002
        return _json(await service.put([content.record(id)], parameters.index, replace=True))

    @app.delete("/v1/documents/{id:path}", tags=["documents"], summary="Delete a document", **_CHANGES)
    async def delete(id: DocumentId, parameters: Parameters) -> Response:  # noqa: A002
        return _json(await service.delete(id, parameters.index))

    @app.get("/v1/indexes", tags=["documents"], summary="What is served", responses=_ERRORS)
    async def indexes() -> list[IndexDescription]:
        return [IndexDescription.model_validate(values) for values in service.descriptions()]


def _add_operations(app: FastAPI, service: SearchService[Any]) -> None:
    @app.get("/v1/page", tags=["operations"], summary="What the page at / asks for first", responses=_ERRORS)
    async def page() -> PageAnswer:
        return PageAnswer.model_validate(service.page_values())

    @app.get("/healthz", tags=["operations"], summary="Whether the process answers")
    async def healthz() -> dict[str, str]:
        return {"status": "ok"}

    @app.get("/readyz", tags=["operations"], summary="Whether it should get requests")
    async def readyz() -> Response:
        if service.is_ready:
            return _json({"status": "ready"})
        return error_response(503, "The service is shutting down.")

    @app.get("/metrics", tags=["operations"], summary="Metrics in Prometheus' text format")
    async def metrics() -> Response:
        return Response(service.metrics.text(), media_type=CONTENT_TYPE)


def _response(answer: Answer) -> Response:
    """Return an answer; the header Server-Timing has the milliseconds of its stages."""
    return Response(answer.body, headers={"Server-Timing": answer.timing}, media_type="application/json")


def _json(values: object) -> Response:
    return Response(orjson.dumps(values), media_type="application/json")
