"""Stage: documents → impact pseudo-documents."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from splade_anserini.cli import options
from splade_anserini.cli.console import main_of, progress_bar
from splade_anserini.progress import Progress, silent

if TYPE_CHECKING:
    from splade_anserini.artifacts.manifests import ImpactManifest
    from splade_anserini.encoding.options import EncodeOptions
    from splade_anserini.encoding.protocol import Encoder
    from splade_anserini.formats.corpora import Corpus


def encode(
    corpus: "Corpus",
    encoder: "Encoder",
    output: Path,
    options: "EncodeOptions | None" = None,
    *,
    progress: Progress = silent,
) -> "ImpactManifest":
    """Encode `corpus` into a directory of impact pseudo-documents; the same call again goes on where it stopped.

    The corpus is read twice: once to check every record and id before the long work begins, once to encode. Raises
    `RecordError` or `InputError` for a bad corpus, `MismatchError` when `output` holds other work, `OutputError` when
    it cannot be written.
    """
    from splade_anserini.encoding.shards import encode_shards

    return encode_shards(corpus, encoder, output, options, progress)


def command(
    corpus: Annotated[
        str,
        typer.Option(help="BEIR directory, .jsonl or .tsv file (.gz too), directory of such files, or irds:<name>."),
    ],
    output: Annotated[Path, typer.Option(help="Directory for the shards and their manifest.")],
    encoder: Annotated[
        str, typer.Option(help="Card name, encoder directory, or Hugging Face id or directory.")
    ] = "splade-mini",
    batch_size: Annotated[int, typer.Option(help="The most texts in a batch.")] = 64,
    max_length: Annotated[
        int | None, typer.Option(help="Tokens of a text that are read. [default: the encoder's, or 256]")
    ] = None,
    device: options.Device = "auto",
    precision: Annotated[str, typer.Option(help="auto, fp32, bf16, fp16; int8 where exported so.")] = "auto",
    pooling: Annotated[str | None, typer.Option(help="max, sum or norm. [default: the encoder's, or max]")] = None,
    scale: Annotated[
        str | None,
        typer.Option(help="impact = round(weight × scale); 256/5 is SPLADE++'s. [default: the encoder's, or 100]"),
    ] = None,
    top_k: Annotated[int | None, typer.Option(help="Keep the k greatest weights of a document. [default: all]")] = None,
    contents: Annotated[bool, typer.Option(help="Keep the text beside the vector.")] = True,
    docs_per_shard: Annotated[int, typer.Option(help="Documents in an output file.")] = 10_000,
    shard_id: Annotated[int, typer.Option(help="Which part of the corpus to encode here, from 0.")] = 0,
    shard_num: Annotated[int, typer.Option(help="In how many parts the corpus is split over machines.")] = 1,
    threads: Annotated[int, typer.Option(help="Threads. [default: one per core]")] = 0,
) -> None:
    """Encode documents to impact pseudo-documents, in Anserini's JSON format.

    Killed in the middle, the same command goes on where it stopped and ends with the same bytes.

    \b
    Example:
      splade-anserini encode --corpus corpus.jsonl.gz --encoder splade-mini --output impacts/mine
    """
    from splade_anserini.encoding.opening import default_scale, open_encoder
    from splade_anserini.encoding.options import EncodeOptions, EncoderOptions
    from splade_anserini.formats.corpora import open_corpus
    from splade_anserini.vectors.quantization import parse_scale

    options = EncodeOptions(
        scale=default_scale(encoder) if scale is None else parse_scale(scale),
        top_k=top_k,
        contents=contents,
        docs_per_shard=docs_per_shard,
        shard_id=shard_id,
        shard_num=shard_num,
    )
    documents = open_corpus(corpus)
    opened = open_encoder(
        encoder,
        EncoderOptions(
            max_length=max_length,
            pooling=pooling,  # type: ignore[arg-type]  # checked there
            precision=precision,
            device=device,
            batch_size=batch_size,
            threads=threads,
        ),
    )
    with progress_bar("Encoding", None, "documents") as progress:
        manifest = encode(documents, opened, output, options, progress=progress)
    counts = manifest.counts
    typer.echo(
        f"{output}: {counts.documents:,} documents in {len(manifest.shards)} shards, "
        f"{counts.postings / max(counts.documents, 1):.1f} entries each; {manifest.empty} with an empty vector"
    )


if __name__ == "__main__":
    main_of(command)
