"""Synthetic impact pseudo-documents, as many as one likes, that resemble the real SPLADE-v3 vectors of NFCorpus.

A synthetic document mixes a real one with two of its near ones. Each term has one source: it is in the mixture with the
impact that it has there, or not at all if it is not there. So a term's frequency, its impacts and the number of terms a
document stay what they are, and terms of one topic stay together. Impacts vary by some 15 %, and a few terms give way
to arbitrary ones.

Run: python benchmarks/synthetic.py --data DIR [--documents 100000] compares the synthetic documents with the real ones.
"""

import argparse
import gzip
from collections.abc import Iterator
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass
from functools import cache, partial
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import orjson
from scipy.sparse import csr_matrix

from splade_anserini.artifacts.files import whole_directory
from splade_anserini.artifacts.manifests import (
    Counts,
    EncoderIdentity,
    EncodeSettings,
    ImpactManifest,
    Shard,
    read_manifest,
    write_manifest,
)
from splade_anserini.formats.impacts import ImpactWriter, read_impacts
from splade_anserini.parallel import cpu_count
from splade_anserini.records import ImpactDocument

type Numbers = npt.NDArray[Any]

SHARE = (0.60, 0.24, 0.12)
"""Of the terms, by source: the document itself, one near it, another one near it; the rest is dropped."""
NEAR = 30
"""Near documents to choose from."""
NOISE = 0.15
"""Standard deviation of the logarithm of an impact."""
SHARD = 12_500
"""Documents in a file, at most."""
FILES = 8
"""Files, at least."""
SEED = 2021
SOURCE = Path("splade-v3.nfcorpus") / "docs.jsonl.gz"


@dataclass(frozen=True)
class Real:
    """Real documents: `terms[starts[i] : starts[i + 1]]` and `impacts[…]` are those of document i."""

    vocabulary: list[str]
    starts: Numbers
    terms: Numbers
    impacts: Numbers
    near: Numbers
    """[documents, NEAR]: the nearest documents by cosine, without the document itself."""


@cache
def read_real(source: Path) -> Real:
    """Read the real documents and find out which are near each other."""
    with gzip.open(source) as file:
        vectors = [orjson.loads(line)["vector"] for line in file]
    vocabulary = sorted({term for vector in vectors for term in vector})
    numbers = {term: number for number, term in enumerate(vocabulary)}
    starts = np.cumsum([0, *map(len, vectors)])
    terms = np.array([numbers[term] for vector in vectors for term in vector])
    impacts = np.array([impact for vector in vectors for impact in vector.values()])
    return Real(vocabulary, starts, terms, impacts, _nearest(starts, terms, impacts))


def _nearest(starts: Numbers, terms: Numbers, impacts: Numbers) -> Numbers:
    matrix = csr_matrix((impacts.astype(np.float32), terms, starts))
    norms = np.sqrt(matrix.multiply(matrix).sum(axis=1)).A1
    products = (matrix @ matrix.T).toarray() / np.outer(norms, norms)
    np.fill_diagonal(products, -1)
    return np.argpartition(-products, NEAR, axis=1)[:, :NEAR]


def mixtures(real: Real, first: int, count: int) -> Iterator[ImpactDocument]:
    """Yield documents; which ones depends on the number of the first, SEED and `real` alone."""
    chance = np.random.default_rng([SEED, first])
    pool = chance.random(2**22, dtype=np.float32)
    words = np.array(real.vocabulary, dtype=object)
    bounds = np.cumsum([0, *SHARE])
    for number in range(first, first + count):
        seed = chance.integers(len(real.near))
        sources = [seed, *chance.choice(real.near[seed], len(SHARE) - 1, replace=False)]
        offset = chance.integers(len(pool) - len(words))
        lot = pool[offset : offset + len(words)]
        parts = [_taken(real, source, lot, bounds[i : i + 2]) for i, source in enumerate(sources)]
        terms, impacts = (np.concatenate(columns) for columns in zip(*parts, strict=True))
        impacts = impacts * np.exp(chance.normal(0, NOISE, len(impacts)))
        others = chance.integers(len(real.terms), size=int(len(terms) * (1 / sum(SHARE) - 1)))
        terms = np.concatenate([terms, real.terms[others]])
        impacts = np.maximum(np.rint(np.concatenate([impacts, real.impacts[others]])), 1).astype(int)
        # The factor shares none with 10,000,000: ids do not repeat, and are in no order.
        name = f"MED-{number * 7_368_787 % 10_000_000}"
        yield ImpactDocument(name, dict(zip(words[terms], impacts.tolist(), strict=True)))


