"""Make the training data of splade-mini-v2: passages and queries from free collections, and candidates for each query.

    python recipes/splade_mini_v2.py --data DIR --teacher DIR --output build/splade-mini-v2

`--data` holds the collections as BEIR directories. Written are `corpus.jsonl` and `queries.jsonl`, and for each set
`examples/SET.jsonl`: a query, a relevant passage, and as negatives the best passages of the dense teacher, of BM25 and
of splade-mini that are not relevant. What is there already is not made again, so that an interrupted run goes on.

The passages are longer than the sentences of the collections, and many questions are verbose, because the first
splade-mini learned mostly from short texts and short queries.
"""

import argparse
import ast
import json
import random
import re
import subprocess
import sys
import warnings
from collections import defaultdict
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

import torch

from splade_anserini.artifacts.changes import changes
from splade_anserini.artifacts.files import whole_directory, whole_file
from splade_anserini.cards.finding import find_encoder_card
from splade_anserini.formats.corpora import open_corpus
from splade_anserini.formats.qrels import read_qrels
from splade_anserini.formats.runs import read_rankings
from splade_anserini.formats.topics import read_topics
from splade_anserini.training.options import TeacherOptions
from splade_anserini.training.teachers.dense import DenseTeacher
from splade_anserini.training.teachers.embedding_file import open_embedding_file
from splade_anserini.training.teachers.in_batch import EmbeddingCache

if TYPE_CHECKING:
    from splade_anserini.cards.training_recipe import TeacherSettings

SEED = 42
CARD = Path(__file__).parents[1] / "encoders" / "splade-mini-v2.toml"
VERBOSE = 0.4
"""The share of questions to which other questions or a sentence are added, where there are some."""
CANDIDATES = 10
"""Passages of the dense teacher, of BM25 and of splade-mini for each query: 30 together, fewer if they agree."""
QUERIES = {"squad": 5000, "selqa": 2200, "qamr": 1500, "cosqa": 1500, "medquad": 1500, "medquad-sentences": 1000}
"""Queries that are drawn from each set, so that health is less than a quarter of all; `--all` takes every one."""
QUESTIONS = {"qamr": 8000, "medquad": 7000}
"""Questions that are made of larger sets."""
CLOZE = 6000
"""Passages of MedQuAD from which a sentence is taken as the query."""
WORDS = range(6, 41)
"""How many words a sentence may have that becomes a query, or a part of one."""
_SENTENCE_END = re.compile(r"(?<=[.!?])\s+(?=[A-Z(])")


@dataclass(frozen=True, slots=True)
class Shape:
    """How long passages and queries are."""

    least: int = 3
    most: int = 6
    """Sentences of a passage that is made of sentences."""
    verbose: float = VERBOSE


PLAIN = Shape(1, 1, 0.0)
"""Sentences and questions as they are, of which splade-mini's data mostly consisted."""


@dataclass
class Set:
    """A collection of passages, and queries with the passages that are relevant to them."""

    name: str
    passages: dict[str, str] = field(default_factory=dict)
    """Id → text."""
    queries: dict[str, str] = field(default_factory=dict)
    relevant: dict[str, str] = field(default_factory=dict)
    """Query → passage."""

    def add_passage(self, text: str) -> str:
        """Add a passage and return its id."""
        id_ = f"{self.name}-d{len(self.passages)}"
        self.passages[id_] = text
        return id_

    def add_query(self, text: str, passage: str) -> None:
        """Add a query to which a passage is relevant."""
        id_ = f"{self.name}-q{len(self.queries)}"
        self.queries[id_] = text
        self.relevant[id_] = passage


# The sets.


def squad(data: Path, shape: Shape, chance: random.Random) -> Set:
    """Passages of three to six sentences of SQuAD, which stand in reading order, and their questions."""
    home, result = data / "squad-sentences-nqg", Set("squad")
    sentences = [(document.id, document.text) for document in open_corpus(str(home))]
    questions = questions_by_document(home, "dev+test")
    for group in groups(sentences, shape.least, shape.most, chance):
        add_group(result, group, questions, shape, chance, least=3)
    return result


