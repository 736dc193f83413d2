"""The command `encode`: documents → impact pseudo-documents."""

from dataclasses import replace
from os import PathLike
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from splade_anserini.cards.default_encoder import DEFAULT_ENCODER
from splade_anserini.cli.console import main_of, progress_bar
from splade_anserini.encoding.options import EncodeOptions, EncoderOptions
from splade_anserini.errors import counted
from splade_anserini.formats.corpus_fields import CorpusOptions
from splade_anserini.options import option, options
from splade_anserini.progress import ProgressBars, no_bars
from splade_anserini.records import StrPath
from splade_anserini.vectors.scale import scale_option
from splade_anserini.workers.options import WorkerOptions

if TYPE_CHECKING:
    from splade_anserini.artifacts.manifests import ImpactManifest
    from splade_anserini.encoding.protocol import Encoder
    from splade_anserini.encoding.shard_files import ShardWriter
    from splade_anserini.formats.corpora import Corpus


def encode(
    corpus: "Corpus | StrPath",
    encoder: "Encoder | ShardWriter | StrPath",
    output: StrPath,
    options: EncodeOptions | None = None,
    *,
    overwrite: bool = False,
    bars: ProgressBars = no_bars,
) -> "ImpactManifest":
    """Encode `corpus` into a directory of impact pseudo-documents; the same call again resumes where it stopped.

    The corpus is read twice: once to check every record and id before the long work begins, once to encode. With
    `overwrite`, what an earlier call wrote into `output` is removed first. `corpus` and `encoder` may be what
    `open_corpus` and `open_encoder` take; an encoder that is given by its name brings its scale, unless there are
    `options`. `encoder` may also be what `encoding.workers.open_encoder_workers` returns, for several processes. Raises
    `RecordError` or `InputError` for an invalid corpus, `MismatchError` when `output` was created with other settings,
    `OutputError` when it cannot be written, `WorkerError` when workers end again and again.
    """
    from splade_anserini.encoding.opening import default_scale, open_encoder
    from splade_anserini.encoding.shards import encode_shards
    from splade_anserini.formats.corpora import open_corpus

    if isinstance(encoder, str | PathLike):
        options = options or EncodeOptions(scale=default_scale(encoder))
        encoder = open_encoder(encoder)
    if isinstance(corpus, str | PathLike):
        corpus = open_corpus(corpus)
    return encode_shards(corpus, encoder, output, options, overwrite=overwrite, bars=bars)


@options
class EncodeTarget:
    """Which encoder is used, at which scale, and where the shards go."""

    output: Path = option(help="Directory for the shards and their manifest.")
    encoder: str = option(
        default=DEFAULT_ENCODER, help="Card name, encoder directory, or Hugging Face id or directory."
    )
    scale: float | None = scale_option(
        help="impact = round(weight × scale), such as 100 or 256/5.",
        unset="the encoder's, or 100",
    )
    overwrite: bool = option(default=False, help="Remove what an earlier command wrote into --output, and start over.")


def command(
    corpus: Annotated[
        str,
        typer.Option(
            help="BEIR directory or zip, JSON, TSV, CSV, Parquet or Arrow file, directory of such files, irds:<name>, "
            "hf:<name>, or cranfield, which ships with this package."
        ),
    ],
    fields: CorpusOptions,
    target: EncodeTarget,
    encoder: EncoderOptions,
    shards: EncodeOptions,
    workers: WorkerOptions,
) -> None:
    """Encode documents to impact pseudo-documents, in Anserini's JSON format.

    If it is interrupted, the same command resumes where it stopped and ends with the same bytes. So it does with any
    number of workers and devices: each encodes whole shards.

    \b
    Example:
      splade-anserini encode --corpus corpus.jsonl.gz --encoder splade-mini-v2 --output impacts/mine
    """
    from splade_anserini.artifacts.files import require_disjoint
    from splade_anserini.encoding.opening import default_scale
    from splade_anserini.encoding.workers import open_for_shards
    from splade_anserini.formats.corpora import open_corpus

    require_disjoint([target.output], [corpus])
    documents = open_corpus(corpus, fields)
    scale = target.scale or default_scale(target.encoder)
    options = replace(shards, scale=scale)
    with open_for_shards(target.encoder, encoder, workers) as opened:
        manifest = encode(documents, opened, target.output, options, overwrite=target.overwrite, bars=progress_bar)
    counts = manifest.counts
    noun = "passage" if shards.passages else "document"
    typer.echo(
        f"{target.output}: {counted(counts.documents, noun)} in {counted(len(manifest.shards), 'shard')}, "
        f"{counts.postings / max(counts.documents, 1):.1f} entries each; {manifest.empty:,} with an empty vector"
    )


if __name__ == "__main__":
    main_of(command)
