"""The results of all parts: one JSON file and one table, both written again after each measurement."""

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

RESULTS, TABLE = "results.json", "results.md"

OK, FAILED, SKIPPED, RUNNING = "ok", "failed", "skipped", "running"
"""The states of a row. A row that is `RUNNING` in a file was interrupted."""


class Results:
    """Rows of measurements by part and name; an earlier file in the same directory is continued."""

    def __init__(self, directory: Path, titles: Mapping[str, str]) -> None:
        self._directory = directory
        self._titles = titles
        self._content: dict[str, Any] = {"machine": {}, "parts": {}}
        self.load()

    def load(self) -> None:
        """Read what another process has written."""
        path = self._directory / RESULTS
        if path.exists():
            self._content = json.loads(path.read_bytes())

    @property
    def machine(self) -> dict[str, Any]:
        """What is known about the machine."""
        machine: dict[str, Any] = self._content["machine"]
        return machine

    def set_machine(self, **facts: Any) -> None:
        """Record facts about the machine."""
        self.machine.update(facts)
        self.save()

    def rows(self, part: str) -> dict[str, dict[str, Any]]:
        """Return the rows of a part, by name."""
        rows: dict[str, dict[str, Any]] = self._content["parts"].setdefault(part, {})
        return rows

    def row(self, part: str, name: str) -> dict[str, Any] | None:
        """Return a row, if there is one."""
        return self.rows(part).get(name)

    def value(self, part: str, name: str, measure: str) -> Any:
        """Return a value of a row that was measured, else None."""
        return (self.row(part, name) or {}).get("values", {}).get(measure)

    def set(self, part: str, name: str, state: str, *, run: str, reason: str = "", **values: Any) -> None:
        """Set a row and write both files; `run` identifies the command that measured it."""
        self.rows(part)[name] = {"state": state, "reason": reason, "run": run, "values": values}
        self.save()

    def is_complete(self, part: str) -> bool:
        """Return whether all measurements of a part have been taken."""
        return part in self._content.setdefault("complete", [])

    def complete(self, part: str) -> None:
        """Record that all measurements of a part have been taken."""
        self._content["complete"] = [*self._content.get("complete", []), part]
        self.save()

    def interrupted(self, part: str, reason: str) -> None:
        """Mark the row of a part at which its process ended, if there is one."""
        running = [row for row in self.rows(part).values() if row["state"] == RUNNING]
        for row in running:
            row.update(state=FAILED, reason=reason)
        if running:
            self.save()

    def save(self) -> None:
        """Write both files; each appears whole."""
        self._directory.mkdir(parents=True, exist_ok=True)
        for name, text in ((RESULTS, json.dumps(self._content, indent=1)), (TABLE, self.table())):
            partial = self._directory / f"{name}.partial"
            partial.write_text(text + "\n", encoding="utf-8")
            partial.replace(self._directory / name)

    def table(self) -> str:
        """Return all results in Markdown."""
        lines = [", ".join(f"{name}: {value}" for name, value in self.machine.items()) or "machine: not known yet", ""]
        for part, title in self._titles.items():
            lines += [*part_table(title, self.rows(part)), ""]
        return "\n".join(lines).rstrip()


def part_table(title: str, rows: Mapping[str, Mapping[str, Any]]) -> list[str]:
    """Return the lines of a part's table: a column for each measure that one of its rows has."""
    if not rows:
        return [f"### {title}", "", "not measured"]
    measures = list(dict.fromkeys(name for row in rows.values() for name in row["values"]))
    lines = [f"### {title}", "", f"| | {' | '.join([*measures, 'state'])} |", "|---" * (len(measures) + 2) + "|"]
    for name, row in rows.items():
        cells = [formatted(row["values"].get(measure)) for measure in measures]
        state = row["state"] + (f": {row['reason']}" if row["reason"] else "")
        lines.append(f"| {name} | {' | '.join([*cells, state.replace('|', '/')])} |")
    return lines


def formatted(value: object) -> str:
    """Return a value for a cell: numbers with as many digits as are meaningful."""
    if value is None:
        return ""
    if isinstance(value, bool | str):
        return str(value).replace("|", "/").replace("\n", " ")
    if isinstance(value, Sequence):
        return ", ".join(map(str, value))
    if isinstance(value, int) or abs(float(str(value))) >= 1000:
        return f"{value:,.0f}"
    return f"{value:.3g}"


def failures(rows: Mapping[str, Mapping[str, Any]]) -> list[str]:
    """Return the names of the rows that failed."""
    return [name for name, row in rows.items() if row["state"] == FAILED]
