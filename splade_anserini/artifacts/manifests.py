"""Manifests: the JSON file in an output directory that says how its content was made."""

import json
import re
from pathlib import Path
from typing import Annotated, Literal, Self

import pydantic
from pydantic_core import PydanticSerializationError

from splade_anserini._version import __version__
from splade_anserini.artifacts.commits import fingerprint_of_commit
from splade_anserini.artifacts.document_idf import DocumentIdf
from splade_anserini.artifacts.files import whole_file
from splade_anserini.artifacts.index_change import IndexChange
from splade_anserini.artifacts.manifest_checksums import with_checksum, without_checksum
from splade_anserini.artifacts.model import Count, EncoderPrecision, GrowingModel, Length, Model, QueryIdf, Scale
from splade_anserini.artifacts.parity_report import ParityReport
from splade_anserini.artifacts.truncation import TextTruncation, Truncation
from splade_anserini.errors import InputError
from splade_anserini.records import DEFAULT_SCALE, Activation, Aggregation, FilterType, Pooling, QuerySide, StrPath

MANIFEST = "splade.manifest"
"""File name of a manifest. Anserini reads all .json, .jsonl and .gz files of a collection, so it has another suffix."""

NEXT_MANIFEST = f"{MANIFEST}.next"
"""File name of the manifest of an index that is being changed; it counts from the moment of Lucene's commit on."""

QUERY_WEIGHTS = "query_weights.json"
"""File next to a model whose query side is `idf`: token → weight."""

QUERY_MODEL = "query"
"""Subdirectory of a model whose query side is `separate`, with the query model."""


class EncoderIdentity(GrowingModel):
    """The identity of an encoder; encoders with equal fingerprints are the same."""

    name: str
    weights: str
    """SHA-256 of the weights: of a checkpoint's, or of the file with the graph."""
    checkpoint: str | None = None
    """SHA-256 of the weights of the checkpoint that was exported. None: it was not exported, or by an earlier
    version."""
    tokenizer: str
    """SHA-256 of the tokenizer."""
    vocabulary: str
    """SHA-256 of the tokens in the order of their ids; it must be the same for queries and documents."""
    pooling: Pooling
    activation: Activation = "relu"
    precision: EncoderPrecision
    unindexable_entries: Count = 0
    """Vocabulary entries that Lucene cannot hold, such as runs of spaces; their weight is always 0."""
    remote_code: str | None = None
    """SHA-256 of the code that came with the model and was run (--trust-remote-code); None when there was none."""
    prompt: str = ""
    """Text that is put before every text."""
    max_active_dims: Annotated[int, pydantic.Field(gt=0)] | None = None
    """Entries that a vector may have; the greatest weights stay. None: all."""
    token_weights: str | None = None
    """SHA-256 of the factors of a text's own tokens, to which its entries are limited. None: they are not."""

    later_fields = frozenset(
        {"activation", "checkpoint", "unindexable_entries", "remote_code", "prompt", "max_active_dims"}
        | {"token_weights"}
    )

    @property
    def aggregation(self) -> Aggregation:
        """Pooling and activation together."""
        return Aggregation(self.pooling, self.activation)


class Counts(Model):
    """Numbers of documents, postings and impacts in a shard, a directory or an index."""

    documents: Count = 0
    """Documents with at least one posting; Lucene cannot index others."""
    postings: Count = 0
    impacts: Count = 0
    """The sum of all impacts."""

    def __add__(self, other: Self) -> "Counts":
        return Counts(
            documents=self.documents + other.documents,
            postings=self.postings + other.postings,
            impacts=self.impacts + other.impacts,
        )

    def differences(self, other: "Counts") -> list[str]:
        """Return a phrase for each count that differs, such as "documents: 3 instead of 4"."""
        return [
            f"{name}: {getattr(self, name):,} instead of {getattr(other, name):,}"
            for name in Counts.model_fields
            if getattr(self, name) != getattr(other, name)
        ]


