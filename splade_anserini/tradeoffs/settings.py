"""The settings of a sweep: pruning of documents and queries, bits of an impact, two-step search, idf and BM25."""

import math
import operator
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from itertools import product
from typing import Any, Literal, get_args

from splade_anserini.errors import InputError
from splade_anserini.formats.parsing.numbers import parse_number
from splade_anserini.records import ImpactVector
from splade_anserini.vectors.pruning import impact_at_quantile, prune_below, prune_to_mass, prune_top_k

type PruningKind = Literal["top-k", "min-impact", "mass", "quantile"]
KINDS: tuple[PruningKind, ...] = get_args(PruningKind.__value__)

_INTEGER_KINDS = {"top-k", "min-impact"}
_SYNTAX = "a kind and its values, such as top-k=64,128 min-impact=20 mass=0.9 or quantile=0.5"


@dataclass(frozen=True, slots=True)
class Pruning:
    """A rule that decides which entries of a vector are kept. Raises `InputError` for a value out of range."""

    kind: PruningKind
    value: float

    def __post_init__(self) -> None:
        if self.kind in _INTEGER_KINDS:
            valid, expected = self.value >= 1 and self.value == int(self.value), "an integer of at least 1"
        else:
            valid, expected = 0 < self.value < 1, "a number between 0 and 1"
        if not valid:
            raise InputError(f"Invalid pruning {self.kind}={self.value:g}.", expected=expected)

    def __str__(self) -> str:
        return f"{self.kind}={int(self.value) if self.kind in _INTEGER_KINDS else self.value}"

    def function(self, impacts: Mapping[int, int]) -> Callable[[ImpactVector], ImpactVector]:
        """Return the function that prunes one vector; `impacts` maps each impact to its number of entries."""
        value, integer = self.value, int(self.value)
        match self.kind:
            case "top-k":
                return lambda vector: prune_top_k(vector, integer)
            case "min-impact":
                return lambda vector: prune_below(vector, integer)
            case "mass":
                return lambda vector: prune_to_mass(vector, value)
            case "quantile":
                threshold = impact_at_quantile(impacts, value)
                return lambda vector: prune_below(vector, threshold)


def parse_prunings(texts: Iterable[str]) -> list[Pruning]:
    """Parse texts such as "top-k=64,128"; each pruning is returned once. Raises `InputError` for invalid syntax."""
    prunings = dict[Pruning, None]()
    for text in texts:
        name, equals, values = text.partition("=")
        kind = next((kind for kind in KINDS if kind == name.strip()), None)
        if kind is None or not equals:
            raise InputError(f"Invalid pruning {text!r}.", expected=_SYNTAX)
        for value in values.split(","):
            try:
                prunings[Pruning(kind, float(value))] = None
            except (ValueError, OverflowError) as error:
                raise InputError(f"Invalid value {value!r} of pruning {kind}.", expected=_SYNTAX) from error
    return list(prunings)


def parse_values(option: str, texts: Iterable[str], greatest: float = math.inf) -> list[float]:
    """Parse texts such as "0.25,0.5"; each number is returned once. Raises `InputError`, which names the option."""
    numbers = dict[float, None]()
    for value in (value.strip() for text in texts for value in text.split(",")):
        number = parse_number(value)
        if number is None or not 0 <= number <= greatest:
            upper = "" if math.isinf(greatest) else f" and at most {greatest:g}"
            raise InputError(
                f"{option} {value!r} is not valid.",
                expected=f"numbers of at least 0{upper}, such as 0.25,0.5",
            )
        numbers[number] = None
    return list(numbers)


@dataclass(frozen=True, slots=True)
class Setting:
    """A way to search; the defaults are the exact search of unpruned documents."""

    documents: Pruning | None = None
    bits: int | None = None
    queries: Pruning | None = None
    two_step: int | None = None
    """Tokens of a query in the first step."""
    query_idf: float = 0.0
    """The power of idf by which the impacts of queries are multiplied."""
    hybrid: float | None = None
    """The weight of BM25, whose scores are fused in."""

    @property
    def variations(self) -> dict[str, str]:
        """What differs from the exact search, and its value as text."""
        values = {
            "documents": self.documents,
            "bits": self.bits,
            "queries": self.queries,
            "two-step": self.two_step,
            "query-idf": f"{self.query_idf:g}" if self.query_idf else None,
            "hybrid": None if self.hybrid is None else f"{self.hybrid:g}",
        }
        return {name: str(value) for name, value in values.items() if value is not None}

    @property
    def index_setting(self) -> "Setting":
        """The exact search of the same index."""
        return Setting(self.documents, self.bits)

    def __str__(self) -> str:
        return ", ".join(f"{name} {value}" for name, value in self.variations.items()) or EXACT


EXACT = "exact"


@dataclass(frozen=True, slots=True)
class Space:
    """The values to try, besides the exact search."""

    documents: Sequence[Pruning] = ()
    bits: Sequence[int] = ()
    queries: Sequence[Pruning] = ()
    two_step: Sequence[int] = ()
    query_idf: Sequence[float] = ()
    hybrid: Sequence[float] = ()
    usual_idf: float = 0.0
    """The power of idf where only something else is varied."""

    def settings(self, *, grid: bool = False) -> list[Setting]:
        """Return the usual setting and each value alone, or all combinations with `grid`.

        Settings that search the same index, with the same pruning of documents and bits, are consecutive.
        """
        values: list[list[Any]] = [[None, *v] for v in (self.documents, self.bits, self.queries, self.two_step)]
        values.append(list(dict.fromkeys([self.usual_idf, *self.query_idf])))
        values.append([None, *self.hybrid])
        usual = tuple(options[0] for options in values)
        return [
            Setting(*combination)
            for combination in product(*values)
            if grid or sum(map(operator.ne, combination, usual)) <= 1
        ]


DEFAULT = Space(
    documents=tuple(parse_prunings(["top-k=32,64,128", "min-impact=20,50", "mass=0.7,0.8,0.9", "quantile=0.25,0.5"])),
    bits=(2, 4, 6, 8),
    queries=tuple(parse_prunings(["top-k=4,8,16", "min-impact=20,50"])),
    two_step=(4, 8),
)
"""The values tried when none are given; powers of idf and weights of BM25 are chosen, not traded off."""
