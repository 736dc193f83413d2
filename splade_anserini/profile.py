"""The command `profile`: index and topics → what a search costs: FLOPS, active entries, bytes, milliseconds."""

import logging
from pathlib import Path
from typing import TYPE_CHECKING, Literal

import typer

from splade_anserini.cli import options as cli
from splade_anserini.cli.console import main_of, progress_bar
from splade_anserini.errors import InputError
from splade_anserini.options import option, options
from splade_anserini.progress import ProgressBars, no_bars
from splade_anserini.records import StrPath
from splade_anserini.retrieval.options import QueryOptions

if TYPE_CHECKING:
    from collections.abc import Callable

    from splade_anserini.encoding import ImpactQueryEncoder
    from splade_anserini.profiling.measurements import TimingPlan
    from splade_anserini.profiling.report import Profile
    from splade_anserini.retrieval.query_vectors import QuerySet

_log = logging.getLogger(__name__)


@options
class ProfileOptions:
    """What is timed, and how often."""

    hits: tuple[int, ...] = option(
        default=(10, 100, 1000), least=1, help="Hits of the timed searches; repeat for several."
    )
    samples: int = option(default=1000, least=1, help="Timed queries of each setting.")
    warm_up: int = option(default=200, least=0, help="Queries of each setting before any is timed.")
    cold: bool = option(default=True, help="Time searches with a cold page cache too.")
    tokens: int = option(default=20, least=0, help="How many of the costliest tokens are listed.")
    seed: int = option(default=0, help="Seed of the order of the queries.")

    def plan(self, threads: int) -> "TimingPlan":
        """Return what is timed, on up to `threads` threads."""
        from splade_anserini.profiling.measurements import TimingPlan

        return TimingPlan(tuple(sorted(set(self.hits))), threads, self.samples, self.warm_up, self.seed, self.cold)


@options
class ProfileOutput:
    """Where the profile goes."""

    format: Literal["table", "json"] = option(default="table", help="How to print.")
    output: Path | None = option(default=None, help="Directory for profile.txt and profile.json.", unset="none")
    plot: Path | None = option(default=None, help="Plot of the times: .png, .svg or .pdf.")
    overwrite: bool = option(default=False, help="Replace output files that exist.")


def profile(
    index: StrPath,
    queries: "QuerySet",
    options: ProfileOptions | None = None,
    *,
    threads: int = 0,
    encoders: "dict[int, Callable[[str], object]] | None" = None,
    bars: ProgressBars = no_bars,
) -> "Profile":
    """Count what the index and the queries cost, and time them.

    `encoders` has what encodes one text, by the number of threads it uses: texts are timed with each. Logs a warning
    when index and queries share no token. Raises `InputError` when `index` is not a Lucene index.
    """
    from splade_anserini.artifacts.environment import environment
    from splade_anserini.lucene.index_writer import lucene_version
    from splade_anserini.lucene.java.jvm import java_version
    from splade_anserini.parallel import cpu_count
    from splade_anserini.profiling.costs import costs
    from splade_anserini.profiling.measurements import encoding_times, search_times
    from splade_anserini.profiling.report import Profile

    options = options or ProfileOptions()
    directory, plan = Path(index), options.plan(threads or cpu_count())
    vectors = queries.vectors(bars=bars)
    _log.info("Counting what %s costs in %s", queries.source, directory)
    counted = costs(directory, vectors, options.tokens)
    if not counted.flops:
        _log.warning(
            "No token of topics %s is in index %s; FLOPS is 0 and nothing is found. Were both encoded alike?",
            queries.source,
            directory,
        )
    _log.info("Timing searches for %s hits on up to %d threads", options.hits, plan.threads)
    with bars("Timing", None, "settings") as progress:
        texts = [query.text for query in queries.texts or ()]
        encoding = encoding_times(encoders or {}, texts, plan, progress)
        searching, cold = search_times(directory, vectors, plan, progress)
    java = {"java": java_version(), "lucene": lucene_version().removeprefix("Lucene ")}
    return Profile(
        index=str(directory),
        topics=queries.source,
        costs=counted,
        encoding=encoding,
        searching=searching,
        cold=cold,
        plan=plan,
        environment=environment() | java,
        truncation=queries.truncation,
    )


