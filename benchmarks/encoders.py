"""Compare how splade-mini in int8, as it ships, ranks with the same warm start in ONNX fp32 and in torch.

Run: python benchmarks/encoders.py [--collection BEIR_DIRECTORY …]
"""

import argparse
import statistics
from pathlib import Path

from models import exported, warm_started

from splade_anserini.encoding import SpladeDocumentEncoder, open_encoder, quantize
from splade_anserini.evaluate import evaluate, parse_measures
from splade_anserini.formats.corpora import open_corpus
from splade_anserini.formats.qrels import read_qrels
from splade_anserini.formats.runs import strictly_decreasing
from splade_anserini.formats.topics import read_topics
from splade_anserini.lucene import BruteForceSearcher
from splade_anserini.resources import cranfield


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
    parser.add_argument("--work", type=Path, default=Path("build") / "bench", help="directory for what is generated")
    arguments = parser.parse_args()
    arguments.work.mkdir(parents=True, exist_ok=True)
    warm = warm_started(arguments.work)
    names = {"splade-mini, int8": "splade-mini", "ONNX fp32": str(exported(warm, "fp32")), "torch fp32": str(warm)}
    for collection in arguments.collection or [cranfield()]:
        ranking(names, collection)


if __name__ == "__main__":
    main()