class EncodeSettings(GrowingModel):
    """The settings that decide the bytes that `encode` writes."""

    encoder: EncoderIdentity | None
    """None when `convert --scale` quantized weights of unknown origin."""
    corpus: str
    """The value of --corpus. The digests of the shards identify the content."""
    scale: Scale
    max_length: Length | None
    """None when the encoder is not known."""
    top_k: Annotated[int, pydantic.Field(gt=0)] | None
    contents: bool
    docs_per_shard: Annotated[int, pydantic.Field(gt=0)]
    shard_id: Count
    shard_num: Annotated[int, pydantic.Field(gt=0)]
    fields: dict[str, str | list[str]] | None = None
    """The keys or columns of the corpus that were named; None: they were recognized."""
    passages: str | None = None
    """`WORDS/STRIDE`: the documents are passages of these, with ids `doc#n`."""
    document_idf: DocumentIdf | None = None
    """The idf by which `convert --document-idf` multiplied the impacts; None: they are the encoder's."""

    later_fields = frozenset({"fields", "passages", "document_idf"})


class Batching(Model):
    """How large the batches were, on which the last bits of weights depend for some encoders."""

    texts: Annotated[int, pydantic.Field(gt=0)]
    """Most texts in a batch."""
    tokens: Annotated[int, pydantic.Field(gt=0)] | None
    """Most tokens in a batch, padding included; None: without a limit."""


class Shard(GrowingModel):
    """One output file of `encode`."""

    file: str
    counts: Counts
    empty: tuple[str, ...] = ()
    """Ids of the documents whose vectors are empty, which Lucene cannot index."""
    digest: str
    """SHA-256 of the documents of the shard, by which a resumed `encode` recognizes the same corpus."""
    batching: Batching | None = None
    """None where weights do not depend on it: int8, and most checkpoints in float32 on a CPU."""
    truncation: Truncation | None = None
    """Documents that were cut. None: not counted, by earlier versions or an encoder without a tokenizer."""
    ids_with_spaces: Count = 0
    """Number of documents whose ids contain spaces, which a run of TREC cannot hold."""
    sha256: str | None = None
    """SHA-256 of the file, as `sha256sum` prints it. None: written by an earlier version."""

    later_fields = frozenset({"batching", "truncation", "ids_with_spaces", "sha256"})


class ImpactManifest(GrowingModel):
    """The manifest of a directory of impact pseudo-documents."""

    kind: Literal["impacts"] = "impacts"
    version: str = __version__
    settings: EncodeSettings
    complete: bool = False
    counts: Counts = Counts()
    empty: Count = 0
    """Number of documents with an empty vector; each shard lists their ids."""
    truncation: Truncation | None = None
    """Documents that were cut at `settings.max_length`; None when they were not counted in every shard."""
    shards: tuple[Shard, ...] = ()
    ids_with_spaces: Count = 0
    """Number of documents whose ids contain spaces."""

    later_fields = frozenset({"truncation", "ids_with_spaces"})


class IndexPart(Model):
    """An index that was merged into another one, or that is a shard of a sharded index."""

    path: str
    """Its directory; relative paths start at the directory of the manifest."""
    fingerprint: str
    """SHA-256 of its commit, see `artifacts.sharded_index.fingerprint_of_index`."""
    counts: Counts


