"""What all benchmarks are told, and where the real data lie."""

from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True)
class Settings:
    """Where inputs are, where files may go, and how much to do."""

    data: Path
    work: Path
    full: bool = False
    rounds: int | None = None
    count: int | None = None

    @property
    def topics(self) -> Path:
        """The MS MARCO development queries as DistilSPLADE-max encodes them."""
        return self.data / "encoded-queries" / "msmarco-passage.dev-subset.tsv.gz"

    @property
    def vectors(self) -> Path:
        """The documents of NFCorpus as SPLADE-v3 encodes them."""
        return self.data / "splade-v3.nfcorpus" / "docs.jsonl.gz"

    @property
    def corpora(self) -> tuple[Path, ...]:
        """Real texts."""
        return self.data / "cranfield", self.data / "nfcorpus"

    def documents(self) -> list[int]:
        """Return how many synthetic documents to take: what was asked for, or 100,000, or a million as well."""
        if self.count:
            return [self.count]
        return [100_000, 1_000_000] if self.full else [100_000]

    def times(self, short: int, full: int) -> int:
        """Return the number of rounds: the one that was asked for, or one of these."""
        return self.rounds or (full if self.full else short)


class MissingDataError(Exception):
    """A benchmark's input is not there."""


def required(*paths: Path) -> None:
    """Raise `MissingDataError` unless all paths exist."""
    missing = [str(path) for path in paths if not path.exists()]
    if missing:
        raise MissingDataError(f"needs {', '.join(missing)}")
