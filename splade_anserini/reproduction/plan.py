"""The steps of a reproduction, with what each reads and writes; no file is opened here."""

from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from splade_anserini.reproduction.resolved_card import ResolvedCard

type StepKind = Literal["encode", "link", "index", "search", "evaluate"]
"""`link`: documents that are encoded already are linked into the directory of the reproduction."""


@dataclass(frozen=True, slots=True)
class OutputPaths:
    """The paths of all that a reproduction writes: the index under the name of its card, the rest beside it."""

    directory: Path
    name: str

    @property
    def index(self) -> Path:
        """The Lucene impact index."""
        return self.directory / self.name

    @property
    def reproduction(self) -> Path:
        """The directory of everything but the index, with the ledger."""
        return self.directory / f"{self.name}.reproduction"

    @property
    def impacts(self) -> Path:
        """The directory of impact pseudo-documents."""
        return self.reproduction / "impacts"

    def run(self, evaluation: str) -> Path:
        """Return the path of the TREC run of an evaluation."""
        return self.reproduction / f"run.{evaluation}.txt.gz"

    def report(self, suffix: str) -> Path:
        """Return the path of the report in one format: txt, json or html."""
        return self.reproduction / f"report.{suffix}"


@dataclass(frozen=True, slots=True)
class Step:
    """A step of a reproduction."""

    name: str
    kind: StepKind
    output: Path
    evaluation_index: int = 0
    """The evaluation of a `search` or `evaluate` step."""

    @property
    def key(self) -> str:
        """The key in the ledger: one key for `encode` and `link`, so that a change from one to the other is noticed."""
        return "encode" if self.kind == "link" else self.name


def plan_steps(resolved: ResolvedCard, paths: OutputPaths) -> list[Step]:
    """Return the steps in order: documents, index, then a search and an evaluation for each evaluation of the card."""
    documents = Step("link", "link", paths.impacts) if resolved.impacts else Step("encode", "encode", paths.impacts)
    steps = [documents, Step("index", "index", paths.index)]
    for evaluation_index, evaluation in enumerate(resolved.evaluations):
        name = evaluation.expectation.name
        steps.append(Step(f"search {name}", "search", paths.run(name), evaluation_index))
        steps.append(Step(f"evaluate {name}", "evaluate", paths.report("json"), evaluation_index))
    return steps