class IndexManifest(GrowingModel):
    """The manifest of an impact index: how its documents were encoded.

    That of a sharded index is alone in its directory, or beside the directories of the shards.
    """

    kind: Literal["index", "sharded-index"] = "index"
    version: str = __version__
    encoder: EncoderIdentity | None = None
    """None when the pseudo-documents had no manifest."""
    scale: Scale | None = None
    max_length: Length | None = None
    corpus: str = ""
    writer: str
    """The program that wrote the index, with its version."""
    options: dict[str, str | int | float | bool | None] = pydantic.Field(default_factory=dict)
    source: str | None = None
    """Fingerprint of the pseudo-documents; None in indexes of version 0.1.0 and before."""
    counts: Counts
    zeros: Count = 0
    """Entries of the vectors that are not in the index because their impact is 0; `encode` writes none."""
    ids_with_spaces: Count = 0
    """Number of documents whose ids contain spaces, which a run of TREC cannot hold."""
    parts: tuple[IndexPart, ...] = ()
    """The indexes that `merge` joined; the shards of a sharded index."""
    query_idf: QueryIdf | None = None
    """The power of idf by which impacts of queries are multiplied, as the encoder says. None: not recorded, by version
    0.1."""
    query_max_length: Length | None = None
    """Tokens of a query that are encoded, as the encoder says. None: not recorded, or all that the model can read."""
    document_idf: DocumentIdf | None = None
    """The idf by which impacts were multiplied; None: they are those of the vectors."""
    rounded_to_zero: Count = 0
    """Entries that are not in the index because idf made them 0."""
    emptied: Count = 0
    """Documents that are not in the index because idf made all their entries 0."""
    top_k: Annotated[int, pydantic.Field(gt=0)] | None = None
    """Entries that a vector may have, of `encode --top-k`. None: all, or not recorded, by version 0.1."""
    passages: str | None = None
    """`WORDS/STRIDE` of `encode --passages`. None: whole documents, or not recorded."""
    revision: Count = 0
    """How often documents were appended, replaced or deleted since the index was built."""
    last_change: IndexChange | None = None
    commit: str | None = None
    """Fingerprint of the commit of Lucene that the last change made, see `artifacts.commits`."""

    filter_fields: dict[str, FilterType] | None = None
    """The fields by which hits can be filtered, with their types; None: there are none."""

    later_fields = frozenset(
        {"zeros", "ids_with_spaces", "parts", "query_idf", "query_max_length"}
        | {"document_idf", "rounded_to_zero", "emptied", "top_k", "passages", "revision", "last_change", "commit"}
        | {"filter_fields"}
    )


class OutputManifest(Model):
    """The manifest of an output file, such as a run."""

    kind: Literal["output"] = "output"
    version: str = __version__
    command: str
    settings: dict[str, pydantic.JsonValue] = pydantic.Field(default_factory=dict)
    inputs: dict[str, str] = pydantic.Field(default_factory=dict)
    """Input → its fingerprint."""
    counts: dict[str, int | float | str] = pydantic.Field(default_factory=dict)
    """What was counted or measured of the output."""
    sha256: str
    """SHA-256 of the output file."""


class CheckpointManifest(GrowingModel):
    """The manifest of a trained checkpoint: how it is used and how it was trained."""

    kind: Literal["checkpoint"] = "checkpoint"
    version: str = __version__
    pooling: Pooling
    activation: Activation = "relu"
    query_side: QuerySide
    max_length: Length
    """Tokens of a document that were used in training."""
    query_max_length: Length
    scale: Scale = DEFAULT_SCALE
    prompt: str = ""
    """Text that is put before every document."""
    query_prompt: str = ""
    """Text that is put before every query."""
    query_idf: QueryIdf = 0.0
    """The power of the collection's idf by which impacts of queries are multiplied."""
    steps: Count
    recipe: dict[str, pydantic.JsonValue]
    """The table `[training]` of the card, with all overrides."""
    truncation: TextTruncation | None = None
    """Texts that were longer than the recipe reads, on the first device; None where they were not counted."""

    later_fields = frozenset({"activation", "prompt", "query_prompt", "query_idf", "truncation"})

    @property
    def aggregation(self) -> Aggregation:
        """Pooling and activation together."""
        return Aggregation(self.pooling, self.activation)


