"""The command `export`: a checkpoint → an ONNX encoder directory."""

import logging
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from splade_anserini.cli import options as cli
from splade_anserini.cli.console import main_of
from splade_anserini.cli.results import make_once
from splade_anserini.errors import InputError, IntegrityError
from splade_anserini.exporting.options import ExportOptions
from splade_anserini.formats.corpus_fields import CorpusOptions
from splade_anserini.options import recorded_options
from splade_anserini.records import Side, StrPath

if TYPE_CHECKING:
    from splade_anserini.artifacts.manifests import EncoderManifest
    from splade_anserini.artifacts.outputs import OutputRecord
    from splade_anserini.artifacts.parity_report import ParityReport
    from splade_anserini.formats.corpora import Corpus
    from splade_anserini.modeling.checkpoint import Checkpoint

DOCUMENTS = 24
"""Documents of the corpus whose titles and texts are compared."""

_log = logging.getLogger(__name__)


def export(
    checkpoint: "Checkpoint",
    output: StrPath,
    options: ExportOptions,
    texts: Sequence[str],
    *,
    overwrite: bool = False,
) -> "EncoderManifest":
    """Write `model.onnx`, `tokenizer.json` and the manifest into `output`, once the graph agrees with torch on `texts`.

    The export of a checkpoint in the layout of sentence-transformers also agrees with that, if it is installed. Query
    weights or a query model in the checkpoint are exported too. Raises `OutputError` when `output` is not empty
    (without `overwrite`), `IntegrityError` when a graph differs from torch by more than the bound of its precision;
    then nothing is written.
    """
    from splade_anserini.artifacts.files import whole_directory
    from splade_anserini.artifacts.manifests import write_manifest
    from splade_anserini.artifacts.outputs import require_replaceable
    from splade_anserini.exporting.export import write_encoder

    output = Path(output)
    if overwrite:
        require_replaceable(output)
    with whole_directory(output, replace=overwrite) as directory:
        manifest = write_encoder(checkpoint, directory, output.name, options, texts)
        if report := _sentence_transformers_report(checkpoint.name, directory, manifest, options, texts):
            manifest = manifest.model_copy(update={"parity": report})
            write_manifest(directory, manifest)
        return manifest


def _sentence_transformers_report(
    checkpoint: str, directory: Path, manifest: "EncoderManifest", options: ExportOptions, texts: Sequence[str]
) -> "ParityReport | None":
    """Compare the export with sentence-transformers, if the checkpoint is in its layout and it is installed.

    Documents and queries are encoded as the export is used by default. Raises `IntegrityError` when they differ by more
    than the bound.
    """
    from splade_anserini.artifacts.manifests import CheckpointManifest, read_manifest
    from splade_anserini.artifacts.parity_report import ParityReport
    from splade_anserini.encoding.encoder_pair import EncoderPair
    from splade_anserini.encoding.options import EncoderOptions
    from splade_anserini.verification import sentence_transformers_encoder as theirs
    from splade_anserini.verification.references import numbered, vectors_of_reference
    from splade_anserini.verification.verification import compare_vectors

    if not theirs.has_sentence_transformers_layout(checkpoint) or not theirs.has_sentence_transformers():
        return None
    trained = read_manifest(Path(checkpoint), CheckpointManifest)
    if trained and trained.aggregation != manifest.identity.aggregation:
        return None  # an option changed it
    length = options.max_length
    lengths: dict[Side, int] = {"document": length, "query": length} if length else {}
    reference = theirs.SentenceTransformersEncoder(checkpoint, lengths, trust_remote_code=options.trust_remote_code)
    _log.info("Comparing with %s", reference.name)
    exported = EncoderPair.open(directory, EncoderOptions(max_length=length, device="cpu"), length)
    comparisons = compare_vectors(vectors_of_reference(reference, numbered(texts)), exported.verified(), manifest.scale)
    bound, measure = options.allowed_difference, options.bounded_measure
    for comparison in comparisons:
        if not (comparison.max_difference if measure == "greatest" else comparison.mean_difference) <= bound:
            raise IntegrityError(
                f"The export differs from {reference.name}: {comparison.greatest}.",
                expected=f"a {measure} difference of at most {bound:g}",
                do=f"Run splade-anserini verify {checkpoint} --against sentence-transformers, which compares the "
                "checkpoint itself.",
            )
    return ParityReport(
        against=reference.name,
        texts=max(comparison.texts for comparison in comparisons),
        max_difference=max(comparison.max_difference for comparison in comparisons),
        mean_difference=max(comparison.mean_difference for comparison in comparisons),
        bound=bound,
        equal_impacts=min(comparison.equal_impacts for comparison in comparisons),
        scale=manifest.scale,
    )


