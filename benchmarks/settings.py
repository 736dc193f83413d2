"""The settings of all benchmarks, and the paths of the real data."""

from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True)
class Settings:
    """Where the inputs are, where files are written, and how much is measured."""

    data: Path
    work: Path
    full: bool = False
    rounds: int | None = None
    count: int | None = None

    @property
    def topics(self) -> Path:
        """The development queries of MS MARCO, encoded by DistilSPLADE-max."""
        return self.data / "encoded-queries" / "msmarco-passage.dev-subset.tsv.gz"

    @property
    def vectors(self) -> Path:
        """The documents of NFCorpus, encoded by SPLADE-v3."""
        return self.data / "splade-v3.nfcorpus" / "docs.jsonl.gz"

    @property
    def corpora(self) -> tuple[Path, ...]:
        """The collections whose texts are encoded."""
        return self.data / "cranfield", self.data / "nfcorpus"

    def documents(self) -> list[int]:
        """Return the numbers of synthetic documents: `count` if it is set, else 100,000, and a million if `full`."""
        if self.count:
            return [self.count]
        return [100_000, 1_000_000] if self.full else [100_000]

    def times(self, short: int, full: int) -> int:
        """Return the number of rounds: `rounds` if it is set, else one of the arguments."""
        return self.rounds or (full if self.full else short)


class MissingDataError(Exception):
    """An input of a benchmark does not exist."""


def required(*paths: Path) -> None:
    """Raise `MissingDataError` unless all paths exist."""
    missing = [str(path) for path in paths if not path.exists()]
    if missing:
        raise MissingDataError(f"{', '.join(missing)} not found")