def command(
    index: cli.Index, topics: cli.Topics, query: QueryOptions, timing: ProfileOptions, output: ProfileOutput
) -> None:
    """Report what searches of an index cost: FLOPS, active entries, bytes, and milliseconds, for given topics.

    \b
    Example:
      splade-anserini profile --index indexes/mine --topics queries.tsv --output profiles/mine
    """
    from splade_anserini.cards.finding import resolve_index
    from splade_anserini.lucene import start_jvm
    from splade_anserini.lucene.index_reader import check_index_files, require_impact_index

    directory = resolve_index(index)
    check_index_files(directory, any_size=query.verify)
    _check_output(output)
    start_jvm()
    require_impact_index(directory, force=query.force)
    queries, encoders = _open_queries(topics, directory, query)
    result = profile(directory, queries, timing, threads=query.threads, encoders=encoders, bars=progress_bar)
    _write(result, output)


def _open_queries(
    topics: str, index: Path, query: QueryOptions
) -> "tuple[QuerySet, dict[int, Callable[[str], object]]]":
    """Return the queries, and for texts an encoder for each number of threads that is timed."""
    from dataclasses import replace

    from splade_anserini.artifacts.manifests import IndexManifest, read_manifest
    from splade_anserini.parallel import cpu_count
    from splade_anserini.retrieval.query_settings import query_idf_for
    from splade_anserini.retrieval.query_vectors import load_queries, open_query_encoder_for

    manifest = read_manifest(index, IndexManifest)
    encoders = {}

    def open_encoders() -> "ImpactQueryEncoder":
        for threads in sorted({1, query.threads or cpu_count()}):
            options = replace(query, threads=threads)
            encoders[threads] = open_query_encoder_for(manifest, f"Index {index}", options, low_latency=True)
        return encoders[max(encoders)]

    queries = load_queries(topics, open_encoders, query, encoder_name=query.encoder)
    queries.multiply_by_idf(index, query_idf_for(manifest, query, f"Index {index}"))
    return queries, {threads: encoder.encode for threads, encoder in encoders.items()}


def _check_output(output: ProfileOutput) -> None:
    from splade_anserini.artifacts.figures import require_figure_format
    from splade_anserini.artifacts.files import output_errors, require_disjoint, require_writable, resolved_output
    from splade_anserini.artifacts.outputs import require_new_file

    if output.plot is not None:
        require_figure_format(output.plot)
        require_new_file(output.plot, overwrite=output.overwrite)
    if output.output is None:
        return
    require_disjoint([output.output, output.plot], [])
    if output.output.exists() and not output.output.is_dir():
        raise InputError(f"--output {output.output} is a file.", expected="a directory", do="Choose another path.")
    for name in ("profile.txt", "profile.json"):
        require_new_file(output.output / name, overwrite=output.overwrite)
    # What cannot be written is reported before anything is timed.
    with output_errors(output.output):
        resolved_output(output.output).mkdir(parents=True, exist_ok=True)
    require_writable(output.output, in_place=True)


def _write(result: "Profile", output: ProfileOutput) -> None:
    import orjson

    from splade_anserini.artifacts.files import whole_file
    from splade_anserini.profiling.plot import plot
    from splade_anserini.profiling.report import as_json, as_text

    text, json = as_text(result), orjson.dumps(as_json(result), option=orjson.OPT_APPEND_NEWLINE)
    if output.output:
        for name, data in [("profile.txt", text.encode()), ("profile.json", json)]:
            with whole_file(output.output / name) as file:
                file.write(data)
    if output.plot:
        plot(result, output.plot)
    typer.echo(text if output.format == "table" else json.decode(), nl=False)


if __name__ == "__main__":
    main_of(command)