def selqa(data: Path, shape: Shape, chance: random.Random) -> Set:
    """Passages of three to six sentences of an article of Wikipedia with its title, and their questions."""
    home, result = data / "selqa", Set("selqa")
    questions = questions_by_document(home, "test")
    articles: dict[str, list[tuple[str, str]]] = defaultdict(list)
    for document in open_corpus(str(home)):
        articles[document.title].append((document.id, document.text))
    for title, sentences in articles.items():
        for number, group in enumerate(groups(sentences, shape.least, shape.most, chance)):
            passage = add_group(result, group, questions, shape, chance, least=2, title=title)
            if number == 0 and len(title.split()) > 1:
                result.add_query(title, passage)
    return result


def qamr(data: Path, shape: Shape, chance: random.Random) -> Set:
    """Single sentences of Wikipedia and news, and questions about them."""
    home, result = data / "qamr", Set("qamr")
    questions = questions_by_document(home, "dev+test")
    texts = {document.id: document.text for document in open_corpus(str(home))}
    passages = {id_: result.add_passage(text) for id_, text in texts.items()}
    pairs = [(question, id_) for id_, asked in questions.items() for question in asked]
    chosen: dict[str, list[str]] = defaultdict(list)
    for question, id_ in chance.sample(pairs, min(QUESTIONS["qamr"], len(pairs))):
        chosen[id_].append(question)
    for id_, asked in chosen.items():
        add_questions(result, asked, passages[id_], None, shape, chance)
    return result


def cosqa(data: Path, shape: Shape, chance: random.Random) -> Set:
    """Functions in Python with queries of a search engine; docstrings as queries for the functions without them."""
    home, result = data / "cosqa", Set("cosqa")
    questions = questions_by_document(home, "dev")
    for document in open_corpus(str(home)):
        if document.id in questions:
            add_questions(result, questions[document.id], result.add_passage(document.text), None, shape, chance)
        elif found := without_docstring(document.text):
            docstring, code = found
            result.add_query(docstring, result.add_passage(code))
        else:
            result.add_passage(document.text)
    return result


def medquad(data: Path, shape: Shape, chance: random.Random) -> Set:
    """Answers about health, and their questions."""
    home, result = data / "medquad", Set("medquad")
    questions = questions_by_document(home, "train")
    texts = {document.id: document for document in open_corpus(str(home)) if document.id in questions}
    ids = list(texts)
    chance.shuffle(ids)
    for id_ in ids:
        if len(result.queries) >= QUESTIONS["medquad"]:
            break
        passage = result.add_passage(texts[id_].contents)
        sentences = [sentence for sentence in split(texts[id_].text) if usable(sentence)]
        sentence = chance.choice(sentences) if sentences else None
        for question in questions[id_]:
            verbose = sentence and chance.random() < shape.verbose
            result.add_query(f"{question} {sentence}" if verbose else question, passage)
    return result


def medquad_sentences(data: Path, shape: Shape, chance: random.Random) -> Set:
    """Passages of three to six sentences of answers about health; the query is another one of the same place."""
    result = Set("medquad-sentences")
    relevant = {qrel.doc_id for qrel in read_qrels(f"{data / 'medquad'}@train") if qrel.relevance > 0}
    documents = [document for document in open_corpus(str(data / "medquad")) if document.id in relevant]
    chance.shuffle(documents)
    for document in documents:
        for group in groups(split(document.text), shape.least + 1, shape.most + 1, chance):
            free = [sentence for sentence in group if usable(sentence)]
            if len(group) <= shape.least or not free or len(result.queries) >= CLOZE:
                continue
            held_out = chance.choice(free)
            text = " ".join([document.title, *(sentence for sentence in group if sentence != held_out)])
            result.add_query(held_out, result.add_passage(text))
    return result


