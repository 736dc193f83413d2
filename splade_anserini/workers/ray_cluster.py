"""The Ray cluster that workers run in: the one that is named, or one on this machine that ends with the command."""

import ctypes
import logging
import os
import signal
import socket
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

from splade_anserini.errors import DependencyError, InputError, WorkerError, first_line
from splade_anserini.parallel import cpu_count
from splade_anserini.workers.options import WorkerOptions

_LOCAL_DEFAULTS = {
    "RAY_USAGE_STATS_ENABLED": "0",
    # Otherwise Ray writes a token into the home directory.
    "RAY_AUTH_MODE": "disabled",
    # What Ray will do in a later version; it warns otherwise.
    "RAY_ACCEL_ENV_VAR_OVERRIDE_ON_ZERO": "0",
}
"""Settings of a cluster that is started here, unless the environment has others."""

_SIGNALS_OF_JAVA = (signal.SIGSEGV, signal.SIGBUS, signal.SIGFPE, signal.SIGILL)
_SIGACTION_BYTES = 256
"""More than a struct sigaction has: 152 in glibc on x86-64, 16 on macOS."""

CONNECT = 10.0
"""Seconds in which a cluster must answer."""


@dataclass(frozen=True, slots=True)
class RayCluster:
    """A cluster that this process is connected to."""

    ray: Any
    """The module."""
    is_local: bool
    """Whether it was started here, so that no node will be added to it."""

    def total(self, resource: str) -> float:
        """Return how much of a resource, CPU or GPU, all nodes have."""
        return float(self.ray.cluster_resources().get(resource, 0.0))

    def free(self, resource: str) -> float:
        """Return how much of a resource is free."""
        return float(self.ray.available_resources().get(resource, 0.0))

    def describe(self) -> str:
        """Return what the cluster has, and what of it is free."""
        nodes = sum(bool(node.get("Alive")) for node in self.ray.nodes())
        parts = [f"{self.total(name):g} {name}s ({self.free(name):g} free)" for name in ("CPU", "GPU")]
        return f"{' and '.join(parts)} on {nodes} node{'' if nodes == 1 else 's'}"


def import_ray() -> Any:
    """Return the module `ray`. Raises `DependencyError` when it is not installed."""
    try:
        import ray
    except ImportError as error:
        raise DependencyError.missing("Ray", "ray") from error
    return ray


@contextmanager
def open_cluster(options: WorkerOptions) -> Iterator[RayCluster]:
    """Connect to the cluster of the options, and disconnect when the block ends.

    It is that of --ray-address or of the variable RAY_ADDRESS, or one that is started on this machine and ends with the
    block. A program that is connected already stays so. Raises `DependencyError` without Ray, `WorkerError` when there
    is no cluster.
    """
    address = options.ray_address or os.environ.get("RAY_ADDRESS")
    if not address:
        for name, value in _LOCAL_DEFAULTS.items():
            os.environ.setdefault(name, value)
    ray = import_ray()
    if address:
        _require_reachable(address)
    if ray.is_initialized():
        yield RayCluster(ray, is_local=False)
        return
    quiet = {"log_to_driver": False, "logging_level": logging.ERROR}
    try:
        with _kept_signal_handlers():
            if address:
                ray.init(address=address, **quiet)
            else:
                ray.init(address="local", num_cpus=cpu_count(), include_dashboard=False, **quiet)
    except Exception as error:  # Ray raises exceptions of many kinds
        what = f"There is no Ray cluster at {address}" if address else "Ray could not be started"
        raise WorkerError(
            f"{what}: {first_line(error)}",
            do="Leave --ray-address out to start one on this machine." if address else "",
        ) from error
    try:
        yield RayCluster(ray, is_local=not address)
    finally:
        with _kept_signal_handlers():
            ray.shutdown()


@contextmanager
def _kept_signal_handlers() -> Iterator[None]:
    """Restore, at the end, the handlers of signals that a Java virtual machine in this process relies on.

    Java checks for null by accessing memory and handling SIGSEGV. When Ray connects it installs handlers that end the
    process instead, and when it disconnects there are none.
    """
    sigaction = getattr(ctypes.CDLL(None), "sigaction", None)
    if sigaction is None:  # Windows
        yield
        return
    handlers = {number: ctypes.create_string_buffer(_SIGACTION_BYTES) for number in _SIGNALS_OF_JAVA}
    for number, handler in handlers.items():
        sigaction(number, None, handler)
    try:
        yield
    finally:
        for number, handler in handlers.items():
            sigaction(number, handler, None)


def _require_reachable(address: str) -> None:
    """Raise `WorkerError` when nothing listens at an address HOST:PORT: Ray would try for many minutes."""
    host, colon, port = address.removeprefix("ray://").rpartition(":")
    if not colon or not port.isdigit():
        return
    try:
        socket.create_connection((host.strip("[]"), int(port)), timeout=CONNECT).close()
    except OSError as error:
        raise WorkerError(
            f"There is no Ray cluster at {address}: {error.strerror or error}.",
            do="Check the address, or leave --ray-address out to start one on this machine.",
        ) from error


def worker_count(cluster: RayCluster, options: WorkerOptions) -> int:
    """Return how many workers the options ask for, by default as many as the cluster has room for.

    Raises `InputError` when a cluster that cannot grow has too little room.
    """
    needs = {"CPU": options.cpus_per_worker or 1.0, "GPU": options.gpus_per_worker or 0.0}
    room = min(int(cluster.total(name) / need + 1e-9) for name, need in needs.items() if need)
    if options.workers is None:
        if not room:
            raise InputError(
                f"The Ray cluster has no room for a worker: it has {cluster.describe()}.",
                expected=described(needs),
                do="Use a smaller --cpus-per-worker or --gpus-per-worker, or set --workers to wait for nodes.",
            )
        return room
    if cluster.is_local and options.workers > room:
        raise InputError(
            f"--workers ({options.workers}) is more than this machine has room for: it has {cluster.describe()}.",
            expected=f"at most {room}, with {described(needs)} each",
            do="Use fewer --workers, or a smaller --cpus-per-worker.",
        )
    return options.workers


def described(needs: dict[str, float]) -> str:
    """Return what a worker needs, such as "1 CPU and 0.5 GPU"."""
    return " and ".join(f"{need:g} {name}" for name, need in needs.items() if need)