def _taken(real: Real, source: int, lot: Numbers, bounds: Numbers) -> tuple[Numbers, Numbers]:
    """Return the terms of a document whose lot is within bounds, and their impacts."""
    span = slice(real.starts[source], real.starts[source + 1])
    terms, impacts = real.terms[span], real.impacts[span]
    drawn = (lot[terms] >= bounds[0]) & (lot[terms] < bounds[1])
    return terms[drawn], impacts[drawn]


def _write_shard(source: Path, directory: Path, first: int, count: int) -> Shard:
    name, postings, impacts = f"shard-{first:07}.jsonl.gz", 0, 0
    with ImpactWriter(directory / name) as writer:
        for document in mixtures(read_real(source), first, count):
            writer.write(document)
            postings += len(document.vector)
            impacts += sum(document.vector.values())
    counts = Counts(documents=count, postings=postings, impacts=impacts)
    return Shard(file=name, counts=counts, digest=f"{SEED}-{first}")


def synthetic(data: Path, documents: int, work: Path) -> Path:
    """Return a directory of so many pseudo-documents, as `encode` writes them; below `work`, once and for all."""
    directory = work / f"synthetic-{documents}"
    if read_manifest(directory, ImpactManifest) is None:
        work.mkdir(parents=True, exist_ok=True)
        with whole_directory(directory) as partially, ProcessPoolExecutor(cpu_count()) as processes:
            size = min(SHARD, -(-documents // FILES))
            firsts = range(0, documents, size)
            sizes = [min(size, documents - first) for first in firsts]
            write = partial(_write_shard, data / SOURCE, partially)
            shards = tuple(processes.map(write, firsts, sizes))
            counts = sum((shard.counts for shard in shards), Counts())
            write_manifest(partially, ImpactManifest(settings=_settings(), complete=True, counts=counts, shards=shards))
    return directory


def _settings() -> EncodeSettings:
    identity = EncoderIdentity(
        name="synthetic", weights="", tokenizer="", vocabulary="", pooling="max", precision="fp32"
    )
    return EncodeSettings(
        encoder=identity,
        corpus="synthetic",
        scale=51.2,
        max_length=256,
        top_k=None,
        contents=False,
        docs_per_shard=SHARD,
        shard_id=0,
        shard_num=1,
    )


def _describe(vectors: Iterator[dict[str, int]]) -> list[str]:
    """Return the cells of a column."""
    lengths: list[int] = []
    impacts: list[int] = []
    frequencies: dict[str, int] = {}
    for vector in vectors:
        lengths.append(len(vector))
        impacts.extend(vector.values())
        for term in vector:
            frequencies[term] = frequencies.get(term, 0) + 1
    shares = 100 * np.sort(list(frequencies.values()))[::-1] / len(lengths)
    by_rank = [f"{shares[rank - 1]:.2f}" for rank in (1, 10, 100, 1000, 5000, 10000)]
    spread = [
        " ".join(f"{value:.0f}" for value in np.percentile(them, [1, 25, 50, 75, 99])) for them in (lengths, impacts)
    ]
    return [f"{len(lengths):,}", f"{np.mean(lengths):.0f}", spread[0], f"{np.mean(impacts):.1f}", spread[1], *by_rank]


def main() -> None:
    """Print a table in Markdown."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--data", type=Path, required=True)
    parser.add_argument("--work", type=Path, default=Path("build") / "bench")
    parser.add_argument("--documents", type=int, default=100_000)
    arguments = parser.parse_args()
    directory = synthetic(arguments.data, arguments.documents, arguments.work)
    real = _describe(document.vector for document in read_impacts(arguments.data / SOURCE))
    first = sorted(directory.glob("*.gz"))[0]
    ours = _describe(document.vector for document in read_impacts(first))
    ranks = [f"documents with the term of rank {rank:,}, %" for rank in (1, 10, 100, 1000, 5000, 10000)]
    percentiles = "percentiles 1 25 50 75 99"
    names = ["documents", "terms, mean", f"terms, {percentiles}", "impact, mean", f"impact, {percentiles}", *ranks]
    print("| | NFCorpus | synthetic |\n|---|---|---|")
    for name, *cells in zip(names, real, ours, strict=True):
        print(f"| {name} | {' | '.join(cells)} |")


if __name__ == "__main__":
    main()
