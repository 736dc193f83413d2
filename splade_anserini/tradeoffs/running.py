"""The sweep: each index is built once, and all settings that search it are measured."""

import logging
import shutil
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import groupby
from pathlib import Path

import pydantic

from splade_anserini.artifacts.figures import require_figure_format, save_figure
from splade_anserini.artifacts.files import directory_lock, output_errors, require_writable, resolved_output, whole_file
from splade_anserini.artifacts.fingerprints import fingerprint_of_bytes
from splade_anserini.artifacts.manifests import MANIFEST
from splade_anserini.artifacts.outputs import require_new_file
from splade_anserini.lucene.index_reader import check_index_files
from splade_anserini.lucene.sources import ImpactSource
from splade_anserini.progress import Progress, silent
from splade_anserini.records import StrPath
from splade_anserini.tradeoffs.documents import (
    Collection,
    FinishedIndex,
    build_index,
    check_pruning,
    count_impacts,
    open_collection,
)
from splade_anserini.tradeoffs.measuring import QueryWorkload, measure
from splade_anserini.tradeoffs.plot import figure_of
from splade_anserini.tradeoffs.results import Result, SweepState
from splade_anserini.tradeoffs.settings import Setting
from splade_anserini.tradeoffs.table import as_comma_separated

_log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class ExecutionOptions:
    """Options of a sweep that do not change its counts and measures."""

    threads: int = 1
    """Threads of indexing."""
    plot: Path | None = None
    """File of the plot: .png, .svg or .pdf."""
    keep_indexes: bool = False
    overwrite: bool = False
    """Start over instead of resuming."""
    verify: bool = False
    """Check the files of each index for damage, however large it is."""


def sweep(
    source: ImpactSource | FinishedIndex,
    workload: QueryWorkload,
    settings: Sequence[Setting],
    output: StrPath,
    options: ExecutionOptions | None = None,
    progress: Progress = silent,
) -> dict[Setting, Result]:
    """Measure the settings that `output` has no results of, and return the results of all settings.

    `source` has the documents, or is their index, if no setting varies them.

    `sweep.csv` and the plot are written after each index. Raises `MismatchError` when `output` contains results of
    other inputs, `InputError` for a pruning that removes all entries.
    """
    options, output = options or ExecutionOptions(), Path(output)
    if options.plot:
        require_figure_format(options.plot)
    require_writable(output, in_place=output.is_dir())
    if options.plot and not options.plot.is_relative_to(output):
        require_writable(options.plot)
    with output_errors(output):
        resolved_output(output).mkdir(parents=True, exist_ok=True)
    with directory_lock(output):
        collection = source if isinstance(source, FinishedIndex) else open_collection(source)
        _check_prunings(collection, workload, settings)
        is_sweep = (output / MANIFEST).exists()
        state = SweepState(output, _inputs(collection, workload), overwrite=options.overwrite)
        if not is_sweep:
            for path in (output / "sweep.csv", options.plot):
                if path:
                    require_new_file(path, overwrite=options.overwrite)
        elif options.overwrite:
            for built in (output / "indexes").glob(f"*/{MANIFEST}"):
                shutil.rmtree(built.parent, ignore_errors=True)
        for group in _by_index(settings):
            _measure_index(collection, workload, group, output, state, options)
            results = {setting: state.results[str(setting)] for setting in settings if str(setting) in state.results}
            _write(output, results, workload, options)
            progress(len(group))
        return {setting: state.results[str(setting)] for setting in settings}


def _inputs(collection: Collection | FinishedIndex, workload: QueryWorkload) -> dict[str, pydantic.JsonValue]:
    """Return everything that decides the counts and measures of a setting."""
    queries = (f"{query_id}\t{sorted(vector.items())}".encode() for query_id, vector in workload.queries.items())
    qrels = sorted(f"{qrel.query_id}\t{qrel.doc_id}\t{qrel.relevance}".encode() for qrel in workload.qrels)
    return {
        **collection.inputs,
        "queries": fingerprint_of_bytes(*queries),
        "qrels": fingerprint_of_bytes(*qrels),
        "measures": [*workload.measure_names],
        "hits": workload.hits,
        "candidates": workload.candidates,
        **(workload.text_search.inputs if workload.text_search else {}),
    }


def _check_prunings(
    collection: Collection | FinishedIndex, workload: QueryWorkload, settings: Sequence[Setting]
) -> None:
    """Raise `InputError` for prunings that remove all entries; of queries times idf, that is known with the index."""
    query_impacts = count_impacts(workload.queries.values())
    for setting in settings:
        collection.check(setting)
        if not setting.query_idf:
            check_pruning(setting.queries, query_impacts, "queries")


def _by_index(settings: Sequence[Setting]) -> Iterator[list[Setting]]:
    for _, group in groupby(settings, lambda setting: setting.index_setting):
        yield list(group)


def _index_name(setting: Setting) -> str:
    """Return the directory name of the index that the setting searches."""
    return str(setting.index_setting).replace(", ", "-").replace(" ", "-")


def _measure_index(
    collection: Collection | FinishedIndex,
    workload: QueryWorkload,
    group: Sequence[Setting],
    output: Path,
    state: SweepState,
    options: ExecutionOptions,
) -> None:
    """Build an index, measure the settings that have no results, and remove the index unless it should be kept."""
    remaining = [setting for setting in group if str(setting) not in state.results]
    if isinstance(collection, FinishedIndex):
        if remaining:
            state.add(measure(collection.path, remaining, workload, collection.documents))
        return
    index = output / "indexes" / _index_name(group[0])
    _log.info("%s: %d of %d settings to measure", _index_name(group[0]), len(remaining), len(group))
    if remaining or (options.keep_indexes and not index.is_dir()):
        index.parent.mkdir(exist_ok=True)
        build_index(collection, group[0], index, options.threads)
    if remaining:
        check_index_files(index, any_size=options.verify)
        state.add(measure(index, remaining, workload, collection.documents))
    if index.is_dir() and not options.keep_indexes:
        shutil.rmtree(index)
        if not any(index.parent.iterdir()):
            index.parent.rmdir()


def _write(output: Path, results: Mapping[Setting, Result], workload: QueryWorkload, options: ExecutionOptions) -> None:
    with whole_file(output / "sweep.csv") as file:
        file.write(as_comma_separated(results, workload.measure_names).encode())
    if options.plot:
        save_figure(figure_of(results, workload.measure_names), options.plot)