SETS: dict[str, Callable[[Path, Shape, random.Random], Set]] = {
    make.__name__.replace("_", "-"): make for make in (squad, selqa, qamr, cosqa, medquad, medquad_sentences)
}
"""Name → what makes the set."""


def questions_by_document(home: Path, splits: str) -> dict[str, list[str]]:
    """Return the texts of the queries to which each document is relevant."""
    texts = {query.id: query.text for query in read_topics(f"{home}@{splits}")}
    result: dict[str, list[str]] = defaultdict(list)
    for qrel in read_qrels(f"{home}@{splits}"):
        if qrel.relevance > 0:
            result[qrel.doc_id].append(texts[qrel.query_id])
    return dict(result)


def groups[T](items: Sequence[T], least: int, most: int, chance: random.Random) -> Iterator[Sequence[T]]:
    """Yield the items in groups of random sizes; the last may be smaller."""
    start = 0
    while start < len(items):
        size = chance.randint(least, most)
        yield items[start : start + size]
        start += size


def add_group(
    result: Set,
    group: Sequence[tuple[str, str]],
    questions: Mapping[str, Sequence[str]],
    shape: Shape,
    chance: random.Random,
    *,
    least: int,
    title: str = "",
) -> str:
    """Add sentences, given as pairs of id and text, as one passage with their questions; return the passage's id.

    A sentence without questions becomes a query in place of a part of the passage if at least `least` others are left.
    """
    free = [text for id_, text in group if id_ not in questions and usable(text)]
    held_out = chance.choice(free) if len(group) > least and free else None
    sentences = [text for _, text in group if text != held_out]
    passage = result.add_passage(" ".join([title, *sentences] if title else sentences))
    asked = [question for id_, _ in group for question in questions.get(id_, ())]
    add_questions(result, asked, passage, held_out, shape, chance)
    return passage


def add_questions(
    result: Set, questions: Sequence[str], passage: str, sentence: str | None, shape: Shape, chance: random.Random
) -> None:
    """Add questions about a passage, some of them verbose, and `sentence`, which belongs to it, as a query."""
    for number, question in enumerate(questions):
        others = [*questions[:number], *questions[number + 1 :], *([sentence] * 2 if sentence else [])]
        if others and chance.random() < shape.verbose:
            added = chance.sample(others, min(len(others), chance.randint(1, 4)))
            result.add_query(" ".join(dict.fromkeys([question, *added])), passage)
        else:
            result.add_query(question, passage)
    if sentence:
        result.add_query(sentence, passage)


def without_docstring(code: str) -> tuple[str, str] | None:
    """Return the first paragraph of a function's docstring, and the function without the docstring."""
    try:
        with warnings.catch_warnings(action="ignore", category=SyntaxWarning):
            function = ast.parse(code).body[0]
    except (SyntaxError, IndexError, ValueError):
        return None
    if not isinstance(function, ast.FunctionDef) or not (docstring := ast.get_docstring(function)):
        return None
    first = " ".join(docstring.split("\n\n")[0].split())
    if len(first.split()) < 3 or len(function.body) < 2:
        return None
    lines, node = code.splitlines(), function.body[0]
    rest = "\n".join([*lines[: node.lineno - 1], *lines[node.end_lineno or node.lineno :]])
    return first, rest


def split(text: str) -> list[str]:
    """Return the sentences of a text."""
    return [sentence.strip() for sentence in _SENTENCE_END.split(text) if sentence.strip()]


def usable(sentence: str) -> bool:
    """Return whether a sentence may be a query."""
    return len(sentence.split()) in WORDS


def drawn(made: Set, chance: random.Random) -> Set:
    """Return some queries of a set, and the passages that are relevant to them."""
    queries = chance.sample(sorted(made.queries), min(QUERIES[made.name], len(made.queries)))
    relevant = {query: made.relevant[query] for query in queries}
    passages = {id_: made.passages[id_] for id_ in dict.fromkeys(relevant.values())}
    return Set(made.name, passages, {query: made.queries[query] for query in queries}, relevant)


# Their candidates.


