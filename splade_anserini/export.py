"""Stage: a checkpoint → an ONNX encoder directory."""

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from splade_anserini.cli.console import main_of

if TYPE_CHECKING:
    from splade_anserini.artifacts.manifests import EncoderManifest
    from splade_anserini.exporting.options import ExportOptions
    from splade_anserini.modeling.checkpoint import Checkpoint


def export(checkpoint: "Checkpoint", output: Path, options: "ExportOptions", texts: Sequence[str]) -> "EncoderManifest":
    """Write `model.onnx`, `tokenizer.json` and the manifest into `output`, once the graph agrees with torch on `texts`.

    What the checkpoint has for its queries, weights or a model of their own, goes along. Raises `IntegrityError` when a
    graph does not agree, to the bound of its precision; then nothing is written.
    """
    from splade_anserini.artifacts.files import whole_directory
    from splade_anserini.exporting.export import write_encoder

    with whole_directory(output) as directory:
        return write_encoder(checkpoint, directory, output.name, options, texts)


def command(
    encoder: Annotated[
        str, typer.Option(help="Hugging Face id or directory of a model with a masked-language-model head.")
    ],
    output: Annotated[Path, typer.Option(help="Directory of the new encoder.")],
    pooling: Annotated[
        str | None,
        typer.Option(help="max (SPLADE v2), sum (v1) or norm (between them). [default: the checkpoint's, or max]"),
    ] = None,
    precision: Annotated[str, typer.Option(help="fp32, or int8: a quarter of the size, and twice as fast.")] = "fp32",
    anserini: Annotated[
        bool, typer.Option("--anserini", help="Write model.anserini.onnx too, as Anserini's Java encoder wants it.")
    ] = False,
    max_length: Annotated[int | None, typer.Option(help="The longest input, in tokens. [default: the model's]")] = None,
    scale: Annotated[
        str | None,
        typer.Option(
            help="impact = round(weight × scale), as the encoder will be used. [default: the checkpoint's, or 100]"
        ),
    ] = None,
    bound: Annotated[
        float | None, typer.Option(help="Greatest difference from torch. [default: 1e-4; int8: 0.25, in the mean]")
    ] = None,
    texts: Annotated[
        str | None, typer.Option(help="Corpus to compare the export with torch on. [default: Cranfield]")
    ] = None,
) -> None:
    """Export a checkpoint to ONNX: pooling, log(1 + ReLU), padding and special tokens are in the graph.

    The export is compared with torch on real texts before anything is written; the manifest holds the differences.

    \b
    Example:
      splade-anserini export --encoder my-checkpoint --precision int8 --output encoders/mine
    """
    from splade_anserini.cards.shipped import cranfield
    from splade_anserini.exporting.onnx_graph import require_exporter
    from splade_anserini.exporting.options import ExportOptions
    from splade_anserini.formats.corpora import open_corpus, sample_documents
    from splade_anserini.modeling.checkpoint import load_checkpoint
    from splade_anserini.vectors.quantization import parse_scale

    require_exporter()
    options = ExportOptions(
        pooling=pooling,  # type: ignore[arg-type]  # checked there
        precision=precision,  # type: ignore[arg-type]
        anserini=anserini,
        max_length=max_length,
        scale=None if scale is None else parse_scale(scale),
        bound=bound,
    )
    documents = sample_documents(open_corpus(str(cranfield()) if texts is None else texts), 24)
    short_and_long = [text for document in documents for text in (document.title, document.contents) if text]
    manifest = export(load_checkpoint(encoder), output, options, short_and_long)
    report = manifest.parity
    if report is not None:
        typer.echo(
            f"{output}: on {report.texts} texts, greatest difference from torch {report.max_difference:.2g}, "
            f"mean {report.mean_difference:.2g}, equal impacts {report.equal_impacts:.1%}"
        )


if __name__ == "__main__":
    main_of(command)
