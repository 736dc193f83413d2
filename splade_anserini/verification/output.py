"""Verifying an output file or directory by the manifest beside it; a run also against its index."""

import logging
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from splade_anserini.artifacts.manifests import OutputManifest
from splade_anserini.artifacts.outputs import fingerprint_of_output, read_output_manifest
from splade_anserini.artifacts.sharded_index import fingerprint_of_index
from splade_anserini.errors import InputError, counted
from splade_anserini.formats.runs import read_rankings
from splade_anserini.lucene.impact_searcher import ImpactSearcher
from splade_anserini.progress import Progress, silent
from splade_anserini.verification.report import Check, Report

RUN_COMMANDS = ("search", "rescore", "fuse")
"""Commands whose output is a run."""


def verify_output(path: Path, index: Path | None = None, progress: Progress = silent) -> Report:
    """Check an output with its manifest; a run also against the index that it was made from."""
    report = Report(str(path), "an output")
    manifest: OutputManifest | None = None
    with report.check("manifest") as check:
        manifest = read_output_manifest(path)
        check.detail = f"of {manifest.command}" if manifest else "none"
    if manifest is None:
        return report
    is_run = manifest.command in RUN_COMMANDS
    report.kind = "a run" if is_run else f"an output of {manifest.command}"
    with report.check("checksum") as check:
        if fingerprint_of_output(path) != manifest.sha256:
            check.fail("the content was changed after it was written")
    if not is_run:
        return report
    ids = set[str]()
    with report.check("lines") as check, _warnings_as_problems(check):
        _check_lines(path, manifest, ids, check, progress)
    if index is None:
        report.leave_out("index", "no --against INDEX")
        return report
    with report.check("index") as check:
        _check_against_index(index, manifest, ids, check)
    return report


def _check_lines(path: Path, manifest: OutputManifest, ids: set[str], check: Check, progress: Progress) -> None:
    """Read all lines, collect the ids of documents, and compare the numbers of queries and hits."""
    queries = hits = 0
    for _, ranking in read_rankings(path):
        queries += 1
        hits += len(ranking)
        ids.update(doc.doc_id for doc in ranking)
        progress(1)
    check.detail = f"{counted(queries, 'query', 'queries')}, {counted(hits, 'hit')}"
    # A query without hits has no lines.
    if queries > int(manifest.counts.get("queries", queries)) or hits != int(manifest.counts.get("hits", hits)):
        recorded = f"{manifest.counts.get('queries')} queries, {manifest.counts.get('hits')} hits"
        check.fail(f"{check.detail}, but the manifest says {recorded}")


def _check_against_index(index: Path, manifest: OutputManifest, ids: set[str], check: Check) -> None:
    """Compare the fingerprint of the index, and look up every document."""
    recorded = manifest.inputs.get("index")
    if recorded is None:
        check.detail = f"{manifest.command} records no index; "
    elif recorded != fingerprint_of_index(index):
        check.fail(f"{index} is another index than the run was made from, or was built again since")
    if manifest.settings.get("max_passage"):
        check.detail += "documents of passages are not looked up"
        return
    with ImpactSearcher(index) as searcher:
        try:
            searcher.scores({}, sorted(ids))
        except InputError as error:
            check.fail(" ".join(str(error).split()))
    check.detail += f"{counted(len(ids), 'document')} looked up"


class _Collector(logging.Handler):
    def __init__(self, check: Check) -> None:
        super().__init__(logging.WARNING)
        self._check = check

    def emit(self, record: logging.LogRecord) -> None:
        """Add a warning to the problems."""
        self._check.fail(record.getMessage())


@contextmanager
def _warnings_as_problems(check: Check) -> Iterator[None]:
    """Take warnings about the run, such as of ranks that contradict scores, for problems."""
    logger, collector = logging.getLogger("splade_anserini.formats"), _Collector(check)
    propagate, logger.propagate = logger.propagate, False
    logger.addHandler(collector)
    try:
        yield
    finally:
        logger.removeHandler(collector)
        logger.propagate = propagate
