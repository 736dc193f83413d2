"""Contestants that take turns, A B C A B C …, each turn in its own process, and the tables of their results."""

import json
import statistics
import subprocess
import sys
import time
from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path

HERE = Path(__file__).parent
RSS = "peak RSS, MB"
WALL = "process, s"

type Measured = Mapping[str, float | str | None]
"""Measure → value; None where a contestant has none. Texts are results that should be the same for all contestants."""


@dataclass(frozen=True)
class Measure:
    """A column of the table."""

    name: str
    unit: str = ""
    more_is_better: bool = True
    digits: int = 1
    compared: bool = True
    """Whether the table shows the ratio to the first contestant."""


MEMORY = Measure(RSS, more_is_better=False, digits=0, compared=False)
HEAP = Measure("peak Java heap, MB", more_is_better=False, digits=0, compared=False)
PROCESS = Measure(WALL, more_is_better=False, digits=2)


@dataclass(frozen=True)
class Contestant:
    """A function of a benchmark module, or arguments for the Python interpreter."""

    name: str
    module: str = ""
    function: str = ""
    arguments: Mapping[str, object] = field(default_factory=dict)
    python: Sequence[str] = ()
    against: str = ""
    """The contestant that it is compared with; by default the first of the race."""

    def command(self) -> list[str]:
        """Return the command of its process."""
        if self.python:
            return [sys.executable, *self.python]
        return [sys.executable, str(HERE / "contestant.py"), self.module, self.function, json.dumps(self.arguments)]

    def turn(self) -> dict[str, float | str | None]:
        """Run once; return what the contestant measured, and the wall-clock time of its process."""
        begin = time.perf_counter()
        with subprocess.Popen(self.command(), stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as process:
            output, errors = process.communicate()
        seconds = time.perf_counter() - begin
        if process.returncode:
            raise RuntimeError(f"{self.name} failed:\n{errors[-3000:]}")
        measured = {} if self.python else json.loads(output.splitlines()[-1])
        return {WALL: seconds, **measured}


@dataclass(frozen=True)
class Race:
    """Contestants over the same input, compared round by round with the first one, which is ours, or with another."""

    title: str
    contestants: Sequence[Contestant]
    measures: Sequence[Measure]
    rounds: int
    note: str = ""


@dataclass(frozen=True)
class Outcome:
    """The measurements of a race."""

    race: Race
    turns: Mapping[str, Sequence[Measured]]
    """Contestant → measurements, in the order of the rounds."""

    def table(self) -> str:
        """Return the table in Markdown."""
        race = self.race
        head = [f"{measure.name}{f', {measure.unit}' if measure.unit else ''}" for measure in race.measures]
        lines = [f"### {race.title}", "", *([race.note, ""] if race.note else [])]
        lines += [f"| | {' | '.join(head)} |", "|---" * (len(head) + 1) + "|"]
        for contestant in race.contestants:
            cells = [self._cell(contestant, measure) for measure in race.measures]
            lines.append(f"| {contestant.name} | {' | '.join(cells)} |")
        rounds = f"{race.rounds} round{'s' if race.rounds > 1 else ''}: median (minimum to maximum)"
        paired = any(contestant.against for contestant in race.contestants)
        reference = "our row of the same kind" if paired else "the first row"
        lines += ["", f"{rounds}; ×: how many times better {reference} is, median of the ratios of the rounds."]
        return "\n".join([*lines, *self._disagreements(), ""])

    def _values(self, name: str, measure: Measure) -> list[float]:
        values = [turn.get(measure.name) for turn in self.turns[name]]
        return [float(value) for value in values if value is not None]

    def _cell(self, contestant: Contestant, measure: Measure) -> str:
        values = self._values(contestant.name, measure)
        if not values:
            return ""
        median, minimum, maximum = (
            f"{value:,.{measure.digits}f}" for value in (statistics.median(values), min(values), max(values))
        )
        spread = f" ({minimum} to {maximum})" if len(values) > 1 and measure.compared else ""
        reference = contestant.against or self.race.contestants[0].name
        if not measure.compared or reference == contestant.name:
            return f"{median}{spread}"
        rounds = zip(self._values(reference, measure), values, strict=True)
        ratios = [ours / other if measure.more_is_better else other / ours for ours, other in rounds]
        return f"{median}{spread} **× {statistics.median(ratios):.2f}**"

    def _disagreements(self) -> list[str]:
        """Return lines that say whether the results that are texts are the same for all contestants."""
        results: dict[str, dict[str, list[str]]] = defaultdict(lambda: defaultdict(list))
        for name, turns in self.turns.items():
            for what, value in turns[0].items():
                if isinstance(value, str):
                    results[what][value].append(name)
        lines = []
        for what, by_value in results.items():
            if len(by_value) == 1:
                lines.append(f"Same {what} for: {'; '.join(*by_value.values())}.")
            else:
                lines.append(
                    f"**Different {what}**: " + " | ".join(f"{v}: {'; '.join(n)}" for v, n in by_value.items())
                )
        return ["", *lines] if lines else []


def run(race: Race) -> Outcome:
    """Let the contestants take turns, and report progress on stderr."""
    turns: dict[str, list[Measured]] = {contestant.name: [] for contestant in race.contestants}
    for round_number in range(1, race.rounds + 1):
        for contestant in race.contestants:
            progress = f"{race.title}: round {round_number} of {race.rounds}, {contestant.name}"
            print(progress, file=sys.stderr, flush=True)
            turns[contestant.name].append(contestant.turn())
    return Outcome(race, turns)


def save(outcomes: Sequence[Outcome], path: Path) -> None:
    """Write all measurements as JSON."""
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps([asdict(outcome) for outcome in outcomes], indent=1))
