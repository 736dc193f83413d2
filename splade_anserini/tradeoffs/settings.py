"""What is varied: pruning of documents and of queries, bits of an impact, terms of a first phase."""

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from itertools import product
from typing import Literal, get_args

from splade_anserini.errors import InputError
from splade_anserini.records import ImpactVector
from splade_anserini.vectors.pruning import impact_at_quantile, prune_below, prune_to_mass, prune_top_k

type PruningKind = Literal["top-k", "min-impact", "mass", "quantile"]
KINDS: tuple[PruningKind, ...] = get_args(PruningKind.__value__)

_COUNTS = {"top-k", "min-impact"}
_FORM = "a kind and its values, as in top-k=64,128 min-impact=20 mass=0.9 or quantile=0.5"


@dataclass(frozen=True, slots=True)
class Pruning:
    """Which entries of a vector are kept. Raises `InputError` for a value that the kind cannot have."""

    kind: PruningKind
    value: float

    def __post_init__(self) -> None:
        if self.kind in _COUNTS:
            fits, expected = self.value >= 1 and self.value == int(self.value), "a whole number from 1"
        else:
            fits, expected = 0 < self.value < 1, "a number above 0, below 1"
        if not fits:
            raise InputError(f"Pruning by {self.kind}={self.value:g}.", expected=expected)

    def __str__(self) -> str:
        return f"{self.kind}={int(self.value) if self.kind in _COUNTS else self.value}"

    def function(self, impacts: Mapping[int, int]) -> Callable[[ImpactVector], ImpactVector]:
        """Return what prunes one vector; `impacts` is how many entries of all vectors have each impact."""
        value, count = self.value, int(self.value)
        match self.kind:
            case "top-k":
                return lambda vector: prune_top_k(vector, count)
            case "min-impact":
                return lambda vector: prune_below(vector, count)
            case "mass":
                return lambda vector: prune_to_mass(vector, value)
            case "quantile":
                least = impact_at_quantile(impacts, value)
                return lambda vector: prune_below(vector, least)


def parse_prunings(texts: Iterable[str]) -> list[Pruning]:
    """Parse "top-k=64,128" and the like, each pruning once, in order. Raises `InputError` for what is none."""
    found = dict[Pruning, None]()
    for text in texts:
        name, equals, values = text.partition("=")
        kind = next((kind for kind in KINDS if kind == name.strip()), None)
        if kind is None or not equals:
            raise InputError(f"There is no pruning {text!r}.", expected=_FORM)
        for value in values.split(","):
            try:
                found[Pruning(kind, float(value))] = None
            except (ValueError, OverflowError) as error:
                raise InputError(f"Pruning by {kind} takes no {value!r}.", expected=_FORM) from error
    return list(found)


@dataclass(frozen=True, slots=True)
class Setting:
    """One way to search. None is the exact one: nothing left out, impacts as they are, one phase."""

    documents: Pruning | None = None
    bits: int | None = None
    queries: Pruning | None = None
    two_phase: int | None = None
    """Tokens of a query in the first phase."""

    @property
    def parts(self) -> dict[str, str]:
        """What differs from the exact search, by the name of what is varied, as text."""
        named = {
            "documents": self.documents,
            "bits": self.bits,
            "queries": self.queries,
            "two-phase": self.two_phase,
        }
        return {name: str(value) for name, value in named.items() if value is not None}

    @property
    def of_index(self) -> "Setting":
        """The same index, searched exactly."""
        return Setting(self.documents, self.bits)

    def __str__(self) -> str:
        return ", ".join(f"{name} {value}" for name, value in self.parts.items()) or EXACT


EXACT = "exact"


@dataclass(frozen=True, slots=True)
class Space:
    """The values of all that is varied, besides the exact ones."""

    documents: Sequence[Pruning] = ()
    bits: Sequence[int] = ()
    queries: Sequence[Pruning] = ()
    two_phase: Sequence[int] = ()

    def settings(self, *, grid: bool = False) -> list[Setting]:
        """Return the exact setting, then each value alone; with `grid` all combinations.

        Those that share an index, by the pruning of documents and the bits, stand together.
        """
        every = product(*([None, *values] for values in (self.documents, self.bits, self.queries, self.two_phase)))
        settings = [Setting(*values) for values in every]
        return settings if grid else [setting for setting in settings if len(setting.parts) <= 1]


DEFAULT = Space(
    documents=tuple(parse_prunings(["top-k=32,64,128", "min-impact=20,50", "mass=0.7,0.8,0.9", "quantile=0.25,0.5"])),
    bits=(2, 4, 6, 8),
    queries=tuple(parse_prunings(["top-k=4,8,16", "min-impact=20,50"])),
    two_phase=(4, 8),
)
"""What is varied when nothing is named."""
