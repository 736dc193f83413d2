"""The manifest of several indexes together, as far as their own manifests agree."""

import logging
from collections.abc import Mapping, Sequence
from pathlib import Path

from splade_anserini.artifacts.changes import differences
from splade_anserini.artifacts.fingerprints import fingerprint_of_bytes
from splade_anserini.artifacts.manifests import Counts, IndexManifest, IndexPart, read_manifest
from splade_anserini.artifacts.sharded_index import fingerprint_of_index
from splade_anserini.errors import MismatchError
from splade_anserini.records import FilterType

_log = logging.getLogger(__name__)

_OF_BUILDING = {"threads", "memory", "optimize", "writer", "workers", "shards", "documents"}
"""Options of `index` that do not decide what documents and queries mean."""


def combined_manifest(counts: Mapping[Path, Counts], writer: str, *, force: bool = False) -> IndexManifest:
    """Return the manifest of an index of all documents of other ones, whose directories and counts these are.

    Raises `MismatchError` when they were encoded or indexed in different ways; with `force` a warning is logged for
    each difference, and the first index decides.
    """
    manifests = {path: read_manifest(path, IndexManifest) for path in counts}
    (first_path, first), *others = manifests.items()
    for path, manifest in others:
        _check_same(first_path, _settings(first), path, _settings(manifest), force=force)
    known = [manifest for manifest in manifests.values() if manifest]
    parts = [
        IndexPart(path=str(path.resolve()), fingerprint=fingerprint_of_index(path), counts=each)
        for path, each in counts.items()
    ]
    return IndexManifest(
        encoder=first.encoder if first else None,
        scale=first.scale if first else None,
        max_length=first.max_length if first else None,
        corpus=", ".join(dict.fromkeys(manifest.corpus for manifest in known if manifest.corpus)),
        writer=writer,
        options=_shared_options(known),
        source=fingerprint_of_bytes(*(part.fingerprint.encode() for part in parts)),
        counts=sum(counts.values(), Counts()),
        zeros=sum(manifest.zeros for manifest in known),
        ids_with_spaces=sum(manifest.ids_with_spaces for manifest in known),
        document_idf=first.document_idf if first else None,
        rounded_to_zero=sum(manifest.rounded_to_zero for manifest in known),
        emptied=sum(manifest.emptied for manifest in known),
        query_idf=first.query_idf if first else None,
        query_max_length=first.query_max_length if first else None,
        top_k=first.top_k if first else None,
        passages=first.passages if first else None,
        parts=tuple(parts),
        filter_fields=_shared_filter_fields(known),
    )


def _settings(manifest: IndexManifest | None) -> dict[str, object]:
    """Return what indexes must share; names of encoders and corpora may differ between machines."""
    if manifest is None:
        return {"manifest": "none"}
    encoder = manifest.encoder.model_dump(exclude={"name"}) if manifest.encoder else {"encoder": None}
    options = {name: value for name, value in manifest.options.items() if name not in _OF_BUILDING}
    return {
        "manifest": "one",
        **{f"encoder ({name})": value for name, value in encoder.items()},
        "scale": manifest.scale,
        "maximum length": manifest.max_length,
        "top-k": manifest.top_k,
        "passages": manifest.passages,
        "idf of queries": manifest.query_idf,
        "maximum length of queries": manifest.query_max_length,
        **{f"option {name}": value for name, value in options.items()},
    }


def _check_same(
    first_path: Path, first: Mapping[str, object], path: Path, other: Mapping[str, object], *, force: bool
) -> None:
    if first.get("manifest") != other.get("manifest"):
        first, other = {"manifest": first.get("manifest")}, {"manifest": other.get("manifest")}
    different = differences(first, other)
    if different and not force:
        raise MismatchError(
            f"{first_path} and {path} were made in different ways ({'; '.join(different)}).",
            expected="indexes whose documents were encoded and indexed with the same settings",
            do="Build them with the same settings, or add --force to join them all the same.",
        )
    for difference in different:
        _log.warning("%s and %s differ in %s; joining them all the same", first_path, path, difference)


def _shared_filter_fields(manifests: Sequence[IndexManifest]) -> dict[str, FilterType] | None:
    """Return the fields for filters that all have with the same type."""
    first, *others = [manifest.filter_fields or {} for manifest in manifests] or [{}]
    shared = {name: type_ for name, type_ in first.items() if all(fields.get(name) == type_ for fields in others)}
    return shared or None


def _shared_options(manifests: Sequence[IndexManifest]) -> dict[str, str | int | float | bool | None]:
    """Return the options of `index` that all have in common."""
    first, *others = [manifest.options for manifest in manifests] or [{}]
    return {
        name: value
        for name, value in first.items()
        if name not in _OF_BUILDING and all(name in options and options[name] == value for options in others)
    }
