"""Runs the application: the socket, signals, reloading, and an orderly end."""

import asyncio
import contextlib
import gc
import logging
import signal
import socket
import sys
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from types import FrameType
from typing import Any

import uvicorn
from fastapi import FastAPI

from splade_anserini.errors import InputError
from splade_anserini.serving.api_keys import ApiKeys
from splade_anserini.serving.application import Lifespan, create_application
from splade_anserini.serving.direct import DirectSearch
from splade_anserini.serving.gate import Gate
from splade_anserini.serving.options import ServerOptions
from splade_anserini.serving.search_service import SearchService
from splade_anserini.serving.service import Service

_log = logging.getLogger(__name__)

_BACKLOG = 2048


def serve_forever(
    service: Service, options: ServerOptions, keys: ApiKeys | None, listening: Callable[[str], None]
) -> None:
    """Answer requests until SIGTERM or Ctrl-C; then those that run finish, and others are refused.

    `listening` is called with the address when requests are answered. Raises `InputError` when the port is taken.
    """
    with open_socket(options.host, options.port) as opened:
        app = gated(service, keys, _lifespan(service, options.reload))
        config = uvicorn.Config(
            app,
            log_level="warning",
            access_log=False,
            server_header=False,
            proxy_headers=False,
            ws="none",
            timeout_graceful_shutdown=round(options.grace),
            timeout_keep_alive=65,
        )
        server = _Server(config, service, lambda: listening(address(opened)))
        # uvicorn repeats the signal that ended it to whoever handled it before.
        for number in (signal.SIGTERM, signal.SIGINT):
            signal.signal(number, _ignore)
        # What is loaded by now stays: looking for garbage among it would stop all requests for some tenths of a second.
        gc.collect()
        gc.freeze()
        server.run(sockets=[opened])


def gated(service: SearchService[Any], keys: ApiKeys | None = None, lifespan: Lifespan | None = None) -> Gate:
    """Return the application with its limits and keys."""
    app = DirectSearch(create_application(service, lifespan), service)
    gate = Gate(app, service.limits, service.metrics, keys)
    service.watch(lambda: gate.pending)
    return gate


def open_socket(host: str, port: int) -> socket.socket:
    """Listen at an address. Raises `InputError` when that is not possible."""
    try:
        family, _, _, _, target = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE)[0]
        return socket.create_server(target[:2], family=family, backlog=_BACKLOG)
    except OSError as error:
        raise InputError(
            f"The service cannot listen at {host}, port {port}: {error.strerror or error}.",
            do="Choose another --port, or --port 0 for a free one.",
        ) from error


def address(opened: socket.socket) -> str:
    """Return the URL of a socket."""
    host, port = opened.getsockname()[:2]
    return f"http://[{host}]:{port}" if ":" in host else f"http://{host}:{port}"


class _Server(uvicorn.Server):
    """Tells when it listens, and that it is not ready any more as soon as it is to end."""

    def __init__(self, config: uvicorn.Config, service: Service, listening: Callable[[], None]) -> None:
        super().__init__(config)
        self._service, self._listening = service, listening

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        await super().startup(sockets)
        if not self.should_exit:
            self._listening()

    def handle_exit(self, sig: int, frame: FrameType | None) -> None:
        self._service.is_ready = False
        super().handle_exit(sig, frame)


def _lifespan(service: Service, seconds: float) -> Lifespan:
    """Return what runs beside the application: a look at the indexes now and then, and on SIGHUP."""

    @asynccontextmanager
    async def lifespan(_: FastAPI) -> AsyncIterator[None]:
        changed = asyncio.Event()
        if sys.platform != "win32":
            asyncio.get_running_loop().add_signal_handler(signal.SIGHUP, changed.set)
        task = asyncio.create_task(_reload(service, changed, seconds or None))
        try:
            yield
        finally:
            task.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await task

    return lifespan


async def _reload(service: Service, changed: asyncio.Event, seconds: float | None) -> None:
    while True:
        with contextlib.suppress(TimeoutError):
            await asyncio.wait_for(changed.wait(), seconds)
        changed.clear()
        try:
            await service.reload_changed()
        except Exception:
            _log.exception("Looking for changed indexes failed.")


def _ignore(_: int, __: FrameType | None) -> None:
    """Do nothing."""