def write_set(made: Set, home: Path) -> None:
    """Write a set as a BEIR directory."""
    with whole_directory(home) as partial:
        write_lines(partial / "corpus.jsonl", ({"_id": id_, "text": text} for id_, text in made.passages.items()))
        write_lines(partial / "queries.jsonl", ({"_id": id_, "text": text} for id_, text in made.queries.items()))
        (partial / "qrels").mkdir()
        rows = (f"{query}\t{passage}\t1" for query, passage in made.relevant.items())
        (partial / "qrels" / "train.tsv").write_text("\n".join(["query-id\tcorpus-id\tscore", *rows, ""]))


def read_set(name: str, home: Path) -> Set:
    """Read a set that `write_set` has written."""
    passages = {document.id: document.text for document in open_corpus(str(home))}
    queries = {query.id: query.text for query in read_topics(f"{home}@train")}
    relevant = {qrel.query_id: qrel.doc_id for qrel in read_qrels(f"{home}@train")}
    return Set(name, passages, queries, relevant)


def bm25_run(home: Path) -> Path:
    """Return BM25's run of a set, over stemmed words."""
    run = home / "bm25.txt"
    if not run.exists():
        command("index", "--bm25", "--input", home, "--index", home / "bm25-index")
        command(
            "search",
            "--bm25",
            "--index",
            home / "bm25-index",
            "--topics",
            f"{home}@train",
            "--output",
            run,
            "--hits",
            CANDIDATES + 1,
        )
    return run


def student_run(home: Path) -> Path:
    """Return the run of splade-mini."""
    run = home / "splade-mini.txt"
    if not run.exists():
        command("encode", "--corpus", home, "--encoder", "splade-mini", "--output", home / "impacts")
        command("index", "--input", home / "impacts", "--index", home / "impact-index")
        arguments = ("--index", home / "impact-index", "--encoder", "splade-mini", "--topics", f"{home}@train")
        command("search", *arguments, "--output", run, "--hits", CANDIDATES + 1)
    return run


def candidates_of(run: Path) -> dict[str, list[str]]:
    """Return the best passages of each query in a run."""
    return {query: [hit.doc_id for hit in hits] for query, hits in read_rankings(str(run))}


def dense_candidates(made: Set, embeddings: EmbeddingCache) -> dict[str, list[str]]:
    """Return the passages with the greatest cosines of each query."""
    pooling = embeddings.pooling
    passages = embed(embeddings, [pooling.document_prompt + text for text in made.passages.values()], made.name)
    queries = embed(embeddings, [pooling.query_prompt + text for text in made.queries.values()], made.name)
    ids, result = list(made.passages), {}
    for query, vector in zip(made.queries, queries, strict=True):
        best = torch.topk(passages @ vector, min(CANDIDATES + 1, len(ids))).indices.tolist()
        result[query] = [ids[row] for row in best]
    return result


def embed(embeddings: EmbeddingCache, texts: Sequence[str], name: str, window: int = 512) -> torch.Tensor:
    """Return the embeddings of texts, in windows of texts of similar length, with progress on stderr."""
    order = sorted(range(len(texts)), key=lambda row: -len(texts[row]))
    rows = torch.zeros(0)
    for start in range(0, len(order), window):
        positions = order[start : start + window]
        part = embeddings([texts[row] for row in positions])
        if not len(rows):
            rows = torch.zeros(len(texts), part.shape[1])
        rows[positions] = part.cpu()
        print(f"{name}: {min(start + window, len(order)):,} of {len(order):,} texts", file=sys.stderr, flush=True)
    return rows


