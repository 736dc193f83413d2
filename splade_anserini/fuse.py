"""Stage: runs → one run, by fusion; runs of passages → runs of documents."""

import logging
import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

import typer

from splade_anserini.cli import options
from splade_anserini.cli.console import progress_bar
from splade_anserini.cli.console import run as run_command
from splade_anserini.errors import InputError
from splade_anserini.progress import Progress, silent

if TYPE_CHECKING:
    from ir_measures import ScoredDoc

    from splade_anserini.retrieval.fusion import FusionOptions

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
    from splade_anserini.formats.side_by_side import side_by_side
    from splade_anserini.retrieval.fusion import fused

    if options.weights and len(options.weights) != len(runs):
        raise InputError(
            f"There are {len(options.weights)} weights for {len(runs)} runs.", expected="one for each, in their order"
        )
    queries, lacking, first = [0] * len(runs), 0, ""
    alone = set(range(len(runs)))
    for query_id, rankings in side_by_side([run.rankings for run in runs]):
        having = [number for number, ranking in enumerate(rankings) if ranking]
        for number in having:
            queries[number] += 1
        if len(having) > 1:
            alone.difference_update(having)
        if len(having) < len(runs):
            lacking, first = lacking + 1, first or query_id
        yield query_id, fused(query_id, rankings, options)
        progress(1)
    if alone:
        # One that is empty explains more than the one that it was compared with.
        number = min(alone, key=lambda number: (queries[number] > 0, number))
        has = f"it has {queries[number]:,} queries" if queries[number] else "it has none"
        raise InputError(
            f"{runs[number].name} shares no query with the other runs: {has}.", expected="runs of the same topics"
        )
    if lacking:
        _log.warning("Queries that are not in all runs, and kept: %d, the first is %s", lacking, first)


def cut(run: Run, options: "FusionOptions", progress: Progress = silent) -> "Iterator[tuple[str, Sequence[ScoredDoc]]]":
    """Yield each query of a single run and its ranking, with its own scores. Raises `InputError` when there is none."""
    empty = True
    for query_id, ranking in run.rankings:
        empty = False
        yield query_id, ranking[: min(options.depth, options.hits)]
        progress(1)
    if empty:
        raise InputError(f"The run {run.name} is empty.", expected="at least one query")


def opened(path: Path, separator: str | None = None, *, scores_count: bool = False) -> Run:
    """Open a run; with a separator, passages become documents, see `max_passages`.

    While it is read, raises `RecordError` where `read_rankings` does, `InputError` for a score beyond float32 and
    where `max_passages` does. If scores count and the run has only ranks, it warns.
    """
    from splade_anserini.formats.runs import read_rankings
    from splade_anserini.retrieval.fusion import max_passages

    read = _checked(path, read_rankings(path), scores_count=scores_count)
    if separator is None:
        return Run(str(path), read)
    return Run(str(path), ((query_id, max_passages(ranking, separator, str(path))) for query_id, ranking in read))


def _checked(
    path: Path, rankings: "Iterable[tuple[str, list[ScoredDoc]]]", *, scores_count: bool
) -> "Iterator[tuple[str, list[ScoredDoc]]]":
    only_ranks = scores_count
    for query_id, ranking in rankings:
        # The greatest and the least.
        for doc in (ranking[0], ranking[-1]):
            if abs(doc.score) > _GREATEST:
                raise InputError(
                    f"{path}: the document {doc.doc_id!r} of the query {query_id!r} has the score {doc.score:g}.",
                    expected="scores that float32 can hold, as trec_eval reads them",
                )
        only_ranks = only_ranks and all(doc.score == -rank for rank, doc in enumerate(ranking, 1))
        yield query_id, ranking
    if only_ranks:
        _log.warning("%s has ranks and no scores: −1, −2, −3, … are interpolated", path)


