"""Stage: index and topics → what a search costs: FLOPS, entries, bytes, milliseconds."""

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

import typer

from splade_anserini.artifacts.files import output_errors
from splade_anserini.cli import options
from splade_anserini.cli.console import progress_bar, run
from splade_anserini.errors import InputError
from splade_anserini.progress import Progress, silent

if TYPE_CHECKING:
    from splade_anserini.encoding import ImpactQueryEncoder
    from splade_anserini.profiling.profile_record import Profile
    from splade_anserini.profiling.times import Plan
    from splade_anserini.records import ImpactVector, Query

HITS = (10, 100, 1000)


class QueryWorkload:
    """Topics, with what encodes them if they are texts."""

    def __init__(
        self,
        name: str,
        vectors: "Mapping[str, ImpactVector]",
        texts: Sequence[str] = (),
        encoders: "Mapping[int, Callable[[str], object]] | None" = None,
    ) -> None:
        self.name, self.vectors, self.texts = name, vectors, texts
        self.encoders = encoders or {}
        """By threads; none for topics that are encoded already."""


def profile(
    directory: Path, asked: QueryWorkload, plan: "Plan", tokens: int = 20, progress: Progress = silent
) -> "Profile":
    """Count what the index and the topics cost, and time them; `tokens` of the costliest are named.

    Warns when topics and index share no token. Raises `InputError` when `directory` is no Lucene index.
    """
    from splade_anserini.artifacts.environment import environment
    from splade_anserini.lucene.java.jvm import java_version
    from splade_anserini.lucene.lucene_writer import lucene_version
    from splade_anserini.profiling.costs import costs
    from splade_anserini.profiling.profile_record import Profile
    from splade_anserini.profiling.times import encoding_times, search_times

    counted = costs(directory, asked.vectors, tokens)
    _check_overlap(directory, asked, counted.flops)
    encoding = encoding_times(asked.encoders, asked.texts, plan, progress)
    searching, cold = search_times(directory, asked.vectors, plan, progress)
    java = {"java": java_version(), "lucene": lucene_version().removeprefix("Lucene ")}
    return Profile(str(directory), asked.name, counted, encoding, searching, cold, plan, environment() | java)


def _check_overlap(directory: Path, asked: QueryWorkload, flops: float) -> None:
    if not flops:
        import logging

        logging.getLogger(__name__).warning(
            "No token of the topics %s is in the index %s: FLOPS is 0, and nothing is found. "
            "Are they of the same encoder?",
            asked.name,
            directory,
        )


def encoded(
    topics: str, queries: "Sequence[Query]", open_with: "Callable[[int], ImpactQueryEncoder]", threads: Sequence[int]
) -> QueryWorkload:
    """Encode topics, with an encoder that is opened for each number of threads."""
    from splade_anserini.retrieval.query_vectors import encode_queries

    encoders = {number: open_with(number) for number in threads}
    with progress_bar("Encoding", len(queries), "queries") as progress:
        vectors = encode_queries(queries, encoders[threads[-1]], progress=progress)
    return QueryWorkload(
        topics,
        vectors,
        [query.text for query in queries],
        {number: encoder.encode for number, encoder in encoders.items()},
    )


def command(
    index: options.Index,
    topics: options.Topics,
    encoder: options.QueryEncoder = None,
    pre_encoded: options.PreEncoded = None,
    output: Annotated[
        Path | None, typer.Option(help="Directory for profile.txt, profile.json and a picture. [default: none]")
    ] = None,
    format: Annotated[Literal["text", "json"], typer.Option(help="How to print.")] = "text",  # noqa: A002  # as evaluate
    picture: Annotated[Literal["png", "svg", "none"], typer.Option(help="Kind of the picture in --output.")] = "png",
    hits: Annotated[list[int] | None, typer.Option(min=1, help="Repeat for several. [default: 10, 100, 1000]")] = None,
    threads: Annotated[int, typer.Option(min=0, help="The most threads, beside 1, 2, 4 …. 0: one per core.")] = 0,
    samples: Annotated[int, typer.Option(min=1, help="Timed queries of each setting.")] = 1000,
    warm_up: Annotated[int, typer.Option(min=0, help="Queries of each setting before any is timed.")] = 200,
    cold: Annotated[bool, typer.Option(help="Time also with the index on disk alone.")] = True,
    tokens: Annotated[int, typer.Option(min=0, help="How many of the costliest tokens are named.")] = 20,
    seed: Annotated[int, typer.Option(help="Of the order of the queries.")] = 0,
    max_length: options.QueryLength = None,
    device: options.Device = "auto",
    scale: options.QueryScale = None,
    force: Annotated[
        bool, typer.Option("--force", help="Go on even if vocabulary or scale are not the index's.")
    ] = False,
) -> None:
    """Say what searches of an index cost: FLOPS, active entries, bytes, and milliseconds, for given topics.

    \b
    Example:
      splade-anserini profile --index indexes/mine --topics queries.tsv --output profiles/mine
    """
    from splade_anserini.cards.finding import resolve_index
    from splade_anserini.encoding import EncoderOptions
    from splade_anserini.lucene import start_jvm
    from splade_anserini.lucene.counting import check_index_directory
    from splade_anserini.parallel import cpu_count
    from splade_anserini.profiling.times import Plan
    from splade_anserini.retrieval.query_vectors import open_index_query_encoder, read_vectors
    from splade_anserini.retrieval.topics import are_encoded, read_topics

    directory = resolve_index(index)
    check_index_directory(directory)
    _check_output(output, picture)
    start_jvm()
    plan = Plan(tuple(sorted(set(hits or HITS))), threads or cpu_count(), samples, warm_up, seed, cold)
    if are_encoded(topics) if pre_encoded is None else pre_encoded:
        asked = QueryWorkload(topics, read_vectors(topics, encoder))
    else:

        def options(number: int) -> EncoderOptions:
            return EncoderOptions(max_length=max_length, device=device, threads=number, low_latency=True)

        asked = encoded(
            topics,
            read_topics(topics),
            lambda number: open_index_query_encoder(directory, encoder, scale, options(number), force=force),
            sorted({1, plan.threads}),
        )
    if output is not None:
        # What cannot be written is said before anything is timed.
        with output_errors(output):
            output.mkdir(parents=True, exist_ok=True)
    with progress_bar("Timing", None, "settings") as progress:
        found = profile(directory, asked, plan, tokens, progress)
    _deliver(found, output, format, picture)


def _check_output(output: Path | None, picture: str) -> None:
    if output is None:
        return
    if output.exists() and not output.is_dir():
        raise InputError(f"The output {output} is a file.", expected="a directory", do="Choose another place.")
    if picture != "none":
        from splade_anserini.artifacts.figures import require_matplotlib

        require_matplotlib()


def _deliver(found: "Profile", output: Path | None, form: str, picture: str) -> None:
    import orjson

    from splade_anserini.artifacts.files import whole_file
    from splade_anserini.profiling.plot import plot
    from splade_anserini.profiling.profile_record import content
    from splade_anserini.profiling.report import report

    text, json = report(found), orjson.dumps(content(found), option=orjson.OPT_APPEND_NEWLINE)
    if output:
        for name, data in [("profile.txt", text.encode()), ("profile.json", json)]:
            with whole_file(output / name) as file:
                file.write(data)
        if picture != "none":
            plot(found, output / f"profile.{picture}")
    typer.echo(text if form == "text" else json.decode(), nl=False)


if __name__ == "__main__":
    run(command)
