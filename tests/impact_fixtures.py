"""Tiny directories of impact pseudo-documents, with and without the manifest that encode would write."""

import random
from collections.abc import Mapping, Sequence
from pathlib import Path

from splade_anserini.artifacts.manifests import (
    Counts,
    EncoderIdentity,
    EncodeSettings,
    ImpactManifest,
    Shard,
    write_manifest,
)
from splade_anserini.formats.impacts import ImpactWriter
from splade_anserini.records import ImpactDocument

ANIMALS = {
    "d1": {"cat": 3, "dog": 1},
    "d2": {"dog": 5, "##ing": 2},
    "d3": {"cat": 1, "bird": 7},
    "d4": {"fish": 4},
}

UNUSUAL = {
    "naïve": {"naïve": 2},
    "文書-1": {"日本": 3, "##語": 1},
    "😀": {"😀": 5, "cat": 1},
    'a"b\\c': {'"': 1, "\\": 2, "|": 3},
    "A" * 300: {"x" * 255: 4},
}
"""Ids and tokens of letters, symbols and lengths that are rare."""

IDENTITY = EncoderIdentity(name="words", weights="w", tokenizer="t", vocabulary="v", pooling="max", precision="fp32")


def documents(vectors: Mapping[str, Mapping[str, int]]) -> list[ImpactDocument]:
    return [ImpactDocument(id_, vector, f"text of {id_}") for id_, vector in vectors.items()]


def write_documents(path: Path, some: Sequence[ImpactDocument]) -> Counts:
    """Write one file; return what Lucene must find in it."""
    path.parent.mkdir(parents=True, exist_ok=True)
    with ImpactWriter(path) as writer:
        for document in some:
            writer.write(document)
    vectors = [document.vector for document in some if document.vector]
    return Counts(
        documents=len(vectors), postings=sum(map(len, vectors)), impacts=sum(sum(vector.values()) for vector in vectors)
    )


def settings(**changes: object) -> EncodeSettings:
    values = {
        "encoder": IDENTITY,
        "corpus": "animals",
        "scale": 100.0,
        "max_length": 256,
        "top_k": None,
        "contents": True,
        "docs_per_shard": 2,
        "shard_id": 0,
        "shard_num": 1,
    }
    return EncodeSettings.model_validate(values | changes)


def write_encoded(
    directory: Path,
    vectors: Mapping[str, Mapping[str, int]] = ANIMALS,
    *,
    complete: bool = True,
    shard_size: int = 2,
    **changes: object,
) -> ImpactManifest:
    """Write what encode writes: shards of `shard_size` documents and a manifest."""
    some = documents(vectors)
    shards = []
    for number, start in enumerate(range(0, len(some), shard_size)):
        name = f"shard-{number:05}.jsonl.gz"
        counts = write_documents(directory / name, some[start : start + shard_size])
        shards.append(Shard(file=name, counts=counts, digest=str(number)))
    manifest = ImpactManifest(
        settings=settings(**changes),
        complete=complete,
        counts=sum((shard.counts for shard in shards), Counts()),
        shards=tuple(shards),
    )
    write_manifest(directory, manifest)
    return manifest


def random_vectors(seed: int, size: int, *, vocabulary: int = 40, greatest: int = 6) -> dict[str, dict[str, int]]:
    """Return vectors with so few different impacts that many scores tie."""
    chance = random.Random(seed)
    tokens = [f"t{number}" for number in range(vocabulary)]
    return {
        f"d{chance.randrange(10**9)}-{number}": {
            token: chance.randint(1, greatest) for token in chance.sample(tokens, chance.randint(1, 8))
        }
        for number in range(size)
    }
