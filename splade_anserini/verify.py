"""The command `verify`: whether what a command wrote is whole, and an encoder gives the vectors of a reference."""

import json
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from splade_anserini.cli import options as cli
from splade_anserini.cli.console import main_of, progress_bar
from splade_anserini.cli.results import results_of_each
from splade_anserini.encoding.options import EncoderOptions
from splade_anserini.errors import InputError, counted
from splade_anserini.formats.corpus_fields import CorpusOptions
from splade_anserini.inspection.verifying import ArtifactOptions, repair, verify_artifact
from splade_anserini.options import option, options
from splade_anserini.progress import Progress, silent
from splade_anserini.records import Side, StrPath

if TYPE_CHECKING:
    from splade_anserini.cards.finding import EncoderSource
    from splade_anserini.encoding.encoder_pair import EncoderPair
    from splade_anserini.verification.reference_vectors import ReferenceVector
    from splade_anserini.verification.references import Reference
    from splade_anserini.verification.report import Report
    from splade_anserini.verification.verification import Verification

SENTENCE_TRANSFORMERS = "sentence-transformers"


@options
class ReferenceOptions(CorpusOptions):
    """What an encoder is compared with, and on which texts."""

    against: str | None = option(
        default=None,
        help="Encoders: sentence-transformers, another encoder, or a file of reference vectors. An index: its "
        "pseudo-documents. A run: its index. Pseudo-documents: the encoder, if it is elsewhere now.",
        unset="see above",
    )
    texts: str | None = option(default=None, help="Corpus whose texts are encoded.", unset="about fifty diverse texts")
    write_reference: Path | None = option(
        default=None,
        help="Write the reference's vectors, or without --against this encoder's; to FILE.toml as tables of a card.",
    )


@options
class VerifyOptions:
    """When two vectors count as equal."""

    bound: float | None = option(
        default=None,
        least=0,
        help="Greatest difference of a weight, relative to weights above 1.",
        unset="1e-4; in int8, bf16 and fp16 0.25, of the mean; of vectors on a card, its tolerance",
    )
    query_max_length: int | None = option(
        default=None, least=3, help="As --max-length, for queries.", unset="the encoder's, or the model's"
    )


def verify(
    encoder: StrPath,
    against: StrPath | None = None,
    texts: Mapping[str, str] | None = None,
    options: VerifyOptions | None = None,
    encoder_options: EncoderOptions | None = None,
    progress: Progress = silent,
) -> "Verification":
    """Compare the vectors that an encoder gives documents and queries with those of a reference.

    `against` is "sentence-transformers", a file of reference vectors, or an encoder; None chooses as the command does.
    `texts` is id → text, by default about fifty diverse texts. Raises `InputError` when there is nothing to compare
    with, and what opening the encoder and the reference raises.
    """
    from splade_anserini.cards.finding import find_encoder
    from splade_anserini.encoding.encoder_pair import EncoderPair

    options, encoder_options = options or VerifyOptions(), encoder_options or EncoderOptions()
    source = find_encoder(encoder)
    encoders = EncoderPair.open(encoder, encoder_options, options.query_max_length)
    name, references = _references(source, encoders, against, texts, options, encoder_options)
    return _compare(source, encoders, name, references, options, progress)


def _compare(
    source: "EncoderSource",
    encoders: "EncoderPair",
    against: "Reference | str",
    references: "Iterable[ReferenceVector]",
    options: VerifyOptions,
    progress: Progress,
) -> "Verification":
    from splade_anserini.encoding.usage import scale_of
    from splade_anserini.verification.verification import (
        DEFAULT_BOUND,
        REDUCED_BOUND,
        Verification,
        compare_vectors,
    )

    on_card = source.card and against == _on_card(source)
    reduced = not on_card and encoders.documents.identity.precision != "fp32"
    bound = REDUCED_BOUND if reduced else DEFAULT_BOUND
    if source.card and on_card:
        bound = min(table.tolerance for table in source.card.reference)
    comparisons = compare_vectors(references, encoders.verified(), scale_of(source), progress)
    return Verification(
        encoders.name,
        against if isinstance(against, str) else against.name,
        comparisons,
        bound if options.bound is None else options.bound,
        "mean" if reduced else "greatest",
        encoders.lengths,
        () if isinstance(against, str) else tuple(_length_notes(encoders, against)),
    )


# References.


