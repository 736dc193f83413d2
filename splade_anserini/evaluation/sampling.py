"""How the randomization test samples where it cannot try all signs."""

from dataclasses import dataclass

from splade_anserini.errors import InputError

PERMUTATIONS, SEED = 100_000, 42


@dataclass(frozen=True, slots=True)
class Sampling:
    """How many samples there are, and which. Raises `InputError` for numbers that are none."""

    permutations: int = PERMUTATIONS
    seed: int = SEED

    def __post_init__(self) -> None:
        if self.permutations < 1 or self.seed < 0:
            raise InputError(
                f"There cannot be {self.permutations} permutations with the seed {self.seed}.",
                expected="permutations from 1, and a seed from 0",
            )
