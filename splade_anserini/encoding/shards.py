"""The encoding loop: a corpus → numbered shards of impact pseudo-documents and their manifest, resumed at will."""

from collections.abc import Iterator
from contextlib import closing
from dataclasses import dataclass
from itertools import islice
from pathlib import Path

from splade_anserini.artifacts.files import directory_lock, output_errors
from splade_anserini.artifacts.manifests import (
    Counts,
    EncodeSettings,
    ImpactManifest,
    Shard,
    changes,
    read_manifest,
    write_manifest,
)
from splade_anserini.encoding.document import SpladeDocumentEncoder
from splade_anserini.encoding.protocol import Encoder
from splade_anserini.errors import InputError, MismatchError, OutputError
from splade_anserini.formats.corpora import Corpus, CorpusDigest
from splade_anserini.formats.impacts import ImpactWriter, impact_files
from splade_anserini.progress import Progress
from splade_anserini.records import DEFAULT_SCALE, Document


@dataclass(frozen=True, slots=True)
class EncodeOptions:
    """What to keep of a vector, and how to cut a corpus into shards and parts."""

    scale: float = DEFAULT_SCALE
    top_k: int | None = None
    contents: bool = True
    docs_per_shard: int = 10_000
    shard_id: int = 0
    """Which part of the corpus this machine encodes, from 0 …"""
    shard_num: int = 1
    """… of how many."""

    def __post_init__(self) -> None:
        if self.docs_per_shard < 1:
            raise InputError(f"{self.docs_per_shard} documents per shard.", expected="at least 1")
        if self.top_k is not None and self.top_k < 1:
            raise InputError(f"top-k is {self.top_k}.", expected="at least 1, or nothing to keep all")
        if not 0 <= self.shard_id < self.shard_num:
            raise InputError(
                f"Shard {self.shard_id} of {self.shard_num}.",
                expected="a shard id from 0 to the number of shards less 1",
            )

    def settings(self, encoder: Encoder, corpus: str) -> EncodeSettings:
        """Return all that decides the bytes, for the manifest."""
        return EncodeSettings(
            encoder=encoder.identity,
            corpus=corpus,
            scale=self.scale,
            max_length=encoder.max_length,
            top_k=self.top_k,
            contents=self.contents,
            docs_per_shard=self.docs_per_shard,
            shard_id=self.shard_id,
            shard_num=self.shard_num,
        )

    def part_of(self, total: int) -> range:
        """Return the positions in a corpus of `total` documents that this machine encodes."""
        return range(total * self.shard_id // self.shard_num, total * (self.shard_id + 1) // self.shard_num)

    def file_name(self, number: int) -> str:
        """Return the name of this part's shard `number`."""
        part = f"part-{self.shard_id:03d}-of-{self.shard_num:03d}." if self.shard_num > 1 else ""
        return f"{part}shard-{number:05d}.jsonl.gz"


def encode_shards(
    corpus: Corpus,
    encoder: SpladeDocumentEncoder,
    output: Path,
    options: EncodeOptions,
    total: int,
    progress: Progress,
) -> ImpactManifest:
    """Encode this machine's part of `corpus`, which holds `total` documents, into `output`; go on where it stopped.

    Raises `MismatchError` when `output` holds the work of other settings or of another corpus, `OutputError` when it
    is in use, full, or holds files of somebody else.
    """
    part = options.part_of(total)
    if not part:
        raise InputError(f"Part {options.shard_id} of {options.shard_num} is empty: the corpus has {total} documents.")
    with output_errors(output):
        output.mkdir(parents=True, exist_ok=True)
    with directory_lock(output):
        manifest = _begin(output, options.settings(encoder.encoder, corpus.name))
        documents = islice(corpus, part.start, part.stop)
        for number, start in enumerate(range(part.start, part.stop, options.docs_per_shard)):
            documents_of_shard = islice(documents, min(options.docs_per_shard, part.stop - start))
            known = manifest.shards[number] if number < len(manifest.shards) else None
            if known and (output / known.file).is_file():
                _verify(known, documents_of_shard, corpus.name, progress)
                continue
            shard = _write(output / options.file_name(number), encoder, documents_of_shard, progress)
            if known:
                manifest = _restored(manifest, known, shard, output, corpus.name)
            else:
                manifest = _extended(manifest, shard, complete=start + options.docs_per_shard >= part.stop)
            write_manifest(output, manifest)
        return manifest


def _begin(output: Path, settings: EncodeSettings) -> ImpactManifest:
    """Return the manifest that stands there, or a new one."""
    manifest = read_manifest(output, ImpactManifest)
    if manifest is None:
        if strangers := impact_files(output):
            raise OutputError(
                f"{output} already holds {strangers[0].name}, which no manifest lists.", do="Choose an empty directory."
            )
        manifest = ImpactManifest(settings=settings)
        write_manifest(output, manifest)
    if manifest.settings != settings:
        raise MismatchError(
            f"{output} was begun with other settings: {changes(_named(manifest.settings), _named(settings))}.",
            expected="the same command again",
            do="Use the same settings, or choose another directory.",
        )
    return manifest


def _named(settings: EncodeSettings) -> dict[str, object]:
    encoder = {f"encoder {name}": value for name, value in settings.encoder.model_dump().items()}
    return encoder | settings.model_dump(exclude={"encoder"})


def _verify(shard: Shard, documents: Iterator[Document], corpus: str, progress: Progress) -> None:
    """Read over the documents of a finished shard, and make sure that they are the ones it was made from."""
    digest = CorpusDigest()
    for document in documents:
        digest.update(document)
        progress(1)
    if digest.hexdigest() != shard.digest:
        raise _changed(corpus, shard)


def _changed(corpus: str, shard: Shard) -> MismatchError:
    return MismatchError(
        f"The corpus {corpus} has changed since {shard.file} was encoded.",
        expected="the same documents in the same order",
        do="Choose another output directory, or bring the old corpus back.",
    )


def _write(path: Path, encoder: SpladeDocumentEncoder, documents: Iterator[Document], progress: Progress) -> Shard:
    digest = CorpusDigest()

    def digested() -> Iterator[Document]:
        for document in documents:
            digest.update(document)
            yield document

    indexed = postings = impacts = 0
    empty: list[str] = []
    with ImpactWriter(path) as writer, closing(encoder.encode(digested())) as encoded:
        for document in encoded:
            writer.write(document)
            if document.vector:
                indexed += 1
                postings += len(document.vector)
                impacts += sum(document.vector.values())
            else:
                empty.append(document.id)
            progress(1)
    counts = Counts(documents=indexed, postings=postings, impacts=impacts)
    return Shard(file=path.name, counts=counts, empty=tuple(empty), digest=digest.hexdigest())


def _restored(manifest: ImpactManifest, known: Shard, shard: Shard, output: Path, corpus: str) -> ImpactManifest:
    """Put a shard in the place of a known one whose file was lost, unless it was made from other documents."""
    if shard.digest != known.digest:
        (output / shard.file).unlink()
        raise _changed(corpus, known)
    shards = tuple(shard if one is known else one for one in manifest.shards)
    counts = sum((one.counts for one in shards), Counts())
    return manifest.model_copy(
        update={"shards": shards, "counts": counts, "empty": sum(len(one.empty) for one in shards)}
    )


def _extended(manifest: ImpactManifest, shard: Shard, *, complete: bool) -> ImpactManifest:
    return manifest.model_copy(
        update={
            "shards": (*manifest.shards, shard),
            "counts": manifest.counts + shard.counts,
            "empty": manifest.empty + len(shard.empty),
            "complete": complete,
        }
    )