def _references(
    source: "EncoderSource",
    encoders: "EncoderPair",
    against: StrPath | None,
    texts: Mapping[str, str] | None,
    options: VerifyOptions,
    encoder_options: EncoderOptions,
) -> "tuple[Reference | str, Iterable[ReferenceVector]]":
    """Return what an encoder is compared with, or its name, and the vectors to compare."""
    from splade_anserini.encoding.encoder_pair import EncoderPair
    from splade_anserini.verification.card_references import card_references
    from splade_anserini.verification.reference_vectors import read_reference_vectors
    from splade_anserini.verification.references import numbered, vectors_of_reference

    against = against or _default_reference(source)
    if against == _on_card(source) and source.card:
        if texts is not None:
            raise _texts_of_reference(against)
        return str(against), card_references(source.card)
    if Path(against).is_file() and Path(against).suffix != ".toml":
        if texts is not None:
            raise _texts_of_reference(against)
        return str(against), read_reference_vectors(against)
    reference: Reference
    if against == SENTENCE_TRANSFORMERS:
        reference = _open_sentence_transformers(source, options, encoder_options)
    else:
        lengths = encoders.lengths
        own = EncoderOptions(
            max_length=lengths["document"],
            device=encoder_options.device,
            batch_size=encoder_options.batch_size,
            threads=encoder_options.threads,
            trust_remote_code=encoder_options.trust_remote_code,
        )
        reference = EncoderPair.open(against, own, lengths["query"])
    return reference, vectors_of_reference(reference, numbered() if texts is None else texts)


def _texts_of_reference(against: StrPath) -> InputError:
    return InputError(f"--texts cannot be used with {against}, which has texts of its own.", do="Leave --texts out.")


def _on_card(source: "EncoderSource") -> str:
    return f"the reference vectors on the card {source.card.name}" if source.card else ""


def _default_reference(source: "EncoderSource") -> str:
    """Return what an encoder is compared with unless the user says so. Raises `InputError` when there is nothing."""
    from splade_anserini.verification.sentence_transformers_encoder import (
        has_sentence_transformers,
        has_sentence_transformers_layout,
    )

    checkpoint = _checkpoint(source)
    missing = []
    if checkpoint and has_sentence_transformers_layout(checkpoint):
        if has_sentence_transformers():
            return SENTENCE_TRANSFORMERS
        missing.append("sentence-transformers is not installed")
    if source.is_onnx:
        if checkpoint:
            return checkpoint
        missing.append("the checkpoint that it was exported from is not here")
    if source.card and source.card.reference:
        return _on_card(source)
    missing.append("its card has no reference vectors" if source.card else "it has no card with reference vectors")
    raise InputError(
        f"There is nothing to compare {source.name} with: {', '.join(missing)}.",
        do="Pass --against sentence-transformers, another encoder, or a file that --write-reference wrote.",
    )


def _checkpoint(source: "EncoderSource") -> str:
    """Return where the checkpoint of an encoder is: its own location, or what it was exported from; "" if not here."""
    from splade_anserini.artifacts.manifests import EncoderManifest, read_manifest

    if not source.is_onnx:
        return source.location
    manifest = read_manifest(source.location, EncoderManifest)
    if manifest is None:
        return ""
    # A model of several modules has no configuration of its own.
    known = any((Path(manifest.source) / name).is_file() for name in ("config.json", "modules.json"))
    return manifest.source if known else ""


def _open_sentence_transformers(
    source: "EncoderSource", options: VerifyOptions, encoder_options: EncoderOptions
) -> "Reference":
    from splade_anserini.verification.sentence_transformers_encoder import SentenceTransformersEncoder

    checkpoint = _checkpoint(source)
    if not checkpoint:
        raise InputError(
            f"The checkpoint that {source.name} was exported from is not here, and sentence-transformers cannot open "
            "the export.",
            do="Pass --against another encoder, or a file that --write-reference wrote.",
        )
    explicit = source.card.model_fields_set if source.card else set()
    lengths: dict[Side, int] = {}
    if length := encoder_options.max_length or (source.card and "max_length" in explicit and source.card.max_length):
        lengths["document"] = length
    if length := options.query_max_length or (
        source.card and "query_max_length" in explicit and source.card.query_max_length
    ):
        lengths["query"] = length
    return SentenceTransformersEncoder(checkpoint, lengths, trust_remote_code=encoder_options.trust_remote_code)


def _length_notes(encoders: "EncoderPair", reference: "Reference") -> Iterator[str]:
    """Say where the reference reads another number of tokens, which long texts show."""
    from splade_anserini.verification.sentence_transformers_encoder import SentenceTransformersEncoder

    if not isinstance(reference, SentenceTransformersEncoder):
        return
    flags: tuple[tuple[Side, str, str], ...] = (
        ("document", "documents", "--max-length"),
        ("query", "queries", "--query-max-length"),
    )
    for side, name, flag in flags:
        own, theirs = encoders.lengths[side], reference.max_length(side)
        if own != theirs:
            yield f"{name}: {own} tokens are read here, {theirs} by the reference; {flag} sets both"


# The command.


