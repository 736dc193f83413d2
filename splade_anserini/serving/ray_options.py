"""The options of `serve --ray`. Importing this module loads nothing heavy."""

import re
from dataclasses import fields
from typing import Literal, NamedTuple

from splade_anserini.errors import InputError
from splade_anserini.options import option, option_name, options

type MissingShards = Literal["error", "report"]

_REPLICAS = re.compile(r"([1-9][0-9]{0,3})(?:-([1-9][0-9]{0,3}))?")


class ReplicaRange(NamedTuple):
    """How many replicas there are, at least and at most."""

    least: int
    greatest: int


@options
class RayServeOptions:
    """Whether and how a service runs on Ray Serve. Raises `InputError` for invalid values."""

    ray: bool = option(default=False, help="Serve on Ray, in a cluster on this machine that ends with the command.")
    ray_address: str | None = option(
        default=None,
        metavar="ADDRESS",
        help="Serve on a Ray cluster that runs: auto, HOST:PORT or ray://HOST:PORT. Its nodes need the same files, "
        "under the same paths. Implies --ray.",
        unset="start one on this machine",
    )
    http_replicas: str = option(default="1", metavar="N|MIN-MAX", help="With --ray: processes that answer requests.")
    encoder_replicas: str = option(
        default="1",
        metavar="N|MIN-MAX",
        help="With --ray: processes that encode queries. MIN-MAX: as many as it takes.",
    )
    shard_replicas: str = option(
        default="1", metavar="N|MIN-MAX", help="With --ray: processes that search, of each shard and each text index."
    )
    target_ongoing_requests: float = option(
        default=8.0, above=0, help="With --ray: requests at once for which one more process of a kind is started."
    )
    cpus_per_replica: float | None = option(
        default=None,
        above=0,
        help="With --ray: processors of each process.",
        unset="1, or its share where the cluster has fewer",
    )
    shard_timeout: float = option(
        default=5.0, above=0, metavar="SECONDS", help="With --ray: a shard that takes longer is missing in the answer."
    )
    missing_shards: MissingShards = option(
        default="error",
        help="With --ray, when a shard does not answer: error answers 503 or 504 with its name, report gives the hits "
        "of the other shards, and names it in missing_shards.",
    )

    def __post_init__(self) -> None:
        for field in fields(self):
            name, value = option_name(field), getattr(self, field.name)
            if not self.on_ray and value != field.default:
                raise InputError(f"{name} needs --ray or --ray-address.")
            if field.name.endswith("_replicas"):
                replica_range(value, name)

    @property
    def on_ray(self) -> bool:
        """Whether the service runs on Ray."""
        return self.ray or self.ray_address is not None


def replica_range(text: str, name: str = "A number of replicas") -> ReplicaRange:
    """Read N or MIN-MAX. Raises `InputError` for anything else."""
    match = _REPLICAS.fullmatch(text)
    if match is None or int(match[1]) > int(match[2] or match[1]):
        raise InputError(f"{name} is {text!r}.", expected="a number such as 2, or the least and the greatest: 1-8")
    return ReplicaRange(int(match[1]), int(match[2] or match[1]))
