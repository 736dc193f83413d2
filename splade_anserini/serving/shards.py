"""What an index is to a service whose shards are searched elsewhere."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING

from splade_anserini.artifacts.manifests import IndexManifest, read_manifest
from splade_anserini.artifacts.sharded_index import (
    fingerprint_of_index,
    is_sharded,
    require_recorded_shards,
    shard_directories,
    shard_name,
)
from splade_anserini.errors import InputError, MismatchError
from splade_anserini.serving.opened_index import IndexSource, OpenedIndex, describe, paths_of
from splade_anserini.serving.options import ServedOptions
from splade_anserini.serving.query_encoder import can_encode, query_options

if TYPE_CHECKING:
    from splade_anserini.lucene import ImpactSearcher
    from splade_anserini.lucene.query_weights import QueryWeights
    from splade_anserini.records import ImpactVector


@dataclass(frozen=True, slots=True)
class Shard:
    """A shard of an index, or a text index."""

    name: str
    """In messages, and of its replicas."""
    directory: Path
    fingerprint: str
    """Of what was there when the service was deployed."""

    def require_unchanged(self) -> None:
        """Raise `MismatchError` when there is another index than when the service was deployed."""
        if fingerprint_of_index(self.directory) != self.fingerprint:
            raise MismatchError(
                f"{self.directory} was changed after the service was deployed.", do="Deploy the service again."
            )


@dataclass(frozen=True)
class ShardedIndex:
    """An index that is served, as it was when the service was deployed. Opens nothing."""

    source: IndexSource
    shards: tuple[Shard, ...]
    text: Shard | None
    manifest: IndexManifest | None
    documents: int
    can_encode: bool
    query_idf: float
    generation: int = 1

    @property
    def name(self) -> str:
        """The name by which requests call it."""
        return self.source.name

    @property
    def has_texts(self) -> bool:
        """Whether it has a text index."""
        return self.text is not None

    @property
    def all_shards(self) -> list[Shard]:
        """The shards, and the text index."""
        return [*self.shards, *([self.text] if self.text else [])]

    @cached_property
    def paths(self) -> dict[str, str]:
        """Paths that messages may contain, with what answers say instead."""
        return {str(shard.directory): self.name for shard in self.shards} | paths_of(self.source, self.manifest)

    def description(self) -> dict[str, object]:
        """Return what a client may know of it."""
        return describe(self, self.manifest, self.documents, self.query_idf)


def sharded_indexes(sources: Sequence[IndexSource], options: ServedOptions) -> list[ShardedIndex]:
    """Check the indexes of a service, and return them with their shards. Java must have been started.

    Raises what `OpenedIndex` raises, `MismatchError` for a shard that was changed after the sharded index was made.
    """
    indexes = [_sharded_index(source, options) for source in sources]
    names = [shard.name for index in indexes for shard in index.all_shards]
    for name in names:
        if names.count(name) > 1:
            raise InputError(f"Two shards have the name {name}.", do="Name the indexes: --index NAME=DIR")
    return indexes


def _sharded_index(source: IndexSource, options: ServedOptions) -> ShardedIndex:
    from splade_anserini.lucene.frequencies import document_frequencies
    from splade_anserini.lucene.index_reader import check_index_files, require_impact_index
    from splade_anserini.retrieval.query_settings import query_idf_for

    source = replace(source, directory=source.directory.absolute(), text=source.text and source.text.absolute())
    check_index_files(source.directory, any_size=options.verify)
    require_impact_index(source.directory, force=options.force)
    require_recorded_shards(source.directory)
    manifest = read_manifest(source.directory, IndexManifest)
    directories = shard_directories(source.directory)
    names = [f"{source.name}-{shard_name(number)}" for number in range(len(directories))]
    shards = _shards(names if is_sharded(source.directory) else [source.name], directories)
    power = query_idf_for(manifest, query_options(options, options.query_idf), f"Index {source.directory}")
    text = _shards([f"{source.name}-texts"], [source.text])[0] if source.text else None
    documents = document_frequencies(source.directory, ()).documents
    return ShardedIndex(source, shards, text, manifest, documents, can_encode(manifest, options), power)


def _shards(names: Sequence[str], directories: Sequence[Path]) -> tuple[Shard, ...]:
    return tuple(
        Shard(name, directory, fingerprint_of_index(directory))
        for name, directory in zip(names, directories, strict=True)
    )


def open_texts(index: ShardedIndex, options: ServedOptions) -> OpenedIndex:
    """Open an index with its text index, for the engines bm25 and hybrid, without an encoder.

    Raises what `OpenedIndex` raises, `MismatchError` when something was changed after the service was deployed.
    """
    for shard in index.all_shards:
        shard.require_unchanged()
    return OpenedIndex(index.source, replace(options, query_idf=index.query_idf, verify=False), encodes=False)


class OpenedShard(OpenedIndex):
    """A shard that is open, without an encoder. Idf counts the documents of all shards of its index."""

    def __init__(self, index: ShardedIndex, shard: Shard, options: ServedOptions) -> None:
        """Raises what `OpenedIndex` raises, `MismatchError` when the shard was changed meanwhile."""
        self._whole = index.source.directory
        shard.require_unchanged()
        source = IndexSource(shard.name, shard.directory, None)
        super().__init__(source, replace(options, query_idf=index.query_idf, verify=False), encodes=False)

    @cached_property
    def _collection(self) -> "ImpactSearcher":
        """A searcher of all shards, which counts documents."""
        from splade_anserini.lucene import ImpactSearcher

        return ImpactSearcher(self._whole)

    @cached_property
    def _weights(self) -> "QueryWeights":
        from splade_anserini.lucene.query_weights import QueryWeights

        return QueryWeights(self._collection, self.index.query_idf)

    def weighted(self, vector: "ImpactVector", query_idf: float | None) -> "ImpactVector":
        """Return a query times idf to a power, by default that of the index."""
        from splade_anserini.lucene.query_weights import QueryWeights

        power = self.index.query_idf if query_idf is None else query_idf
        if not power:
            return vector
        is_default = power == self.index.query_idf
        return (self._weights if is_default else QueryWeights(self._collection, power)).weighted(vector)

    def close(self) -> None:
        """Close the shard, and what counts documents."""
        if "_collection" in self.__dict__:
            self._collection.close()
        super().close()
