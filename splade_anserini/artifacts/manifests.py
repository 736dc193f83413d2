"""What an artefact on disk says of itself: one JSON file a directory, named so that Anserini takes it for no data."""

import re
from collections.abc import Mapping
from pathlib import Path
from typing import Literal, Self, get_args

import pydantic

from splade_anserini._version import __version__
from splade_anserini.artifacts.files import whole_file
from splade_anserini.errors import InputError

MANIFEST = "splade.manifest"
"""Anserini reads every .json, .jsonl and .gz file of a collection's directory, so the manifest is none of these."""

type Pooling = Literal["max", "sum", "norm"]
POOLINGS: tuple[Pooling, ...] = get_args(Pooling.__value__)

DEFAULT_SCALE = 100.0
"""impact = round(weight × scale): the scale of the paper's reference."""

type QuerySide = Literal["splade", "doc", "idf", "separate"]
"""What encodes queries: the documents' model; nothing, for a query is its own tokens, each with weight 1 (SPLADE v2,
section 3.2) or with one that is known for it; or a model of their own."""

QUERY_WEIGHTS = "query_weights.json"
"""Beside a model whose query side is `idf`: token → weight."""

QUERY_MODEL = "query"
"""The subdirectory of a model whose query side is `separate`, with the queries' model."""


class Model(pydantic.BaseModel):
    """Frozen and strict: an unknown field is an error, not a surprise later."""

    model_config = pydantic.ConfigDict(frozen=True, extra="forbid")


class EncoderIdentity(Model):
    """Which encoder made something. Two encoders are the same when all their fingerprints are."""

    name: str
    weights: str
    """SHA-256 of the weights."""
    tokenizer: str
    """SHA-256 of the tokenizer."""
    vocabulary: str
    """SHA-256 of the tokens in the order of their ids: what queries and documents must share."""
    pooling: Pooling
    precision: str


class Counts(Model):
    """What is in a shard, a directory or an index."""

    documents: int = 0
    """Documents with at least one posting; the others are in no index."""
    postings: int = 0
    impacts: int = 0
    """The sum of all impacts."""

    def __add__(self, other: Self) -> "Counts":
        return Counts(
            documents=self.documents + other.documents,
            postings=self.postings + other.postings,
            impacts=self.impacts + other.impacts,
        )

    def differences(self, other: "Counts") -> list[str]:
        """One phrase for each count that differs from `other`'s: "documents: 3 instead of 4"."""
        return [
            f"{name}: {getattr(self, name):,} instead of {getattr(other, name):,}"
            for name in Counts.model_fields
            if getattr(self, name) != getattr(other, name)
        ]


class EncodeSettings(Model):
    """All that decides which bytes `encode` writes."""

    encoder: EncoderIdentity
    corpus: str
    """As it was named; the shards' digests say what was read."""
    scale: float
    max_length: int
    top_k: int | None
    contents: bool
    docs_per_shard: int
    shard_id: int
    shard_num: int


class Shard(Model):
    """One output file of `encode`."""

    file: str
    counts: Counts
    empty: tuple[str, ...] = ()
    """Ids of the documents whose vector is empty, which Lucene cannot hold."""
    digest: str
    """SHA-256 of the documents that were read for it: the same corpus again, or none."""


class ImpactManifest(Model):
    """Beside the shards of a directory of impact pseudo-documents."""

    kind: Literal["impacts"] = "impacts"
    version: str = __version__
    settings: EncodeSettings
    complete: bool = False
    counts: Counts = Counts()
    empty: int = 0
    """How many documents have an empty vector; each shard lists its own."""
    shards: tuple[Shard, ...] = ()


class IndexManifest(Model):
    """Inside an impact index: how its documents were encoded."""

    kind: Literal["index"] = "index"
    version: str = __version__
    encoder: EncoderIdentity | None = None
    """None when the pseudo-documents came from elsewhere, without a manifest."""
    scale: float | None = None
    max_length: int | None = None
    corpus: str = ""
    writer: str
    """The program and version that wrote it."""
    options: dict[str, str | int | bool | None] = {}
    source: str | None = None
    """Fingerprint of the pseudo-documents; None in indexes of version 0.1.0 and before."""
    counts: Counts


