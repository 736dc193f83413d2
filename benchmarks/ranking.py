"""Compare powers of the collection's idf, and ways to fuse with BM25: nDCG@10, with paired randomization tests.

Each row is one value of --query-idf: the encoder alone, fused with BM25 by reciprocal ranks, and fused by scores with
each --hybrid-weight. p, in parentheses, is that of the encoder alone against --query-idf 0, and of each fusion of
scores against reciprocal rank fusion in the same row.

With --documents each row compares --query-idf with --document-idf of the same value; p is that against 0, then that of
documents against queries. The size of the index is relative to the one without idf.

Run: python benchmarks/ranking.py --collection BEIR_DIRECTORY[@SPLIT] …
or, for vectors of another encoder: --impacts FILE --topics FILE --collection BEIR_DIRECTORY[@SPLIT]
"""

import argparse
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Self

from effectiveness import Collection, bm25, make_missing, run_command, search_with, vectors_of
from ir_measures import ScoredDoc

from splade_anserini.artifacts.manifests import IndexManifest
from splade_anserini.cards.default_encoder import DEFAULT_ENCODER
from splade_anserini.evaluation.evaluation import Evaluation, evaluate
from splade_anserini.evaluation.measures import parse_measures
from splade_anserini.evaluation.significance import randomization_test
from splade_anserini.formats.runs import as_in_a_run, read_rankings
from splade_anserini.formats.topics import read_encoded_topics
from splade_anserini.index import index as build_index
from splade_anserini.lucene import ImpactSearcher, IndexOptions, start_jvm
from splade_anserini.records import ImpactVector
from splade_anserini.retrieval.fusion import FusionOptions, fuse_rankings
from splade_anserini.retrieval.query_idf import weighted_by_idf, with_exact_scores
from splade_anserini.search import search

DEPTH = 10
MEASURE = f"nDCG@{DEPTH}"

type Rankings = Mapping[str, Sequence[ScoredDoc]]


class Experiment:
    """The rankings of an encoder and of BM25 on a collection."""

    def __init__(self, collection: Collection, impacts: Path, index: Path, vectors: Mapping[str, ImpactVector]) -> None:
        self._collection, self._impacts, self._index, self._vectors = collection, impacts, index, vectors
        self.bm25: Rankings = dict(read_rankings(bm25(collection)))

    @classmethod
    def with_encoder(cls, encoder: str, collection: Collection) -> Self:
        """Encode documents and queries."""
        search_with(encoder, collection, "auto")
        ids = [query.id for query in collection.queries]
        vectors = dict(zip(ids, vectors_of(collection.queries, encoder), strict=True))
        impacts = collection.work / f"{Path(encoder).name}.auto.impacts"
        return cls(collection, impacts, impacts.with_suffix(".index"), vectors)

    @classmethod
    def with_vectors(cls, impacts: Path, topics: Path, collection: Collection) -> Self:
        """Take documents and queries that are encoded already."""
        index = collection.work / f"{impacts.parent.name}.index"
        make_missing(index, lambda: run_command("index", "--input", impacts, "--index", index))
        return cls(collection, impacts, index, read_encoded_topics(topics))

    def rankings(self, alpha: float) -> Rankings:
        """Search with --query-idf; scores are those of a written run."""
        return self._search(self._index, weighted_by_idf(self._vectors, self._index, alpha))

    def rankings_of_documents(self, alpha: float) -> Rankings:
        """Search the index that is built with --document-idf."""
        self.build(alpha)
        return self._search(self._with_idf(alpha), self._vectors)

    def build(self, alpha: float) -> IndexManifest:
        """Build the index with --document-idf, if it is not there."""
        return build_index(self._impacts, self._with_idf(alpha), IndexOptions(document_idf=alpha))

    def size(self, alpha: float) -> int:
        """Return the bytes of the index that is built with --document-idf."""
        return sum(path.stat().st_size for path in self._with_idf(alpha).iterdir())

    def _with_idf(self, alpha: float) -> Path:
        return self._index.with_suffix(f".document-idf-{alpha:g}.index")

    def _search(self, directory: Path, vectors: Mapping[str, ImpactVector]) -> Rankings:
        with ImpactSearcher(directory, 2) as searcher:
            return {id_: as_in_a_run(hits) for id_, hits in with_exact_scores(search(vectors, searcher))}

    def fused(self, rankings: Rankings, options: FusionOptions) -> Rankings:
        """Fuse rankings with BM25's."""
        return fused([rankings, self.bm25], options)

    def evaluate(self, rankings: Rankings) -> Evaluation:
        """Measure rankings."""
        docs = (doc for hits in rankings.values() for doc in as_in_a_run(hits[:DEPTH]))
        return evaluate(docs, self._collection.qrels, parse_measures([MEASURE]))


