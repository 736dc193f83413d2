"""The files that the docs name, small: collections, vectors, indexes, runs, models and cards."""

import csv
import gzip
import json
import re
import shutil
from collections.abc import Callable
from functools import cached_property
from pathlib import Path
from typing import Any

from splade_anserini.cards.shipped import encoders_home
from splade_anserini.formats.topics import write_encoded_topics
from tests.cli_runner import run_stage
from tests.shared_models import SharedModels
from tests.training_fixtures import DOCUMENTS, QUERIES, save_teacher, tiny_cross_encoder, write_training_data

CARD = 'name = "{name}"\ndescription = "A test."\nlicense = "MIT"\nsource = "{source}"\n'
INDEX_CARD = 'name = "{name}"\ndescription = "A test."\n{source}\n[[evaluation]]\nname = "test"\nsource = "x"\n'
FASTER = {
    "distilbert-base-uncased": "{backbone}",
    "max_length = 256": "max_length = 32",
    "batch_size = 124": "batch_size = 4",
    "learning_rate = 2e-5": "learning_rate = 1e-3",
    "warmup_steps = 6000": "warmup_steps = 2",
    "steps = 150000": "steps = 20",
    "until = 50000": "until = 10",
    "lambda_q = 0.1": "lambda_q = 1e-3",
    "lambda_d = 0.08": "lambda_d = 1e-3",
}
"""Changes of the recipes that ship with which they take a second."""

type Maker = Callable[["Files", Path], object]


class Files:
    """Makes the files that a page names in the working directory, when they are first needed.

    What takes long to build is built once, in `shared`, and copied.
    """

    def __init__(self, shared: Path, models: SharedModels) -> None:
        self.shared, self.models = shared, models

    def supply(self, word: str) -> None:
        """Make the file that a word of a command or a string of Python names, unless it is there."""
        for name in (word, word.rpartition("=")[2], word.rpartition(":")[2], word.partition("@")[0]):
            path = Path(PATHS.get(name, name))
            if name in MAKERS and not path.exists():
                path.parent.mkdir(parents=True, exist_ok=True)
                MAKERS[name](self, path)

    @cached_property
    def impacts(self) -> Path:
        """The documents as the default encoder encodes them."""
        write_beir(self.shared / "collection")
        corpus = self.shared / "collection" / "corpus.jsonl"
        return self._made("encode", "--corpus", corpus, "--output", self.shared / "impacts")

    @cached_property
    def index(self) -> Path:
        """The index of `impacts`."""
        return self._made("index", "--input", self.impacts, "--index", self.shared / "index")

    @cached_property
    def text_index(self) -> Path:
        """An index of the texts, for BM25."""
        corpus = self.impacts.parent / "collection" / "corpus.jsonl"
        return self._made("index", "--bm25", "--input", corpus, "--index", self.shared / "text-index")

    @cached_property
    def run(self) -> Path:
        """The run of the topics over `index`."""
        topics = self.impacts.parent / "collection"
        return self._made("search", "--index", self.index, "--topics", topics, "--output", self.shared / "run.txt")

    @cached_property
    def sweep(self) -> Path:
        """The trade-offs of one way of pruning."""
        collection = self.impacts.parent / "collection"
        data = ["--input", self.impacts, "--topics", collection, "--qrels", collection]
        settings = ["--samples", 1, "--documents", "top-k=32"]
        return self._made("sweep", *data, *settings, "--output", self.shared / "sweep")

    @cached_property
    def sentence_transformer(self) -> Path:
        """A sparse encoder that sentence-transformers wrote."""
        from sentence_transformers import SparseEncoder

        path = self.shared / "sparse-encoder"
        SparseEncoder(str(self.models.checkpoint()), device="cpu").save_pretrained(str(path))
        return path

    @staticmethod
    def _made(*command: object) -> Path:
        done = run_stage(str(command[0]), *command[1:])
        assert done.code == 0, done.err
        return Path(str(command[-1]))


# Collections.


