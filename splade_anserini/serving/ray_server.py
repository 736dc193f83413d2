"""Runs the service on Ray Serve for the command `serve --ray`, until it is told to end. Uses ray."""

import logging
import signal
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

from splade_anserini.errors import WorkerError
from splade_anserini.serving.options import ServerOptions
from splade_anserini.serving.ray_serve import Served, build
from splade_anserini.serving.server import address, open_socket
from splade_anserini.workers.options import WorkerOptions
from splade_anserini.workers.ray_cluster import RayCluster, open_cluster

APPLICATION = "splade-anserini"
"""The name of the application on Ray Serve."""

_POLL = 0.2
"""Seconds between two looks at replicas that start."""

_PATIENCE = 60.0
"""Seconds after which a warning says what replicas wait for."""

_log = logging.getLogger(__name__)


def serve_on_ray(service: Served, options: ServerOptions, listening: Callable[[str], None]) -> None:
    """Deploy a service, and answer requests until SIGTERM or Ctrl-C; those that run then finish.

    `listening` is called with the address when requests are answered. Raises `InputError` when the port is taken,
    `DependencyError` and `WorkerError` when Ray is missing or cannot be reached, or replicas do not start.
    """
    with open_socket(options.host, options.port) as opened:
        port = opened.getsockname()[1]
        url = address(opened)
    with open_cluster(WorkerOptions(ray=True, ray_address=service.ray.ray_address)) as cluster, _told_to_end() as told:
        from ray import serve

        logging.getLogger("ray.serve").setLevel(logging.WARNING)
        http: dict[str, Any] = {"host": options.host, "port": port, "keep_alive_timeout_s": 65}
        serve.start(http_options=http, proxy_location="HeadOnly" if cluster.is_local else "EveryNode")
        try:
            _deploy(service, cluster, told)
            if not told.is_set():
                listening(url)
            told.wait()
        finally:
            serve.delete(APPLICATION)


def _deploy(service: Served, cluster: RayCluster, told: threading.Event) -> None:
    """Start the replicas, and wait until all run. Raises `WorkerError` for those that do not start."""
    from ray import serve

    target = serve.RunTarget(build(service), name=APPLICATION, route_prefix="/")
    serve.run_many([target], wait_for_ingress_deployment_creation=False, wait_for_applications_running=False)
    started, warned = time.monotonic(), False
    while not told.wait(_POLL):
        application = serve.status().applications.get(APPLICATION)
        if application is None:
            continue
        waiting = {name: state.message for name, state in application.deployments.items() if state.status != "HEALTHY"}
        if application.status == "RUNNING":
            return
        if application.status in {"DEPLOY_FAILED", "UNHEALTHY"}:
            raise WorkerError(f"The service did not start: {_reason(application.message, waiting)}")
        if not warned and time.monotonic() - started > _PATIENCE:
            warned = True
            _log.warning("%s not run yet: the Ray cluster has %s", " and ".join(waiting) + " do", cluster.describe())


def _reason(message: str, waiting: dict[str, str]) -> str:
    """Return the last line of what failed: that of the error of a replica."""
    text = "\n".join([message, *waiting.values()])
    lines = [line.strip() for line in text.splitlines() if line.strip()]
    errors = [line for line in lines if line.startswith("splade_anserini.errors.")]
    return errors[-1].partition(": ")[2] if errors else lines[-1] if lines else "Ray does not say why."


@contextmanager
def _told_to_end() -> Iterator[threading.Event]:
    """Yield an event that SIGTERM and Ctrl-C set, instead of ending the program."""
    told = threading.Event()
    handlers = {number: signal.signal(number, lambda *_: told.set()) for number in (signal.SIGTERM, signal.SIGINT)}
    try:
        yield told
    finally:
        for number, handler in handlers.items():
            signal.signal(number, handler)
