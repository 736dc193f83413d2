"""Compare splade-mini in int8, as it ships, with the same warm start in ONNX fp32 and in torch: speed, size, ranking.

Run: python benchmarks/encoders.py [--collection BEIR_DIRECTORY …] [--runs 5]
"""

import argparse
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from itertools import islice
from pathlib import Path

from splade_anserini.cards import EncoderCard, read_card
from splade_anserini.encoding import Encoder, EncoderOptions, SpladeDocumentEncoder, open_encoder, quantize
from splade_anserini.evaluate import evaluate, parse_measures
from splade_anserini.formats.corpora import open_corpus
from splade_anserini.formats.qrels import read_qrels
from splade_anserini.formats.runs import strictly_decreasing
from splade_anserini.formats.topics import read_topics
from splade_anserini.lucene import BruteForceSearcher
from splade_anserini.resources import cranfield, encoders_home


def stage(*arguments: str | Path) -> None:
    """Run a stage in a process of its own."""
    subprocess.run([sys.executable, "-m", "splade_anserini", *map(str, arguments)], check=True, capture_output=True)


def warm_start(directory: Path) -> dict[str, str]:
    """Make the checkpoint that splade-mini was exported from, and export it in fp32."""
    recipe = read_card(encoders_home() / "splade-mini.toml", EncoderCard).recipe
    numbers = ["--threshold", str(recipe["threshold"]), "--logit-scale", str(recipe["logit_scale"])]
    stage("warm-start", "--backbone", str(recipe["backbone"]), *numbers, "--output", directory / "checkpoint")
    stage("export", "--encoder", directory / "checkpoint", "--output", directory / "fp32")
    return {
        "splade-mini, int8": "splade-mini",
        "ONNX fp32": str(directory / "fp32"),
        "torch fp32": str(directory / "checkpoint"),
    }


def seconds(encoder: Encoder, texts: Sequence[str]) -> float:
    """Return how long the texts take."""
    start = time.perf_counter()
    encoder.encode(texts)
    return time.perf_counter() - start


def speed(names: dict[str, str], texts: Sequence[str], runs: int) -> None:
    """Print texts a second on all cores and the time of one query on one thread; encoders take turns."""
    many = {title: open_encoder(name) for title, name in names.items()}
    one = {title: open_encoder(name, EncoderOptions(threads=1)) for title, name in names.items()}
    query = ["what similarity laws must be obeyed when constructing aeroelastic models"]
    rates: dict[str, list[float]] = {title: [] for title in names}
    delays: dict[str, list[float]] = {title: [] for title in names}
    for _ in range(runs + 1):
        for title in names:
            rates[title].append(len(texts) / seconds(many[title], texts))
            delays[title].append(statistics.median(seconds(one[title], query) for _ in range(20)))
    print("| encoder | documents/s, median (least, most) | ms a query |\n|---|---|---|")
    for title in names:
        values, delay = rates[title][1:], statistics.median(delays[title][1:])
        row = f"{statistics.median(values):.1f} ({min(values):.1f}, {max(values):.1f})"
        print(f"| {title} | {row} | {1000 * delay:.1f} |")


def ranking(names: dict[str, str], collection: Path) -> None:
    """Print measures of exact search over a collection."""
    corpus, queries = open_corpus(str(collection)), read_topics(str(collection))
    qrels, measures = read_qrels(str(collection)), parse_measures(["nDCG@10", "R@100"])
    print(f"\n| {collection.name} | nDCG@10 | R@100 | entries a document | a query |\n|---|---|---|---|---|")
    for title, name in names.items():
        encoder = open_encoder(name)
        documents = list(SpladeDocumentEncoder(encoder, contents=False).encode(corpus))
        vectors = [quantize(vector, 100) for vector in encoder.encode([query.text for query in queries])]
        rankings = BruteForceSearcher(documents).search(
            {query.id: vector for query, vector in zip(queries, vectors, strict=True)}, 1000
        )
        run = [
            hit._replace(score=score)
            for _, hits in rankings
            for hit, score in zip(hits, strictly_decreasing([hit.score for hit in hits]), strict=True)
        ]
        values = evaluate(run, qrels, measures).aggregate
        entries = [statistics.mean(map(len, them)) for them in ([d.vector for d in documents], vectors)]
        scores = " | ".join(f"{value:.4f}" for value in values.values())
        print(f"| {title} | {scores} | {entries[0]:.0f} | {entries[1]:.0f} |", flush=True)


def main() -> None:
    """Print tables in Markdown."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--collection", type=Path, action="append", help="BEIR directory [default: Cranfield]")
    parser.add_argument("--runs", type=int, default=5)
    arguments = parser.parse_args()
    texts = [document.contents for document in islice(open_corpus(str(cranfield())), 100)]
    with tempfile.TemporaryDirectory() as directory:
        names = warm_start(Path(directory))
        speed(names, texts, arguments.runs)
        for collection in arguments.collection or [cranfield()]:
            ranking(names, collection)


if __name__ == "__main__":
    main()
