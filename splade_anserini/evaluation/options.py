"""Options of an evaluation. Importing this module loads nothing heavy."""

from enum import StrEnum

from splade_anserini.errors import InputError
from splade_anserini.options import option, options


class Format(StrEnum):
    """An output format."""

    TABLE = "table"
    JSON = "json"
    CSV = "csv"
    LATEX = "latex"
    MARKDOWN = "markdown"


@options
class RandomizationOptions:
    """How the randomization test draws samples where it cannot try all signs."""

    permutations: int = option(default=100_000, least=1, help="With --baseline: samples of the randomization test.")
    seed: int = option(default=42, least=0, help="With --baseline or --confidence: seed of the samples.")


@options
class BootstrapOptions:
    """Confidence intervals, from samples of the queries."""

    confidence: float | None = option(
        default=None, help="Show bootstrap intervals of this confidence, such as 0.95.", unset="no intervals"
    )
    bootstraps: int = option(default=10_000, least=1, help="With --confidence: samples of the queries.")

    def __post_init__(self) -> None:
        if self.confidence is not None and not 0 < self.confidence < 1:
            raise InputError(
                f"--confidence must be between 0 and 1, got {self.confidence:g}.", do="Pass 0.95 for 95 %."
            )
