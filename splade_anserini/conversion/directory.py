"""A directory of impact pseudo-documents, the format that Anserini and `index` read.

It holds several files, because `index` reads each file in one thread, and a manifest. Topics are tab-separated text.
"""

import hashlib
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from itertools import chain, islice
from pathlib import Path

from splade_anserini.artifacts.files import whole_directory
from splade_anserini.artifacts.manifests import Counts, EncodeSettings, ImpactManifest, Shard, write_manifest
from splade_anserini.conversion.format import Format
from splade_anserini.errors import InputError
from splade_anserini.formats.impacts import DocumentCounter, ImpactWriter, impact_line
from splade_anserini.formats.topics import read_encoded_topics, write_encoded_topics
from splade_anserini.formats.vector_files import LocatedDocument, find_vector_files, read_vectors
from splade_anserini.formats.vectors import VectorOptions, VectorReader
from splade_anserini.records import DOCS_PER_SHARD, ImpactDocument, ImpactVector, StrPath


class ImpactDirectory(Format):
    """A directory of impact pseudo-documents, with `docs_per_shard` documents per file.

    With `replace`, writing replaces a directory that is not empty.
    """

    name = "impacts"
    topic_suffixes = (".tsv", ".tsv.gz")
    keeps_contents = True

    def __init__(self, docs_per_shard: int = DOCS_PER_SHARD, *, replace: bool = False) -> None:
        self.docs_per_shard, self.replace = docs_per_shard, replace

    def located(self, path: Path, reader: VectorReader) -> Iterator[LocatedDocument]:
        """Yield the documents of all files that `index` reads, in the order of the file names."""
        for file in find_vector_files(path).files:
            yield from read_vectors(file, reader)

    @contextmanager
    def writing(
        self, output: StrPath, documents: Iterable[ImpactDocument], settings: EncodeSettings | None
    ) -> Iterator[Path]:
        """Write documents and yield the path to read them from; they appear at `output` when the block succeeds."""
        with whole_directory(Path(output), replace=self.replace) as directory:
            write_directory(directory, documents, settings, self.docs_per_shard)
            yield directory

    def read_topics(self, source: str, options: VectorOptions | None = None) -> dict[str, ImpactVector]:
        """Return impact vectors by query id, from a file, a BEIR directory or `irds:<name>`."""
        if options and not options.are_defaults:
            raise InputError(
                f"{source} is read as topics of tokens that are repeated as often as their impacts say.",
                expected="no --scale, --vocabulary, --id-field or --vector-field",
                do="Leave them out, or name the format of the vectors with --from.",
            )
        return read_encoded_topics(source)

    def write_topics(self, output: StrPath, topics: Mapping[str, ImpactVector]) -> None:
        """Write `qid<TAB>token token …`, each token repeated as often as its impact says."""
        write_encoded_topics(output, topics)


def read_directory(directory: Path) -> Iterator[ImpactDocument]:
    """Yield the documents of all files that `index` reads, in the order of the file names."""
    return ImpactDirectory().read(directory)


def write_directory(
    directory: Path,
    documents: Iterable[ImpactDocument],
    settings: EncodeSettings | None,
    docs_per_shard: int = DOCS_PER_SHARD,
) -> None:
    """Write documents into an existing, empty directory; with `settings`, write a manifest too."""
    remaining, shards = iter(documents), list[Shard]()
    while (first := next(remaining, None)) is not None:
        path = directory / f"shard-{len(shards):05d}.jsonl.gz"
        shards.append(_write_shard(path, chain([first], islice(remaining, docs_per_shard - 1))))
    if settings:
        sharding = {"docs_per_shard": docs_per_shard, "shard_id": 0, "shard_num": 1}
        manifest = ImpactManifest(
            settings=settings.model_copy(update=sharding),
            complete=True,
            counts=sum((shard.counts for shard in shards), Counts()),
            empty=sum(len(shard.empty) for shard in shards),
            ids_with_spaces=sum(shard.ids_with_spaces for shard in shards),
            shards=tuple(shards),
        )
        write_manifest(directory, manifest)


def _write_shard(path: Path, documents: Iterable[ImpactDocument]) -> Shard:
    digest, counter, empty = hashlib.sha256(), DocumentCounter(), []
    with ImpactWriter(path) as writer:
        for document in documents:
            writer.write(document)
            digest.update(impact_line(document))
            counter.add(document)
            if not document.vector:
                empty.append(document.id)
    return Shard(
        file=path.name,
        counts=counter.counts,
        empty=tuple(empty),
        digest=digest.hexdigest(),
        ids_with_spaces=counter.ids_with_spaces,
        sha256=writer.sha256,
    )
