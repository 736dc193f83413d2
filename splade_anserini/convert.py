"""The command `convert`: impact vectors from one format to another, of other engines too, and back."""

import logging
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from splade_anserini.cli import options as cli
from splade_anserini.cli.console import main_of, progress_bar
from splade_anserini.cli.results import make_once
from splade_anserini.errors import NOTE, InputError, counted
from splade_anserini.formats.reading_options import ReadingOptions
from splade_anserini.options import option, options, recorded_options
from splade_anserini.progress import ProgressBars, no_bars
from splade_anserini.records import DOCS_PER_SHARD, StrPath

if TYPE_CHECKING:
    from collections.abc import Iterator

    from splade_anserini.artifacts.manifests import EncodeSettings
    from splade_anserini.artifacts.outputs import OutputRecord
    from splade_anserini.conversion import Converted, LeftOut, Source
    from splade_anserini.lucene.sources import ImpactSource
    from splade_anserini.records import ImpactDocument

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
    document_idf: float = option(
        default=0.0,
        least=0,
        greatest=10,
        metavar="ALPHA",
        help="Multiply each impact by idf^ALPHA of its token in the input, as index --document-idf. 0: do not.",
        recorded="set",
    )
    docs_per_shard: int = option(
        default=DOCS_PER_SHARD, least=1, greatest=2**31 - 1, help="Documents in each file of pseudo-documents."
    )

    def __post_init__(self) -> None:
        if self.topics and self.max_impact is not None:
            raise InputError("--max-impact is for documents, not for --topics.", do="Leave --max-impact out.")
        if self.topics and self.document_idf:
            raise InputError("--document-idf is for documents, not for --topics.", do="Leave --document-idf out.")


def convert(
    source: StrPath,
    output: StrPath,
    options: ConvertOptions | None = None,
    *,
    reading: ReadingOptions | None = None,
    overwrite: bool = False,
    bars: ProgressBars = no_bars,
) -> "Converted":
    """Write the documents of `source` to `output`, in the formats that `options` names or the paths' names imply.

    Vectors of other tools are read as `reading` says.

    What was written is read again and counted before it is put in place. What the format cannot hold of a document
    beside its vector is left out, with a warning. Raises `InputError` for what cannot be read or held, `OutputError`
    when `output` is a directory that is not empty (without `overwrite`), `IntegrityError` when something was lost.
    """
    from splade_anserini.artifacts.files import require_writable
    from splade_anserini.artifacts.outputs import require_replaceable
    from splade_anserini.conversion import (
        ClampedImpacts,
        ImpactDirectory,
        document_format,
        scaled_down,
        write_converted,
    )

    options, source, output = options or ConvertOptions(), Path(source), Path(output)
    require_writable(output)
    if overwrite:
        require_replaceable(output)
    target = document_format(output, options.target_format, for_output=True)
    if isinstance(target, ImpactDirectory):
        target = ImpactDirectory(options.docs_per_shard, replace=overwrite)
    documents = open_source(source, options.source_format, reading, options.document_idf, bars)
    total, clamped = documents.counts.documents if documents.counts else None, ClampedImpacts()
    if options.max_impact is not None:
        documents = scaled_down(documents, options.max_impact, clamped)
    _log.info("Converting %s to %s", source, output)
    with bars("Converting", total, "documents") as progress:
        converted = write_converted(documents, output, target, progress=progress)
    _say_what_was_left_out(converted, documents, target.name, options)
    if clamped.entries:
        _log.warning("Impacts that scaling rounded to 0, and which were set to 1: %d", clamped.entries)
    return converted


def _say_what_was_left_out(converted: "Converted", source: "Source", format_name: str, options: ConvertOptions) -> None:
    left_out = source.left_out
    if converted.zeros:
        _log.warning("Entries with an impact of 0, which are left out: %d", converted.zeros)
    if left_out.rounded_to_zero:
        _log.log(NOTE, "Entries that --document-idf made 0, which are left out: %d", left_out.rounded_to_zero)
    if left_out.emptied:
        _log.warning("Documents whose vector --document-idf made empty: %d", left_out.emptied)
    if left_out.tokens_are_numbers:
        _log.warning(
            "All tokens of %s are numbers; if they are ids of a vocabulary, pass it with --vocabulary", source.path
        )
    if converted.contents_left_out:
        _log.warning(
            "Documents whose contents the format %s does not store: %d", format_name, converted.contents_left_out
        )
    if converted.settings_left_out:
        lost = "encoder, scale and idf" if options.document_idf else "encoder and scale"
        _log.warning("The format %s does not store how documents were encoded: %s are lost", format_name, lost)


