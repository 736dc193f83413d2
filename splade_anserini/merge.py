"""The command `merge`: impact indexes → one impact index, or one sharded index."""

import logging
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from splade_anserini.artifacts.files import resolved_output
from splade_anserini.artifacts.sharded_index import SHARDED, is_sharded, shard_path
from splade_anserini.cli.console import main_of, progress_bar
from splade_anserini.errors import InputError, IntegrityError, OutputError, counted
from splade_anserini.options import option, options
from splade_anserini.progress import ProgressBars, no_bars
from splade_anserini.records import StrPath

if TYPE_CHECKING:
    from splade_anserini.artifacts.manifests import IndexManifest

_log = logging.getLogger(__name__)

_MOST_DOCUMENTS = 2**31 - 1 - 128
"""Lucene's IndexWriter.MAX_DOCS, which is the limit of a MultiReader, too."""


@options
class MergeOptions:
    """How indexes are joined."""

    sharded: bool = option(
        default=False, help="Leave the indexes where they are: the output is a manifest that names them as its shards."
    )
    optimize: bool = option(default=True, help="Merge into one segment: slower to build, faster to search.")
    force: bool = option(
        default=False, help="Join indexes whose manifests do not agree; queries are encoded as for the first."
    )

    def __post_init__(self) -> None:
        if self.sharded and not self.optimize:
            raise InputError("--no-optimize has no effect with --sharded.", do="Leave one of them out.")


def merge(
    inputs: Sequence[StrPath],
    output: StrPath,
    options: MergeOptions | None = None,
    *,
    overwrite: bool = False,
    bars: ProgressBars = no_bars,
) -> "IndexManifest":
    """Join impact indexes, in this order, into the index `output`; a sharded index stands for its shards.

    Documents are not read again, and keep their order. With `options.sharded` the indexes stay as they are, and the
    output holds a manifest that names them. If the same call made the output before, it is left as it is.

    Raises `InputError` for a document that is in two of the indexes, and for text indexes; `MismatchError` when the
    manifests do not agree, and when impacts have the idf of different collections (--document-idf); `OutputError` when
    another index would be replaced; `IntegrityError` when counts differ.
    """
    from splade_anserini.artifacts.sharded_index import shard_directories
    from splade_anserini.lucene.document_idf import require_shared_document_idf
    from splade_anserini.lucene.index_reader import check_index_files, kind_of_index

    paths, output, options = list(map(Path, inputs)), Path(output), options or MergeOptions()
    for path in paths:
        check_index_files(path)
        if kind_of_index(path) == "text":
            raise InputError(f"{path} is a text index.", expected="impact indexes", do="Index all texts together.")
    parts = [part for path in paths for part in shard_directories(path)]
    _check_parts(parts)
    require_shared_document_idf(parts)
    _check_output(output, parts, options, overwrite=overwrite)
    manifest = _manifest(output, parts, options)
    if not overwrite and _is_made(output, manifest):
        _log.info("Index %s is up to date", output)
        return manifest
    _log.info("Joining %s into %s", counted(len(parts), "index", "indexes"), output)
    with bars("Merging", manifest.counts.documents, "documents") as progress:
        _write(output, parts, manifest, optimize=options.optimize)
        progress(manifest.counts.documents)
    return manifest


def _check_parts(parts: Sequence[Path]) -> None:
    resolved = [path.resolve() for path in parts]
    if twice := next((path for path in parts if resolved.count(path.resolve()) > 1), None):
        raise InputError(f"The index {twice} is named twice.", do="Name each index once.")


def _check_output(output: Path, parts: Sequence[Path], options: MergeOptions, *, overwrite: bool) -> None:
    """Raise `OutputError` unless `output` is missing, empty, or an index, and apart from the parts.

    A sharded index may hold its shards.
    """
    from splade_anserini.artifacts.manifests import MANIFEST
    from splade_anserini.indexing.existing import check_index_output

    if not (options.sharded and _holds(output, parts)):
        for part in parts:
            check_index_output(output, part)
        return
    if any(output.glob("segments_*")):
        raise OutputError(f"Output {output} is an index itself.", do="Choose another path.")
    if overwrite and not is_sharded(output) and (output / MANIFEST).exists():
        raise OutputError(f"Output {output} was not written by merge.", do="Choose another path.")


def _holds(output: Path, parts: Sequence[Path]) -> bool:
    return any(part.resolve().is_relative_to(output.resolve()) for part in parts)


