"""Stage: impact vectors from one format to another: to matrices, tables and other engines, and back."""

import logging
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from splade_anserini.artifacts.files import require_disjoint
from splade_anserini.cli.console import main_of, progress_bar
from splade_anserini.errors import InputError, OutputError
from splade_anserini.progress import Progress, silent

if TYPE_CHECKING:
    from splade_anserini.conversion import Converted, Format, Source

_log = logging.getLogger(__name__)


def convert(
    source: "Source",
    output: Path,
    target: "Format | None",
    *,
    max_impact: int | None = None,
    docs_per_shard: int = 10_000,
    progress: Progress = silent,
) -> "Converted":
    """Write the documents of `source` in the format `target`, or as a directory of pseudo-documents when it is None.

    `max_impact` scales all impacts down when one is greater. What the format cannot hold of a document, but its
    vector, is left out with a warning. Raises what `write_converted` raises.
    """
    from splade_anserini.conversion import ClampedImpacts, scaled_down, write_converted

    raised = ClampedImpacts()
    if max_impact is not None:
        source = scaled_down(source, max_impact, raised)
    converted = write_converted(source, output, target, docs_per_shard=docs_per_shard, progress=progress)
    if raised.entries:
        _log.warning("Impacts that became less than one half, and were made 1: %d", raised.entries)
    if target and converted.contents_left_out:
        _log.warning("Documents whose contents %s does not hold: %d", target.name, converted.contents_left_out)
    if target and converted.settings_left_out:
        _log.warning("%s does not hold how the documents were encoded: encoder and scale are left out", target.name)
    return converted


def open_source(path: Path, name: str | None, progress: Progress = silent) -> "Source":
    """Return the documents at `path`, of the format that is named or that its name says.

    A directory of pseudo-documents is checked as index checks it. Raises `InputError` when it cannot be used.
    """
    from splade_anserini.conversion import Source, file_format
    from splade_anserini.conversion.directory import read_directory
    from splade_anserini.lucene.sources import open_impacts

    if not path.exists():
        raise InputError(f"The input {path} does not exist.", do="Check the spelling of the path.")
    source = file_format(path, name)
    if source is None:
        opened = open_impacts(path, progress)
        return Source(path, lambda: read_directory(path), opened.settings, opened.counts)
    if path.is_dir():
        raise InputError(f"{path} is a directory.", expected=f"a file of the format {source.name}")
    return Source(path, lambda: source.read(path), source.settings(path))


def convert_topics(input_: str, output: Path, source: str | None, target: str | None) -> int:
    """Write encoded topics in another format; return how many there are."""
    from splade_anserini.conversion import read_topic_vectors, topic_format, write_topic_vectors

    into = topic_format(output.name, target, written=True)
    topics = read_topic_vectors(input_, topic_format(input_, source, written=False))
    write_topic_vectors(output, topics, into)
    return len(topics)


def command(
    input: Annotated[  # noqa: A002  # the host's flag
        str, typer.Option(help="Directory or file of impact vectors; with --topics, encoded topics.")
    ],
    output: Annotated[Path, typer.Option(help="Directory of pseudo-documents, or file, to write.")],
    from_: Annotated[
        str | None,
        typer.Option("--from", help="impacts, csr, parquet, ciff, seismic or bmp. [default: what --input is called]"),
    ] = None,
    to: Annotated[str | None, typer.Option(help="The same for --output.")] = None,
    topics: Annotated[
        bool, typer.Option("--topics", help="Convert queries: topics, csr, parquet, seismic or bmp.")
    ] = False,
    max_impact: Annotated[
        int | None, typer.Option(min=1, help="Scale all impacts down when one is greater; none becomes 0.")
    ] = None,
    docs_per_shard: Annotated[
        int, typer.Option(min=1, max=2**31 - 1, help="Documents in a file of pseudo-documents.")
    ] = 10_000,
) -> None:
    """Convert impact vectors: pseudo-documents, SciPy (.npz), Parquet, CIFF, Seismic (.jsonl), BMP (.bmp.ciff).

    What was written is read again and counted before it is put in place.

    \b
    Examples:
      splade-anserini convert --input impacts/mine --output mine.parquet
      splade-anserini convert --input impacts/mine --output mine.bmp.ciff --max-impact 255
      splade-anserini convert --input mine.ciff --output impacts/theirs
      splade-anserini convert --input topics.tsv --output topics.jsonl --topics
    """
    if topics:
        if max_impact is not None:
            raise InputError("--max-impact is for documents.", do="Leave it out.")
        require_disjoint([output], [input])
        typer.echo(f"{output}: {convert_topics(input, output, from_, to):,} topics")
        return
    from splade_anserini.conversion import file_format

    check_place(Path(input), output)
    target = file_format(output, to)
    with progress_bar("Checking", None, "documents") as progress:
        source = open_source(Path(input), from_, progress)
    with progress_bar("Converting", source.counts.documents if source.counts else None, "documents") as progress:
        converted = convert(
            source, output, target, max_impact=max_impact, docs_per_shard=docs_per_shard, progress=progress
        )
    counts = converted.counts
    empty = f", {converted.empty:,} empty" if converted.empty else ""
    typer.echo(
        f"{output}: {counts.documents:,} documents{empty}, {counts.postings:,} postings, {counts.impacts:,} impacts"
    )


def check_place(input_: Path, output: Path) -> None:
    """Raise `OutputError` when the output would stand in its own input, or the other way round."""
    one, other = input_.resolve(), output.resolve()
    if one == other or other.is_relative_to(one) or one.is_relative_to(other):
        raise OutputError(f"The output {output} and the input {input_} are one place.", do="Choose another place.")


if __name__ == "__main__":
    main_of(command)
