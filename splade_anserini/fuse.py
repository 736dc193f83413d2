"""The command `fuse`: runs → one run; runs of passages → runs of documents."""

import logging
import re
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from splade_anserini.cli.console import main_of, progress_bar
from splade_anserini.errors import InputError, counted
from splade_anserini.formats.parsing.numbers import parse_number
from splade_anserini.options import option, options, recorded_options
from splade_anserini.progress import Progress, silent
from splade_anserini.retrieval.fusion import FusionOptions
from splade_anserini.retrieval.options import RunOptions, check_separator

if TYPE_CHECKING:
    from ir_measures import ScoredDoc


_GREATEST = 3.4e38
"""Near the end of float32: trec_eval takes a score beyond it for infinite, and equal scores are written apart."""

_log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Run:
    """The rankings of a run, best document first, and a name for messages."""

    name: str
    rankings: "Iterable[tuple[str, Sequence[ScoredDoc]]]"


def fuse(
    runs: Sequence[Run], options: "FusionOptions", progress: Progress = silent
) -> "Iterator[tuple[str, list[ScoredDoc]]]":
    """Yield each query of the runs and its fused ranking, in the order of the first run; see `side_by_side`.

    A query that some of the runs lack is kept, from those that have it, and warned of. Raises `InputError` at the end
    when a run shares no query with any other, or at once when there are not as many weights as runs.
    """
    from splade_anserini.formats.rankings import zip_rankings
    from splade_anserini.retrieval.fusion import fuse_rankings

    if options.weights and len(options.weights) != len(runs):
        raise InputError(
            f"{counted(len(options.weights), 'weight')} for {counted(len(runs), 'run')}.", expected="one for each run"
        )
    queries, lacking, first = [0] * len(runs), 0, ""
    alone = set(range(len(runs)))
    for query_id, rankings in zip_rankings([run.rankings for run in runs]):
        having = [number for number, ranking in enumerate(rankings) if ranking]
        for number in having:
            queries[number] += 1
        if len(having) > 1:
            alone.difference_update(having)
        if len(having) < len(runs):
            lacking, first = lacking + 1, first or query_id
        yield query_id, fuse_rankings(query_id, rankings, options)
        progress(1)
    if alone:
        # One that is empty explains more than the one that it was compared with.
        number = min(alone, key=lambda number: (queries[number] > 0, number))
        count = counted(queries[number], "query", "queries")
        raise InputError(
            f"{runs[number].name} ({count}) shares no query with the other runs.", expected="runs of the same topics"
        )
    if lacking:
        _log.warning("%s kept that not all runs have, first: %s", counted(lacking, "query", "queries"), first)


def cut(run: Run, options: "FusionOptions", progress: Progress = silent) -> "Iterator[tuple[str, Sequence[ScoredDoc]]]":
    """Yield each query of a single run and its ranking, with its own scores. Raises `InputError` when there is none."""
    empty = True
    for query_id, ranking in run.rankings:
        empty = False
        yield query_id, ranking[: min(options.depth, options.hits)]
        progress(1)
    if empty:
        raise InputError(f"Run {run.name} is empty.", expected="at least one query")


def open_run(path: Path, separator: str | None = None, *, scores_count: bool = False) -> Run:
    """Open a run; with a separator, passages become documents, see `rank_by_best_passage`.

    While it is read, raises `RecordError` where `read_rankings` does, `InputError` for a score beyond float32 and
    where `rank_by_best_passage` does. If scores count and the run has only ranks, it warns.
    """
    from splade_anserini.formats.runs import read_rankings
    from splade_anserini.retrieval.fusion import rank_by_best_passage

    read = _checked(path, read_rankings(path), scores_count=scores_count)
    if separator is None:
        return Run(str(path), read)
    return Run(
        str(path), ((query_id, rank_by_best_passage(ranking, separator, str(path))) for query_id, ranking in read)
    )


def _checked(
    path: Path, rankings: "Iterable[tuple[str, list[ScoredDoc]]]", *, scores_count: bool
) -> "Iterator[tuple[str, list[ScoredDoc]]]":
    only_ranks = scores_count
    for query_id, ranking in rankings:
        # The greatest and the least.
        for doc in (ranking[0], ranking[-1]):
            if abs(doc.score) > _GREATEST:
                raise InputError(
                    f"{path}: document {doc.doc_id!r} of query {query_id!r} has the score {doc.score:g}.",
                    expected="scores that float32 can hold, as trec_eval reads them",
                )
        only_ranks = only_ranks and all(doc.score == -rank for rank, doc in enumerate(ranking, 1))
        yield query_id, ranking
    if only_ranks:
        _log.warning("%s has ranks but no scores; −1, −2, −3, … are interpolated", path)


def parse_weights(texts: Sequence[str]) -> tuple[float, ...]:
    """Return the weights; a text may hold several. Raises `InputError` for one that is not a number, or for none."""
    weights = re.findall(r"[^\s,]+", ",".join(texts))
    numbers = [number for number in map(parse_number, weights) if number is not None]
    if weights and len(numbers) == len(weights):
        return tuple(numbers)
    raise InputError(f"--weight {', '.join(texts)!r} is not a list of numbers.", expected="for example 0.3,0.7")


@options
class FuseOptions:
    """The weights as they are typed, and what is done to runs of passages."""

    weight: tuple[str, ...] = option(
        default=(), help="With interpolation: one weight for each run, as 0.3,0.7 or repeated.", unset="all equal"
    )
    max_passage: str | None = option(
        default=None, metavar="SEPARATOR", help="First rank documents by their best passage (MaxP); ids are split here."
    )

    def __post_init__(self) -> None:
        check_separator(self.max_passage)


def command(
    run: Annotated[
        list[Path],
        typer.Option(
            metavar="<path>",
            help="Run in TREC, MS MARCO or another form, each query's lines together; repeat for each run.",
        ),
    ],
    fusion: FusionOptions,
    options: FuseOptions,
    written: RunOptions,
) -> None:
    """Fuse runs into one; with --max-passage, passages are merged into documents, also those of a single run.

    \b
    Example:
      splade-anserini fuse --run splade.txt --run bm25.txt --output fused.txt
    """
    from splade_anserini.artifacts.files import require_disjoint
    from splade_anserini.artifacts.fingerprints import fingerprint_of_file
    from splade_anserini.artifacts.outputs import OutputRecord
    from splade_anserini.retrieval.recorded_run import RecordedRun

    if len(run) == 1 and options.max_passage is None:
        raise InputError("Fusion needs at least two runs.", do="Add a --run for each, or --max-passage.")
    require_disjoint([written.output], run)
    if options.weight:
        fusion = replace(fusion, weights=parse_weights(options.weight))
    scores_count = fusion.method == "interpolation" and len(run) > 1
    runs = [open_run(path, options.max_passage, scores_count=scores_count) for path in run]
    inputs = {f"run {number}": fingerprint_of_file(path) for number, path in enumerate(run, 1) if path.is_file()}
    recorded = RecordedRun(written, OutputRecord("fuse", recorded_options(fusion, options, written), inputs))
    if recorded.is_up_to_date:
        typer.echo(f"{written.output} is up to date: this command made it before.")
        return
    _log.info("Fusing %s by %s", counted(len(runs), "run"), fusion.method)
    with progress_bar("Fusing", None, "queries") as progress:
        recorded.write(fuse(runs, fusion, progress) if len(runs) > 1 else cut(runs[0], fusion, progress))
    typer.echo(str(recorded))


if __name__ == "__main__":
    main_of(command)