def write_examples(made: Set, candidates: Sequence[dict[str, list[str]]], path: Path) -> None:
    """Write an example for each query, with the candidates that are not relevant as negatives.

    Some questions are asked about several passages: all of these are relevant to each.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    relevant: dict[str, set[str]] = defaultdict(set)
    for query, positive in made.relevant.items():
        relevant[made.queries[query]].add(positive)
    with whole_file(path) as file:
        for query, positive in made.relevant.items():
            found = dict.fromkeys(id_ for each in candidates for id_ in each.get(query, ())[: CANDIDATES + 1])
            negatives = [id_ for id_ in found if id_ not in relevant[made.queries[query]]]
            record = {"query_id": query, "positive_id": positive, "negative_ids": negatives}
            file.write(json.dumps(record).encode() + b"\n")


def write_lines(path: Path, records: Iterable[dict[str, str]]) -> None:
    """Write a line of JSON for each record."""
    with path.open("w") as file:
        file.writelines(json.dumps(record) + "\n" for record in records)


def command(name: str, *arguments: object) -> None:
    """Print and run a command of splade-anserini."""
    words = [name, *map(str, arguments)]
    print(f"$ splade-anserini {' '.join(words)}", file=sys.stderr, flush=True)
    subprocess.run([sys.executable, "-m", "splade_anserini", *words], check=True)


def main() -> None:
    """Make the data."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, required=True, help="directory with medquad, squad-sentences-nqg, …")
    parser.add_argument("--teacher", required=True, help="a sentence encoder: directory, Hugging Face id or package:…")
    parser.add_argument("--output", type=Path, required=True)
    parser.add_argument(
        "--all", action="store_true", help="take all queries, for a longer training; needs a new --output"
    )
    parser.add_argument(
        "--plain", action="store_true", help="single sentences and questions as they are, to compare with"
    )
    settings = parser.parse_args()
    if made_otherwise := other_settings(settings):
        parser.error(f"{settings.output} was made with other settings ({made_otherwise}); choose another --output")
    sets = {}
    for name, make in SETS.items():
        home = settings.output / "sets" / name
        if not home.exists():
            chance = random.Random(f"{SEED} {name}")
            made = make(settings.data, PLAIN if settings.plain else Shape(), chance)
            write_set(made if settings.all else drawn(made, chance), home)
        sets[name] = read_set(name, home)
        print(f"{name}: {len(sets[name].passages):,} passages, {len(sets[name].queries):,} queries", flush=True)
    for kind in ("corpus", "queries"):
        path = settings.output / f"{kind}.jsonl"
        # Written in any case: a set may have been removed to be made again.
        with whole_file(path) as file:
            file.writelines((settings.output / "sets" / name / path.name).read_bytes() for name in sets)
    missing = [name for name in sets if not (settings.output / "examples" / f"{name}.jsonl").exists()]
    runs = {
        name: (bm25_run(settings.output / "sets" / name), student_run(settings.output / "sets" / name))
        for name in missing
    }
    if missing:
        embeddings = open_embeddings(settings.teacher, settings.output / "embeddings.bin")
        for name in missing:
            lists = [dense_candidates(sets[name], embeddings), *map(candidates_of, runs[name])]
            write_examples(sets[name], lists, settings.output / "examples" / f"{name}.jsonl")


def other_settings(settings: argparse.Namespace) -> str:
    """Return how the settings differ from those of what is in the output; record them if there is nothing."""
    values = {"data": str(settings.data.resolve()), "all": settings.all, "plain": settings.plain, "queries": QUERIES}
    path = settings.output / "settings.json"
    if path.exists():
        return changes(json.loads(path.read_bytes()), values)
    settings.output.mkdir(parents=True, exist_ok=True)
    with whole_file(path) as file:
        file.write(json.dumps(values, indent=1).encode())
    return ""


def open_embeddings(teacher: str, path: Path) -> EmbeddingCache:
    """Return the teacher's embeddings as the recipe takes them, kept in a file."""
    recipe = find_encoder_card(CARD).training
    assert recipe is not None
    assert recipe.teacher is not None
    settings: TeacherSettings = recipe.teacher.model_copy(update={"model": teacher})
    dense = DenseTeacher.load(teacher, TeacherOptions(device="auto"))
    file = open_embedding_file(path, dense, settings, recipe.precision)
    return EmbeddingCache(dense, settings.max_length, bf16=recipe.precision == "bf16", file=file)


if __name__ == "__main__":
    main()
