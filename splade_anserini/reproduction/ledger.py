"""What has been done of a reproduction, and with which settings: its manifest."""

from datetime import UTC, datetime
from pathlib import Path
from typing import Literal

import pydantic

from splade_anserini._version import __version__
from splade_anserini.artifacts.manifests import Model, changes, read_manifest, write_manifest
from splade_anserini.errors import MismatchError

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


class Begun(Model):
    """A step that was begun, and has not come to its end, or was killed before it could say so."""

    settings: Settings
    before: str | None
    """What stood at its output: see `_stamp`."""


class ReproductionManifest(Model):
    """In the directory of a reproduction."""

    kind: Literal["reproduction"] = "reproduction"
    version: str = __version__
    card: str
    steps: dict[str, Done] = pydantic.Field(default_factory=dict)
    begun: dict[str, Begun] = pydantic.Field(default_factory=dict)


class Ledger:
    """The manifest in `directory`, written anew when a step begins and when it ends."""

    def __init__(self, directory: Path, card: str) -> None:
        self._directory = directory
        self._manifest = read_manifest(directory, ReproductionManifest) or ReproductionManifest(card=card)

    @property
    def steps(self) -> dict[str, Done]:
        """What is done, by the names of the steps."""
        return self._manifest.steps

    def knows(self, step: str) -> bool:
        """Say whether the step was done or begun here: what stands at its output is ours to replace."""
        return step in self.steps or step in self._manifest.begun

    def differs(self, step: str, settings: Settings) -> bool:
        """Say whether the step was done or begun with other settings."""
        known = self._known(step)
        return known is not None and known.settings != settings

    def fits(self, step: str, settings: Settings, *, force: bool = False) -> bool:
        """Say whether the step is done with these settings.

        Raises `MismatchError` when it was done or begun with others, unless `force` says that it is to be done again.
        """
        if not self.differs(step, settings):
            return step in self.steps
        if force:
            return False
        done = self._known(step)
        assert done is not None  # noqa: S101  # or it would not differ
        raise MismatchError(
            f"The step {step} in {self._directory} was done or begun with other settings: "
            f"{changes(done.settings, settings)}.",
            expected="what the card says now",
            do="Add --force to do again what differs, or name another --output.",
        )

    def begin(self, step: str, settings: Settings, output: Path) -> None:
        """Note that a step begins: from here on it is not done, whatever it was before."""
        begun = {**self._manifest.begun, step: Begun(settings=settings, before=_stamp(output))}
        self._write({name: done for name, done in self.steps.items() if name != step}, begun)

    def record(self, step: str, settings: Settings, what: str, seconds: float) -> None:
        """Note that a step is done."""
        finished = datetime.now(UTC).isoformat(timespec="seconds")
        done = Done(settings=settings, what=what, seconds=round(seconds, 2), finished=finished)
        begun = {name: one for name, one in self._manifest.begun.items() if name != step}
        self._write({**self.steps, step: done}, begun)

    def recover(self, step: str, settings: Settings, output: Path) -> None:
        """Note that a step is done if it was killed between its end and the note of it.

        Only for an output that appears whole: it came to its end when something new stands there.
        """
        begun = self._manifest.begun.get(step)
        if begun and begun.settings == settings and _stamp(output) not in {None, begun.before}:
            self.record(step, settings, "whole, but the command was killed before it noted the time", 0.0)

    def _known(self, step: str) -> Done | Begun | None:
        return self.steps.get(step) or self._manifest.begun.get(step)

    def _write(self, steps: dict[str, Done], begun: dict[str, Begun]) -> None:
        self._manifest = self._manifest.model_copy(update={"steps": steps, "begun": begun})
        write_manifest(self._directory, self._manifest)


def _stamp(path: Path) -> str | None:
    """Return what tells a file or directory from one that takes its place; None where there is nothing."""
    try:
        found = path.stat()
    except (FileNotFoundError, NotADirectoryError):
        return None
    return f"{found.st_ino} {found.st_mtime_ns}"
