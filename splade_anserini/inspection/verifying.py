"""Verifying pseudo-documents, indexes and outputs: options, and which checks belong to which kind."""

from pathlib import Path
from typing import TYPE_CHECKING

from splade_anserini.encoding.options import EncoderOptions
from splade_anserini.errors import InputError
from splade_anserini.formats.corpus_fields import CorpusOptions
from splade_anserini.options import option, options
from splade_anserini.progress import ProgressBars, no_bars

if TYPE_CHECKING:
    from splade_anserini.verification.report import Report


@options
class ArtifactOptions:
    """How pseudo-documents and indexes are verified."""

    corpus: str | None = option(
        default=None, help="Corpus of pseudo-documents, of which a sample is encoded again.", unset="none is"
    )
    sample: int = option(default=100, least=1, help="Documents that are encoded again.")
    level: int = option(
        default=1,
        least=1,
        greatest=3,
        help="Level of Lucene's CheckIndex: 1 checksums of all files, 2 all structures, 3 also against one another.",
    )
    repair: bool = option(
        default=False, help="Encode lost and changed shards again, if corpus and encoder are those of the manifest."
    )


def verify_artifact(
    path: Path,
    options: ArtifactOptions | None = None,
    against: str | None = None,
    encoder: EncoderOptions | None = None,
    fields: CorpusOptions | None = None,
    bars: ProgressBars = no_bars,
) -> "Report":
    """Check all of an artefact that is not an encoder; `against` is what it was made from.

    Raises `InputError` for what neither this program wrote nor Lucene.
    """
    from splade_anserini.inspection.steps import impacts_of_reproduction, verify_steps
    from splade_anserini.verification.artifacts import artifact_kind
    from splade_anserini.verification.impacts import verify_impacts
    from splade_anserini.verification.index import verify_index
    from splade_anserini.verification.output import verify_output

    options, kind = options or ArtifactOptions(), artifact_kind(str(path))
    source = None if against is None else Path(against)
    with bars("Verifying", None, "records") as progress:
        if kind in {"index", "text-index"}:
            return verify_index(path, options.level, source or impacts_of_reproduction(path), progress)
        if kind == "output":
            return verify_output(path, source, progress)
        if kind in {"reproduction", "sweep", "training"}:
            return verify_steps(path, options.level, progress)
        encode_again = None
        if options.corpus is not None:
            from splade_anserini.encoding.again import sample_encoder
            from splade_anserini.formats.corpora import open_corpus

            corpus = open_corpus(options.corpus, fields or CorpusOptions())
            encode_again = sample_encoder(corpus, encoder or EncoderOptions(), against)
        return verify_impacts(path, encode_again, options.sample, progress)


def repair(
    path: Path,
    options: ArtifactOptions,
    against: str | None,
    encoder: EncoderOptions,
    fields: CorpusOptions,
    bars: ProgressBars = no_bars,
) -> list[str]:
    """Encode the lost and changed shards of pseudo-documents again; return the files.

    Raises `InputError` for another kind of artefact, or where there is no corpus; `MismatchError` when the corpus or
    the encoder is another than the manifest records.
    """
    from splade_anserini.artifacts.manifests import ImpactManifest, kind_of_manifest, read_manifest
    from splade_anserini.encoding.again import restore_shards
    from splade_anserini.formats.corpora import open_corpus

    if kind_of_manifest(path) != "impacts" or not (manifest := read_manifest(path, ImpactManifest)):
        raise InputError(
            f"{path} cannot be repaired.",
            expected="a directory that encode wrote",
            do="Make it again, or leave --repair out.",
        )
    corpus = open_corpus(options.corpus or manifest.settings.corpus, fields)
    return restore_shards(path, corpus, encoder, against, bars)
