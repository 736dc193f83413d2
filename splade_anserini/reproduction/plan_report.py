"""The plan of a reproduction, as text."""

import shutil
from pathlib import Path

from splade_anserini.formats.text_table import text_table
from splade_anserini.reproduction.contract import Contract
from splade_anserini.reproduction.estimates import Estimate
from splade_anserini.reproduction.plan import Places


def told(contract: Contract, estimates: list[Estimate], places: Places) -> str:
    """Return each step with its size, time and disk, what the numbers rest on, and what lies where."""
    rows = [("step", "size", "time", "disk")]
    rows += [(one.step.name, one.size, _duration(one.seconds), _bytes(one.bytes)) for one in estimates]
    disk = sum(one.bytes or 0 for one in estimates)
    rows.append(("altogether", "", _duration(sum(one.seconds or 0 for one in estimates)), _bytes(disk)))
    names: dict[str, list[str]] = {}
    for one in estimates:
        names.setdefault(one.basis, []).append(one.step.name)
    bases = [f"  {', '.join(steps)}: {basis}.\n" for basis, steps in names.items()]
    files = [f"  {one.step.name}: {' + '.join(one.step.inputs)} → {one.step.output}\n" for one in estimates]
    return "".join(
        [
            f"{contract.card.name}: {contract.card.description}\n\n",
            text_table(rows),
            f"{_free(places.home, disk)}\n",
            *("\nWhere the numbers come from\n", *bases),
            *("\nFiles\n", *files),
            "\n",
        ]
    )


def together(plans: list[list[Estimate]]) -> str:
    """Return the sum of several plans."""
    estimates = [one for plan in plans for one in plan]
    seconds, size = sum(one.seconds or 0 for one in estimates), sum(one.bytes or 0 for one in estimates)
    unknown = " and what is not known" if any(one.seconds is None for one in estimates) else ""
    return f"{len(plans)} cards altogether: {_duration(seconds)}, {_bytes(size)}{unknown}\n"


def _free(home: Path, needed: float) -> str:
    """Say what is free where the files will lie."""
    place = next(parent for parent in [home.absolute(), *home.absolute().parents] if parent.exists())
    free = shutil.disk_usage(place).free
    return f"Free there: {_bytes(free)}{'' if free > needed else '. THAT IS TOO LITTLE'}"


def _duration(seconds: float | None) -> str:
    if seconds is None:
        return "?"
    for unit, length in [("days", 86400), ("hours", 3600), ("minutes", 60)]:
        if seconds >= 2 * length:
            return f"{seconds / length:,.1f} {unit}"
    return f"{seconds:.0f} s"


def _bytes(size: float | None) -> str:
    if size is None:
        return "?"
    return f"{size / 1e9:,.1f} GB" if size >= 1e9 else f"{size / 1e6:,.1f} MB"