def command(
    encoder: Annotated[
        str, typer.Option(help="Hugging Face id or directory of a model with a masked-language-model head.")
    ],
    output: Annotated[Path, typer.Option(help="Directory of the new encoder.")],
    options: ExportOptions,
    fields: CorpusOptions,
    texts: Annotated[
        str | None, typer.Option(help="Corpus to compare the export with torch on. [default: Cranfield]")
    ] = None,
    format: cli.Format = "table",  # noqa: A002  # the option's name
    overwrite: cli.Overwrite = False,
) -> None:
    """Export a checkpoint to ONNX: activation, pooling, padding and special tokens are in the graph.

    The export is compared with torch on real texts before anything is written, and a model in the layout of
    sentence-transformers with that too, if it is installed. The manifest holds the differences.

    \b
    Example:
      splade-anserini export --encoder my-checkpoint --precision int8 --output encoders/mine
    """
    from splade_anserini.artifacts.files import require_disjoint
    from splade_anserini.cards.shipped import cranfield
    from splade_anserini.exporting.onnx_graph import require_exporter
    from splade_anserini.formats.corpora import open_corpus

    _refuse_card(encoder)
    corpus = str(cranfield()) if texts is None else texts
    require_disjoint([output], [encoder, corpus])
    require_exporter()
    result = make_once(
        output,
        _record(encoder, corpus, options, fields),
        lambda: _export(encoder, open_corpus(corpus, fields), output, options, overwrite=overwrite),
        overwrite=overwrite,
    )
    typer.echo(result.text(format, _summary))


def _refuse_card(encoder: str) -> None:
    """Raise `InputError` for the name of a card, whose settings would not be used."""
    from splade_anserini.cards.finding import find_encoder

    source = None if Path(encoder).exists() else find_encoder(encoder)
    if source is not None and source.card is not None:
        raise InputError(
            f"--encoder {encoder} is a card, whose settings are not used in an export.",
            expected="a directory or a Hugging Face id",
            do=f"Name the model of the card, {source.location}, and its settings as options.",
        )


def _export(
    encoder: str, corpus: "Corpus", output: Path, options: ExportOptions, *, overwrite: bool
) -> dict[str, float | str]:
    """Export and return the report of the comparison with torch."""
    from splade_anserini.formats.corpora import sample_documents
    from splade_anserini.modeling.published import load_document_checkpoint

    _log.info("Reading %s", corpus.name)
    documents = sample_documents(corpus, DOCUMENTS)
    texts = [text for document in documents for text in (document.title, document.contents) if text]
    _log.info("Exporting %s to %s", encoder, output)
    checkpoint = load_document_checkpoint(encoder, trust_remote_code=options.trust_remote_code)
    manifest = export(checkpoint, output, options, texts, overwrite=overwrite)
    return manifest.parity.model_dump() if manifest.parity else {}


def _record(encoder: str, corpus: str, options: ExportOptions, fields: CorpusOptions) -> "OutputRecord":
    from splade_anserini.artifacts.outputs import OutputRecord, fingerprint_of_input

    inputs = {"encoder": fingerprint_of_input(encoder), "texts": fingerprint_of_input(corpus)}
    return OutputRecord("export", recorded_options(options, fields), inputs)


def _summary(parity: Mapping[str, Any]) -> str:
    return (
        f"on {parity['texts']} texts, greatest difference from {parity['against']} {parity['max_difference']:.2g}, "
        f"mean {parity['mean_difference']:.2g}, equal impacts {parity['equal_impacts']:.1%}"
    )


if __name__ == "__main__":
    main_of(command)