def corpus_lines() -> str:
    records = ({"id": id_, "title": title, "text": text} for id_, (title, text) in DOCUMENTS.items())
    return "".join(json.dumps(record) + "\n" for record in records)


def write_corpus(_: Files, path: Path) -> None:
    data = corpus_lines().encode()
    path.write_bytes(gzip.compress(data) if path.suffix == ".gz" else data)


def write_new_corpus(_: Files, path: Path) -> None:
    """Two documents that `DOCUMENTS` does not have, or other versions of two that it has."""
    numbers = (20, 21) if path.stem == "new" else (1, 20)
    records = ({"id": f"d{number}", "contents": f"The river and the plane {number}."} for number in numbers)
    path.write_text("".join(json.dumps(record) + "\n" for record in records))


def write_new_impacts(files: Files, path: Path) -> None:
    corpus = files.shared / "new.jsonl"
    write_new_corpus(files, corpus)
    assert run_stage("encode", "--corpus", corpus, "--output", path).code == 0


def write_ids(_: Files, path: Path) -> None:
    path.write_text("d3\nd4\n" if path.stem == "ids" else "d5\n")


def write_table(_: Files, path: Path) -> None:
    path.write_text("".join(f"{id_}\t{title} {text}\n" for id_, (title, text) in DOCUMENTS.items()))


def write_csv(_: Files, path: Path) -> None:
    with path.open("w", newline="") as file:
        writer = csv.writer(file)
        writer.writerow(["sku", "name", "description", "price", "brand"])
        writer.writerows([id_, title, text, 50, "ours"] for id_, (title, text) in DOCUMENTS.items())


def write_keys(_: Files, path: Path) -> None:
    path.write_text(f"{24 * 'k'}\n")


def write_topics(_: Files, path: Path) -> None:
    if path.suffix == ".jsonl":
        path.write_text("".join(json.dumps({"_id": id_, "text": text}) + "\n" for id_, text in QUERIES.items()))
    else:
        path.write_text("".join(f"{id_}\t{text}\n" for id_, text in QUERIES.items()))


def write_encoded(_: Files, path: Path) -> None:
    vectors: dict[str, Any] = {id_: dict.fromkeys(text.split(), 60) for id_, text in QUERIES.items()}
    write_encoded_topics(path, vectors)


def write_qrels(_: Files, path: Path) -> None:
    path.write_text("".join(f"q{number} 0 d{number} 1\n" for number in range(len(DOCUMENTS))))


def write_run(_: Files, path: Path) -> None:
    """A run in which the relevant document is first for even queries and second for odd ones."""
    with path.open("w") as file:
        for number in range(len(QUERIES)):
            order = sorted(DOCUMENTS, key=lambda id_: (id_ != f"d{number - number % 2}", id_ != f"d{number}", id_))
            file.writelines(f"q{number} Q0 {id_} {rank} {10 - rank} run\n" for rank, id_ in enumerate(order, 1))


def copy_run(files: Files, path: Path) -> None:
    for name in (files.run.name, f"{files.run.name}.manifest"):
        shutil.copy(files.run.with_name(name), path.with_name(name))


def write_reversed_run(files: Files, path: Path) -> None:
    write_run(files, path)
    lines = [line.split() for line in path.read_text().splitlines()]
    path.write_text("".join(f"{q} Q0 {d} {9 - int(rank)} {rank} run\n" for q, _, d, rank, *_ in lines))


def write_passage_run(files: Files, path: Path) -> None:
    write_run(files, path)
    path.write_text(re.sub(r" Q0 d(\d)", r" Q0 d1#\1", path.read_text()))


def write_beir(path: Path) -> None:
    path.mkdir(parents=True)
    write_training_data(path)
    (path / "qrels" / "test.tsv").write_bytes((path / "qrels" / "dev.tsv").read_bytes())


def write_collections(_: Files, path: Path) -> None:
    for name in ("android", "english"):
        write_beir(path / name)


