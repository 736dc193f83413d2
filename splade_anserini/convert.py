"""The command `convert`: impact vectors from one format to another, of other engines too, and back."""

import logging
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from splade_anserini.cli import options as cli
from splade_anserini.cli.console import main_of, progress_bar
from splade_anserini.cli.results import make_once
from splade_anserini.errors import InputError, counted
from splade_anserini.options import option, options, recorded_options
from splade_anserini.progress import Progress, ProgressBars, no_bars, silent
from splade_anserini.records import DOCS_PER_SHARD, StrPath

if TYPE_CHECKING:
    from splade_anserini.artifacts.outputs import OutputRecord
    from splade_anserini.conversion import Converted, Source

_log = logging.getLogger(__name__)


@options
class ConvertOptions:
    """What is converted into what."""

    source_format: str | None = option(
        default=None,
        flags=("--from",),
        metavar="FORMAT",
        help="impacts, csr, parquet, ciff, seismic or bmp; with --topics no ciff.",
        unset="inferred from --input",
    )
    target_format: str | None = option(
        default=None,
        flags=("--to",),
        metavar="FORMAT",
        help="Format of the output, one of the same.",
        unset="inferred from --output",
    )
    topics: bool = option(default=False, help="Convert encoded topics instead of documents.")
    max_impact: int | None = option(
        default=None, least=1, help="Scale all impacts down when one is greater; none becomes 0."
    )
    docs_per_shard: int = option(
        default=DOCS_PER_SHARD, least=1, greatest=2**31 - 1, help="Documents in each file of pseudo-documents."
    )

    def __post_init__(self) -> None:
        if self.topics and self.max_impact is not None:
            raise InputError("--max-impact is for documents, not for --topics.", do="Leave --max-impact out.")


def convert(
    source: StrPath,
    output: StrPath,
    options: ConvertOptions | None = None,
    *,
    overwrite: bool = False,
    bars: ProgressBars = no_bars,
) -> "Converted":
    """Write the documents of `source` to `output`, in the formats that `options` names or the paths' names imply.

    What was written is read again and counted before it is put in place. What the format cannot hold of a document
    beside its vector is left out, with a warning. Raises `InputError` for what cannot be read or held, `OutputError`
    when `output` is a directory that is not empty (without `overwrite`), `IntegrityError` when something was lost.
    """
    from splade_anserini.artifacts.outputs import require_replaceable
    from splade_anserini.conversion import (
        ClampedImpacts,
        ImpactDirectory,
        document_format,
        scaled_down,
        write_converted,
    )

    options, source, output = options or ConvertOptions(), Path(source), Path(output)
    if overwrite:
        require_replaceable(output)
    target = document_format(output, options.target_format, for_output=True)
    if isinstance(target, ImpactDirectory):
        target = ImpactDirectory(options.docs_per_shard, replace=overwrite)
    with bars("Checking", None, "documents") as progress:
        documents = open_source(source, options.source_format, progress)
    total, clamped = documents.counts.documents if documents.counts else None, ClampedImpacts()
    if options.max_impact is not None:
        documents = scaled_down(documents, options.max_impact, clamped)
    _log.info("Converting %s to %s", source, output)
    with bars("Converting", total, "documents") as progress:
        converted = write_converted(documents, output, target, progress=progress)
    if clamped.entries:
        _log.warning("Impacts that scaling rounded to 0, and which were set to 1: %d", clamped.entries)
    if converted.contents_left_out:
        _log.warning(
            "Documents whose contents the format %s does not store: %d", target.name, converted.contents_left_out
        )
    if converted.settings_left_out:
        _log.warning("The format %s does not store how documents were encoded: encoder and scale are lost", target.name)
    return converted


def open_source(path: Path, format_name: str | None, progress: Progress = silent) -> "Source":
    """Return the documents at `path`, in the format of this name, or else the one that the path's name implies.

    A directory of pseudo-documents is checked as index checks it. Raises `InputError` when it cannot be used.
    """
    from splade_anserini.conversion import ImpactDirectory, Source, document_format
    from splade_anserini.lucene.sources import open_impacts

    _require_input(path)
    source = document_format(path, format_name)
    if isinstance(source, ImpactDirectory):
        impacts = open_impacts(path, progress)
        return Source(path, lambda: source.read(path), impacts.settings, impacts.counts)
    if path.is_dir():
        raise InputError(f"Input {path} is a directory.", expected=f"a file of the format {source.name}")
    return Source(path, lambda: source.read(path), source.read_settings(path))


def convert_topics(source: str, output: StrPath, options: ConvertOptions | None = None) -> int:
    """Write encoded topics in another format and return how many there are. Formats are chosen as by `convert`."""
    from splade_anserini.conversion import topic_format

    options, output = options or ConvertOptions(), Path(output)
    target = topic_format(str(output), options.target_format, for_output=True)
    topics = topic_format(source, options.source_format).read_topics(source)
    _log.info("Converting %s of %s to %s", counted(len(topics), "query", "queries"), source, output)
    target.write_topics(output, topics)
    return len(topics)


def command(
    input: Annotated[  # noqa: A002  # the option's name
        str, typer.Option(help="Directory or file of impact vectors; with --topics, encoded topics.")
    ],
    output: Annotated[Path, typer.Option(help="Directory of pseudo-documents, or file, to write.")],
    options: ConvertOptions,
    format: cli.Format = "table",  # noqa: A002  # the option's name
    overwrite: cli.Overwrite = False,
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
    from splade_anserini.artifacts.files import require_disjoint

    require_disjoint([output], [input], nested=not options.topics)
    result = make_once(
        output,
        _record(input, output, options),
        lambda: _convert(input, output, options, overwrite=overwrite),
        overwrite=overwrite,
    )
    typer.echo(result.text(format, _summary))


def _convert(input_: str, output: Path, options: ConvertOptions, *, overwrite: bool) -> dict[str, int]:
    """Convert documents or topics and return their counts."""
    if options.topics:
        return {"queries": convert_topics(input_, output, options)}
    converted = convert(input_, output, options, overwrite=overwrite, bars=progress_bar)
    counts = converted.counts
    return {
        "documents": counts.documents,
        "empty": converted.empty,
        "postings": counts.postings,
        "impacts": counts.impacts,
    }


def _summary(counts: Mapping[str, int]) -> str:
    if "queries" in counts:
        return counted(counts["queries"], "query", "queries")
    empty = f", {counts['empty']:,} empty" if counts["empty"] else ""
    documents, postings = counted(counts["documents"], "document"), counted(counts["postings"], "posting")
    return f"{documents}{empty}, {postings}, {counts['impacts']:,} impacts"


def _record(input_: str, output: Path, options: ConvertOptions) -> "OutputRecord":
    """Describe the output by all that decides its content. Raises `InputError` for a path without a known format."""
    from splade_anserini.artifacts.outputs import OutputRecord, fingerprint_of_input
    from splade_anserini.conversion import document_format, topic_format

    if options.topics:
        source = topic_format(input_, options.source_format)
        target = topic_format(str(output), options.target_format, for_output=True)
    else:
        _require_input(Path(input_))
        source = document_format(Path(input_), options.source_format)
        target = document_format(output, options.target_format, for_output=True)
    settings = recorded_options(options) | {"source_format": source.name, "target_format": target.name}
    return OutputRecord("convert", settings, {"input": fingerprint_of_input(input_)})


def _require_input(path: Path) -> None:
    if not path.exists():
        raise InputError(f"Input {path} does not exist.", do="Check the spelling of the path.")


if __name__ == "__main__":
    main_of(command)
