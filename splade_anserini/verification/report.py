"""The report on an artefact: what was checked, and what is wrong."""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field, replace

from splade_anserini.errors import SpladeAnseriniError, counted

_SHOWN = 5
"""Problems of one check that the text names."""


@dataclass(slots=True)
class Check:
    """One thing that was checked."""

    name: str
    detail: str = ""
    """What was compared, such as "3 files"; of a check that was left out, why."""
    problems: list[str] = field(default_factory=list)
    left_out: bool = False

    @property
    def passed(self) -> bool:
        """Whether nothing is wrong; also where nothing was checked."""
        return not self.problems

    @property
    def verdict(self) -> str:
        """The result in a word."""
        return "FAILED" if self.problems else "-" if self.left_out else "ok"

    def fail(self, problem: str) -> None:
        """Add a problem."""
        self.problems.append(problem)


@dataclass(slots=True)
class Report:
    """The checks of an artefact."""

    path: str
    kind: str
    """What it is, in words: "an impact index"."""
    checks: list[Check] = field(default_factory=list)

    @property
    def passed(self) -> bool:
        """Whether nothing is wrong."""
        return all(check.passed for check in self.checks)

    @contextmanager
    def check(self, name: str) -> Iterator[Check]:
        """Yield a check to fill; an error of this package in the block is a problem."""
        check = Check(name)
        self.checks.append(check)
        try:
            yield check
        except SpladeAnseriniError as error:
            check.fail(" ".join(str(error).split()))

    def include(self, other: "Report", name: str) -> None:
        """Add the checks of a part, with its name before theirs."""
        for check in other.checks:
            self.checks.append(replace(check, name=f"{name}: {check.name}"))

    def leave_out(self, name: str, why: str) -> None:
        """Say that something was not checked, and why."""
        self.checks.append(Check(name, why, left_out=True))

    def values(self) -> dict[str, object]:
        """Return the report as JSON values."""
        return {
            "path": self.path,
            "kind": self.kind,
            "passed": self.passed,
            "checks": [
                {
                    "name": check.name,
                    "passed": None if check.left_out else check.passed,
                    "detail": check.detail,
                    "problems": check.problems,
                }
                for check in self.checks
            ],
        }

    def text(self) -> str:
        """Return the report as a table with a verdict below it."""
        width = max((len(check.name) for check in self.checks), default=0)
        lines = [f"{self.path}: {self.kind}"]
        for check in self.checks:
            lines.append(f"  {check.name:<{width}}  {check.verdict:<6}  {check.detail}".rstrip())
            lines += [f"    {problem}" for problem in check.problems[:_SHOWN]]
            if len(check.problems) > _SHOWN:
                lines.append(f"    and {len(check.problems) - _SHOWN:,} more")
        failed = sum(not check.passed for check in self.checks)
        lines.append(f"fail: {counted(failed, 'check')} of {len(self.checks)}" if failed else "pass")
        return "".join(f"{line}\n" for line in lines)