def fused(runs: Sequence[Rankings], options: FusionOptions) -> Rankings:
    """Fuse runs, of the queries of the first."""
    return {id_: fuse_rankings(id_, [run.get(id_, []) for run in runs], options) for id_ in runs[0]}


def cell(evaluation: Evaluation, baseline: Evaluation | None = None) -> str:
    """Return the mean, and the p value of the difference from a baseline."""
    mean = f"{evaluation.aggregate[MEASURE]:.4f}"
    return mean if baseline is None else f"{mean} ({p_value(evaluation, baseline):.3f})"


def p_value(evaluation: Evaluation, baseline: Evaluation) -> float:
    """Return the p value of the difference from a baseline."""
    values, others = evaluation.per_query, baseline.per_query
    return randomization_test([values[query][MEASURE] - others[query][MEASURE] for query in others])


def table(experiment: Experiment, alphas: Sequence[float], weights: Sequence[float]) -> None:
    """Print the rows of a collection, in Markdown."""
    print(f"| α | alone | RRF | {' | '.join(f'scores, {weight:g} × BM25' for weight in weights)} |")  # noqa: RUF001
    print(f"|---|{'---|' * (2 + len(weights))}")
    plain = experiment.evaluate(experiment.rankings(0))
    for alpha in alphas:
        rankings = experiment.rankings(alpha)
        rrf = experiment.evaluate(experiment.fused(rankings, FusionOptions()))
        cells = [f"{alpha:g}", cell(experiment.evaluate(rankings), plain if alpha else None), cell(rrf)]
        for weight in weights:
            options = FusionOptions(method="interpolation", normalization="max", weights=(1.0, weight))
            cells.append(cell(experiment.evaluate(experiment.fused(rankings, options)), rrf))
        print(f"| {' | '.join(cells)} |", flush=True)


def table_of_documents(experiment: Experiment, alphas: Sequence[float]) -> None:
    """Print what --document-idf gives beside --query-idf, in Markdown."""
    print("| α | --query-idf | --document-idf | p, documents against queries | entries left out | index size |")  # noqa: RUF001
    print("|---|---|---|---|---|---|")
    plain = experiment.evaluate(experiment.rankings(0))
    postings, size = experiment.build(0).counts.postings, experiment.size(0)
    for alpha in alphas:
        queries = experiment.evaluate(experiment.rankings(alpha))
        documents = experiment.evaluate(experiment.rankings_of_documents(alpha))
        cells = [f"{alpha:g}", cell(queries, plain), cell(documents, plain), f"{p_value(documents, queries):.3f}"]
        cells.append(f"{experiment.build(alpha).rounded_to_zero / postings:.2%}")
        cells.append(f"{experiment.size(alpha) / size:.3f}")
        print(f"| {' | '.join(cells)} |", flush=True)


def main() -> None:
    """Print a table for each collection."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--encoder", default=DEFAULT_ENCODER, help="as for encode")
    parser.add_argument("--impacts", type=Path, help="encoded documents, in place of an encoder")
    parser.add_argument("--topics", type=Path, help="with --impacts: the encoded topics")
    parser.add_argument("--collection", action="append", required=True, help="BEIR directory, DIR or DIR@SPLIT")
    parser.add_argument("--alpha", type=float, nargs="+", default=[0, 0.25, 0.5, 0.75, 1])
    parser.add_argument("--weight", type=float, nargs="+", default=[0.25, 0.5, 1], help="of BM25, beside 1")
    parser.add_argument("--documents", action="store_true", help="compare --document-idf with --query-idf")
    parser.add_argument("--work", type=Path, default=Path("build") / "bench" / "effectiveness")
    arguments = parser.parse_args()
    start_jvm()
    for name in arguments.collection:
        collection = Collection(name, arguments.work)
        print(f"\n{collection.directory.name}, {collection.split}, {len(collection.queries)} queries\n", flush=True)
        if arguments.impacts:
            experiment = Experiment.with_vectors(arguments.impacts, arguments.topics, collection)
        else:
            experiment = Experiment.with_encoder(arguments.encoder, collection)
        if arguments.documents:
            table_of_documents(experiment, [alpha for alpha in arguments.alpha if alpha])
            continue
        print(f"BM25 alone: {cell(experiment.evaluate(experiment.bm25))}\n")
        table(experiment, arguments.alpha, arguments.weight)


if __name__ == "__main__":
    main()
