"""Options of building an index in several processes or as several shards. Importing this module loads nothing heavy."""

from splade_anserini.errors import InputError
from splade_anserini.options import option, options


@options
class IndexWorkerOptions:
    """In how many processes an index is built, and as how many shards. Raises `InputError` for invalid values."""

    workers: int = option(
        default=1,
        least=1,
        help="Processes that index, each some of the files, with their share of --threads; the results are joined.",
        recorded=False,
    )
    shards: int | None = option(
        default=None,
        least=1,
        help="Write a sharded index: so many indexes, each of some of the files, that are searched as one.",
        unset="one index",
    )

    def check_writer(self, writer: str) -> None:
        """Raise `InputError` for options that need Lucene's own writer."""
        for name, is_used in (("--workers", self.workers > 1), ("--shards", self.shards is not None)):
            if is_used and writer != "lucene":
                raise InputError(f"{name} needs --writer lucene, got {writer}.", do=f"Leave {name} out.")
