"""What was measured of each setting, kept in the manifest of a sweep so that it can go on."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Literal

import pydantic

from splade_anserini._version import __version__
from splade_anserini.artifacts.manifests import Model, changes, read_manifest, write_manifest
from splade_anserini.errors import MismatchError
from splade_anserini.tradeoffs.pareto import front

COSTS = ("flops", "bytes", "milliseconds")
"""What a front is drawn against."""


class Row(Model):
    """One setting, measured."""

    entries_document: float
    """The mean over all documents, those that pruning emptied too."""
    entries_query: float
    postings: int
    bytes: int
    """Of the index."""
    flops: float
    """Σ_j p_j^q p_j^d of the (first) search, and of the second phase the look-ups, for a query and a document."""
    milliseconds: float
    """Of a query, the mean."""
    milliseconds_p95: float | None
    """None when too few queries were timed."""
    measures: dict[str, float]


class SweepManifest(Model):
    """In the directory of a sweep."""

    kind: Literal["sweep"] = "sweep"
    version: str = __version__
    inputs: dict[str, pydantic.JsonValue]
    """All that decides the counts and measures of a setting."""
    rows: dict[str, Row] = pydantic.Field(default_factory=dict)
    """By the names of the settings."""


class Rows:
    """The manifest of a sweep in `directory`, written anew when something was measured."""

    def __init__(self, directory: Path, inputs: Mapping[str, pydantic.JsonValue], *, force: bool = False) -> None:
        """Take up what is there. Raises `MismatchError` when it has other inputs, unless `force` begins anew."""
        self._directory = directory
        known = read_manifest(directory, SweepManifest)
        if known and known.inputs != inputs and not force:
            raise MismatchError(
                f"The sweep in {directory} was begun with other inputs: {changes(known.inputs, inputs)}.",
                expected="the same inputs, to go on",
                do="Name another --output, or add --overwrite to start over.",
            )
        same = known is not None and known.inputs == inputs
        self._manifest = known if known and same else SweepManifest(inputs=dict(inputs))

    @property
    def done(self) -> Mapping[str, Row]:
        """What is measured, by the names of the settings."""
        return self._manifest.rows

    def record(self, rows: Mapping[str, Row]) -> None:
        """Add settings that were measured."""
        self._manifest = self._manifest.model_copy(update={"rows": {**self.done, **rows}})
        write_manifest(self._directory, self._manifest)


def fronts(rows: Sequence[Row], measure: str) -> dict[str, list[bool]]:
    """Say for each of `COSTS` which rows are on the front of this measure against it."""
    return {cost: front([(getattr(row, cost), row.measures[measure]) for row in rows]) for cost in COSTS}
