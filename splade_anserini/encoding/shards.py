"""Encoding a corpus: numbered shards of impact pseudo-documents and their manifest, resumable at any time."""

import logging
import math
from pathlib import Path

from splade_anserini.artifacts.changes import changes
from splade_anserini.artifacts.files import directory_lock, output_errors, require_writable, resolved_output
from splade_anserini.artifacts.manifests import (
    MANIFEST,
    EncoderIdentity,
    EncodeSettings,
    ImpactManifest,
    read_manifest,
    write_manifest,
)
from splade_anserini.encoding.corpus_part import PartOfCorpus, shard_file
from splade_anserini.encoding.earlier_shards import EarlierShards
from splade_anserini.encoding.options import EncodeOptions
from splade_anserini.encoding.protocol import Encoder
from splade_anserini.encoding.shard_files import InProcess, ShardWriter
from splade_anserini.encoding.truncation import log_truncation
from splade_anserini.errors import NOTE, InputError, MismatchError, OutputError, counted
from splade_anserini.formats.corpora import Corpus, PassageCorpus, check_corpus, corpus_settings
from splade_anserini.formats.impacts import impact_files
from splade_anserini.formats.passages import Windows
from splade_anserini.progress import ProgressBars, no_bars, thread_safe
from splade_anserini.records import StrPath

_log = logging.getLogger(__name__)


def encode_shards(
    corpus: Corpus,
    encoder: Encoder | ShardWriter,
    output: StrPath,
    options: EncodeOptions | None = None,
    *,
    overwrite: bool = False,
    may_change: bool = True,
    bars: ProgressBars = no_bars,
) -> ImpactManifest:
    """Encode this machine's part of `corpus` into `output`; return the manifest.

    The corpus is read twice: once to check every record and id before anything is written, once to encode. Shards that
    are already complete in `output` are kept once their documents have been compared with the corpus. If it has grown
    or was changed, only what is new is encoded, unless nothing of it is the same or `may_change` is false. With
    `overwrite` what an earlier call wrote there is removed first.

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
        manifest = PartOfCorpus(corpus, part, output, options, may_change=may_change).encode(
            writer, _resume(output, settings), thread_safe(progress)
        )
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


def _remove_shards(output: Path) -> None:
    """Remove the shards that the manifest lists, the one after them, and last the manifest.

    A killed process may have finished a shard that it had no time to list. When removing is interrupted, the manifest
    is still there to remove the rest by.
    """
    EarlierShards(output).remove()
    manifest = read_manifest(output, ImpactManifest)
    if manifest is not None:
        for file in (*(shard.file for shard in manifest.shards), shard_file(manifest.settings, len(manifest.shards))):
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