class OutputManifest(Model):
    """Beside an output file, such as a run: what it was made with."""

    kind: Literal["output"] = "output"
    version: str = __version__
    command: str
    settings: dict[str, pydantic.JsonValue] = {}
    inputs: dict[str, str] = {}
    """Input → its fingerprint."""
    counts: dict[str, int] = {}
    sha256: str
    """Of the output."""


class ParityReport(Model):
    """How an exported encoder compares with the checkpoint it came from, on real text."""

    texts: int
    max_difference: float
    """The greatest difference between two weights; of weights above 1, relative to the weight."""
    mean_difference: float
    """The sum of all differences, relative to the sum of all weights."""
    bound: float
    """On `max_difference` at fp32; on `mean_difference` at int8, which moves every weight."""
    equal_impacts: float
    """The share of entries, active in either, whose impacts at `scale` are equal."""
    scale: float


class CheckpointManifest(Model):
    """Beside a checkpoint that was trained: how it is used, and how it came about."""

    kind: Literal["checkpoint"] = "checkpoint"
    version: str = __version__
    pooling: Pooling
    query_side: QuerySide
    max_length: int = pydantic.Field(gt=2)
    """Tokens of a document that were read in training."""
    query_max_length: int = pydantic.Field(gt=2)
    scale: float = pydantic.Field(default=DEFAULT_SCALE, gt=0)
    steps: int
    recipe: dict[str, pydantic.JsonValue]
    """The training table of its card, as it ran."""


class EncoderManifest(Model):
    """Inside an encoder directory."""

    kind: Literal["encoder"] = "encoder"
    version: str = __version__
    identity: EncoderIdentity
    source: str
    """The checkpoint it was exported from, as it was named."""
    max_length: int
    """The longest input the model can read, in tokens."""
    default_max_length: int | None = None
    """Tokens of a document that are read unless options or a card say otherwise. None: 256."""
    default_query_max_length: int | None = None
    scale: float = DEFAULT_SCALE
    query_side: QuerySide = "splade"
    query_weights: str | None = None
    """SHA-256 of query_weights.json, for the query side `idf`."""
    opset: int
    parity: ParityReport | None = None


def changes(before: Mapping[str, object], now: Mapping[str, object]) -> str:
    """Say what differs: "hits was 10, is 100; scale was 100, is 51.2"."""
    names = [name for name in {**before, **now} if before.get(name) != now.get(name)]
    return "; ".join(f"{name} was {before.get(name)}, is {now.get(name)}" for name in names)


def write_manifest(directory: Path, manifest: Model) -> None:
    """Put `manifest` into `directory`, in place of the one that may be there."""
    with whole_file(directory / MANIFEST) as file:
        file.write(manifest.model_dump_json(indent=1).encode() + b"\n")


def read_manifest[M: Model](directory: Path, kind: type[M]) -> M | None:
    """Return the manifest of `directory`, or None when it has none. Raises `InputError` when it is not of `kind`."""
    return parse_manifest(directory / MANIFEST, kind)


def parse_manifest[M: Model](path: Path, kind: type[M]) -> M | None:
    """Return the manifest at `path`, or None when there is none. Raises `InputError` when it is not of `kind`."""
    try:
        text = path.read_bytes()
    except (FileNotFoundError, NotADirectoryError):
        return None
    try:
        return kind.model_validate_json(text)
    except pydantic.ValidationError as error:
        first = error.errors()[0]
        where = ".".join(str(part) for part in first["loc"]) or "the whole file"
        name = re.sub(r"(?<=[a-z])(?=[A-Z])", " ", kind.__name__).lower()
        raise InputError(
            f"{path} is not a valid {name}: {first['msg']} ({where}).",
            expected=f"a manifest as splade-anserini {__version__} writes it",
            do="Name the right directory, or make it again.",
        ) from error
