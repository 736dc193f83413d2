"""Runs the steps of a reproduction, those that are not done."""

import time
from collections.abc import Callable
from typing import TYPE_CHECKING

from splade_anserini.artifacts.files import directory_lock, output_errors
from splade_anserini.reproduction.contract import Contract, Evaluation
from splade_anserini.reproduction.execution import ExecutionOptions
from splade_anserini.reproduction.expectations import Line, compared
from splade_anserini.reproduction.ledger import Ledger, Settings
from splade_anserini.reproduction.plan import Places, Step, plan
from splade_anserini.reproduction.report import Report, StepTime, machine, versions
from splade_anserini.reproduction.settings import settings_of_documents, settings_of_index, settings_of_search
from splade_anserini.reproduction.steps import Work

if TYPE_CHECKING:
    from splade_anserini.records import ImpactVector, Query

type Announce = Callable[[str, float | None], object]
"""Told what a step did and the seconds it took, or None when it had been done before."""


def reproduce(contract: Contract, places: Places, means: ExecutionOptions, announce: Announce) -> Report:
    """Do what is not done yet, measure, compare, and return the report.

    Raises `MismatchError` when a step was done with other settings than the card's, `OutputError` when something else
    is in its place, and whatever the stages raise.
    """
    with output_errors(places.work):
        places.work.mkdir(parents=True, exist_ok=True)
    with directory_lock(places.work):
        return _Reproduction(contract, places, means, announce).report()


class _Reproduction:
    def __init__(self, contract: Contract, places: Places, means: ExecutionOptions, announce: Announce) -> None:
        self.contract, self.places, self.force, self.announce = contract, places, means.force, announce
        self.work = Work(contract, places, means)
        self.ledger = Ledger(places.work, contract.card.name)
        self.times: list[StepTime] = []
        self.lines: list[Line] = []

    def report(self) -> Report:
        documents_step, index_step, *steps = plan(self.contract, self.places)
        documents = self._documents(documents_step, index_step)
        for step in steps:
            one = self.contract.evaluations[step.evaluation]
            if step.kind == "search":
                self._search(step, one, documents)
            else:
                self._evaluate(step, one)
        card = self.contract.card
        return Report.of(card, tuple(self.lines), tuple(self.times), versions(self.places.index), machine())

    def _documents(self, step: Step, index_step: Step) -> Settings:
        """Encode and index; return what decided the impacts."""
        given = step.kind == "take"
        settings = settings_of_documents(
            self.contract, None if given else self.work.encoder, None if given else self.contract.scale
        )
        encoded = self.ledger.fits(step.name, settings, force=self.force)
        of_index = settings_of_index(self.contract, settings)
        indexed = self._whole(index_step, of_index)
        if not indexed and not self.force and not self.ledger.knows(index_step.name):
            self.work.require_no_index()
        # Who has the index may have thrown the pseudo-documents away.
        if encoded and (indexed or self.work.documents_are_whole()):
            self._skip(step)
        elif given:
            self._do(step, settings, self.work.take)
        else:
            if self.force and (self.ledger.differs(step.name, settings) or self.work.documents_of_elsewhere()):
                self.work.forget_documents()
            self._do(step, settings, self.work.encode)
        if indexed:
            self._skip(index_step)
        else:
            self._do(index_step, of_index, self.work.index)
        return settings

    def _search(self, step: Step, one: Evaluation, documents: Settings) -> None:
        encoder = None if one.asked.encoded else self.work.query_encoder.encoder
        settings = settings_of_search(self.contract, documents, _queries(one), encoder)
        if self._whole(step, settings):
            self._skip(step)
        else:
            self._do(step, settings, lambda: self.work.search(one))

    def _evaluate(self, step: Step, one: Evaluation) -> None:
        start = time.perf_counter()
        measured = self.work.evaluate(one)
        self.lines += compared(one.asked, measured.aggregate, self.contract.path)
        took = time.perf_counter() - start
        self._note(StepTime(name=step.name, what=f"{len(measured.per_query):,} judged queries", seconds=took))

    def _whole(self, step: Step, settings: Settings) -> bool:
        """Say whether a step whose output appears whole or not at all is done with these settings."""
        self.ledger.recover(step.name, settings, step.output)
        return self.ledger.fits(step.name, settings, force=self.force) and step.output.exists()

    def _do(self, step: Step, settings: Settings, work: Callable[[], str]) -> None:
        self.ledger.begin(step.name, settings, step.output)
        start = time.perf_counter()
        what = work()
        self.ledger.record(step.name, settings, what, time.perf_counter() - start)
        self._note(StepTime(name=step.name, what=what, seconds=self.ledger.steps[step.name].seconds))

    def _skip(self, step: Step) -> None:
        done = self.ledger.steps[step.name]
        self._note(StepTime(name=step.name, what=done.what, seconds=done.seconds, before=done.finished))

    def _note(self, took: StepTime) -> None:
        self.times.append(took)
        self.announce(f"{took.name}: {took.what}", None if took.before else took.seconds)


def _queries(one: Evaluation) -> "list[Query] | dict[str, ImpactVector]":
    from splade_anserini.lucene import start_jvm
    from splade_anserini.retrieval.topics import read_encoded_topics, read_topics

    # Topics that go by a name of Pyserini come from Java.
    start_jvm()
    return read_encoded_topics(one.topics) if one.asked.encoded else read_topics(one.topics)
