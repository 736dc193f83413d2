"""The ledger of a reproduction: which steps were done, and with which settings."""

from datetime import UTC, datetime
from pathlib import Path
from typing import Literal

import pydantic
from pydantic import AliasChoices, Field

from splade_anserini._version import __version__
from splade_anserini.artifacts.changes import changes
from splade_anserini.artifacts.manifests import read_manifest, write_manifest
from splade_anserini.artifacts.model import Model
from splade_anserini.errors import MismatchError

type Settings = dict[str, pydantic.JsonValue]
"""All that decides what a step writes."""


class CompletedStep(Model):
    """A step that was completed."""

    settings: Settings
    result: str = Field(validation_alias=AliasChoices("result", "what"))
    """What the step wrote, as text."""
    seconds: float
    finished: str
    """The time of completion, in UTC."""


class StartedStep(Model):
    """A step that was started and has not been recorded as completed."""

    settings: Settings
    previous_output: str | None = Field(validation_alias=AliasChoices("previous_output", "before"))
    """The stamp of the output before the step (see `_stamp`)."""


class ReproductionManifest(Model):
    """The manifest in the directory of a reproduction."""

    kind: Literal["reproduction"] = "reproduction"
    version: str = __version__
    card: str
    steps: dict[str, CompletedStep] = Field(default_factory=dict)
    started: dict[str, StartedStep] = Field(default_factory=dict, validation_alias=AliasChoices("started", "begun"))


class Ledger:
    """The manifest of a reproduction, rewritten when a step starts and when it completes."""

    def __init__(self, directory: Path, card: str) -> None:
        self._directory = directory
        self._manifest = read_manifest(directory, ReproductionManifest) or ReproductionManifest(card=card)

    @property
    def steps(self) -> dict[str, CompletedStep]:
        """The completed steps by name."""
        return self._manifest.steps

    def contains(self, step: str) -> bool:
        """Return whether the step was started or completed here, so that its output may be replaced."""
        return self._entry(step) is not None

    def settings_differ(self, step: str, settings: Settings) -> bool:
        """Return whether the step was started or completed with other settings."""
        entry = self._entry(step)
        return entry is not None and entry.settings != settings

    def is_completed(self, step: str, settings: Settings, *, overwrite: bool = False) -> bool:
        """Return whether the step was completed with these settings.

        Raises `MismatchError` when it was started or completed with others, unless `overwrite` allows to repeat it.
        """
        entry = self._entry(step)
        if entry is None or entry.settings == settings:
            return step in self.steps
        if overwrite:
            return False
        raise MismatchError(
            f"The step {step} in {self._directory} was started with other settings: "
            f"{changes(entry.settings, settings)}.",
            expected="the settings of the card",
            do="Add --overwrite to repeat the steps that differ, or choose another --output.",
        )

    def start(self, step: str, settings: Settings, output: Path) -> None:
        """Record that a step starts; until it completes again, it counts as not done."""
        entry = StartedStep(settings=settings, previous_output=_stamp(output))
        steps = {name: completed for name, completed in self.steps.items() if name != step}
        self._write(steps, {**self._manifest.started, step: entry})

    def complete(self, step: str, settings: Settings, result: str, seconds: float) -> None:
        """Record that a step is completed."""
        finished = datetime.now(UTC).isoformat(timespec="seconds")
        entry = CompletedStep(settings=settings, result=result, seconds=round(seconds, 2), finished=finished)
        started = {name: other for name, other in self._manifest.started.items() if name != step}
        self._write({**self.steps, step: entry}, started)

    def recover(self, step: str, settings: Settings, output: Path) -> None:
        """Record that a step is completed if the command was killed after its output appeared.

        Only for outputs that appear whole or not at all: the step is completed when its output has changed.
        """
        entry = self._manifest.started.get(step)
        if entry and entry.settings == settings and _stamp(output) not in {None, entry.previous_output}:
            self.complete(step, settings, "complete; the command was killed before it recorded the time", 0.0)

    def _entry(self, step: str) -> CompletedStep | StartedStep | None:
        return self.steps.get(step) or self._manifest.started.get(step)

    def _write(self, steps: dict[str, CompletedStep], started: dict[str, StartedStep]) -> None:
        self._manifest = self._manifest.model_copy(update={"steps": steps, "started": started})
        write_manifest(self._directory, self._manifest)


def _stamp(path: Path) -> str | None:
    """Return inode and time of modification, which change when a path is replaced; None where nothing exists."""
    try:
        status = path.stat()
    except (FileNotFoundError, NotADirectoryError):
        return None
    return f"{status.st_ino} {status.st_mtime_ns}"