def open_source(
    path: Path,
    format_name: str | None,
    reading: ReadingOptions | None = None,
    document_idf: float = 0.0,
    bars: ProgressBars = no_bars,
) -> "Source":
    """Return the documents at `path`, in the format of this name, or else the one that the path's name implies.

    A directory of pseudo-documents with a manifest is checked as index checks it. With `document_idf`, they are read
    once before, to count the documents with each token. Raises `InputError` when it cannot be used.
    """
    from splade_anserini.conversion import ImpactDirectory, LeftOut, Source, document_format
    from splade_anserini.formats.vectors import VectorReader
    from splade_anserini.lucene.sources import file_source, find_impacts

    _require_input(path)
    source, left_out = document_format(path, format_name), LeftOut()
    options = (reading or ReadingOptions()).vector_options()
    if isinstance(source, ImpactDirectory):
        impacts = find_impacts(path, options)
    elif path.is_dir():
        raise InputError(f"Input {path} is a directory.", expected=f"a file of the format {source.name}")
    else:
        impacts = file_source(path, options, source.read_settings(path), source.located)
    settings = impacts.settings
    if options.scale is not None:
        settings = _settings_of_weights(path, settings, options.scale)

    if document_idf:
        return _with_document_idf(impacts, settings, left_out, document_idf, bars)

    def read() -> "Iterator[ImpactDocument]":
        reader = VectorReader(options)
        yield from impacts.documents(reader)
        left_out.zeros, left_out.tokens_are_numbers = reader.zeros, reader.tokens_are_numbers

    return Source(path, read, settings, impacts.counts, left_out)


def _with_document_idf(
    impacts: "ImpactSource", settings: "EncodeSettings | None", left_out: "LeftOut", alpha: float, bars: ProgressBars
) -> "Source":
    """Return the documents of `impacts` with each impact times idf^alpha; counts them first."""
    from splade_anserini.conversion import Source
    from splade_anserini.formats.vectors import VectorReader
    from splade_anserini.lucene.document_idf import document_idf_of, multiplied_by_idf, weighted_documents

    with bars("Counting", impacts.counts.documents if impacts.counts else None, "documents") as progress:
        impacts = multiplied_by_idf(impacts, alpha, progress=progress)
    if settings is None:
        _log.warning("%s says nothing of how it was encoded, so neither will the output of its idf", impacts.path)
    else:
        settings = settings.model_copy(update={"document_idf": document_idf_of(impacts)})

    def read() -> "Iterator[ImpactDocument]":
        reader = VectorReader(impacts.reading, notes=False)
        before, after = yield from weighted_documents(impacts, reader)
        left_out.zeros, left_out.tokens_are_numbers = reader.zeros, reader.tokens_are_numbers
        left_out.rounded_to_zero, left_out.emptied = (
            before.postings - after.postings,
            before.documents - after.documents,
        )

    return Source(impacts.path, read, settings, None, left_out)


def _settings_of_weights(path: Path, settings: "EncodeSettings | None", scale: float) -> "EncodeSettings":
    """Return the settings of vectors that --scale quantizes. Raises `InputError` when they have a scale already."""
    from splade_anserini.artifacts.manifests import EncodeSettings

    if settings is not None:
        raise InputError(f"{path} holds impacts, of the scale {settings.scale:g}.", do="Leave --scale out.")
    return EncodeSettings(
        encoder=None,
        corpus=str(path),
        scale=scale,
        max_length=None,
        top_k=None,
        contents=True,
        docs_per_shard=DOCS_PER_SHARD,
        shard_id=0,
        shard_num=1,
    )


