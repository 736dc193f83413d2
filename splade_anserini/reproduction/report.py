"""What a reproduction came to: as text, JSON and a web page."""

import platform
from collections.abc import Sequence
from pathlib import Path
from typing import Literal

from splade_anserini._version import __version__
from splade_anserini.artifacts.environment import environment, package_versions
from splade_anserini.artifacts.files import whole_file
from splade_anserini.artifacts.manifests import IndexManifest, Model, read_manifest
from splade_anserini.cards.index_card import IndexCard
from splade_anserini.formats.text_table import text_table
from splade_anserini.reproduction.expectations import Line, passed
from splade_anserini.reproduction.plan import Places


class StepTime(Model):
    """What a step did, and how long it took."""

    name: str
    what: str
    seconds: float
    before: str | None = None
    """When, if it had been done before."""


class Report(Model):
    """What came out, and of what."""

    kind: Literal["reproduction report"] = "reproduction report"
    card: str
    description: str
    passed: bool
    lines: tuple[Line, ...]
    steps: tuple[StepTime, ...]
    versions: dict[str, str]
    machine: dict[str, str]

    @classmethod
    def of(
        cls,
        card: IndexCard,
        lines: tuple[Line, ...],
        steps: tuple[StepTime, ...],
        versions: dict[str, str],
        machine: dict[str, str],
    ) -> "Report":
        """Put together what is known; it passes when no line fails."""
        return cls(
            card=card.name,
            description=card.description,
            passed=passed(lines),
            lines=lines,
            steps=steps,
            versions=versions,
            machine=machine,
        )


HEADER = ("evaluation", "measure", "value", "expected", "difference", "tolerance", "verdict", "source")


def cells(line: Line) -> tuple[str, ...]:
    """Return a line as the text of its columns, those of `HEADER`."""
    expected = ("–", "–", "–", "no value known", "")
    if line.expected is not None:
        source = line.source + ("" if line.verified else " (not verified here)")
        expected = (
            f"{line.expected:.4f}", f"{line.difference:+.4f}", f"{line.tolerance:g}", line.verdict, source
        )  # fmt: skip
    return (line.evaluation, line.measure, f"{line.value:.4f}", *expected)


def text(report: Report) -> str:
    """Return the report for a terminal."""
    rows = [cells(line) for line in report.lines]
    sources = list(dict.fromkeys(f"  {row[0]}: {row[-1]}" for row in rows if row[-1]))
    steps = [
        (f"  {step.name}", f"{step.seconds:,.1f} s", step.what + (f" (done {step.before})" if step.before else ""))
        for step in report.steps
    ]
    width = max(len(name) for name, _, _ in steps)
    return "".join(
        [
            f"{report.card}: {'pass' if report.passed else 'FAIL'}\n{report.description}\n\n",
            text_table([HEADER[:-1], *(row[:-1] for row in rows)]),
            "\nExpected by\n" * bool(sources),
            *(f"{source}\n" for source in sources),
            "\nSteps\n",
            *(f"{name:<{width}}  {took:>12}  {what}\n" for name, took, what in steps),
            "\nVersions  " + ", ".join(f"{name} {version}" for name, version in report.versions.items()),
            "\nMachine   " + ", ".join(f"{name} {value}" for name, value in report.machine.items()) + "\n",
        ]
    )


def summary(reports: Sequence[Report]) -> str:
    """Return a line for each line of several reports, and the means of measures that all of them expect."""
    lines = [(report.card, line) for report in reports for line in report.lines]
    rows = [(card, *cells(line)[:-1]) for card, line in lines]
    shared = [
        name
        for name in dict.fromkeys(line.measure for _, line in lines)
        if len(found := [line for _, line in lines if line.measure == name]) == len(reports) > 1
        and all(line.expected is not None for line in found)
    ]
    for name in shared:
        found = [line for _, line in lines if line.measure == name]
        value = sum(line.value for line in found) / len(found)
        expected = sum(line.expected or 0 for line in found) / len(found)
        rows.append(("mean", "", name, f"{value:.4f}", f"{expected:.4f}", f"{value - expected:+.4f}", "", ""))
    return text_table([("card", *HEADER[:-1]), *rows])


def write_report(report: Report, places: Places) -> None:
    """Write all three forms."""
    from splade_anserini.reproduction.page import page

    contents = {"txt": text(report), "json": report.model_dump_json(indent=1) + "\n", "html": page(report)}
    for suffix, content in contents.items():
        with whole_file(places.report(suffix)) as file:
            file.write(content.encode())


def versions(index: Path) -> dict[str, str]:
    """Return the versions of what took part."""
    manifest = read_manifest(index, IndexManifest)
    own = {"splade-anserini": __version__, "Python": platform.python_version()}
    return own | package_versions() | ({"index writer": manifest.writer} if manifest else {})


def machine() -> dict[str, str]:
    """Return the system, the processors and the memory, for people to read."""
    facts = environment()
    return {
        "system": f"{platform.system()} {facts['machine']}",
        "cores": str(facts["cores"]),
        "memory": f"{int(facts['memory']) / 2**30:.0f} GB",
    }
