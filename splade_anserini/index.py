"""Stage: impact pseudo-documents → a Lucene impact index."""

from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

import typer

from splade_anserini.cli.console import main_of, progress_bar
from splade_anserini.errors import IntegrityError, OutputError
from splade_anserini.progress import Progress, silent

if TYPE_CHECKING:
    from collections.abc import Mapping

    from splade_anserini.artifacts.manifests import Counts, IndexManifest
    from splade_anserini.lucene import IndexOptions
    from splade_anserini.lucene.sources import ImpactSource


def index(
    impacts: Path,
    output: Path,
    options: "IndexOptions | None" = None,
    *,
    overwrite: bool = False,
    progress: Progress = silent,
) -> "IndexManifest":
    """Build the Lucene index `output` of the pseudo-documents in and below the directory `impacts`.

    The index appears when it is whole and holds what it should. Raises `InputError` or `MismatchError` for what
    cannot be indexed, `OutputError` when `output` is taken, `IntegrityError` when something was lost or added.
    """
    from splade_anserini.lucene.sources import open_impacts

    check_place(output, impacts, overwrite=overwrite)
    return index_source(open_impacts(impacts), output, options, progress=progress)


def index_source(
    source: "ImpactSource",
    output: Path,
    options: "IndexOptions | None" = None,
    *,
    made: "Mapping[str, str] | None" = None,
    progress: Progress = silent,
) -> "IndexManifest":
    """Build the index of a directory that has been checked, in place of the one that may stand there.

    `made` is what else the manifest shall say of how the documents were made, beside the options.
    """
    from splade_anserini.artifacts.files import whole_directory
    from splade_anserini.artifacts.manifests import IndexManifest, write_manifest
    from splade_anserini.lucene import IndexOptions, count_index, write_impact_index, writer_version

    options = options or IndexOptions()
    settings = source.settings
    with whole_directory(output, replace=True) as partial:
        write_impact_index(source, partial, options, progress)
        counts = count_index(partial)
        _compare(counts, source)
        manifest = IndexManifest(
            encoder=settings.encoder if settings else None,
            scale=settings.scale if settings else None,
            max_length=settings.max_length if settings else None,
            corpus=settings.corpus if settings else "",
            writer=writer_version(options),
            options={**asdict(options), **(made or {})},
            counts=counts,
        )
        write_manifest(partial, manifest)
    return manifest


def _compare(counts: "Counts", source: "ImpactSource") -> None:
    differences = counts.differences(source.counts)
    if differences:
        raise IntegrityError(
            f"The index does not hold what {source.directory} should: {'; '.join(differences)}.",
            do="A file was changed after it was written: encode again into an empty directory. No index was put in "
            "place.",
        )


def check_place(output: Path, impacts: Path, *, overwrite: bool) -> None:
    """Raise `OutputError` unless an index may be put at `output`, which is nothing, empty, or an index to replace."""
    from splade_anserini.artifacts.manifests import MANIFEST

    if impacts.absolute().is_relative_to(output.absolute()):
        raise OutputError(f"The index {output} would replace its own input {impacts}.", do="Choose another place.")
    if not output.exists() or (output.is_dir() and not any(output.iterdir())):
        return
    if not output.is_dir() or not (any(output.glob("segments_*")) or (output / MANIFEST).is_file()):
        raise OutputError(f"{output} exists already, and is no index.", do="Choose another place.")
    if not overwrite:
        raise OutputError(
            f"The index {output} exists already.", do="Use --overwrite to replace it, or choose another place."
        )


def command(
    input: Annotated[  # noqa: A002  # the host's flag
        Path, typer.Option("--input", "--corpus", help="Directory of impact pseudo-documents, as encode writes it.")
    ],
    index: Annotated[Path, typer.Option(help="Directory for the Lucene index.")],
    threads: Annotated[int, typer.Option(min=0, help="Threads: half read, half index. 0: one per core.")] = 0,
    optimize: Annotated[bool, typer.Option(help="Merge into one segment: slower to build, faster to search.")] = True,
    memory: Annotated[
        int | None,
        typer.Option(min=1, help="Megabytes to gather before writing. [default: a quarter of Java's heap, max 2048]"),
    ] = None,
    store_text: Annotated[bool, typer.Option(help="Keep each record, for searcher.doc(id).raw().")] = False,
    store_docvectors: Annotated[bool, typer.Option(help="Keep each document's terms, for feedback methods.")] = False,
    writer: Annotated[
        Literal["lucene", "anserini"],
        typer.Option(help="Lucene's IndexWriter, or Anserini's IndexCollection: the same index, several times slower."),
    ] = "lucene",
    overwrite: Annotated[bool, typer.Option(help="Replace an index that stands there.")] = False,
) -> None:
    """Build a Lucene impact index as Anserini's, and make sure that it holds every document.

    Takes what encode wrote (of several machines: the directory that holds their directories), or pseudo-documents
    that others made.

    \b
    Example:
      splade-anserini index --input impacts/mine --index indexes/mine --threads 4
    """
    from splade_anserini.lucene import IndexOptions
    from splade_anserini.lucene.sources import open_impacts
    from splade_anserini.parallel import cpu_count

    check_place(index, input, overwrite=overwrite)
    with progress_bar("Checking", None, "documents") as progress:
        source = open_impacts(input, progress)
    options = IndexOptions(
        threads=threads or cpu_count(),
        optimize=optimize,
        memory=memory,
        store_text=store_text,
        store_docvectors=store_docvectors,
        writer=writer,
    )
    with progress_bar("Indexing", source.counts.documents, "documents") as progress:
        counts = index_source(source, index, options, progress=progress).counts
    typer.echo(f"{index}: {counts.documents:,} documents, {counts.postings:,} postings, {counts.impacts:,} impacts")


if __name__ == "__main__":
    main_of(command)
