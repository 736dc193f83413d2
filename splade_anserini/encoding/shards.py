"""Encoding a corpus: numbered shards of impact pseudo-documents and their manifest, resumable at any time."""

import logging
import math
from collections.abc import Iterator, Sequence
from itertools import islice
from pathlib import Path

from splade_anserini.artifacts.changes import changes
from splade_anserini.artifacts.checksums import Checksum
from splade_anserini.artifacts.files import directory_lock, output_errors, require_writable, resolved_output
from splade_anserini.artifacts.manifests import (
    MANIFEST,
    Counts,
    EncoderIdentity,
    EncodeSettings,
    ImpactManifest,
    Shard,
    read_manifest,
    write_manifest,
)
from splade_anserini.artifacts.truncation import Truncation
from splade_anserini.encoding.options import EncodeOptions
from splade_anserini.encoding.protocol import Encoder
from splade_anserini.encoding.shard_files import InProcess, PendingShard, ShardWriter
from splade_anserini.encoding.truncation import log_truncation
from splade_anserini.errors import NOTE, InputError, MismatchError, OutputError, counted
from splade_anserini.formats.corpora import Corpus, CorpusDigest, PassageCorpus, check_corpus, corpus_settings
from splade_anserini.formats.impacts import impact_files
from splade_anserini.formats.passages import Windows
from splade_anserini.progress import Progress, ProgressBars, no_bars, thread_safe
from splade_anserini.records import Document, StrPath

_log = logging.getLogger(__name__)


def encode_shards(
    corpus: Corpus,
    encoder: Encoder | ShardWriter,
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
    writer = InProcess(encoder) if isinstance(encoder, Encoder) else encoder
    require_writable(output, in_place=output.is_dir())
    fields = corpus_settings(corpus)
    if options.passages:
        corpus = PassageCorpus(corpus, Windows.parse(options.passages))
    # A worker opens the encoder now, so that an error is reported before the corpus is read.
    settings = _settings(options, writer, corpus.name, fields)
    with bars("Checking", None, "documents") as progress:
        part = _part(options, check_corpus(corpus, progress))
    noun = "passage" if options.passages else "document"
    _log.info("Encoding %s of %s into %s", counted(len(part), noun), corpus.name, output)
    _note_idle_workers(writer.workers, len(part), options.docs_per_shard)
    with output_errors(output):
        resolved_output(output).mkdir(parents=True, exist_ok=True)
    with directory_lock(output), bars("Encoding", len(part), "documents") as progress:
        if overwrite:
            _remove_shards(output)
        manifest = _encode_part(corpus, writer, output, options, settings, part, thread_safe(progress))
    if manifest.truncation:
        log_truncation(manifest.truncation, writer.max_length, "document")
    return manifest


def _note_idle_workers(workers: int, documents: int, docs_per_shard: int) -> None:
    """Say when there are fewer shards than workers, as one worker encodes a whole shard."""
    shards = math.ceil(documents / docs_per_shard)
    if shards < workers:
        _log.log(
            NOTE,
            "%s for %s: --docs-per-shard %d would give each one.",
            counted(shards, "shard"),
            counted(workers, "worker"),
            max(1, documents // workers),
        )


def _encode_part(
    corpus: Corpus,
    writer: ShardWriter,
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
    recorded = manifest.shards
    documents = islice(corpus, part.start, part.stop)
    drawn: list[int] = []

    def pending() -> Iterator[PendingShard]:
        for shard_index, start in enumerate(range(part.start, part.stop, options.docs_per_shard)):
            documents_of_shard = islice(documents, min(options.docs_per_shard, part.stop - start))
            if shard_index < len(recorded) and (output / recorded[shard_index].file).is_file():
                _verify(recorded[shard_index], documents_of_shard, corpus.name, progress)
                continue
            drawn.append(shard_index)
            yield PendingShard(output / _file_name(options, shard_index), documents_of_shard)

    for count, shard in enumerate(writer.write(pending(), options, progress)):
        shard_index = drawn[count]
        if shard_index >= len(recorded):
            last = (shard_index + 1) * options.docs_per_shard >= len(part)
            manifest = _extended(manifest, shard, complete=last)
        elif shard.digest == recorded[shard_index].digest:
            manifest = _restored(manifest, shard_index, shard)
        else:
            (output / shard.file).unlink()
            raise _changed(corpus.name, recorded[shard_index])
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
    options: EncodeOptions, encoder: ShardWriter, corpus: str, fields: dict[str, str | list[str]] | None
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
