"""The page at `/`: its files, and what they ask for first. It loads nothing from elsewhere."""

import hashlib
from importlib.resources import files

from fastapi import FastAPI
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

_TYPES = {
    ".html": "text/html; charset=utf-8",
    ".css": "text/css; charset=utf-8",
    ".js": "text/javascript; charset=utf-8",
    ".svg": "image/svg+xml",
}

_HEADERS = {
    # Documents are written by others: even if one got into the page as HTML, it could neither run nor load anything.
    "Content-Security-Policy": "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self'; "
    "connect-src 'self'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'; require-trusted-types-for "
    "'script'",
    "X-Content-Type-Options": "nosniff",
    "Referrer-Policy": "no-referrer",
    "Cross-Origin-Opener-Policy": "same-origin",
    "Cache-Control": "no-cache",
}

_START = "index.html"


def read_sample_queries(source: str | None) -> list[str]:
    """Return the texts of topics, each once. Raises `InputError` for topics that cannot be read."""
    from splade_anserini.retrieval.topics import read_topics

    return list(dict.fromkeys(query.text for query in read_topics(source) if query.text.strip())) if source else []


def add_page(app: FastAPI) -> None:
    """Add the routes of the page: `/`, and its files below `/page/`."""
    paths = {f"/page/{name}": (name, content) for name, content in _read_files().items()}
    paths["/"] = paths.pop(f"/page/{_START}")
    for path, (name, content) in paths.items():
        app.router.routes.append(_route(path, content, _TYPES[f".{name.rpartition('.')[2]}"]))


def _read_files() -> dict[str, bytes]:
    directory = files("splade_anserini.serving") / "page"
    return {
        file.name: file.read_bytes() for file in directory.iterdir() if f".{file.name.rpartition('.')[2]}" in _TYPES
    }


def _route(path: str, content: bytes, media_type: str) -> Route:
    tag = f'"{hashlib.sha256(content).hexdigest()[:32]}"'
    headers = {**_HEADERS, "ETag": tag}

    async def answer(request: Request) -> Response:
        if request.headers.get("if-none-match") == tag:
            return Response(status_code=304, headers=headers)
        return Response(content, headers=headers, media_type=media_type)

    return Route(path, answer, methods=["GET"], include_in_schema=False)
