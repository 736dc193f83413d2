"""The options of commands that work in several processes. Importing this module loads nothing heavy."""

from splade_anserini.errors import InputError
from splade_anserini.options import option, options


@options
class WorkerOptions:
    """In how many processes the work is done, and on which machines. Raises `InputError` for a value out of range."""

    workers: int | None = option(
        default=None,
        least=1,
        help="Processes that encode, each with a model; --threads are divided among them.",
        unset="1; with several devices or --ray, one for each device or all that the cluster has",
        recorded=False,
    )
    ray: bool = option(default=False, help="Workers are actors of Ray, in a cluster on this machine.", recorded=False)
    ray_address: str | None = option(
        default=None,
        metavar="ADDRESS",
        help="Use a Ray cluster that runs: auto, HOST:PORT or ray://HOST:PORT. Implies --ray.",
        unset="start one on this machine",
        recorded=False,
    )
    cpus_per_worker: float | None = option(
        default=None, above=0, help="With --ray: processors, and threads, of a worker.", unset="1", recorded=False
    )
    gpus_per_worker: float | None = option(
        default=None,
        least=0,
        help="With --ray: GPUs of a worker; .5 puts two on each.",
        unset="0",
        recorded=False,
    )

    def __post_init__(self) -> None:
        for name in ("cpus_per_worker", "gpus_per_worker"):
            if getattr(self, name) is not None and not self.on_ray:
                raise InputError(f"--{name.replace('_', '-')} needs --ray or --ray-address.")

    @property
    def on_ray(self) -> bool:
        """Whether the workers are actors of Ray."""
        return self.ray or self.ray_address is not None
