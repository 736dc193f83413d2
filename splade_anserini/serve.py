"""The command `serve`: indexes → a search service over HTTP."""

import logging
from importlib.util import find_spec

import typer

from splade_anserini.cli.console import main_of
from splade_anserini.errors import DependencyError, InputError
from splade_anserini.serving.options import LimitOptions, ServedOptions, ServerOptions
from splade_anserini.serving.ray_options import RayServeOptions

_log = logging.getLogger(__name__)

_LOOPBACK = {"127.0.0.1", "localhost", "::1"}


def command(served: ServedOptions, server: ServerOptions, limits: LimitOptions, ray: RayServeOptions) -> None:
    """Answer searches over HTTP: a page at /, and JSON at /v1/search?q=… and what /openapi.json describes.

    \b
    Examples:
      splade-anserini serve --index indexes/mine
      splade-anserini serve --index indexes/mine --bm25 indexes/mine-bm25 --port 9000 --api-keys keys.txt
    """
    for module in ("fastapi", "uvicorn", "prometheus_client"):
        if find_spec(module) is None:
            raise DependencyError.missing(module, "serve")
    from splade_anserini.serving.api_keys import read_api_keys
    from splade_anserini.serving.java import start_java
    from splade_anserini.serving.opened_index import OpenedIndex, index_sources
    from splade_anserini.serving.server import serve_forever
    from splade_anserini.serving.service import Service
    from splade_anserini.serving.web_page import read_sample_queries

    _check_access(served, server)
    if ray.on_ray:
        _serve_on_ray(served, server, limits, ray)
        return
    keys = read_api_keys(server.api_keys) if server.api_keys else None
    sources = index_sources(served)
    start_java()
    samples = read_sample_queries(served.sample_queries)
    service = Service([OpenedIndex(source, served) for source in sources], served, limits, samples=samples)
    try:
        serve_forever(service, server, keys, _announce)
    finally:
        service.close()
    typer.echo("The service has ended.")


def _serve_on_ray(served: ServedOptions, server: ServerOptions, limits: LimitOptions, ray: RayServeOptions) -> None:
    if find_spec("ray") is None:
        raise DependencyError.missing("Ray", "ray")
    from splade_anserini.serving.ray_serve import prepare
    from splade_anserini.serving.ray_server import serve_on_ray

    serve_on_ray(prepare(served, limits, ray, server.api_keys), server, _announce)
    typer.echo("The service has ended.")


def _announce(address: str) -> None:
    typer.echo(f"Searches are answered at {address}")


def _check_access(served: ServedOptions, server: ServerOptions) -> None:
    """Raise `InputError` when anybody might change documents; log a warning when anybody may search."""
    if server.api_keys or server.host in _LOOPBACK:
        return
    if served.writable:
        raise InputError(
            f"--writable with --host {server.host} lets others change documents.",
            do="Add --api-keys, or leave --host out.",
        )
    _log.warning("Whoever reaches %s may search: there are no --api-keys.", server.host)


if __name__ == "__main__":
    main_of(command)
