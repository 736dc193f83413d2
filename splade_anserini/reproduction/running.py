"""Run the steps of a reproduction that have not been done yet."""

import logging
import time
from collections.abc import Callable

from splade_anserini.artifacts.files import directory_lock, output_errors, require_writable, resolved_output
from splade_anserini.errors import counted
from splade_anserini.reproduction.execution import ExecutionOptions, Observer
from splade_anserini.reproduction.expectations import Check, checks_of
from splade_anserini.reproduction.ledger import Ledger, Settings
from splade_anserini.reproduction.plan import OutputPaths, Step, plan_steps
from splade_anserini.reproduction.report import Report, StepResult
from splade_anserini.reproduction.resolved_card import ResolvedCard, ResolvedEvaluation
from splade_anserini.reproduction.settings import document_settings, index_settings, search_settings
from splade_anserini.reproduction.steps import StepRunner

_log = logging.getLogger(__name__)


def reproduce(
    resolved: ResolvedCard,
    paths: OutputPaths,
    options: ExecutionOptions | None = None,
    observer: Observer | None = None,
) -> Report:
    """Build, search and evaluate the index of a card, compare with its expected scores, and return the report.

    Steps that were done with the same settings are skipped. Raises `MismatchError` when a step was done with other
    settings, `OutputError` when another index is in the way, and what the commands of the steps raise.
    """
    require_writable(paths.reproduction, in_place=paths.reproduction.is_dir())
    require_writable(paths.index)
    with output_errors(paths.reproduction):
        resolved_output(paths.reproduction).mkdir(parents=True, exist_ok=True)
    with directory_lock(paths.reproduction):
        return _Reproduction(resolved, paths, options or ExecutionOptions(), observer or Observer()).run()


class _Reproduction:
    def __init__(
        self, resolved: ResolvedCard, paths: OutputPaths, options: ExecutionOptions, observer: Observer
    ) -> None:
        self._resolved, self._paths, self._overwrite, self._observer = resolved, paths, options.overwrite, observer
        self._runner = StepRunner(resolved, paths, options, observer)
        self._ledger = Ledger(paths.reproduction, resolved.card.name)
        self._results: list[StepResult] = []
        self._checks: list[Check] = []

    def run(self) -> Report:
        documents_step, index_step, *steps = plan_steps(self._resolved, self._paths)
        documents = self._build(documents_step, index_step)
        for step in steps:
            evaluation = self._resolved.evaluations[step.evaluation_index]
            if step.kind == "search":
                self._search(step, evaluation, documents)
            else:
                self._evaluate(step, evaluation)
        return Report.of(self._resolved.card, tuple(self._checks), tuple(self._results), self._paths.index)

    def _build(self, step: Step, index_step: Step) -> Settings:
        """Encode or link the documents, and index them; return the settings of the documents."""
        runner, ledger = self._runner, self._ledger
        documents = document_settings(self._resolved, None if step.kind == "link" else runner.encoder)
        encoded = ledger.is_completed(step.key, documents, overwrite=self._overwrite)
        settings = index_settings(self._resolved, documents)
        indexed = self._is_done(index_step, settings)
        if not indexed and not self._overwrite and not ledger.contains(index_step.key):
            runner.require_no_index()
        # Once the index is built, the user may have deleted the pseudo-documents.
        if encoded and (indexed or runner.documents_are_complete()):
            self._skip(step)
        elif step.kind == "link":
            self._do(step, documents, runner.link)
        else:
            differs = ledger.settings_differ(step.key, documents) or runner.documents_have_another_corpus()
            if self._overwrite and differs:
                runner.remove_documents()
            self._do(step, documents, runner.encode)
        if indexed:
            self._skip(index_step)
        else:
            self._do(index_step, settings, runner.index)
        return documents

    def _search(self, step: Step, evaluation: ResolvedEvaluation, documents: Settings) -> None:
        queries = self._runner.load_queries(evaluation)
        settings = search_settings(self._resolved, documents, queries)
        if self._is_done(step, settings):
            self._skip(step)
        else:
            self._do(step, settings, lambda: self._runner.search(evaluation, queries))

    def _evaluate(self, step: Step, evaluation: ResolvedEvaluation) -> None:
        start = time.perf_counter()
        scores = self._runner.evaluate(evaluation)
        self._checks += checks_of(evaluation.expectation, scores.aggregate, self._resolved.path)
        seconds = time.perf_counter() - start
        queries = counted(len(scores.per_query), "judged query", "judged queries")
        self._add(StepResult(name=step.name, result=queries, seconds=seconds))

    def _is_done(self, step: Step, settings: Settings) -> bool:
        """Return whether a step whose output appears whole or not at all was done with these settings."""
        self._ledger.recover(step.key, settings, step.output)
        return self._ledger.is_completed(step.key, settings, overwrite=self._overwrite) and step.output.exists()

    def _do(self, step: Step, settings: Settings, work: Callable[[], str]) -> None:
        _log.info("%s: step %s", self._resolved.card.name, step.name)
        self._ledger.start(step.key, settings, step.output)
        start = time.perf_counter()
        result = work()
        self._ledger.complete(step.key, settings, result, time.perf_counter() - start)
        self._add(StepResult(name=step.name, result=result, seconds=self._ledger.steps[step.key].seconds))

    def _skip(self, step: Step) -> None:
        entry = self._ledger.steps[step.key]
        self._add(
            StepResult(name=step.name, result=entry.result, seconds=entry.seconds, completed_before=entry.finished)
        )

    def _add(self, result: StepResult) -> None:
        self._results.append(result)
        self._observer.on_step(result)
