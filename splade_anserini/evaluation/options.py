"""Options of an evaluation. Importing this module loads nothing heavy."""

from enum import StrEnum

from splade_anserini.options import option, options


class Format(StrEnum):
    """An output format."""

    TABLE = "table"
    JSON = "json"
    CSV = "csv"


@options
class RandomizationOptions:
    """How the randomization test draws samples where it cannot try all signs."""

    permutations: int = option(default=100_000, least=1, help="With --baseline: samples of the randomization test.")
    seed: int = option(default=42, least=0, help="With --baseline: seed of these samples.")
