"""Compare encoders with BM25, and both together: measures, active entries, FLOPS and the size of the index.

Encoding, indexing and searching are done by the commands of splade-anserini.

Run: python benchmarks/effectiveness.py --encoder splade-mini [--encoder NAME …] --collection BEIR_DIRECTORY[@SPLIT] …
"""

import argparse
import subprocess
import sys
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

import orjson

from splade_anserini.encoding import EncoderOptions, default_scale, open_query_encoder, quantize
from splade_anserini.evaluation.evaluation import evaluate
from splade_anserini.evaluation.measures import parse_measures
from splade_anserini.formats.corpora import open_corpus
from splade_anserini.formats.impacts import impact_files, read_impacts
from splade_anserini.formats.qrels import read_qrels
from splade_anserini.formats.rankings import zip_rankings
from splade_anserini.formats.runs import read_rankings, write_run
from splade_anserini.formats.topics import read_topics
from splade_anserini.lucene import search_bm25, start_jvm
from splade_anserini.profiling.flops import flops, occurrences
from splade_anserini.records import ImpactVector, Query
from splade_anserini.retrieval.fusion import FusionOptions, fuse_rankings
from splade_anserini.text_index import index_texts

COLUMNS = ("nDCG@10", "R@100", "entries a document", "entries a query", "FLOPS", "index, MB")


class Collection:
    """A BEIR directory and one of its splits."""

    def __init__(self, name: str, work: Path) -> None:
        directory, _, split = name.partition("@")
        self.directory, self.split = Path(directory), split or "test"
        self.qrels = read_qrels(str(self._file(f"qrels/{self.split}.tsv")))
        judged = {qrel.query_id for qrel in self.qrels}
        self.queries = [query for query in read_topics(str(self._file("queries.jsonl"))) if query.id in judged]
        self.work = work / self.directory.name
        self.work.mkdir(parents=True, exist_ok=True)
        self.topics = self.work / f"topics.{self.split}.jsonl"
        self.topics.write_bytes(b"".join(orjson.dumps({"_id": q.id, "text": q.text}) + b"\n" for q in self.queries))

    def _file(self, name: str) -> Path:
        return next(path for path in (self.directory / name, self.directory / f"{name}.gz") if path.exists())

    def row(self, title: str, run: Path, more: Sequence[str] = ("", "", "", "")) -> str:
        """Return the row of a run."""
        hits = (doc for _, ranking in read_rankings(run) for doc in ranking)
        values = evaluate(hits, self.qrels, parse_measures(COLUMNS[:2])).aggregate
        return " | ".join([f"| {title}", *(f"{value:.4f}" for value in values.values()), *more]) + " |"


def run_command(*arguments: object) -> None:
    """Run a command of splade-anserini in its own process."""
    command = [sys.executable, "-m", "splade_anserini", *map(str, arguments)]
    subprocess.run(command, check=True, stdout=sys.stderr)


def make_missing(path: Path, make: Callable[[], object]) -> None:
    """Call `make` unless `path` exists."""
    if not path.exists():
        make()


def search_with(encoder: str, collection: Collection, precision: str) -> tuple[Path, list[str]]:
    """Encode, index and search; return the run, and the cells about vectors and index."""
    name = f"{Path(encoder).name}.{precision}"
    impacts, index = collection.work / f"{name}.impacts", collection.work / f"{name}.index"
    run = collection.work / f"{name}.{collection.split}.txt"
    encode = ["--corpus", collection.directory, "--encoder", encoder, "--precision", precision, "--output", impacts]

    def make_index() -> None:
        # Where it was interrupted, it goes on.
        run_command("encode", *encode)
        run_command("index", "--input", impacts, "--index", index)

    make_missing(index, make_index)
    make_missing(run, lambda: run_command("search", "--index", index, "--topics", collection.topics, "--output", run))
    documents = occurrences(doc.vector for file in impact_files(impacts) for doc in read_impacts(file))
    queries = occurrences(vectors_of(collection.queries, encoder))
    size = sum(path.stat().st_size for path in index.iterdir()) / 1e6
    means = [sum(side.counts.values()) / side.texts for side in (documents, queries)]
    return run, [*(f"{mean:.0f}" for mean in means), f"{flops(queries, documents):.2f}", f"{size:.1f}"]


def without_idf(run: Path, collection: Collection) -> Path:
    """Search again with the encoder of a run of `search_with` and without idf; return the run."""
    index, plain = run.with_suffix("").with_suffix(".index"), run.with_suffix(".without-idf.txt")
    search = ["search", "--index", index, "--topics", collection.topics, "--query-idf", 0, "--output", plain]
    make_missing(plain, lambda: run_command(*search))
    return plain


def vectors_of(queries: Sequence[Query], encoder: str) -> Iterator[ImpactVector]:
    """Yield the impact vector of each query."""
    scale = default_scale(encoder)
    vectors = open_query_encoder(encoder, EncoderOptions()).encode([query.text for query in queries])
    return (quantize(vector, scale) for vector in vectors)


def bm25(collection: Collection) -> Path:
    """Search with Anserini's BM25 and its defaults; return the run."""
    index, run = collection.work / "bm25.index", collection.work / f"bm25.{collection.split}.txt"
    make_missing(index, lambda: index_texts(open_corpus(str(collection.directory)), index))
    make_missing(run, lambda: write_run(run, search_bm25(index, collection.queries, 1000), "trec", "bm25"))
    return run


def hybrid(runs: Sequence[Path], output: Path) -> Path:
    """Fuse the run of an encoder and that of BM25, in this order, as `search --hybrid` does; write a run."""
    together = zip_rankings([read_rankings(run) for run in runs])
    options = FusionOptions(method="interpolation", normalization="max", weights=(1.0, 0.5))
    write_run(output, ((id_, fuse_rankings(id_, rankings, options)) for id_, rankings in together), "trec", "hybrid")
    return output


def main() -> None:
    """Print a table for each collection, in Markdown."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--encoder", action="append", required=True, help="as for encode; repeat for several")
    parser.add_argument("--precision", default="auto", help="as for encode")
    parser.add_argument(
        "--collection", action="append", required=True, help="BEIR directory, DIR or DIR@SPLIT; repeat for several"
    )
    parser.add_argument("--work", type=Path, default=Path("build") / "bench" / "effectiveness")
    arguments = parser.parse_args()
    start_jvm()
    for name in arguments.collection:
        collection = Collection(name, arguments.work)
        title = f"{collection.directory.name}, {collection.split}"
        print(f"\n| {title} | {' | '.join(COLUMNS)} |\n|---|{'---|' * len(COLUMNS)}", flush=True)
        bm25_run = bm25(collection)
        print(collection.row("BM25", bm25_run), flush=True)
        for encoder in arguments.encoder:
            run, more = search_with(encoder, collection, arguments.precision)
            print(collection.row(Path(encoder).name, run, more), flush=True)
            print(collection.row(f"{Path(encoder).name} without idf", without_idf(run, collection)), flush=True)
            both = collection.work / f"{Path(encoder).name}.hybrid.{collection.split}.txt"
            print(collection.row(f"{Path(encoder).name} with BM25", hybrid([run, bm25_run], both)), flush=True)


if __name__ == "__main__":
    main()
