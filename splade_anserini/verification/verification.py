"""Verifying an encoder: its vectors of texts beside reference vectors."""

from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass
from itertools import batched

from splade_anserini.errors import InputError, counted
from splade_anserini.formats.text_table import text_table
from splade_anserini.progress import Progress, silent
from splade_anserini.records import Side, SparseVector
from splade_anserini.verification.comparison import Comparison
from splade_anserini.verification.reference_vectors import SIDES, ReferenceVector

DEFAULT_BOUND = 1e-4
"""Greatest difference between two weights, relative to the weight if that is above 1."""
REDUCED_BOUND = 0.25
"""Greatest mean difference of an encoder in int8, bf16 or fp16: the bound of `export --precision int8`."""

_BATCH = 32
_NAMES = {"document": "documents", "query": "queries"}

type Encode = Callable[[Sequence[str]], Sequence[SparseVector]]


@dataclass(frozen=True, slots=True)
class VerifiedEncoder:
    """What a verification needs of an encoder."""

    encode: Encode
    has_tokens: Callable[[Sequence[str]], Sequence[bool]]
    """Says of each text whether it has tokens; a text without any has an empty vector by design."""
    masked: Collection[str] = frozenset()
    """Tokens whose weight is 0 by design."""


@dataclass(frozen=True, slots=True)
class Verification:
    """The result of verifying an encoder."""

    name: str
    against: str
    comparisons: tuple[Comparison, ...]
    """One for documents, one for queries; only for sides that the reference has."""
    bound: float
    bounded: str = "greatest"
    """Which difference the bound applies to: "greatest" or "mean"."""
    lengths: Mapping[Side, int] | None = None
    """Tokens of a text that the encoder reads."""
    notes: tuple[str, ...] = ()

    @property
    def passed(self) -> bool:
        """Whether the differences of all sides are within the bound."""
        return all(self._bounded_difference(comparison) <= self.bound for comparison in self.comparisons)

    def values(self) -> dict[str, object]:
        """Return the result as JSON values."""
        return {
            "kind": "encoder",
            "name": self.name,
            "against": self.against,
            "passed": self.passed,
            "bound": self.bound,
            "bounded": self.bounded,
            "sides": {_NAMES[comparison.side]: self._side_values(comparison) for comparison in self.comparisons},
            "notes": list(self.notes),
        }

    def text(self) -> str:
        """Return the result as a table with a verdict below it."""
        rows = [["", "texts", "greatest difference", "mean difference", "equal impacts"]]
        rows += [
            [
                _NAMES[comparison.side],
                f"{comparison.texts:,}",
                f"{comparison.max_difference:.2g}",
                f"{comparison.mean_difference:.2g}",
                f"{comparison.equal_impacts:.2%}",
            ]
            for comparison in self.comparisons
        ]
        return "".join(
            [f"{self.name} beside {self.against}\n", text_table(rows), *(f"{line}\n" for line in self._lines())]
        )

    def _lines(self) -> Iterable[str]:
        # The texts are the same for both sides.
        empty = max(comparison.empty for comparison in self.comparisons)
        masked = sum(comparison.masked_entries for comparison in self.comparisons)
        if empty or masked:
            left_out = [counted(empty, "text without tokens", "texts without tokens")] if empty else []
            left_out += [counted(masked, "masked entry", "masked entries")] if masked else []
            yield f"left out: {' and '.join(left_out)}"
        yield from self.notes
        if self.passed:
            yield f"pass: the {self.bounded} difference is at most {self.bound:g}"
            return
        yield f"fail: the {self.bounded} difference is above {self.bound:g}"
        for comparison in self.comparisons:
            if not self._bounded_difference(comparison) <= self.bound:
                yield f"  {comparison.greatest}"

    def _bounded_difference(self, comparison: Comparison) -> float:
        return comparison.max_difference if self.bounded == "greatest" else comparison.mean_difference

    def _side_values(self, comparison: Comparison) -> dict[str, object]:
        greatest = comparison.greatest
        values: dict[str, object] = {
            "texts": comparison.texts,
            "empty": comparison.empty,
            "entries": comparison.entries,
            "masked_entries": comparison.masked_entries,
            "max_difference": comparison.max_difference,
            "mean_difference": comparison.mean_difference,
            "equal_impacts": comparison.equal_impacts,
        }
        if self.lengths and comparison.side in self.lengths:
            values["max_length"] = self.lengths[comparison.side]
        if greatest and greatest.size:
            values["greatest"] = {
                "id": greatest.id,
                "token": greatest.token,
                "weight": greatest.weight,
                "expected": greatest.expected,
            }
        return values


def compare_vectors(
    references: Iterable[ReferenceVector],
    encoders: Mapping[Side, VerifiedEncoder],
    scale: float,
    progress: Progress = silent,
) -> tuple[Comparison, ...]:
    """Encode the text of each reference and compare the vectors; return one comparison for each side that there is.

    References are read in batches, so that memory does not grow with their number. Raises `InputError` when no text
    could be compared.
    """
    comparisons = {side: Comparison(side, scale, encoders[side].masked) for side in SIDES if side in encoders}
    for batch in batched(references, _BATCH):
        for side, comparison in comparisons.items():
            _compare_batch([reference for reference in batch if reference.side == side], encoders[side], comparison)
        progress(len(batch))
    if not any(comparison.texts for comparison in comparisons.values()):
        raise InputError("No text could be compared.", expected="at least one text with a token")
    return tuple(comparison for comparison in comparisons.values() if comparison.texts)


def _compare_batch(references: list[ReferenceVector], encoder: VerifiedEncoder, comparison: Comparison) -> None:
    texts = [reference.text for reference in references]
    if not texts:
        return
    for reference, has_tokens, vector in zip(references, encoder.has_tokens(texts), encoder.encode(texts), strict=True):
        if has_tokens:
            comparison.add(reference, vector)
        else:
            comparison.empty += 1
