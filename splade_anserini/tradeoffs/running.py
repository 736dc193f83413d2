"""A sweep: index after index, each measured in all ways that search it."""

import shutil
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import groupby
from pathlib import Path

import pydantic

from splade_anserini.artifacts.figures import require_matplotlib, save_figure
from splade_anserini.artifacts.files import directory_lock, output_errors, whole_file
from splade_anserini.artifacts.fingerprints import fingerprint_of_bytes
from splade_anserini.lucene.sources import ImpactSource
from splade_anserini.progress import Progress, silent
from splade_anserini.tradeoffs.documents import Collection, build_index, impacts_of, open_collection, refuse_empty
from splade_anserini.tradeoffs.measuring import QueryWorkload, measure
from splade_anserini.tradeoffs.plot import figure_of
from splade_anserini.tradeoffs.rows import Row, Rows
from splade_anserini.tradeoffs.settings import Setting
from splade_anserini.tradeoffs.table import as_comma_separated


@dataclass(frozen=True, slots=True)
class ExecutionOptions:
    """With what a sweep is done, which decides no count and no measure."""

    threads: int = 1
    """Of indexing."""
    picture: str = "png"
    """Or svg, or none."""
    keep_indexes: bool = False
    force: bool = False
    """Begin anew when other inputs were measured here."""


def sweep(
    source: ImpactSource,
    asked: QueryWorkload,
    settings: Sequence[Setting],
    output: Path,
    means: ExecutionOptions | None = None,
    progress: Progress = silent,
) -> dict[Setting, Row]:
    """Measure each setting that is not measured yet; write table and picture after each index; return all rows.

    Raises `MismatchError` when `output` holds a sweep of other inputs, `InputError` for a setting that leaves nothing.
    """
    means = means or ExecutionOptions()
    if means.picture != "none":
        require_matplotlib()
    with output_errors(output):
        output.mkdir(parents=True, exist_ok=True)
    with directory_lock(output):
        collection = open_collection(source)
        _refuse_empty(collection, asked, settings)
        done = Rows(output, inputs_of(collection, asked), force=means.force)
        for group in _by_index(settings):
            _measure_index(collection, asked, group, output, done, means)
            _write(output, {one: done.done[str(one)] for one in settings if str(one) in done.done}, asked, means)
            progress(len(group))
        return {setting: done.done[str(setting)] for setting in settings}


def inputs_of(collection: Collection, asked: QueryWorkload) -> dict[str, pydantic.JsonValue]:
    """Return all that decides what is counted and measured of a setting."""
    counts, settings = collection.source.counts, collection.source.settings
    queries = (f"{query_id}\t{sorted(vector.items())}".encode() for query_id, vector in asked.queries.items())
    judged = sorted(f"{qrel.query_id}\t{qrel.doc_id}\t{qrel.relevance}".encode() for qrel in asked.qrels)
    return {
        "encoder": settings.encoder.weights if settings else None,
        "scale": settings.scale if settings else None,
        "documents": counts.documents,
        "postings": counts.postings,
        "impacts": fingerprint_of_bytes(repr(sorted(collection.impacts.items())).encode()),
        "queries": fingerprint_of_bytes(*queries),
        "qrels": fingerprint_of_bytes(*judged),
        "measures": [str(measure) for measure in asked.measures],
        "hits": asked.hits,
        "candidates": asked.candidates,
    }


def _refuse_empty(collection: Collection, asked: QueryWorkload, settings: Sequence[Setting]) -> None:
    of_queries = impacts_of(asked.queries.values())
    for setting in settings:
        refuse_empty(setting.documents, collection.impacts, "documents")
        refuse_empty(setting.queries, of_queries, "queries")


def _by_index(settings: Sequence[Setting]) -> Iterator[list[Setting]]:
    for _, group in groupby(settings, lambda setting: setting.of_index):
        yield list(group)


def _index_name(setting: Setting) -> str:
    """Return the name of the index that the setting searches."""
    return str(setting.of_index).replace(", ", "-").replace(" ", "-")


def _measure_index(
    collection: Collection,
    asked: QueryWorkload,
    group: Sequence[Setting],
    output: Path,
    done: Rows,
    means: ExecutionOptions,
) -> None:
    """Build an index, measure what is not measured of it, and remove it unless it is to be kept."""
    left = [setting for setting in group if str(setting) not in done.done]
    index = output / "indexes" / _index_name(group[0])
    if left or (means.keep_indexes and not index.is_dir()):
        index.parent.mkdir(exist_ok=True)
        build_index(collection, group[0], index, means.threads)
    if left:
        done.record(measure(index, left, asked, collection.source.counts.documents))
    if index.is_dir() and not means.keep_indexes:
        shutil.rmtree(index)
        if not any(index.parent.iterdir()):
            index.parent.rmdir()


def _write(output: Path, rows: Mapping[Setting, Row], asked: QueryWorkload, means: ExecutionOptions) -> None:
    measures = [str(measure) for measure in asked.measures]
    with whole_file(output / "sweep.csv") as file:
        file.write(as_comma_separated(rows, measures).encode())
    if means.picture != "none":
        save_figure(figure_of(rows, measures[0]), output / f"sweep.{means.picture}")
