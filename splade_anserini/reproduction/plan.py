"""The steps of a reproduction, with what each reads and writes. Pure: nothing is opened here."""

from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from splade_anserini.reproduction.contract import Contract

type Kind = Literal["encode", "take", "index", "search", "evaluate"]
"""`take`: documents that are encoded already."""


@dataclass(frozen=True, slots=True)
class Places:
    """Where a reproduction puts its files: the index where its card's name finds it, the rest beside it."""

    home: Path
    name: str

    @property
    def index(self) -> Path:
        """The Lucene impact index."""
        return self.home / self.name

    @property
    def work(self) -> Path:
        """All else, with the manifest of what was done."""
        return self.home / f"{self.name}.reproduction"

    @property
    def impacts(self) -> Path:
        """Impact pseudo-documents."""
        return self.work / "impacts"

    def run(self, evaluation: str) -> Path:
        """The TREC run of an evaluation."""
        return self.work / f"run.{evaluation}.txt.gz"

    def report(self, suffix: str) -> Path:
        """The report: .txt, .json or .html."""
        return self.work / f"report.{suffix}"


@dataclass(frozen=True, slots=True)
class Step:
    """One thing to do; done, it need not be done again."""

    name: str
    """Its key in the manifest."""
    kind: Kind
    inputs: tuple[str, ...]
    output: Path
    evaluation: int = 0
    """Of `search` and `evaluate`: which."""


def plan(contract: Contract, places: Places) -> list[Step]:
    """Return the steps in their order: documents, index, then a search and an evaluation for each table."""
    if contract.impacts:
        steps = [Step("encode", "take", (str(contract.impacts),), places.impacts)]
    else:
        steps = [Step("encode", "encode", (contract.corpus, contract.encoder), places.impacts)]
    steps.append(Step("index", "index", (str(places.impacts),), places.index))
    for number, one in enumerate(contract.evaluations):
        run = places.run(one.asked.name)
        encoder = () if one.asked.encoded else (contract.encoder,)
        steps.append(Step(f"search {one.asked.name}", "search", (str(places.index), one.topics, *encoder), run, number))
        steps.append(
            Step(f"evaluate {one.asked.name}", "evaluate", (str(run), one.qrels), places.report("json"), number)
        )
    return steps
