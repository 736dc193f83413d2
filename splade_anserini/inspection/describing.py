"""What an artefact is, in words, and what can be done with it: the result of `info`."""

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

from splade_anserini.artifacts.document_idf import DocumentIdf
from splade_anserini.artifacts.manifests import (
    CheckpointManifest,
    EncoderIdentity,
    EncoderManifest,
    EncodeSettings,
    ImpactManifest,
    IndexManifest,
    kind_of_manifest,
    read_manifest,
)
from splade_anserini.artifacts.outputs import read_output_manifest
from splade_anserini.artifacts.sharded_index import is_sharded
from splade_anserini.artifacts.text_index_manifest import TextIndexManifest
from splade_anserini.errors import counted
from splade_anserini.inspection.progress import Status, named
from splade_anserini.inspection.status import status_of
from splade_anserini.verification.artifacts import ArtifactKind, artifact_kind

type Lines = Iterator[str]


@dataclass(frozen=True, slots=True)
class Description:
    """The status of an artefact, what it is, and what to do with it."""

    status: Status
    about: tuple[str, ...]
    """Sentences."""
    commands: tuple[str, ...]
    """What can be run next."""

    def values(self) -> dict[str, object]:
        """Return the description as JSON values."""
        return {"status": self.status.values(), "about": list(self.about), "commands": list(self.commands)}

    def text(self) -> str:
        """Return the status, the sentences and the commands."""
        lines = [*self.about, *([""] if self.about and self.commands else [])]
        lines += ["What to do with it:"] if self.commands else []
        lines += [f"  {command}" for command in self.commands]
        return self.status.text() + "".join(f"{line}\n" for line in ["", *lines])


def describe(name: str) -> Description:
    """Return what the artefact at a path is. Raises `InputError` for what neither this program wrote nor Lucene."""
    status = status_of(name)
    path = Path(name)
    if not path.exists() or status.state == "damaged":
        return Description(status, (), ())
    kind = artifact_kind(name)
    about, commands = _DESCRIPTIONS[kind](path)
    return Description(status, tuple(about), tuple(commands) if status.is_whole else ())


def _encoder_words(encoder: EncoderIdentity | None) -> str:
    if encoder is None:
        return "an encoder that is not recorded"
    return f"{encoder.name} ({encoder.precision}, {encoder.pooling} pooling)"


def _document_idf_words(idf: DocumentIdf) -> str:
    documents = counted(idf.documents, "document")
    return f"The impacts were multiplied by idf^{idf.alpha:g} of their tokens in {documents} (--document-idf)."


def _settings_words(settings: EncodeSettings) -> Lines:
    yield f"Documents of {settings.corpus}, encoded by {_encoder_words(settings.encoder)}."
    pruning = f", the {settings.top_k} greatest of each document" if settings.top_k else ""
    length = f"; texts are cut at {settings.max_length} tokens" if settings.max_length else ""
    yield f"Impacts are weights × {settings.scale:g}{pruning}{length}."
    if settings.document_idf:
        yield _document_idf_words(settings.document_idf)
    if settings.passages:
        yield f"The documents are passages of {settings.passages} words."
    yield f"The text is {'kept' if settings.contents else 'not kept'} beside the vectors."


def _impacts(path: Path) -> tuple[list[str], list[str]]:
    directories = [path, *sorted(child for child in path.iterdir() if child.is_dir())]
    manifests = [manifest for each in directories if (manifest := read_manifest(each, ImpactManifest))]
    documents, postings = (
        sum(getattr(manifest.counts, name) for manifest in manifests) for name in ("documents", "postings")
    )
    empty = sum(manifest.empty for manifest in manifests)
    about = list(_settings_words(manifests[0].settings))
    entries = postings / max(1, documents)
    about.append(f"{counted(documents, 'document')} with {entries:.1f} entries each; {empty:,} with an empty vector.")
    name = named(path)
    commands = [
        f"splade-anserini index --input {path} --index indexes/{name}",
        f"splade-anserini verify {path} --corpus {manifests[0].settings.corpus}",
        f"splade-anserini convert --input {path} --output {name}.parquet",
    ]
    return about, commands


def _index(path: Path) -> tuple[list[str], list[str]]:
    manifest = read_manifest(path, IndexManifest)
    search = f"splade-anserini search --index {path} --topics TOPICS --output run.txt"
    if manifest is None:
        about = ["A Lucene index without a manifest: encoder, scale and counts are not recorded."]
        return about, [f"{search} --encoder ENCODER", f"splade-anserini verify {path}"]
    about = [f"Documents of {manifest.corpus or 'an unknown corpus'}, encoded by {_encoder_words(manifest.encoder)}."]
    if manifest.scale:
        about.append(f"Impacts are weights × {manifest.scale:g}; queries are encoded with the same scale.")
    about += _query_words(manifest)
    if manifest.document_idf:
        about.append(f"{_document_idf_words(manifest.document_idf)} Search without --query-idf.")
    about.append(f"Written by {manifest.writer}.")
    if manifest.last_change:
        times = counted(manifest.revision, "time")
        about.append(f"Changed {times} since it was built, last: {manifest.last_change.words}.")
    if manifest.parts:
        names = ", ".join(part.path for part in manifest.parts)
        about.append(f"{'Its shards are' if is_sharded(path) else 'Merged from'} {names}.")
    about += _document_words(manifest)
    if manifest.ids_with_spaces:
        about.append(f"{counted(manifest.ids_with_spaces, 'id contains', 'ids contain')} spaces: use --format msmarco.")
    # Of a changed index the vectors are in several directories, or gone.
    against = "" if manifest.revision else " --against IMPACTS"
    return about, [
        search,
        f"splade-anserini verify {path}{against}",
        f"splade-anserini profile --index {path} --topics TOPICS --output profile",
    ]


