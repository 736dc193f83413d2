"""Options of an evaluation. Importing this module loads nothing heavy."""

from dataclasses import dataclass
from enum import StrEnum

from splade_anserini.errors import InputError

PERMUTATIONS, SEED = 100_000, 42


class Format(StrEnum):
    """An output format."""

    TABLE = "table"
    JSON = "json"
    CSV = "csv"


@dataclass(frozen=True, slots=True)
class RandomizationOptions:
    """How the randomization test draws samples where it cannot try all signs. Raises `InputError` out of range."""

    permutations: int = PERMUTATIONS
    seed: int = SEED

    def __post_init__(self) -> None:
        if self.permutations < 1:
            raise InputError(f"--permutations must be at least 1, got {self.permutations:,}.")
        if self.seed < 0:
            raise InputError(f"--seed must be at least 0, got {self.seed:,}.")
