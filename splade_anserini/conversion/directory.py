"""A directory of impact pseudo-documents: several files, for `index` reads one a thread, and the manifest."""

import hashlib
from collections.abc import Iterable, Iterator
from itertools import chain, islice
from pathlib import Path

from splade_anserini.artifacts.manifests import Counts, EncodeSettings, ImpactManifest, Shard, write_manifest
from splade_anserini.conversion.tally import Count
from splade_anserini.formats.impacts import ImpactWriter, impact_files, impact_line, read_impacts
from splade_anserini.records import ImpactDocument


def read_directory(directory: Path) -> Iterator[ImpactDocument]:
    """Yield the documents of all files that Anserini would read, in the order of their names."""
    for path in impact_files(directory):
        yield from read_impacts(path)


def write_directory(
    directory: Path, documents: Iterable[ImpactDocument], settings: EncodeSettings | None, docs_per_shard: int
) -> None:
    """Write files of so many documents into a new directory, and a manifest when it is known how they were encoded."""
    remaining, shards = iter(documents), list[Shard]()
    while (first := next(remaining, None)) is not None:
        path = directory / f"shard-{len(shards):05d}.jsonl.gz"
        shards.append(_write_shard(path, chain([first], islice(remaining, docs_per_shard - 1))))
    if settings:
        one = {"docs_per_shard": docs_per_shard, "shard_id": 0, "shard_num": 1}
        manifest = ImpactManifest(
            settings=settings.model_copy(update=one),
            complete=True,
            counts=sum((shard.counts for shard in shards), Counts()),
            empty=sum(len(shard.empty) for shard in shards),
            shards=tuple(shards),
        )
        write_manifest(directory, manifest)


def _write_shard(path: Path, documents: Iterable[ImpactDocument]) -> Shard:
    digest, count, empty = hashlib.sha256(), Count(), []
    with ImpactWriter(path) as writer:
        for document in documents:
            writer.write(document)
            digest.update(impact_line(document))
            count.add(document)
            if not document.vector:
                empty.append(document.id)
    return Shard(file=path.name, counts=count.counts, empty=tuple(empty), digest=digest.hexdigest())