def parse_weights(texts: Sequence[str]) -> tuple[float, ...]:
    """Return the weights, also several in one text. Raises `InputError` for one that is no number, or none at all."""
    weights = re.findall(r"[^\s,]+", ",".join(texts))
    try:
        if weights:
            return tuple(map(float, weights))
    except ValueError:
        pass
    raise InputError(f"The weights {', '.join(texts)!r} are no numbers.", expected="for example 0.3,0.7")


def _check_options(method: str, separator: str | None, runs: int, given: Mapping[str, object]) -> None:
    """Raise `InputError` for options that do not go together; `given` has those of one method, None where left out."""
    others = {"rrf": ("--weight", "--normalize"), "interpolation": ("--rrf-k",)}[method]
    for option in others:
        if given[option] is not None:
            raise InputError(
                f"{option} is given, which means nothing to --method {method}.",
                do=f"Leave it out, or add --method {'interpolation' if method == 'rrf' else 'rrf'}.",
            )
    if separator is not None and separator.split() != [separator]:
        raise InputError(
            f"The separator {separator!r} cannot stand in an id.", expected="characters that are no white space"
        )
    if runs == 1 and separator is None:
        raise InputError(
            "One run is named, which leaves nothing to fuse.",
            expected="two or more, each after a --run of its own, or --max-passage",
        )


def command(
    run: Annotated[
        list[Path],
        typer.Option(help="Run, TREC or MS MARCO (.gz too), a query's lines together; repeat it for each run."),
    ],
    output: Annotated[Path, typer.Option(help="The run to write; gzipped when its name ends in .gz.")],
    method: Annotated[
        Literal["rrf", "interpolation"],
        typer.Option(help="Reciprocal rank fusion, or weighted means of normalized scores."),
    ] = "rrf",
    rrf_k: Annotated[int | None, typer.Option(min=0, help="The k of Σ 1 / (k + rank). [default: 60]")] = None,
    normalize: Annotated[
        Literal["minmax", "zscore", "sum", "none"] | None,
        typer.Option(help="What interpolation does to the scores of each query before. [default: minmax]"),
    ] = None,
    weight: Annotated[
        list[str] | None,
        typer.Option(help="Weights of interpolation, one for each run: 0.3,0.7, or repeated. [default: all the same]"),
    ] = None,
    max_passage: Annotated[
        str | None,
        typer.Option(help="What separates document and passage in ids: documents by their best passage, before all."),
    ] = None,
    depth: Annotated[int, typer.Option(min=1, help="The last rank of each run to look at.")] = 1000,
    hits: Annotated[int, typer.Option(min=1, help="Documents for each query.")] = 1000,
    output_format: options.RunFormat = "trec",
    tag: options.RunTag = "splade-anserini",
) -> None:
    """Fuse runs into one; with --max-passage, from runs of passages, and one run will do.

    \b
    Example:
      splade-anserini fuse --run splade.txt --run bm25.txt --output fused.txt
    """
    from splade_anserini.artifacts.files import require_apart
    from splade_anserini.formats.runs import write_run
    from splade_anserini.retrieval.fusion import RRF_K, FusionOptions

    given = {"--rrf-k": rrf_k, "--normalize": normalize, "--weight": weight}
    _check_options(method, max_passage, len(run), given)
    require_apart(output, run)
    options = FusionOptions(
        method,
        rrf_k=RRF_K if rrf_k is None else rrf_k,
        normalization=normalize or "minmax",
        weights=parse_weights(weight) if weight else (),
        depth=depth,
        hits=hits,
    )
    runs = [opened(path, max_passage, scores_count=method == "interpolation" and len(run) > 1) for path in run]
    queries = 0
    with progress_bar("Fusing", None, "queries") as progress:

        def advance(number: int) -> None:
            nonlocal queries
            queries += number
            progress(number)

        rankings = fuse(runs, options, advance) if len(runs) > 1 else cut(runs[0], options, advance)
        write_run(output, rankings, output_format, tag)
    typer.echo(f"{output}: {queries:,} queries, at most {hits:,} hits each")


if __name__ == "__main__":
    run_command(command)
