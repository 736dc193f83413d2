"""Options of building an index in several processes or as several shards. Importing this module loads nothing heavy."""

from splade_anserini.errors import InputError
from splade_anserini.options import option, options
from splade_anserini.workers.options import WorkerOptions


@options
class IndexWorkerOptions:
    """In how many processes an index is built, and as how many shards. Raises `InputError` for invalid values."""

    workers: int | None = option(
        default=None,
        least=1,
        help="Processes that index, each some of the files, with their share of --threads; the results are joined.",
        unset="1; with --ray all that the cluster has",
        recorded=False,
    )
    shards: int | None = option(
        default=None,
        least=1,
        help="Write a sharded index: so many indexes, each of some of the files, that are searched as one.",
        unset="one index",
    )
    ray: bool = option(default=False, help="Workers are actors of Ray, in a cluster on this machine.", recorded=False)
    ray_address: str | None = option(
        default=None,
        metavar="ADDRESS",
        help="Use a Ray cluster that runs: auto, HOST:PORT or ray://HOST:PORT. Its nodes need the same file system.",
        unset="start one on this machine",
        recorded=False,
    )
    cpus_per_worker: float | None = option(
        default=None, above=0, help="With --ray: processors, and threads, of a worker.", unset="1", recorded=False
    )

    def __post_init__(self) -> None:
        # It checks what belongs to Ray.
        _ = self.on_ray

    @property
    def on_ray(self) -> WorkerOptions | None:
        """The options of the actors of Ray; None without Ray."""
        options = WorkerOptions(
            workers=self.workers,
            ray=self.ray,
            ray_address=self.ray_address,
            cpus_per_worker=self.cpus_per_worker,
        )
        return options if options.on_ray else None

    def check_writer(self, writer: str) -> None:
        """Raise `InputError` for options that need Lucene's own writer."""
        used = {"--workers": (self.workers or 1) > 1, "--shards": self.shards is not None, "--ray": bool(self.on_ray)}
        for name, is_used in used.items():
            if is_used and writer != "lucene":
                raise InputError(f"{name} needs --writer lucene, got {writer}.", do=f"Leave {name} out.")