def command(
    artifacts: Annotated[
        list[str],
        typer.Argument(
            metavar="PATH…",
            help="Pseudo-documents, index, run or another output; or an encoder: card, directory, checkpoint or "
            "Hugging Face id, as for encode --encoder.",
        ),
    ],
    reference: ReferenceOptions,
    checks: ArtifactOptions,
    options: VerifyOptions,
    encoder: EncoderOptions,
    format: cli.Format = "table",  # noqa: A002  # the option's name
    overwrite: cli.Overwrite = False,
) -> None:
    """Check that artefacts are whole, and that encoders give the vectors of a reference. Exit code 1 when not.

    \b
    Pseudo-documents: checksums, every record, ids, counts; with --corpus a sample is encoded again. An index:
    Lucene's CheckIndex, counts; with --against the pseudo-documents. A run: checksum, lines; with --against the index.
    Without --against, an encoder is compared with the first of these that there is:
      - sentence-transformers, for a model in its layout and for what was exported from one
      - the checkpoint that it was exported from
      - the reference vectors on its card

    \b
    Examples:
      splade-anserini verify impacts/mine --corpus corpus.jsonl.gz
      splade-anserini verify indexes/mine --against impacts/mine --level 3
      splade-anserini verify splade-mini-v2
      splade-anserini verify path/to/checkpoint --against sentence-transformers
    """
    results, code = results_of_each(
        artifacts, lambda name: _verify_one(name, reference, checks, (options, encoder), overwrite=overwrite)
    )
    reports = [result for result in results if result is not None]
    if format == "json" and reports:
        values = [report.values() for report in reports]
        typer.echo(json.dumps(values[0] if len(artifacts) == 1 else values))
    elif reports:
        typer.echo("\n".join(report.text() for report in reports), nl=False)
    code = max(code, *(not report.passed for report in reports), 0)
    if code:
        raise typer.Exit(code)


def _verify_one(
    name: str,
    reference: ReferenceOptions,
    checks: ArtifactOptions,
    groups: tuple[VerifyOptions, EncoderOptions],
    *,
    overwrite: bool,
) -> "Report | Verification | None":
    """Verify one artefact or encoder; None where reference vectors were written instead."""
    from splade_anserini.verification.artifacts import artifact_kind

    options, encoder = groups
    if artifact_kind(name) != "encoder":
        if checks.repair and (files := repair(Path(name), checks, reference.against, encoder, reference, progress_bar)):
            typer.echo(f"{name}: encoded again: {', '.join(files)}", err=True)
        return verify_artifact(Path(name), checks, reference.against, encoder, reference, progress_bar)
    samples = None if reference.texts is None else _read_texts(reference.texts, reference)
    if reference.write_reference is not None:
        _write_reference(name, reference, samples, (options, encoder), overwrite=overwrite)
        return None
    total = None if samples is None else 2 * len(samples)
    with progress_bar("Verifying", total, "vectors") as progress:
        return verify(name, reference.against, samples, options, encoder, progress)


def _read_texts(corpus: str, fields: CorpusOptions) -> dict[str, str]:
    from splade_anserini.formats.corpora import open_corpus

    texts = {document.id: document.contents for document in open_corpus(corpus, fields)}
    if not texts:
        raise InputError(f"The corpus {corpus} is empty.", expected="at least one document")
    return texts


def _write_reference(
    name: str,
    given: ReferenceOptions,
    texts: Mapping[str, str] | None,
    groups: tuple[VerifyOptions, EncoderOptions],
    *,
    overwrite: bool,
) -> None:
    """Write the vectors of a reference, or of the encoder itself."""
    from splade_anserini.artifacts.files import require_disjoint
    from splade_anserini.artifacts.outputs import require_new_file
    from splade_anserini.cards.finding import find_encoder
    from splade_anserini.encoding.encoder_pair import EncoderPair
    from splade_anserini.verification.card_references import write_card_references
    from splade_anserini.verification.reference_vectors import write_reference_vectors
    from splade_anserini.verification.references import numbered, vectors_of_reference
    from splade_anserini.verification.texts import SHORT_TEXTS

    output, against = given.write_reference, given.against
    assert output is not None  # noqa: S101  # else nothing is written
    require_new_file(output, overwrite=overwrite)
    require_disjoint([output], [against, given.texts])
    options, encoder_options = groups
    for_card = output.suffix == ".toml"
    if texts is None:
        texts = numbered(SHORT_TEXTS) if for_card else numbered()
    source = find_encoder(name)
    if against == SENTENCE_TRANSFORMERS:
        reference = _open_sentence_transformers(source, options, encoder_options)
    else:
        reference = EncoderPair.open(against or name, encoder_options, options.query_max_length)
    write = write_card_references if for_card else write_reference_vectors
    count = write(output, vectors_of_reference(reference, texts))
    typer.echo(f"{output}: {counted(count, 'vector')} by {reference.name}")


if __name__ == "__main__":
    main_of(command)