def write_runs(files: Files, path: Path) -> None:
    path.mkdir()
    for name in ("android", "english"):
        write_run(files, path / f"{name}.txt")


def write_part_of_index(files: Files, path: Path) -> None:
    """An index of one document, whose id is the name of the index."""
    vectors = files.shared / f"{path.name}.jsonl"
    vectors.write_text(json.dumps({"id": path.name, "vector": {"cat": 3, "dog": 1}}) + "\n")
    assert run_stage("index", "--input", vectors, "--index", path).code == 0


def write_data(files: Files, path: Path) -> None:
    """The directory {data} of the card nfcorpus.splade-v3, with few documents."""
    write_beir(path / "nfcorpus")
    vectors = path / "splade-v3.nfcorpus"
    vectors.mkdir()
    shards = sorted(files.impacts.glob("*.jsonl.gz"))
    (vectors / "docs.jsonl.gz").write_bytes(b"".join(shard.read_bytes() for shard in shards))
    write_encoded(files, vectors / "topics.test.tsv.gz")


def write_triples(_: Files, path: Path) -> None:
    rows = [(f"q{number}", f"d{number}", f"d{(number + 3) % 8}") for number in range(8)]
    if path.suffix == ".tsv":
        path.write_text("".join("\t".join(row) + "\n" for row in rows))
    else:
        records = ({"query_id": q, "positive_id": d, "negative_ids": [n]} for q, d, n in rows)
        path.write_text("".join(json.dumps(record) + "\n" for record in records))


# Vectors of other tools.


def write_weights(_: Files, path: Path) -> None:
    path.write_text("".join(json.dumps({"id": id_, "vector": {"cat": 0.5, "dog": 1.25}}) + "\n" for id_ in DOCUMENTS))


def write_points(_: Files, path: Path) -> None:
    vector = {"indices": [104, 110], "values": [1.5, 0.25]}
    path.write_text("".join(json.dumps({"id": id_, "vector": vector}) + "\n" for id_ in DOCUMENTS))


def write_parquet(_: Files, path: Path) -> None:
    import pyarrow as pa
    from pyarrow import parquet

    ids = list(DOCUMENTS)
    columns = {"id": ids, "tokens": [["cat", "dog"]] * len(ids), "weights": [[0.5, 1.25]] * len(ids)}
    parquet.write_table(pa.table(columns), path)


# Models and cards. Cards in the working directory come before those of the same names that ship.


def write_teacher(_: Files, path: Path) -> None:
    save_teacher(path, tiny_cross_encoder(1, layers=1))


def write_dense_encoder(files: Files, path: Path) -> None:
    from sentence_transformers import SentenceTransformer

    SentenceTransformer(str(files.models.checkpoint()), device="cpu").save_pretrained(str(path))


def write_card(files: Files, path: Path) -> None:
    path.write_text(CARD.format(name=path.stem, source=files.models.checkpoint()))


def write_recipe(files: Files, path: Path) -> None:
    card = (encoders_home() / path.name).read_text(encoding="utf-8")
    for old, new in FASTER.items():
        card = card.replace(old, new.format(backbone=files.models.checkpoint()))
    path.write_text(card)


def write_cranfield_card(files: Files, path: Path) -> None:
    collection = files.impacts.parent / "collection"
    path.write_text(
        INDEX_CARD.format(name=path.stem, source=f'corpus = "{collection}"\nencoder = "splade-mini-v2"')
        + f'topics = "{collection}"\nqrels = "{collection}"\nexpected = {{ "nDCG@10" = 1.0 }}\ntolerance = 0.5\n'
    )


def write_nfcorpus_card(_: Files, path: Path) -> None:
    path.write_text(
        INDEX_CARD.format(name=path.stem, source='impacts = "{data}/splade-v3.nfcorpus/docs.jsonl.gz"\ndata = "x"')
        + 'topics = "{data}/splade-v3.nfcorpus/topics.test.tsv.gz"\nencoded = true\n'
        'qrels = "{data}/nfcorpus/qrels/test.tsv"\nexpected = { "nDCG@10" = 1.0 }\ntolerance = 0.9\n'
    )