def convert_topics(
    source: str, output: StrPath, options: ConvertOptions | None = None, reading: ReadingOptions | None = None
) -> int:
    """Write encoded topics in another format and return how many there are. Formats are chosen as by `convert`."""
    from splade_anserini.artifacts.files import require_writable
    from splade_anserini.conversion import topic_format

    options, output = options or ConvertOptions(), Path(output)
    require_writable(output)
    target = topic_format(str(output), options.target_format, for_output=True)
    vectors = (reading or ReadingOptions()).vector_options()
    topics = topic_format(source, options.source_format).read_topics(source, vectors)
    _log.info("Converting %s of %s to %s", counted(len(topics), "query", "queries"), source, output)
    target.write_topics(output, topics)
    return len(topics)


def command(
    input: Annotated[  # noqa: A002  # the option's name
        str, typer.Option(help="Directory or file of impact vectors; with --topics, encoded topics.")
    ],
    output: Annotated[Path, typer.Option(help="Directory of pseudo-documents, or file, to write.")],
    options: ConvertOptions,
    reading: ReadingOptions,
    format: cli.Format = "table",  # noqa: A002  # the option's name
    overwrite: cli.Overwrite = False,
) -> None:
    """Convert impact vectors: pseudo-documents, SciPy (.npz), Parquet, CIFF, Seismic (.jsonl), BMP (.bmp.ciff).

    What was written is read again and counted before it is put in place.

    \b
    Examples:
      splade-anserini convert --input impacts/mine --output mine.parquet
      splade-anserini convert --input impacts/mine --output mine.bmp.ciff --max-impact 255
      splade-anserini convert --input impacts/mine --output mine.ciff --document-idf 0.5
      splade-anserini convert --input theirs.parquet --output impacts/theirs --scale 100
      splade-anserini convert --input topics.tsv --output topics.jsonl --topics
    """
    from splade_anserini.artifacts.files import require_disjoint

    require_disjoint([output], [input], nested=not options.topics)
    require_disjoint([output], [reading.vocabulary])
    result = make_once(
        output,
        _record(input, output, options, reading),
        lambda: _convert(input, output, options, reading, overwrite=overwrite),
        overwrite=overwrite,
    )
    typer.echo(result.text(format, _summary))


def _convert(
    input_: str, output: Path, options: ConvertOptions, reading: ReadingOptions, *, overwrite: bool
) -> dict[str, int]:
    """Convert documents or topics and return their counts."""
    if options.topics:
        return {"queries": convert_topics(input_, output, options, reading)}
    converted = convert(input_, output, options, reading=reading, overwrite=overwrite, bars=progress_bar)
    counts = converted.counts
    return {
        "documents": counts.documents,
        "empty": converted.empty,
        "postings": counts.postings,
        "impacts": counts.impacts,
        **({"zeros": converted.zeros} if converted.zeros else {}),
    }


def _summary(counts: Mapping[str, int]) -> str:
    if "queries" in counts:
        return counted(counts["queries"], "query", "queries")
    empty = f", {counts['empty']:,} empty" if counts["empty"] else ""
    documents, postings = counted(counts["documents"], "document"), counted(counts["postings"], "posting")
    return f"{documents}{empty}, {postings}, {counts['impacts']:,} impacts"


def _record(input_: str, output: Path, options: ConvertOptions, reading: ReadingOptions) -> "OutputRecord":
    """Describe the output by all that decides its content. Raises `InputError` for a path without a known format."""
    from splade_anserini.artifacts.outputs import OutputRecord, fingerprints_of_inputs
    from splade_anserini.conversion import document_format, topic_format

    if options.topics:
        source = topic_format(input_, options.source_format)
        target = topic_format(str(output), options.target_format, for_output=True)
    else:
        _require_input(Path(input_))
        source = document_format(Path(input_), options.source_format)
        target = document_format(output, options.target_format, for_output=True)
    used = {name: value for name, value in recorded_options(reading).items() if value is not None}
    settings = recorded_options(options) | used | {"source_format": source.name, "target_format": target.name}
    inputs = {"input": input_} | ({"vocabulary": reading.vocabulary} if reading.vocabulary else {})
    return OutputRecord("convert", settings, fingerprints_of_inputs(inputs))


def _require_input(path: Path) -> None:
    if not path.exists():
        raise InputError(f"Input {path} does not exist.", do="Check the spelling of the path.")


if __name__ == "__main__":
    main_of(command)
