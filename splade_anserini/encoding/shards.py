"""Encoding a corpus: numbered shards of impact pseudo-documents and their manifest, resumable at any time."""

import logging
from collections.abc import Iterator, Sequence
from contextlib import closing
from itertools import islice
from pathlib import Path

from splade_anserini.artifacts.checksums import Checksum
from splade_anserini.artifacts.files import directory_lock, output_errors, require_writable, resolved_output
from splade_anserini.artifacts.manifests import (
    MANIFEST,
    Counts,
    EncoderIdentity,
    EncodeSettings,
    ImpactManifest,
    Shard,
    changes,
    read_manifest,
    write_manifest,
)
from splade_anserini.artifacts.truncation import Truncation
from splade_anserini.encoding.document import SpladeDocumentEncoder
from splade_anserini.encoding.options import EncodeOptions
from splade_anserini.encoding.protocol import Encoder
from splade_anserini.encoding.tokenized import TokenizedEncoder
from splade_anserini.encoding.truncation import log_truncation
from splade_anserini.errors import InputError, MismatchError, OutputError, counted
from splade_anserini.formats.corpora import Corpus, CorpusDigest, PassageCorpus, check_corpus, corpus_settings
from splade_anserini.formats.impacts import ImpactWriter, impact_files
from splade_anserini.formats.passages import Windows
from splade_anserini.progress import Progress, ProgressBars, no_bars
from splade_anserini.records import Document, StrPath

_log = logging.getLogger(__name__)


def encode_shards(
    corpus: Corpus,
    encoder: Encoder,
    output: StrPath,
    options: EncodeOptions | None = None,
    *,
    overwrite: bool = False,
    bars: ProgressBars = no_bars,
) -> ImpactManifest:
    """Encode this machine's part of `corpus` into `output`; return the manifest.

    The corpus is read twice: once to check every record and id before anything is written, once to encode. Shards that
    are already complete in `output` are kept once their documents have been compared with the corpus; with `overwrite`
    what an earlier call wrote there is removed first.

    Raises `RecordError` or `InputError` for a corpus that cannot be encoded, `MismatchError` when `output` was created
    with other settings or from another corpus, `OutputError` when it is in use, cannot be written, or holds impact
    files that no manifest lists.
    """
    output, options = Path(output), options or EncodeOptions()
    require_writable(output, in_place=output.is_dir())
    fields = corpus_settings(corpus)
    if options.passages:
        corpus = PassageCorpus(corpus, Windows.parse(options.passages))
    with bars("Checking", None, "documents") as progress:
        part = _part(options, check_corpus(corpus, progress))
    noun = "passage" if options.passages else "document"
    _log.info("Encoding %s of %s into %s", counted(len(part), noun), corpus.name, output)
    with output_errors(output):
        resolved_output(output).mkdir(parents=True, exist_ok=True)
    with directory_lock(output), bars("Encoding", len(part), "documents") as progress:
        if overwrite:
            _remove_shards(output)
        settings = _settings(options, encoder, corpus.name, fields)
        manifest = _encode_part(corpus, encoder, output, options, settings, part, progress)
    if manifest.truncation:
        log_truncation(manifest.truncation, encoder.max_length, "document")
    return manifest


def _encode_part(
    corpus: Corpus,
    encoder: Encoder,
    output: Path,
    options: EncodeOptions,
    settings: EncodeSettings,
    part: range,
    progress: Progress,
) -> ImpactManifest:
    """Encode the documents at the positions `part`, except those of shards that are complete."""
    manifest = _resume(output, settings)
    for shard in manifest.shards:
        if shard.sha256 and (output / shard.file).is_file():
            Checksum(shard.sha256, output / MANIFEST).check(output / shard.file)
    document_encoder = SpladeDocumentEncoder(
        encoder, scale=options.scale, top_k=options.top_k, contents=options.contents
    )
    documents = islice(corpus, part.start, part.stop)
    for shard_index, start in enumerate(range(part.start, part.stop, options.docs_per_shard)):
        documents_of_shard = islice(documents, min(options.docs_per_shard, part.stop - start))
        recorded = manifest.shards[shard_index] if shard_index < len(manifest.shards) else None
        if recorded and (output / recorded.file).is_file():
            _verify(recorded, documents_of_shard, corpus.name, progress)
            continue
        shard = _write(output / _file_name(options, shard_index), document_encoder, documents_of_shard, progress)
        if recorded is None:
            manifest = _extended(manifest, shard, complete=start + options.docs_per_shard >= part.stop)
        elif shard.digest == recorded.digest:
            manifest = _restored(manifest, shard_index, shard)
        else:
            (output / shard.file).unlink()
            raise _changed(corpus.name, recorded)
        write_manifest(output, manifest)
    return manifest


def _remove_shards(output: Path) -> None:
    """Remove the shards that the manifest lists, the one after them, and last the manifest.

    A killed process may have finished a shard that it had no time to list. When removing is interrupted, the manifest
    is still there to remove the rest by.
    """
    manifest = read_manifest(output, ImpactManifest)
    if manifest is not None:
        for file in (*(shard.file for shard in manifest.shards), _file_name(manifest.settings, len(manifest.shards))):
            (output / file).unlink(missing_ok=True)
        (output / MANIFEST).unlink()


