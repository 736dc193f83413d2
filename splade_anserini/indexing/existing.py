"""Whether an index is up to date, and whether one may be written at a path."""

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING

from splade_anserini.errors import OutputError, counted
from splade_anserini.lucene.index_options import IndexOptions
from splade_anserini.options import recorded_options

if TYPE_CHECKING:
    from splade_anserini.artifacts.manifests import IndexManifest
    from splade_anserini.indexing.documents import SourceDocuments
    from splade_anserini.lucene.sources import ImpactSource

_KINDS = {"index", "text-index", "sharded-index"}
_NOT_COMPARED = {"threads", "memory"}
"""Options that do not decide what an index holds."""


def up_to_date_index(
    source: "ImpactSource",
    output: Path,
    options: IndexOptions,
    *,
    documents: "SourceDocuments | None" = None,
    shards: int | None = None,
    overwrite: bool = False,
) -> "IndexManifest | None":
    """Return the manifest of the index at `output` if it was made from `source` with `options`, else None.

    Raises `OutputError` when another index would be replaced, `IntegrityError` when it is damaged; with `overwrite`
    None is returned.
    """
    from splade_anserini.artifacts.changes import changes
    from splade_anserini.artifacts.manifests import IndexManifest, kind_of_manifest, read_manifest
    from splade_anserini.artifacts.outputs import already_exists
    from splade_anserini.lucene.index_reader import check_index_files

    if overwrite or not output.exists() or not any(output.iterdir()):
        return None
    if kind_of_manifest(output) == "text-index":
        raise already_exists(output, "it is a text index")
    manifest = read_manifest(output, IndexManifest)
    if manifest is None or manifest.source is None:
        raise already_exists(output)
    fingerprint = manifest.source if source.is_source_of(manifest.source) else source.fingerprint
    as_shards = {} if shards is None else {"shards": shards}
    of_documents = documents.recorded if documents else {}
    now = _compared({**of_documents, **recorded_options(options), **source.reading_settings, **as_shards}, fingerprint)
    if manifest.revision:
        times = counted(manifest.revision, "time")
        raise already_exists(output, f"its documents were changed {times} since it was built")
    made = _compared(manifest.options, manifest.source)
    if made != now:
        raise already_exists(output, f"it was made with other options or pseudo-documents: {changes(made, now)}")
    check_index_files(output)
    return manifest


def _compared(options: Mapping[str, object], source: str) -> dict[str, object]:
    return {name: value for name, value in options.items() if name not in _NOT_COMPARED} | {"pseudo-documents": source}


def check_index_output(output: Path, source: Path, *, nested: bool = True) -> None:
    """Raise `OutputError` unless `output` is missing, an empty directory, or an index, and apart from `source`.

    With `nested` it may not be inside `source` either.
    """
    from splade_anserini.artifacts.files import require_disjoint, require_writable
    from splade_anserini.artifacts.manifests import kind_of_manifest
    from splade_anserini.artifacts.sharded_index import SHARDED, others_beside_shards

    require_disjoint([output], [source], nested=nested)
    if output.is_dir():
        require_writable(output)
    if not output.exists() or (output.is_dir() and not any(output.iterdir())):
        return
    kind = kind_of_manifest(output) if output.is_dir() else None
    if not output.is_dir() or not (any(output.glob("segments_*")) or kind in _KINDS):
        raise OutputError(f"Output {output} already exists and is not an index.", do="Choose another path.")
    if kind == SHARDED and (others := others_beside_shards(output)):
        raise OutputError(
            f"Output {output} is a sharded index, and also holds {', '.join(others[:5])}, which would be removed.",
            do="Choose another path, or move them.",
        )


def write_copy(index: Path, output: Path, *, overwrite: bool = False) -> None:
    """Copy an index, as if the command `index` had written it there.

    Raises `OutputError` when the directory holds something; with `overwrite` an index there is replaced.
    """
    from splade_anserini.artifacts.files import whole_directory
    from splade_anserini.artifacts.outputs import already_exists
    from splade_anserini.artifacts.sharded_index import copy_index

    check_index_output(output, index)
    if not overwrite and output.exists() and any(output.iterdir()):
        raise already_exists(output)
    with whole_directory(output, replace=True) as partial:
        copy_index(index, partial)
