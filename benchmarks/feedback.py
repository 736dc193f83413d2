"""The effectiveness of pseudo-relevance feedback: Rocchio and RM3, compared with the search without feedback.

`wins : losses` are queries whose nDCG@10 is higher, or lower, than without feedback; p is that of a paired t-test,
corrected for the number of rows by Holm's method.

Run: python benchmarks/feedback.py --impacts DIRECTORY --topics TOPICS --qrels FILE
"""

import argparse
from pathlib import Path

from splade_anserini.artifacts.manifests import IndexManifest, read_manifest
from splade_anserini.evaluation.comparison import compare
from splade_anserini.evaluation.evaluation import Evaluation, evaluate
from splade_anserini.evaluation.measures import parse_measures
from splade_anserini.formats.qrels import read_qrels
from splade_anserini.formats.runs import read_run, write_run
from splade_anserini.index import index
from splade_anserini.lucene import Feedback, IndexOptions, PyseriniImpactSearcher, start_jvm
from splade_anserini.retrieval.query_vectors import load_queries_for

MEASURES = ("nDCG@10", "R@100", "R@1000")

SETTINGS: dict[str, Feedback | None] = {
    "no feedback": None,
    "Rocchio": Feedback(method="rocchio"),
    "Rocchio, 3 documents": Feedback(method="rocchio", docs=3),
    "Rocchio, 3 documents, 20 tokens": Feedback(method="rocchio", docs=3, terms=20),
    "Rocchio, 3 documents, beta 0.3": Feedback(method="rocchio", docs=3, rocchio_beta=0.3),
    "Rocchio, gamma 0.15": Feedback(method="rocchio", rocchio_gamma=0.15),
    "RM3": Feedback(method="rm3"),
    "RM3, words only": Feedback(method="rm3", words_only=True),
    "RM3, 3 documents": Feedback(method="rm3", docs=3),
    "RM3, 3 documents, 20 tokens": Feedback(method="rm3", docs=3, terms=20),
    "RM3, 3 documents, original query weight 0.8": Feedback(method="rm3", docs=3, original_query_weight=0.8),
}
"""Where a title does not name a value, it is Pyserini's default: 10 documents, 10 tokens, weights 0.75 and 0.5."""


def main() -> None:
    """Print a table in Markdown."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--impacts", type=Path, required=True, help="directory of impact pseudo-documents")
    parser.add_argument("--topics", required=True, help="as for search")
    parser.add_argument("--qrels", required=True, help="as for evaluate")
    parser.add_argument("--work", type=Path, default=Path("build") / "bench" / "feedback")
    arguments = parser.parse_args()
    start_jvm()
    directory = arguments.work / arguments.impacts.name
    if not directory.exists():
        index(arguments.impacts, directory, IndexOptions(store_docvectors=True))
    qrels = read_qrels(arguments.qrels)
    judged = {qrel.query_id for qrel in qrels}
    vectors = load_queries_for(arguments.topics, read_manifest(directory, IndexManifest), str(directory)).vectors()
    queries = {query_id: vector for query_id, vector in vectors.items() if query_id in judged}
    evaluations = {}
    for title, feedback in SETTINGS.items():
        run = arguments.work / "run.txt"
        with PyseriniImpactSearcher(directory, 1, feedback) as searcher:
            write_run(run, searcher.search(queries, 1000))
        evaluations[title] = evaluate(read_run(run), qrels, parse_measures(MEASURES))
    report(evaluations)


def report(evaluations: dict[str, Evaluation]) -> None:
    """Print a row for each setting; the first is the baseline."""
    baseline = next(iter(evaluations))
    comparison = compare(evaluations, MEASURES[:1], baseline)
    print(f"| | {' | '.join(MEASURES)} | wins : losses | p |\n|---|{'---|' * (len(MEASURES) + 2)}")
    for title, evaluation in evaluations.items():
        cells = [f"{evaluation.aggregate[measure]:.4f}" for measure in MEASURES]
        if title == baseline:
            cells += ["", ""]
        else:
            difference = comparison.differences[title][MEASURES[0]]
            cells += [f"{difference.wins} : {difference.losses}", f"{difference.t_test.holm:.3f}"]
        print(f"| {title} | {' | '.join(cells)} |")


if __name__ == "__main__":
    main()
