"""The results of a sweep, stored in its manifest so that it can be resumed, and their Pareto fronts."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Literal

import pydantic

from splade_anserini._version import __version__
from splade_anserini.artifacts.changes import changes
from splade_anserini.artifacts.manifests import read_manifest, write_manifest
from splade_anserini.artifacts.model import Model
from splade_anserini.errors import MismatchError

COSTS = ("flops", "bytes", "milliseconds")
"""Costs that have a Pareto front."""

OPTIONAL = ("text index", "texts", "bm25")
"""Inputs that only hybrid searches have."""

_RENAMED = {"two-phase ": "two-step "}
"""Words in the names of settings that earlier versions wrote → what they are now."""


class Result(Model):
    """Counts, times and measures of one setting."""

    entries_document: float
    """Mean over all documents, including those that pruning emptied."""
    entries_query: float
    postings: int
    bytes: int
    """Bytes of the index on disk."""
    flops: float
    """Σ_j p_j^q p_j^d of the first step, and the lookups of the second step per pair of a query and a document."""
    milliseconds: float
    """Mean time of a query."""
    milliseconds_p95: float | None
    """None when too few queries were timed."""
    measures: dict[str, float]


class SweepManifest(Model):
    """The manifest in the output directory of a sweep."""

    kind: Literal["sweep"] = "sweep"
    version: str = __version__
    inputs: dict[str, pydantic.JsonValue]
    """Everything that decides the counts and measures of a setting."""
    rows: dict[str, Result] = pydantic.Field(default_factory=dict)
    """Name of a setting → its result."""

    @pydantic.field_validator("rows", mode="before")
    @classmethod
    def _read_old_names(cls, rows: Any) -> Any:
        """Read names of settings as earlier versions wrote them."""
        if not isinstance(rows, dict):
            return rows
        return {_current_name(name): row for name, row in rows.items()}


def _current_name(name: str) -> str:
    for old, new in _RENAMED.items():
        name = name.replace(old, new)
    return name


class SweepState:
    """The results in the manifest of `directory`, written after each addition."""

    def __init__(self, directory: Path, inputs: Mapping[str, pydantic.JsonValue], *, overwrite: bool = False) -> None:
        """Load the results, unless `overwrite` starts over. Raises `MismatchError` when they have other inputs."""
        self._directory = directory
        found = read_manifest(directory, SweepManifest)
        manifest = None if overwrite else found
        # What only some settings need may be there before or now, or both times and then must be the same.
        before, now = (manifest.inputs if manifest else {}), dict(inputs)
        before, now = _with_optional(before, now), _with_optional(now, before)
        if manifest and before != now:
            raise MismatchError(
                f"The sweep in {directory} was created with other inputs: {changes(before, now)}.",
                expected="the same inputs, to resume it",
                do="Choose another --output, or pass --overwrite to start over.",
            )
        self._manifest = (manifest or SweepManifest(inputs={})).model_copy(update={"inputs": now})

    @property
    def results(self) -> Mapping[str, Result]:
        """The results by the names of their settings."""
        return self._manifest.rows

    def add(self, results: Mapping[str, Result]) -> None:
        """Add results and write the manifest."""
        self._manifest = self._manifest.model_copy(update={"rows": {**self.results, **results}})
        write_manifest(self._directory, self._manifest)


def _with_optional(
    inputs: Mapping[str, pydantic.JsonValue], others: Mapping[str, pydantic.JsonValue]
) -> dict[str, pydantic.JsonValue]:
    return dict(inputs) | {name: others[name] for name in OPTIONAL if name in others and name not in inputs}


def pareto_front(points: Sequence[tuple[float, float]]) -> list[bool]:
    """Return for each (cost, value) whether it is on the Pareto front: no other point costs less or is worth more.

    Precisely, every other point costs more, is worth less, or equals it.
    """
    best_values: dict[float, float] = {}
    for cost, value in points:
        best_values[cost] = max(value, best_values.get(cost, value))
    greatest, front = float("-inf"), set[tuple[float, float]]()
    for cost in sorted(best_values):
        if best_values[cost] > greatest:
            greatest = best_values[cost]
            front.add((cost, greatest))
    return [point in front for point in points]


def pareto_fronts(results: Sequence[Result], measure: str) -> dict[str, list[bool]]:
    """Return for each cost which results are on the Pareto front of the measure and this cost."""
    return {
        cost: pareto_front([(getattr(result, cost), result.measures[measure]) for result in results]) for cost in COSTS
    }
