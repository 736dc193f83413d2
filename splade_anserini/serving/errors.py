"""The errors of the service, each with its status; answers have one shape for all of them."""

import re
from collections.abc import Iterable, Mapping

import orjson
from starlette.exceptions import HTTPException
from starlette.responses import Response

_TYPES = {
    400: "invalid_request",
    401: "unauthorized",
    403: "forbidden",
    404: "not_found",
    405: "method_not_allowed",
    409: "conflict",
    413: "too_large",
    415: "invalid_request",
    422: "invalid_request",
    500: "internal",
    503: "unavailable",
    504: "timeout",
}

FAILED = "The request failed. The log of the service says why."

_PATH = re.compile(r"(?<![\w/])(?:~|\.{1,2}|[A-Za-z]:)?[/\\]\w[^\s'\",;]*")
"""What looks like a path of this machine."""


class RequestError(HTTPException):
    """Raised when a request cannot be answered; `message` is shown to whoever sent it."""

    def __init__(self, status: int, message: str, *, retry_after: int | None = None, kind: str = "") -> None:
        super().__init__(status, message, None if retry_after is None else {"Retry-After": str(retry_after)})
        self.kind = kind
        """The type in the answer, where the status alone does not say it."""


def overloaded() -> RequestError:
    """Return the error for a request that would have to wait behind too many."""
    return RequestError(503, "Too many requests are waiting. Try again later.", retry_after=1)


def error_response(status: int, message: str, headers: Mapping[str, str] | None = None, kind: str = "") -> Response:
    """Return {"error": {"type", "message"}} with a status, from which the type follows unless `kind` says it."""
    body = orjson.dumps({"error": {"type": kind or _TYPES.get(status, "invalid_request"), "message": message}})
    return Response(body, status, headers, media_type="application/json")


def without_paths(message: str, names: Mapping[str, str], fallback: str) -> str:
    """Return a message of one line in which paths are replaced by the `names` of what they lead to.

    Returns `fallback` when something that looks like a path is left.
    """
    line = " ".join(message.split())
    for path in sorted(names, key=len, reverse=True):
        line = line.replace(path, names[path])
    return fallback if _PATH.search(line) else line


def validation_message(errors: Iterable[Mapping[str, object]]) -> str:
    """Return what FastAPI found wrong with the parameters or the body of a request, in one line."""
    return "; ".join(_problem(error) for error in errors)


def _problem(error: Mapping[str, object]) -> str:
    location = error.get("loc")
    side, *parts = location if isinstance(location, tuple) and location else ("",)
    where = ".".join(map(str, parts))
    if error.get("type") == "extra_forbidden":
        what = "parameter" if side == "query" else "key"
        return f"Unknown {what}: {where}. GET /openapi.json describes those that there are."
    message = str(error.get("msg", "is not valid"))
    # What our own checks say is a sentence about the whole body.
    said = message.removeprefix("Value error, ")
    return said if said != message and not where else f"{where or 'body'}: {said}"
