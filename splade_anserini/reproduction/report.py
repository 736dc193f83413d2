"""The report of a reproduction: scores compared with expected scores, steps, versions and machine."""

import platform
from pathlib import Path
from typing import Literal

from pydantic import AliasChoices, Field

from splade_anserini._version import __version__
from splade_anserini.artifacts.environment import environment, package_versions
from splade_anserini.artifacts.manifests import IndexManifest, read_manifest
from splade_anserini.artifacts.model import Model
from splade_anserini.cards.index_card import IndexCard
from splade_anserini.reproduction.expectations import Check, all_passed


class StepResult(Model):
    """What a step wrote, and how long it took."""

    name: str
    result: str = Field(validation_alias=AliasChoices("result", "what"))
    seconds: float
    completed_before: str | None = Field(default=None, validation_alias=AliasChoices("completed_before", "before"))
    """When an earlier command completed it, in UTC; None when this one did."""


class Report(Model):
    """The report of a reproduction; it passes when no check fails."""

    kind: Literal["reproduction report"] = "reproduction report"
    card: str
    description: str
    passed: bool
    checks: tuple[Check, ...] = Field(validation_alias=AliasChoices("checks", "lines"))
    steps: tuple[StepResult, ...]
    versions: dict[str, str]
    machine: dict[str, str]

    @classmethod
    def of(cls, card: IndexCard, checks: tuple[Check, ...], steps: tuple[StepResult, ...], index: Path) -> "Report":
        """Return the report of a card whose index is at `index`, with the versions and the machine of this process."""
        return cls(
            card=card.name,
            description=card.description,
            passed=all_passed(checks),
            checks=checks,
            steps=steps,
            versions=_versions(index),
            machine=_machine(),
        )


def _versions(index: Path) -> dict[str, str]:
    manifest = read_manifest(index, IndexManifest)
    own = {"splade-anserini": __version__, "Python": platform.python_version()}
    return own | package_versions() | ({"index writer": manifest.writer} if manifest else {})


def _machine() -> dict[str, str]:
    facts = environment()
    return {
        "system": f"{platform.system()} {facts['machine']}",
        "cores": str(facts["cores"]),
        "memory": f"{int(facts['memory']) / 2**30:.0f} GB",
    }
