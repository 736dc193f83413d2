"""Verifying what commands of several steps write: reproductions, sweeps and training runs."""

from pathlib import Path

from splade_anserini.artifacts.manifests import kind_of_manifest
from splade_anserini.errors import counted
from splade_anserini.formats.runs import read_rankings
from splade_anserini.inspection.progress import named
from splade_anserini.inspection.status import status_of
from splade_anserini.progress import Progress, silent
from splade_anserini.verification.impacts import verify_impacts
from splade_anserini.verification.index import verify_index
from splade_anserini.verification.report import Report

_REPRODUCTION = ".reproduction"


def impacts_of_reproduction(index: Path) -> Path | None:
    """Return the pseudo-documents of which `reproduce` made an index; None for another index."""
    impacts = index.absolute().parent / f"{named(index)}{_REPRODUCTION}" / "impacts"
    return impacts if impacts.is_dir() and kind_of_manifest(impacts) == "impacts" else None


def verify_steps(path: Path, level: int = 1, progress: Progress = silent) -> Report:
    """Check that all steps are done, and pseudo-documents, indexes and runs in and beside the directory."""
    status = status_of(str(path))
    report = Report(str(path), status.kind)
    with report.check("steps") as check:
        check.detail = status.detail
        if not status.is_whole:
            check.fail(f"{status.state}. {status.next_step}")
    impacts = path / "impacts"
    if impacts.is_dir() and kind_of_manifest(impacts) == "impacts":
        report.include(verify_impacts(impacts, progress=progress), "impacts")
    for index in _indexes(path):
        report.include(verify_index(index, level, impacts_of_reproduction(index), progress), f"index {index.name}")
    for run in sorted(path.glob("run.*.txt*")):
        if run.suffix in {".txt", ".gz"}:
            with report.check(run.name) as check:
                rankings = [len(ranking) for _, ranking in read_rankings(run)]
                check.detail = f"{counted(len(rankings), 'query', 'queries')}, {counted(sum(rankings), 'hit')}"
    return report


def _indexes(path: Path) -> list[Path]:
    """Return the index of a reproduction, beside it, and those that a sweep kept."""
    kept = sorted(child for child in path.glob("indexes/*") if any(child.glob("segments_*")))
    name = named(path)
    if not name.endswith(_REPRODUCTION):
        return kept
    index = path.absolute().parent / name.removesuffix(_REPRODUCTION)
    return [index, *kept] if index.is_dir() else kept
