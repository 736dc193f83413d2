"""The service as an application of Ray Serve: processes that answer, encode, and search shards. Uses ray."""

import asyncio
import logging
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, fields
from functools import cached_property
from typing import TYPE_CHECKING, Any

from pydantic import TypeAdapter, ValidationError

from splade_anserini._version import __version__
from splade_anserini.artifacts.fingerprints import fingerprint_of_bytes
from splade_anserini.errors import InputError
from splade_anserini.serving.api_keys import ApiKeys, read_api_keys
from splade_anserini.serving.errors import overloaded
from splade_anserini.serving.opened_index import index_sources
from splade_anserini.serving.options import LimitOptions, ServedOptions
from splade_anserini.serving.ray_options import RayServeOptions, replica_range
from splade_anserini.serving.replicas import EncoderReplica, OtherDeployment, ShardReplica
from splade_anserini.serving.sharded_service import FAILS, ServedReplicas, ShardedService, Unanswered, checked
from splade_anserini.serving.shards import Shard, ShardedIndex, sharded_indexes
from splade_anserini.workers.ray_cluster import import_ray

if TYPE_CHECKING:
    from ray.serve import Application
    from ray.serve.handle import DeploymentHandle

    from splade_anserini.serving.gate import Gate

_log = logging.getLogger(__name__)

HTTP, ENCODER = "http", "encoder"
"""The names of the deployments that answer requests and encode queries; the others have the names of shards."""

_ATTEMPTS = 2
"""Replicas that are asked: one may die by chance; the second time it is likely to be the request."""

_PAUSE = 0.1
"""Seconds until another replica is asked while the service is deployed again."""

_HEALTH_PERIOD, _HEALTH_TIMEOUT = 1.0, 5.0
"""Seconds between two looks at a replica, and those it has to answer. The third time in a row, it is replaced."""

_SHARD_REQUESTS = 128
"""Requests at once of a replica that encodes or searches, running and waiting."""

_SPARE_REQUESTS = 64
"""Requests at once of a replica that answers, beyond --queue: those that it refuses, or that always get an answer."""


@dataclass(frozen=True)
class Served:
    """All that a service on Ray Serve is made of, in each of its processes."""

    served: ServedOptions
    limits: LimitOptions
    ray: RayServeOptions
    indexes: tuple[ShardedIndex, ...]
    samples: tuple[str, ...]
    keys: ApiKeys | None

    @cached_property
    def fingerprint(self) -> str:
        """What is served: the same for two deployments whose replicas may answer each other's requests."""
        shards = [shard.fingerprint for _, shard in self.shards]
        return fingerprint_of_bytes(__version__.encode(), repr(self.served).encode(), *map(str.encode, shards))

    @property
    def has_encoder(self) -> bool:
        """Whether any index has an encoder."""
        return any(index.can_encode for index in self.indexes)

    @property
    def shards(self) -> list[tuple[ShardedIndex, Shard]]:
        """All shards and text indexes, with their indexes."""
        return [(index, shard) for index in self.indexes for shard in index.all_shards]


def application(arguments: Mapping[str, Any]) -> "Application":
    """Return the application for `serve run` and the configuration files of Ray Serve.

    `arguments` are the options of the command `serve`, with their names on the command line or with underscores:
    {"index": ["shop=/data/products"], "shard-replicas": "1-4"}. `revision` is any value: with another one, Ray Serve
    deploys the same application again. Raises `InputError` for those that are not valid.
    """
    options = {name.replace("-", "_"): value for name, value in arguments.items()}
    keys = options.pop("api_keys", None)
    # Ray deploys again what has other arguments.
    options.pop("revision", None)
    groups = (ServedOptions, LimitOptions, RayServeOptions)
    names = [field.name for group in groups for field in fields(group)]
    if unknown := [name for name in options if name not in names]:
        raise InputError(f"The application has no argument {unknown[0]!r}.", expected=f"one of {', '.join(names)}")
    served, limits = _group(ServedOptions, options), _group(LimitOptions, options)
    return build(prepare(served, limits, _group(RayServeOptions, options | {"ray": True}), keys))


def prepare(served: ServedOptions, limits: LimitOptions, ray: RayServeOptions, api_keys: str | None) -> Served:
    """Check what is to be served. Raises `InputError`, and what `sharded_indexes` raises."""
    from splade_anserini.serving.java import start_java
    from splade_anserini.serving.web_page import read_sample_queries

    if served.writable:
        raise InputError("--writable needs a service of one process.", do="Leave --ray or --writable out.")
    if ray.shard_timeout >= limits.timeout:
        raise InputError(
            f"--shard-timeout ({ray.shard_timeout:g} s) must be less than --timeout ({limits.timeout:g} s).",
            do="Choose a greater --timeout, or a smaller --shard-timeout.",
        )
    keys = read_api_keys(api_keys) if api_keys else None
    start_java()
    indexes = tuple(sharded_indexes(index_sources(served), served))
    return Served(served, limits, ray, indexes, tuple(read_sample_queries(served.sample_queries)), keys)


def build(service: Served) -> "Application":
    """Return the application; Ray must be connected to its cluster."""
    from ray import serve

    cpus = _cpus_per_replica(service)
    settings = (service.served, service.fingerprint, cpus, _SHARD_REQUESTS, service.ray.shard_timeout)
    http = _deployment(service, HTTP, serve.ingress(lambda: _gated(service))(), cpus, service.ray.http_replicas)
    children = []
    if service.has_encoder:
        encoder = _deployment(service, ENCODER, EncoderReplica, cpus, service.ray.encoder_replicas)
        children.append(encoder.bind(service.indexes, *settings))
    for index, shard in service.shards:
        searcher = _deployment(service, shard.name, ShardReplica, cpus, service.ray.shard_replicas)
        children.append(searcher.bind(index, shard, *settings))
    return http.bind(*children)


