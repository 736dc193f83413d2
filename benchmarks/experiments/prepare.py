"""The data of the experiments: collections for evaluation and training examples, in the formats of the commands.

They are made once, below the output directory; samples are drawn by the seed.
"""

import random
import shlex
import subprocess
import sys
from collections.abc import Collection, Iterable, Sequence
from pathlib import Path

import orjson
from runs import TEACHER

from splade_anserini.artifacts.files import whole_directory
from splade_anserini.formats.corpora import open_corpus
from splade_anserini.formats.qrels import read_qrels
from splade_anserini.formats.runs import write_run
from splade_anserini.formats.topics import read_topics
from splade_anserini.lucene import search_bm25
from splade_anserini.parallel import cpu_count
from splade_anserini.records import Document, Query
from splade_anserini.text_index import index_texts

SEED = 42
TRAINED, ZERO_SHOT = "msmarco-sample", ("nfcorpus", "cranfield")
TOPICS = 600
"""Number of test queries of the collection that is used for training."""
NEIGHBOURS = 5
"""For each of them, this many of BM25's best documents are in the collection, besides the relevant ones."""
DEPTH, NEGATIVES = 30, 4
"""Negatives are drawn from BM25's first `DEPTH` documents, `NEGATIVES` for each query."""


def run_command(name: str, *arguments: object) -> None:
    """Print and run a command of splade-anserini."""
    words = [name, *map(str, arguments)]
    print(f"$ splade-anserini {shlex.join(words)}", file=sys.stderr, flush=True)
    subprocess.run([sys.executable, "-m", "splade_anserini", *words], check=True)


def collections(data: Path, output: Path) -> dict[str, Path]:
    """Return BEIR directories by name: a sample of the collection for training, and the whole zero-shot collections."""
    home = output / TRAINED
    if not home.exists():
        queries = read_topics(str(data / TRAINED))
        chosen = _sample(queries, TOPICS)
        ids = {query.id for query in chosen}
        qrels = [qrel for qrel in read_qrels(str(data / TRAINED)) if qrel.query_id in ids]
        kept = {qrel.doc_id for qrel in qrels}
        for _, hits in search_bm25(bm25_index(data / TRAINED, output), chosen, NEIGHBOURS, cpu_count()):
            kept |= {hit.doc_id for hit in hits}
        documents = (document for document in open_corpus(str(data / TRAINED)) if document.id in kept)
        with whole_directory(home) as partial:
            _write_beir(partial, documents, chosen, [(q.query_id, q.doc_id, q.relevance) for q in qrels])
    return {TRAINED: home, **{name: data / name for name in ZERO_SHOT}}


def training_data(data: Path, output: Path, examples: int) -> dict[str, Path]:
    """Return files of examples: with mined negatives, with scores of a teacher, and filtered by these scores."""
    home, source = output / f"training-{examples}", data / TRAINED
    files = {name: home / f"{name}.jsonl" for name in ("triples", "scored", "filtered")}
    run = home / "bm25.txt"
    home.mkdir(parents=True, exist_ok=True)
    if not run.exists():
        judged = {qrel.query_id for qrel in read_qrels(source, "train")}
        queries = [query for query in read_topics(str(source / "queries.jsonl.gz")) if query.id in judged]
        rankings = search_bm25(bm25_index(source, output), _sample(queries, examples), DEPTH, cpu_count())
        write_run(run, rankings, tag="bm25")
    texts = ("--corpus", source, "--topics", source / "queries.jsonl.gz", "--texts")
    mined = ("--run", run, "--qrels", source, *texts, "--depth", DEPTH, "--negatives", NEGATIVES, "--seed", SEED)
    teacher = ("--teacher", TEACHER, "--max-length", 128)
    for name, command in {
        "triples": ("mine", *mined),
        "scored": ("score", "--examples", files["triples"], *teacher, "--precision", "bf16"),
        "filtered": ("mine", *mined, *teacher),
    }.items():
        if not files[name].exists():
            run_command(str(command[0]), *command[1:], "--output", files[name])
    return files


def bm25_index(directory: Path, output: Path) -> Path:
    """Return the BM25 index of the documents of a BEIR directory, titles and texts, below `output`."""
    part = "" if output not in directory.parents else "-part"
    index = output / f"bm25-{directory.name}{part}"
    if not index.exists():
        index_texts(open_corpus(str(directory)), index)
    return index


def _sample(queries: Sequence[Query], count: int) -> list[Query]:
    ordered = sorted(queries, key=lambda query: query.id)
    return random.Random(SEED).sample(ordered, min(count, len(ordered)))


def _write_beir(
    directory: Path, documents: Iterable[Document], queries: Iterable[Query], qrels: Collection[tuple[str, str, int]]
) -> None:
    with (directory / "corpus.jsonl").open("wb") as file:
        for document in documents:
            record = {"_id": document.id, "title": document.title, "text": document.text}
            file.write(orjson.dumps(record) + b"\n")
    with (directory / "queries.jsonl").open("wb") as file:
        for query in queries:
            file.write(orjson.dumps({"_id": query.id, "text": query.text}) + b"\n")
    (directory / "qrels").mkdir()
    lines = ["query-id\tcorpus-id\tscore", *("\t".join(map(str, qrel)) for qrel in qrels)]
    (directory / "qrels" / "test.tsv").write_text("\n".join(lines) + "\n")