def _manifest(output: Path, parts: Sequence[Path], options: MergeOptions) -> "IndexManifest":
    """Return the manifest of the output, with the counts of all parts."""
    from splade_anserini.artifacts.merged_manifest import combined_manifest
    from splade_anserini.lucene import count_index, writer_version
    from splade_anserini.lucene.index_options import IndexOptions

    counts = {part: count_index(part) for part in parts}
    documents = sum(each.documents for each in counts.values())
    if documents > _MOST_DOCUMENTS:
        raise InputError(
            f"The indexes have {documents:,} documents.",
            expected=f"at most {_MOST_DOCUMENTS:,}, which one reader of Lucene can number",
            do="Search them in several groups, and fuse the runs by score.",
        )
    manifest = combined_manifest(counts, writer_version(IndexOptions()), force=options.force)
    if not options.sharded:
        changes: dict[str, object] = {"options": {**manifest.options, "optimize": options.optimize}}
    else:
        shards = [
            part.model_copy(update={"path": shard_path(Path(part.path), resolved_output(output))})
            for part in manifest.parts
        ]
        changes = {"kind": SHARDED, "parts": tuple(shards)}
    return manifest.model_copy(update=changes)


def _is_made(output: Path, manifest: "IndexManifest") -> bool:
    """Say whether the output was made by this command. Raises `OutputError` when another one would be replaced."""
    from splade_anserini.artifacts.changes import changes
    from splade_anserini.artifacts.manifests import MANIFEST, IndexManifest, kind_of_manifest, read_manifest
    from splade_anserini.artifacts.outputs import already_exists
    from splade_anserini.lucene.index_reader import check_index_files

    if not (output / MANIFEST).exists():
        if output.exists() and any(output.glob("segments_*")):
            raise already_exists(output)
        return False
    if kind_of_manifest(output) not in {"index", SHARDED}:
        raise already_exists(output, "it is not an impact index")
    existing = read_manifest(output, IndexManifest)
    if existing is None or not existing.parts:
        raise already_exists(output, "merge did not make it")
    made, now = _compared(existing), _compared(manifest)
    if made != now:
        raise already_exists(output, f"it was made of other indexes or with other options: {changes(made, now)}")
    check_index_files(output)
    return True


def _compared(manifest: "IndexManifest") -> dict[str, object]:
    compared: dict[str, object] = {"kind": manifest.kind, **manifest.options, "indexes": manifest.source}
    if manifest.kind == SHARDED:
        compared["paths"] = ", ".join(part.path for part in manifest.parts)
    return compared


def _write(output: Path, parts: Sequence[Path], manifest: "IndexManifest", *, optimize: bool) -> None:
    from splade_anserini.artifacts.files import whole_directory
    from splade_anserini.artifacts.manifests import write_manifest
    from splade_anserini.lucene import count_index
    from splade_anserini.lucene.index_merging import merge_indexes, refuse_shared_documents

    refuse_shared_documents(parts)
    if manifest.kind == SHARDED and _holds(output, parts):
        write_manifest(output, manifest)
        return
    with whole_directory(output, replace=True) as partial:
        if manifest.kind != SHARDED:
            merge_indexes(parts, partial, optimize=optimize)
            if differences := count_index(partial).differences(manifest.counts):
                raise IntegrityError(
                    f"The index does not hold what the indexes do that were joined: {'; '.join(differences)}.",
                    do="Run the same command again. No index was written.",
                )
        write_manifest(partial, manifest)


@options
class MergeTarget:
    """Where the joined index goes."""

    output: Path = option(help="Directory for the index.")
    overwrite: bool = option(default=False, help="Replace an index that exists.")


def command(
    input: Annotated[  # noqa: A002  # the flag of index
        list[Path],
        typer.Option(
            metavar="<path>", help="Impact index, or a sharded one, which stands for its shards; repeat for each."
        ),
    ],
    target: MergeTarget,
    options: MergeOptions,
) -> None:
    """Join Lucene impact indexes without reading their documents again, or leave them apart as a sharded index.

    A run is the same to the byte, ties included, as that of one index of all documents.

    \b
    Examples:
      splade-anserini merge --input indexes/a --input indexes/b --output indexes/both
      splade-anserini merge --sharded --input indexes/a --input indexes/b --output indexes/sharded
    """
    manifest = merge(input, target.output, options, overwrite=target.overwrite, bars=progress_bar)
    counts = manifest.counts
    shards = f" in {counted(len(manifest.parts), 'shard')}" if options.sharded else ""
    typer.echo(
        f"{target.output}: {counted(counts.documents, 'document')}, {counted(counts.postings, 'posting')}, "
        f"{counted(counts.impacts, 'impact')}{shards}"
    )


if __name__ == "__main__":
    main_of(command)