def _deployment(service: Served, name: str, replica: type, cpus: float, replicas: str) -> Any:
    """Return how many replicas of a kind there are, and what each of them needs."""
    from ray import serve

    least, greatest = replica_range(replicas)
    target = service.ray.target_ongoing_requests
    scaling = {"min_replicas": least, "max_replicas": greatest, "target_ongoing_requests": target}
    count: dict[str, Any] = {"num_replicas": least} if least == greatest else {"autoscaling_config": scaling}
    is_http = name == HTTP
    return serve.deployment(
        replica,
        name=name,
        ray_actor_options={"num_cpus": cpus},
        max_ongoing_requests=service.limits.queue + _SPARE_REQUESTS if is_http else _SHARD_REQUESTS,
        max_queued_requests=service.limits.queue if is_http else -1,
        health_check_period_s=_HEALTH_PERIOD,
        health_check_timeout_s=_HEALTH_TIMEOUT,
        graceful_shutdown_timeout_s=service.limits.timeout,
        # Queries are not written to logs.
        logging_config={"enable_access_log": False},
        **count,
    )


def _gated(service: Served) -> "Gate":
    """Return the application of FastAPI with its limits and keys, in a process that answers."""
    from ray import serve

    from splade_anserini.serving.server import gated

    name = serve.get_replica_context().app_name

    def replicas(deployment: str) -> RayReplicas:
        handle = serve.get_deployment_handle(deployment, name)
        return RayReplicas(deployment, handle, service.fingerprint, service.ray.shard_timeout)

    encoders = replicas(ENCODER) if service.has_encoder else None
    shards = {shard.name: replicas(shard.name) for _, shard in service.shards}
    sharded = ShardedService(
        service.indexes, ServedReplicas(encoders, shards), service.limits, service.ray.missing_shards, service.samples
    )
    return gated(sharded, service.keys)


class RayReplicas:
    """The replicas of a deployment. When one dies meanwhile, another one is asked, once.

    Those that are left of another deployment of the service, or belong to the next one, do not answer.
    """

    def __init__(self, name: str, handle: "DeploymentHandle", deployment: str, timeout: float) -> None:
        self.name = name
        self._handle, self._deployment, self._timeout = handle, deployment, timeout

    async def call(self, method: str, *arguments: Any) -> Any:
        """Call a method of a replica, as `sharded_service.Replicas` says."""
        try:
            async with asyncio.timeout(self._timeout):
                deaths = 0
                while True:
                    answer = await self._answer(method, arguments)
                    if isinstance(answer, OtherDeployment):
                        await asyncio.sleep(_PAUSE)
                    elif answer is not None:
                        return checked(self.name, answer.value)
                    elif (deaths := deaths + 1) == _ATTEMPTS:
                        raise Unanswered(self.name, 503, "is not available")
        except TimeoutError as error:
            raise Unanswered(self.name, 504, f"did not answer within {self._timeout:g} s") from error

    async def _answer(self, method: str, arguments: Sequence[Any]) -> "_Answer | OtherDeployment | None":
        """Ask a replica; None when it dies."""
        from ray.exceptions import RayError, RayTaskError
        from ray.serve.exceptions import BackPressureError, RayServeException

        response = self._handle.answer.remote(self._deployment, method, *arguments)
        try:
            answer = await response
        except asyncio.CancelledError:
            response.cancel()
            raise
        except BackPressureError as error:
            raise overloaded() from error
        except RayTaskError as error:
            _log.exception("A replica of %s failed", self.name)
            raise Unanswered(self.name, 500, FAILS) from error
        except (RayError, RayServeException) as error:
            _log.warning("A replica of %s was lost (%s)", self.name, type(error).__name__)
            return None
        return answer if isinstance(answer, OtherDeployment) else _Answer(answer)


@dataclass(frozen=True, slots=True)
class _Answer:
    value: Any
    """It may be None."""


def _cpus_per_replica(service: Served) -> float:
    """Return the processors of a replica: 1, or its share where the cluster has fewer than there may be replicas."""
    if service.ray.cpus_per_replica:
        return service.ray.cpus_per_replica
    options = service.ray
    counts = [options.http_replicas, *([options.encoder_replicas] if service.has_encoder else [])]
    counts += [options.shard_replicas] * len(service.shards)
    replicas = sum(replica_range(count).greatest for count in counts)
    share = float(import_ray().cluster_resources().get("CPU", 1.0)) / replicas
    return min(1.0, max(0.01, math.floor(100 * share) / 100))


def _group[G](group: type[G], options: Mapping[str, Any]) -> G:
    """Return an option dataclass of arguments, which are texts where they come from a command line."""
    values = {field.name: options[field.name] for field in fields(group) if field.name in options}  # type: ignore[arg-type]
    for name in ("index", "bm25"):
        if isinstance(values.get(name), str):
            values[name] = (values[name],)
    try:
        return TypeAdapter(group).validate_python(values)
    except ValidationError as error:
        first = error.errors()[0]
        name = str(first["loc"][0]).replace("_", "-")
        raise InputError(f"The argument {name} of the application is not valid: {first['msg']}.") from error
