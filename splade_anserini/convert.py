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
    target: "Format",
    *,
    max_impact: int | None = None,
    docs_per_shard: int = 10_000,
    progress: Progress = silent,
) -> "Converted":
    """Write the documents of `source` to `output` in the format `target`.

    `max_impact` scales all impacts down when one is greater. Contents and settings that the format does not store are
    dropped with a warning. Raises what `write_converted` raises.
    """
    from splade_anserini.conversion import ClampedImpacts, ImpactDirectory, scaled_down, write_converted

    clamped = ClampedImpacts()
    if max_impact is not None:
        source = scaled_down(source, max_impact, clamped)
    if isinstance(target, ImpactDirectory):
        target = ImpactDirectory(docs_per_shard)
    converted = write_converted(source, output, target, progress=progress)
    if clamped.entries:
        _log.warning("Impacts that scaling rounded to 0, and which were set to 1: %d", clamped.entries)
    if converted.contents_left_out:
        _log.warning(
            "Documents whose contents the format %s does not store: %d", target.name, converted.contents_left_out
        )
    if converted.settings_left_out:
        _log.warning("The format %s does not store how documents were encoded: encoder and scale are lost", target.name)
    return converted


def open_source(path: Path, name: str | None, progress: Progress = silent) -> "Source":
    """Return the documents at `path`, of the format that is named or that its name says.

    A directory of pseudo-documents is checked as index checks it. Raises `InputError` when it cannot be used.
    """
    from splade_anserini.conversion import ImpactDirectory, Source, document_format
    from splade_anserini.lucene.sources import open_impacts

    if not path.exists():
        raise InputError(f"The input {path} does not exist.", do="Check the spelling of the path.")
    format_ = document_format(path, name)
    if isinstance(format_, ImpactDirectory):
        impacts = open_impacts(path, progress)
        return Source(path, lambda: format_.read(path), impacts.settings, impacts.counts)
    if path.is_dir():
        raise InputError(f"{path} is a directory.", expected=f"a file of the format {format_.name}")
    return Source(path, lambda: format_.read(path), format_.read_settings(path))


def convert_topics(input_: str, output: Path, source: str | None, target: str | None) -> int:
    """Write encoded topics in another format; return how many there are."""
    from splade_anserini.conversion import topic_format

    output_format = topic_format(str(output), target, for_output=True)
    topics = topic_format(input_, source).read_topics(input_)
    output_format.write_topics(output, topics)
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
        bool, typer.Option("--topics", help="Convert topics: impacts (TSV), csr, parquet, seismic or bmp.")
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
    from splade_anserini.conversion import document_format

    check_place(Path(input), output)
    target = document_format(output, to, for_output=True)
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
