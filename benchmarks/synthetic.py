"""Synthetic impact pseudo-documents, in any number, that resemble the real SPLADE-v3 vectors of NFCorpus.

A synthetic document mixes a real one with two of its nearest neighbours. Each term has one source: it gets the impact
that it has there, or is left out if it is not there. So the frequencies of terms, their impacts and the numbers of
terms per document stay the same, and terms of one topic stay together. Impacts vary by about 15 %, and a few terms are
replaced by arbitrary ones.

Run: python benchmarks/synthetic.py --data DIR [--documents 100000] compares the synthetic documents with the real ones.
"""

import argparse
import gzip
from collections.abc import Iterable, Iterator
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
from splade_anserini.records import ImpactDocument, ImpactVector

type Numbers = npt.NDArray[Any]

SHARE = (0.60, 0.24, 0.12)
"""Shares of the terms by source: the document itself and two of its neighbours; the other terms are left out."""
NEAR = 30
"""Number of neighbours to choose from."""
NOISE = 0.15
"""Standard deviation of the logarithm of an impact."""
SHARD = 12_500
"""Maximum number of documents in a file."""
FILES = 8
"""Minimum number of files."""
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
    """Read the real documents and find the neighbours of each."""
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
    """Yield documents; they depend only on the number of the first, SEED and `real`."""
    chance = np.random.default_rng([SEED, first])
    pool = chance.random(2**22, dtype=np.float32)
    words = np.array(real.vocabulary, dtype=object)
    bounds = np.cumsum([0, *SHARE])
    for number in range(first, first + count):
        seed = chance.integers(len(real.near))
        sources = [seed, *chance.choice(real.near[seed], len(SHARE) - 1, replace=False)]
        offset = chance.integers(len(pool) - len(words))
        draws = pool[offset : offset + len(words)]
        parts = [_terms_from(real, source, draws, bounds[i : i + 2]) for i, source in enumerate(sources)]
        terms, impacts = (np.concatenate(columns) for columns in zip(*parts, strict=True))
        impacts = impacts * np.exp(chance.normal(0, NOISE, len(impacts)))
        others = chance.integers(len(real.terms), size=int(len(terms) * (1 / sum(SHARE) - 1)))
        terms = np.concatenate([terms, real.terms[others]])
        impacts = np.maximum(np.rint(np.concatenate([impacts, real.impacts[others]])), 1).astype(int)
        # The factor is coprime to 10,000,000, so ids are unique and in no particular order.
        name = f"MED-{number * 7_368_787 % 10_000_000}"
        yield ImpactDocument(name, dict(zip(words[terms], impacts.tolist(), strict=True)))


def _terms_from(real: Real, source: int, draws: Numbers, bounds: Numbers) -> tuple[Numbers, Numbers]:
    """Return the terms of a document whose random draw is within bounds, and their impacts."""
    span = slice(real.starts[source], real.starts[source + 1])
    terms, impacts = real.terms[span], real.impacts[span]
    chosen = (draws[terms] >= bounds[0]) & (draws[terms] < bounds[1])
    return terms[chosen], impacts[chosen]


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
    """Return a directory of `documents` pseudo-documents, as `encode` writes them, below `work`; it is made once."""
    directory = work / f"synthetic-{documents}"
    if read_manifest(directory, ImpactManifest) is None:
        work.mkdir(parents=True, exist_ok=True)
        with whole_directory(directory) as partial_directory, ProcessPoolExecutor(cpu_count()) as processes:
            size = min(SHARD, -(-documents // FILES))
            firsts = range(0, documents, size)
            sizes = [min(size, documents - first) for first in firsts]
            write = partial(_write_shard, data / SOURCE, partial_directory)
            shards = tuple(processes.map(write, firsts, sizes))
            counts = sum((shard.counts for shard in shards), Counts())
            manifest = ImpactManifest(settings=_settings(), complete=True, counts=counts, shards=shards)
            write_manifest(partial_directory, manifest)
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


def _describe(vectors: Iterable[ImpactVector]) -> list[str]:
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
        " ".join(f"{value:.0f}" for value in np.percentile(values, [1, 25, 50, 75, 99]))
        for values in (lengths, impacts)
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
