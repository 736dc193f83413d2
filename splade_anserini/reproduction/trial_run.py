"""A small index that is built, searched and evaluated for a moment, to find out how long it takes here."""

import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory

from splade_anserini.cards.index_card import IndexTable
from splade_anserini.records import ImpactDocument, ImpactVector

POSTINGS = 600_000
DOCUMENTS = 4_000
QUERIES = 48
_ROUNDS = 3
_PARTS = 4
"""Of the sample one is indexed and searched first: Java warms up, and searching has two sizes to compare."""


@dataclass(frozen=True, slots=True)
class Setting:
    """How a card wants its index to be built and searched."""

    options: IndexTable
    hits: int
    threads: int
    files: int
    """Shards or other files that the documents come in: threads share them."""
    checked: bool
    """Whether all records are read once more, as those that somebody else encoded."""


@dataclass(frozen=True, slots=True)
class Trial:
    """What was measured."""

    documents: int
    index_seconds: float
    """For each posting."""
    index_bytes: float
    """For each posting."""
    query_seconds: float
    """For each query, however small the index …"""
    document_seconds: float
    """… and for each query and document of the index."""
    hit_bytes: float
    """Of a line of a run, gzipped."""
    evaluation_seconds: float
    """For each line of a run."""

    def searched(self, documents: int) -> float:
        """Return the seconds that a query takes in an index of so many documents."""
        return self.query_seconds + documents * self.document_seconds


@dataclass(slots=True)
class Clock:
    """Seconds that a block took."""

    seconds: float = 0.0


@contextmanager
def clocked() -> Iterator[Clock]:
    """Measure how long the block takes."""
    clock, start = Clock(), time.perf_counter()
    yield clock
    clock.seconds = time.perf_counter() - start


def try_out(documents: Sequence[ImpactDocument], queries: Mapping[str, ImpactVector], setting: Setting) -> Trial:
    """Index these documents in a temporary directory, search for these queries, and evaluate the run."""
    with TemporaryDirectory() as name:
        part = documents[: max(1, len(documents) // _PARTS)]
        first = _built(part, queries, setting, Path(name) / "first")
        whole = _built(documents, queries, setting, Path(name) / "whole")
        lines, size, seconds = _evaluated(queries, setting, Path(name))
    more = len(documents) - len(part)
    slope = (whole.query - first.query) / more if more else 0.0
    # Where the clock is too coarse to tell two sizes apart, all of it is held to grow with the index.
    slope = slope if slope > 0 else whole.query / len(documents)
    return Trial(
        documents=len(documents),
        index_seconds=whole.seconds / whole.postings,
        index_bytes=whole.bytes / whole.postings,
        query_seconds=max(0.0, whole.query - slope * len(documents)),
        document_seconds=slope,
        hit_bytes=size / max(lines, 1),
        evaluation_seconds=seconds / max(lines, 1),
    )


@dataclass(frozen=True, slots=True)
class _Built:
    seconds: float
    bytes: int
    postings: int
    query: float


def _built(
    documents: Sequence[ImpactDocument], queries: Mapping[str, ImpactVector], setting: Setting, home: Path
) -> _Built:
    from splade_anserini.lucene import IndexOptions, start_jvm
    from splade_anserini.lucene.index_writer import write_with_lucene
    from splade_anserini.lucene.sources import open_impacts

    start_jvm()
    index = home / "index"
    index.mkdir(parents=True)
    _written(documents, home / "impacts", min(setting.files, setting.threads))
    options = IndexOptions(threads=setting.threads, **setting.options.model_dump())
    with clocked() as clock:
        if setting.checked:
            open_impacts(home / "impacts")
        write_with_lucene(home / "impacts", index, options, trusted=not setting.checked)
    size = sum(file.stat().st_size for file in index.iterdir())
    return _Built(clock.seconds, size, sum(len(one.vector) for one in documents), _searched(queries, setting, index))


def _written(documents: Sequence[ImpactDocument], directory: Path, files: int) -> None:
    from splade_anserini.formats.impacts import ImpactWriter

    directory.mkdir()
    for number in range(files):
        with ImpactWriter(directory / f"{number}.jsonl.gz", level=1) as writer:
            for document in documents[number::files]:
                writer.write(document)


def _searched(queries: Mapping[str, ImpactVector], setting: Setting, index: Path) -> float:
    """Return the seconds of a query, in the fastest of a few rounds."""
    from splade_anserini.lucene import ImpactSearcher

    rounds = []
    with ImpactSearcher(index, setting.threads) as searcher:
        for _ in range(_ROUNDS):
            with clocked() as clock:
                for _ in searcher.search(queries, setting.hits):
                    pass
            rounds.append(clock.seconds)
    return min(rounds) / len(queries)


def _evaluated(queries: Mapping[str, ImpactVector], setting: Setting, home: Path) -> tuple[int, int, float]:
    """Return the lines of a run, its bytes, and the seconds that evaluating takes; the judgements are made up."""
    from ir_measures import Qrel

    from splade_anserini.evaluate import evaluate
    from splade_anserini.evaluation.measures import parse_measures
    from splade_anserini.formats.runs import read_run, write_run
    from splade_anserini.lucene import ImpactSearcher

    run = home / "run.txt.gz"
    with ImpactSearcher(home / "whole" / "index", setting.threads) as searcher:
        write_run(run, searcher.search(queries, setting.hits))
    hits = list(read_run(run))
    best = {hit.query_id: hit.doc_id for hit in reversed(hits)}
    judged = [Qrel(query_id, doc_id, 1) for query_id, doc_id in best.items()]
    if not judged:
        return 0, 0, 0.0
    with clocked() as clock:
        evaluate(read_run(run), judged, parse_measures(["nDCG@10"]))
    return len(hits), run.stat().st_size, clock.seconds