def _query_words(manifest: IndexManifest) -> Lines:
    if manifest.query_idf is None:
        yield "It does not record how queries are weighted (version 0.1): their impacts are not multiplied by idf."
    elif manifest.query_idf:
        yield f"Impacts of queries are multiplied by idf^{manifest.query_idf:g}, unless --query-idf says otherwise."
    if manifest.query_max_length:
        yield f"Queries are cut at {manifest.query_max_length} tokens."


def _document_words(manifest: IndexManifest) -> Lines:
    if manifest.options.get("store_text"):
        fields = manifest.options.get("store_fields")
        yield f"Documents are stored{f' with the fields {fields}' if fields else ''}."
    if manifest.filter_fields:
        names = ", ".join(f"{name} ({type_})" for name, type_ in manifest.filter_fields.items())
        yield f"Hits can be filtered by {names}: search --filter."


def _text_index(path: Path) -> tuple[list[str], list[str]]:
    manifest = read_manifest(path, TextIndexManifest)
    assert manifest is not None  # noqa: S101  # it has a kind
    about = [f"Texts of {manifest.corpus}, in the language {manifest.language}. Written by {manifest.writer}."]
    return about, [f"splade-anserini search --bm25 --index {path} --topics TOPICS --output bm25.txt"]


def _output(path: Path) -> tuple[list[str], list[str]]:
    manifest = read_output_manifest(path)
    assert manifest is not None  # noqa: S101  # there is one
    about = [f"Written by the command {manifest.command} of version {manifest.version}."]
    if manifest.inputs:
        about.append(f"Inputs, whose fingerprints are recorded: {', '.join(manifest.inputs)}.")
    if manifest.command in {"search", "rescore", "fuse"}:
        return about, [
            f"splade-anserini evaluate --run {path} --qrels QRELS",
            f"splade-anserini verify {path} --against INDEX",
        ]
    if manifest.command == "convert":
        return about, [f"splade-anserini index --input {path} --index indexes/{path.stem}"]
    return about, [f"splade-anserini verify {path}"]


def _sweep(path: Path) -> tuple[list[str], list[str]]:
    return ["Trade-offs between effectiveness and cost; sweep.csv has a line for each setting."], [
        f"cat {path}/sweep.csv"
    ]


def _reproduction(path: Path) -> tuple[list[str], list[str]]:
    index = path.parent / named(path).removesuffix(".reproduction")
    about = [f"The steps of `reproduce`: pseudo-documents, the index {index}, runs and a report."]
    return about, [f"cat {path}/report.txt", f"splade-anserini verify {index} --against {path}/impacts"]


def _training(path: Path) -> tuple[list[str], list[str]]:
    return [
        f"The state of an unfinished run of `train`, whose output will be {named(path).removesuffix('.training')}."
    ], []


def _encoder(path: Path) -> tuple[list[str], list[str]]:
    encode = f"splade-anserini encode --corpus CORPUS --encoder {path} --output impacts/{named(path)}"
    verify = f"splade-anserini verify {path}"
    if kind_of_manifest(path) == "encoder":
        encoder = read_manifest(path, EncoderManifest)
        assert encoder is not None  # noqa: S101  # it has a kind
        about = [
            f"An ONNX encoder, {_encoder_words(encoder.identity)}, exported from {encoder.source}.",
            f"Its query side is {encoder.query_side}; the scale is {encoder.scale:g} unless --scale says otherwise.",
        ]
        return about, [encode, verify]
    checkpoint = read_manifest(path, CheckpointManifest)
    assert checkpoint is not None  # noqa: S101  # it has a kind
    steps = counted(checkpoint.steps, "step")
    about = [f"A checkpoint of {steps}, {checkpoint.pooling} pooling, query side {checkpoint.query_side}."]
    return about, [encode, f"splade-anserini export --encoder {path} --output encoders/{named(path)}", verify]


_DESCRIPTIONS: Mapping[ArtifactKind, Callable[[Path], tuple[list[str], list[str]]]] = {
    "impacts": _impacts,
    "index": _index,
    "text-index": _text_index,
    "output": _output,
    "sweep": _sweep,
    "reproduction": _reproduction,
    "training": _training,
    "encoder": _encoder,
}
