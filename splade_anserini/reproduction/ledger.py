"""What has been done of a reproduction, and with which settings: its manifest."""

from datetime import UTC, datetime
from pathlib import Path
from typing import Literal

import pydantic

from splade_anserini._version import __version__
from splade_anserini.errors import MismatchError
from splade_anserini.manifests import Model, read_manifest, write_manifest

type Settings = dict[str, pydantic.JsonValue]
"""All that decides what a step writes."""


class Done(Model):
    """A step that is done."""

    settings: Settings
    what: str
    """What came out, in words."""
    seconds: float
    finished: str
    """Coordinated universal time."""


class ReproductionManifest(Model):
    """In the directory of a reproduction."""

    kind: Literal["reproduction"] = "reproduction"
    version: str = __version__
    card: str
    steps: dict[str, Done] = pydantic.Field(default_factory=dict)


class Ledger:
    """The manifest in `directory`, written anew after each step."""

    def __init__(self, directory: Path, card: str) -> None:
        self._directory = directory
        self._manifest = read_manifest(directory, ReproductionManifest) or ReproductionManifest(card=card)

    @property
    def steps(self) -> dict[str, Done]:
        """What is done, by the names of the steps."""
        return self._manifest.steps

    def fits(self, step: str, settings: Settings, *, force: bool = False) -> bool:
        """Say whether the step is done with these settings.

        Raises `MismatchError` when it is done with others, unless `force` says that it is to be done again.
        """
        done = self.steps.get(step)
        if done is None or done.settings == settings:
            return done is not None
        if force:
            return False
        names = [name for name in {**done.settings, **settings} if done.settings.get(name) != settings.get(name)]
        differences = "; ".join(f"{name} was {done.settings.get(name)}, is {settings.get(name)}" for name in names)
        raise MismatchError(
            f"The step {step} in {self._directory} was done with other settings: {differences}.",
            expected="what the card says now",
            do="Add --force to do again what differs, or name another --output.",
        )

    def record(self, step: str, settings: Settings, what: str, seconds: float) -> None:
        """Note that a step is done."""
        finished = datetime.now(UTC).isoformat(timespec="seconds")
        done = Done(settings=settings, what=what, seconds=round(seconds, 2), finished=finished)
        self._manifest = self._manifest.model_copy(update={"steps": {**self.steps, step: done}})
        write_manifest(self._directory, self._manifest)