class EncoderManifest(GrowingModel):
    """The manifest of an exported encoder."""

    kind: Literal["encoder"] = "encoder"
    version: str = __version__
    identity: EncoderIdentity
    source: str
    """The name or path of the checkpoint that was exported."""
    max_length: Length
    """The longest input the model can read, in tokens."""
    default_max_length: Length | None = None
    """Tokens of a document that are encoded unless an option or a card says otherwise. None: 256."""
    default_query_max_length: Length | None = None
    """Tokens of a query. None: all that the model can read."""
    scale: Scale = DEFAULT_SCALE
    query_side: QuerySide = "splade"
    query_weights: str | None = None
    """SHA-256 of query_weights.json, for the query side `idf`."""
    query_prompt: str = ""
    """Text that is put before every query; that of documents is in the identity."""
    query_idf: QueryIdf = 0.0
    """The power of the collection's idf by which impacts of queries are multiplied."""
    opset: Annotated[int, pydantic.Field(gt=0)]
    parity: ParityReport | None = None

    later_fields = frozenset({"query_prompt", "query_idf"})


KINDS = {
    "impacts": "a directory of impact pseudo-documents",
    "index": "an impact index",
    "sharded-index": "a sharded index",
    "text-index": "a text index (BM25)",
    "output": "an output",
    "checkpoint": "a trained checkpoint",
    "encoder": "an exported encoder",
}
"""Kind of manifest → what it describes, as messages call it."""


def write_manifest(directory: StrPath, manifest: Model) -> None:
    """Write the manifest of a directory, replacing an earlier one."""
    with whole_file(Path(directory) / MANIFEST) as file:
        file.write(manifest_bytes(manifest))


def manifest_bytes(manifest: Model) -> bytes:
    """Return the content of the file of a manifest, with a checksum of itself."""
    try:
        text = manifest.model_dump_json(indent=1)
    except PydanticSerializationError as error:
        # pydantic takes Ctrl-C within a serializer of ours for an error of it.
        if KeyboardInterrupt.__name__ in str(error):
            raise KeyboardInterrupt from error
        raise
    return with_checksum(text)


def read_manifest[M: Model](directory: StrPath, kind: type[M]) -> M | None:
    """Return the manifest of a directory, or None if it has none. Raises `InputError` if it is not a valid `kind`.

    That of an index that is being changed, or whose change was killed, is the one of Lucene's latest commit.
    """
    directory = Path(directory)
    following = parse_manifest(directory / NEXT_MANIFEST, kind) if "commit" in kind.model_fields else None
    if following and getattr(following, "commit", None) == fingerprint_of_commit(directory):
        return following
    return parse_manifest(directory / MANIFEST, kind)


def kind_of_manifest(directory: StrPath) -> str | None:
    """Return the kind of the manifest of a directory, such as "index"; None without a manifest.

    A manifest that cannot be read has the kind "": who reads all of it says why.
    """
    try:
        record = json.loads((Path(directory) / MANIFEST).read_bytes())
    except (FileNotFoundError, NotADirectoryError):
        return None
    except ValueError:
        return ""
    return str(record.get("kind", "")) if isinstance(record, dict) else ""


def parse_manifest[M: Model](path: Path, kind: type[M]) -> M | None:
    """Return the manifest at a path, or None if there is none.

    Raises `InputError` if it is not a valid `kind`, `IntegrityError` if it was changed after it was written.
    """
    try:
        text = path.read_bytes()
    except (FileNotFoundError, NotADirectoryError):
        return None
    try:
        return kind.model_validate_json(without_checksum(path, text))
    except pydantic.ValidationError as error:
        first = error.errors()[0]
        expected = KINDS.get(str(kind.model_fields["kind"].default)) if "kind" in kind.model_fields else None
        if expected and (actual := KINDS.get(str(first["input"]))) and first["loc"] == ("kind",):
            raise InputError(
                f"{path} is the manifest of {actual}.", expected=f"that of {expected}", do="Pass another path."
            ) from error
        field = ".".join(str(part) for part in first["loc"]) or "the whole file"
        name = re.sub(r"(?<=[a-z])(?=[A-Z])", " ", kind.__name__).lower()
        raise InputError(
            f"{path} is not a valid {name}: {first['msg']} ({field}).",
            expected=f"a manifest written by splade-anserini {__version__}",
            do="Pass another directory, or rebuild this one.",
        ) from error