def _part(options: EncodeOptions, total: int) -> range:
    """Return the positions of the documents, out of `total`, that this machine encodes."""
    part = range(total * options.shard_id // options.shard_num, total * (options.shard_id + 1) // options.shard_num)
    if not part:
        raise InputError(
            f"Part {options.shard_id} of {options.shard_num} is empty: the corpus has {counted(total, 'document')}.",
            do="Use a smaller --shard-num.",
        )
    return part


def _file_name(options: EncodeOptions | EncodeSettings, shard_index: int) -> str:
    part = f"part-{options.shard_id:03d}-of-{options.shard_num:03d}." if options.shard_num > 1 else ""
    return f"{part}shard-{shard_index:05d}.jsonl.gz"


def _settings(
    options: EncodeOptions, encoder: Encoder, corpus: str, fields: dict[str, str | list[str]] | None
) -> EncodeSettings:
    """Return everything that decides which bytes are written."""
    return EncodeSettings(
        encoder=encoder.identity,
        corpus=corpus,
        scale=options.scale,
        max_length=encoder.max_length,
        top_k=options.top_k,
        contents=options.contents,
        docs_per_shard=options.docs_per_shard,
        shard_id=options.shard_id,
        shard_num=options.shard_num,
        fields=fields,
        passages=str(Windows.parse(options.passages)) if options.passages else None,
    )


def _resume(output: Path, settings: EncodeSettings) -> ImpactManifest:
    """Return the manifest in `output`, or a new one that is written there."""
    manifest = read_manifest(output, ImpactManifest)
    if manifest is None:
        if files := impact_files(output):
            raise OutputError(
                f"{output} already holds {files[0].name}, which no manifest lists.", do="Choose an empty directory."
            )
        manifest = ImpactManifest(settings=settings)
        write_manifest(output, manifest)
    if manifest.settings != settings:
        raise MismatchError(
            f"{output} was created with other settings: {changes(_flat(manifest.settings), _flat(settings))}.",
            expected="the same settings, to resume",
            do="Use the same settings, add --overwrite to start over, or choose another directory.",
        )
    return manifest


def _flat(settings: EncodeSettings) -> dict[str, object]:
    encoder = {f"encoder {name}": value for name, value in _fields(settings.encoder).items()}
    return encoder | settings.model_dump(exclude={"encoder"})


def _fields(encoder: EncoderIdentity | None) -> dict[str, object]:
    return encoder.model_dump() if encoder else {}


def _verify(shard: Shard, documents: Iterator[Document], corpus: str, progress: Progress) -> None:
    """Raise `MismatchError` unless a complete shard was made from these documents."""
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
        do="Restore the corpus, add --overwrite to start over, or choose another directory.",
    )


def _write(path: Path, encoder: SpladeDocumentEncoder, documents: Iterator[Document], progress: Progress) -> Shard:
    digest = CorpusDigest()

    def digested() -> Iterator[Document]:
        for document in documents:
            digest.update(document)
            yield document

    indexed = postings = impacts = ids_with_spaces = 0
    empty: list[str] = []
    before = encoder.truncation.record() if encoder.truncation else None
    with ImpactWriter(path) as writer, closing(encoder.encode(digested())) as encoded:
        for document in encoded:
            writer.write(document)
            ids_with_spaces += " " in document.id
            if document.vector:
                indexed += 1
                postings += len(document.vector)
                impacts += sum(document.vector.values())
            else:
                empty.append(document.id)
            progress(1)
    counts = Counts(documents=indexed, postings=postings, impacts=impacts)
    batching = encoder.encoder.batching if isinstance(encoder.encoder, TokenizedEncoder) else None
    return Shard(
        file=path.name,
        counts=counts,
        empty=tuple(empty),
        digest=digest.hexdigest(),
        batching=batching,
        truncation=encoder.truncation.record() - before if encoder.truncation and before else None,
        ids_with_spaces=ids_with_spaces,
        sha256=writer.sha256,
    )


def _extended(manifest: ImpactManifest, shard: Shard, *, complete: bool) -> ImpactManifest:
    """Return the manifest with `shard` appended."""
    shards = (*manifest.shards, shard)
    return manifest.model_copy(
        update={
            "shards": shards,
            "counts": manifest.counts + shard.counts,
            "empty": manifest.empty + len(shard.empty),
            "truncation": _truncation(shards),
            "ids_with_spaces": manifest.ids_with_spaces + shard.ids_with_spaces,
            "complete": complete,
        }
    )


def _restored(manifest: ImpactManifest, shard_index: int, shard: Shard) -> ImpactManifest:
    """Return the manifest with `shard` in place of the one whose file was lost."""
    shards = (*manifest.shards[:shard_index], shard, *manifest.shards[shard_index + 1 :])
    return manifest.model_copy(
        update={
            "shards": shards,
            "counts": sum((each.counts for each in shards), Counts()),
            "empty": sum(len(each.empty) for each in shards),
            "truncation": _truncation(shards),
        }
    )


def _truncation(shards: Sequence[Shard]) -> Truncation | None:
    """Return the documents of all shards that were cut; None when one shard does not say."""
    recorded = [shard.truncation for shard in shards if shard.truncation is not None]
    return sum(recorded, Truncation()) if len(recorded) == len(shards) else None
