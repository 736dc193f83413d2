"""Encoding documents again as a manifest records it, to compare a sample or to restore a lost shard."""

from collections.abc import Callable, Collection, Iterator
from dataclasses import replace
from pathlib import Path

from splade_anserini.artifacts.checksums import Checksum
from splade_anserini.artifacts.manifests import MANIFEST, EncodeSettings, ImpactManifest, read_manifest
from splade_anserini.encoding.document import SpladeDocumentEncoder
from splade_anserini.encoding.opening import open_encoder
from splade_anserini.encoding.options import EncodeOptions, EncoderOptions
from splade_anserini.encoding.protocol import Encoder
from splade_anserini.encoding.shards import encode_shards
from splade_anserini.errors import InputError, IntegrityError, MismatchError
from splade_anserini.formats.corpora import Corpus, PassageCorpus
from splade_anserini.formats.passages import Windows
from splade_anserini.progress import ProgressBars, no_bars
from splade_anserini.records import Document, ImpactDocument

_DAMAGED = ".damaged"

type EncodeAgain = Callable[[ImpactManifest, Collection[str]], dict[str, ImpactDocument]]


def sample_encoder(corpus: Corpus, options: EncoderOptions, name: str | None = None) -> EncodeAgain:
    """Return a function that encodes the documents with given ids as a manifest says.

    `name` names the encoder, by default as the manifest does. The function raises `MismatchError` when it is another.
    """

    def encode_again(manifest: ImpactManifest, ids: Collection[str]) -> dict[str, ImpactDocument]:
        settings = manifest.settings
        encoder = SpladeDocumentEncoder(
            open_recorded_encoder(settings, options, name),
            scale=settings.scale,
            top_k=settings.top_k,
            contents=settings.contents,
        )
        chosen = set(ids)
        return {document.id: document for document in encoder.encode(_documents(corpus, settings, chosen))}

    return encode_again


def _documents(corpus: Corpus, settings: EncodeSettings, ids: Collection[str]) -> Iterator[Document]:
    if settings.passages:
        corpus = PassageCorpus(corpus, Windows.parse(settings.passages))
    return (document for document in corpus if document.id in ids)


def open_recorded_encoder(settings: EncodeSettings, options: EncoderOptions, name: str | None = None) -> Encoder:
    """Open the encoder that a manifest records. Raises `InputError` without one, `MismatchError` for another."""
    recorded = settings.encoder
    if recorded is None:
        raise InputError("The manifest does not say which encoder made the vectors.")
    precision = recorded.precision if options.precision == "auto" else options.precision
    options = replace(options, max_length=options.max_length or settings.max_length, precision=precision)
    encoder = open_encoder(name or recorded.name, options)
    kept, now = recorded.model_dump(exclude={"name"}), encoder.identity.model_dump(exclude={"name"})
    if kept != now:
        different = ", ".join(field for field in kept if kept[field] != now[field])
        raise MismatchError(
            f"The encoder {encoder.identity.name} is another than the manifest records: {different} differ.",
            do="Pass the encoder that made the documents with --against.",
        )
    return encoder


def lost_shards(directory: Path) -> list[str]:
    """Return the files of shards that a manifest lists and that are missing or were changed."""
    manifest = read_manifest(directory, ImpactManifest)
    return [
        shard.file
        for shard in (manifest.shards if manifest else ())
        if not (directory / shard.file).is_file() or _is_changed(directory, shard.file, shard.sha256)
    ]


def _is_changed(directory: Path, file: str, sha256: str | None) -> bool:
    if sha256 is None:
        return False
    try:
        Checksum(sha256, directory / MANIFEST).check(directory / file)
    except IntegrityError:
        return True
    return False


def restore_shards(
    directory: Path,
    corpus: Corpus,
    options: EncoderOptions,
    name: str | None = None,
    bars: ProgressBars = no_bars,
) -> list[str]:
    """Encode lost and changed shards again; return their files.

    Nothing is changed unless encoder, corpus and settings are those that the manifest records: `MismatchError`. A
    changed shard is kept until another has taken its place.
    """
    manifest = read_manifest(directory, ImpactManifest)
    lost = lost_shards(directory)
    if manifest is None or not lost:
        return []
    settings = manifest.settings
    encoder = open_recorded_encoder(settings, options, name)
    encode_options = EncodeOptions(
        scale=settings.scale,
        top_k=settings.top_k,
        contents=settings.contents,
        passages=settings.passages,
        docs_per_shard=settings.docs_per_shard,
        shard_id=settings.shard_id,
        shard_num=settings.shard_num,
    )
    kept_aside = [directory / file for file in lost if (directory / file).exists()]
    for path in kept_aside:
        path.replace(path.with_name(path.name + _DAMAGED))
    try:
        encode_shards(corpus, encoder, directory, encode_options, may_change=False, bars=bars)
    except BaseException:
        for path in kept_aside:
            if not path.exists():
                path.with_name(path.name + _DAMAGED).replace(path)
        raise
    finally:
        for path in kept_aside:
            path.with_name(path.name + _DAMAGED).unlink(missing_ok=True)
    return lost