def _copy(name: str) -> Maker:
    return lambda files, path: shutil.copytree(getattr(files, name), path)


def _checkpoint(files: Files, path: Path) -> None:
    shutil.copytree(files.models.checkpoint(), path)


def _beir(_: Files, path: Path) -> None:
    write_beir(path)


MAKERS: dict[str, Maker] = {
    **dict.fromkeys(["corpus.jsonl", "corpus.jsonl.gz", "documents.jsonl"], write_corpus),
    **dict.fromkeys(["new.jsonl", "changed.jsonl"], write_new_corpus),
    "impacts/new": write_new_impacts,
    **dict.fromkeys(["ids.txt", "gone.txt"], write_ids),
    "collection.tsv": write_table,
    "products.csv": write_csv,
    "keys.txt": write_keys,
    **dict.fromkeys(["topics.tsv", "queries.tsv", "queries.jsonl", "train.jsonl", "queries.train.tsv"], write_topics),
    "queries_anserini.tsv": write_encoded,
    **dict.fromkeys(["qrels.txt", "qrels/test.tsv", "qrels/train.tsv", "qrels.train.tsv"], write_qrels),
    **dict.fromkeys(["nfcorpus", "scifact", "collection"], _beir),
    "cqadupstack": write_collections,
    "runs": write_runs,
    "run.txt": copy_run,
    **dict.fromkeys(["dense.txt", "splade.txt", "mine.txt", "runs/mine.txt", "quickstart/run.splade.txt"], write_run),
    **dict.fromkeys(["bm25.txt", "runs/bm25.txt", "quickstart/run.bm25.txt"], write_reversed_run),
    "passages.txt": write_passage_run,
    **dict.fromkeys(["triples.tsv", "triples.jsonl"], write_triples),
    **dict.fromkeys(["DIR", "DIR/nfcorpus", "DIR/splade-v3.nfcorpus/topics.test.tsv.gz"], write_data),
    **dict.fromkeys(["impacts", "impacts/mine"], _copy("impacts")),
    **dict.fromkeys(["index", "indexes/mine"], _copy("index")),
    **dict.fromkeys(["indexes/a", "indexes/b"], write_part_of_index),
    **dict.fromkeys(["index-bm25", "indexes/mine-bm25"], _copy("text_index")),
    "sweeps/mine": _copy("sweep"),
    "theirs.jsonl": write_weights,
    "points.jsonl": write_points,
    "theirs.parquet": write_parquet,
    **dict.fromkeys(["me/my-doc", "naver/splade-v3"], _checkpoint),
    **dict.fromkeys(
        ["my-checkpoint", "path/to/checkpoint", "my-model", "my-sparse-encoder"], _copy("sentence_transformer")
    ),
    "cross-encoder/ms-marco-MiniLM-L6-v2": write_teacher,
    "sentence-transformers/all-MiniLM-L6-v2": write_dense_encoder,
    **dict.fromkeys(["splade-v3", "splade-pp-ed"], write_card),
    **dict.fromkeys(["splade-v2-max", "distilsplade-v2-max"], write_recipe),
    "cranfield.splade-mini-v2": write_cranfield_card,
    "nfcorpus.splade-v3": write_nfcorpus_card,
}
"""Name in the docs → the function that makes it."""

PATHS = {
    "DIR/nfcorpus": "DIR",
    "DIR/splade-v3.nfcorpus/topics.test.tsv.gz": "DIR",
    "me/my-doc": "encoders/me/my-doc",
    **{name: f"encoders/{name}.toml" for name in ("splade-v3", "splade-pp-ed", "splade-v2-max", "distilsplade-v2-max")},
    **{name: f"indexes/{name}.toml" for name in ("cranfield.splade-mini-v2", "nfcorpus.splade-v3")},
}
"""Name → the path of the file that makes it known, where that is another."""
