"""The command `quickstart`: the whole pipeline on the Cranfield collection, compared with BM25."""

import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from splade_anserini.cards.default_encoder import DEFAULT_ENCODER
from splade_anserini.cli import options as cli
from splade_anserini.cli.console import main_of, progress_bar
from splade_anserini.records import StrPath
from splade_anserini.vectors.pruning import by_strength

if TYPE_CHECKING:
    from splade_anserini.encoding.protocol import Encoder
    from splade_anserini.formats.corpora import Corpus
    from splade_anserini.records import ImpactVector, Query

MEASURES = ("nDCG@10", "RR@10", "R@100", "R@1000")
HITS = 1000
TOPIC = "1"
"""The topic whose expansion and best documents are shown."""


@dataclass(frozen=True, slots=True)
class OutputPaths:
    """The output files of the quickstart."""

    home: Path

    @property
    def impacts(self) -> Path:
        """Impact pseudo-documents."""
        return self.home / "impacts"

    @property
    def index(self) -> Path:
        """The Lucene impact index."""
        return self.home / "index"

    @property
    def bm25(self) -> Path:
        """The BM25 index of the same text."""
        return self.home / "index-bm25"

    def run(self, name: str) -> Path:
        """A TREC run."""
        return self.home / f"run.{name}.txt"


@dataclass(frozen=True, slots=True)
class Outcome:
    """The results that the quickstart prints."""

    encoder: str
    """The name of the encoder, without spaces: the tag of its run."""
    scores: dict[str, dict[str, float]]
    """Run → measure → mean over the judged topics."""
    query: "Query"
    expansion: "ImpactVector"
    best: Sequence[tuple[str, float, str]]
    """Document id, score and title."""


def quickstart(home: StrPath, encoder: str = DEFAULT_ENCODER, *, overwrite: bool = False) -> Outcome:
    """Encode, index, search and evaluate Cranfield in `home`; a second call encodes and indexes nothing again.

    Raises `MismatchError` when `home` was created with another encoder, unless `overwrite` starts over.
    """
    from splade_anserini.cards.shipped import cranfield
    from splade_anserini.encoding import default_scale, open_encoder, open_query_encoder
    from splade_anserini.formats.corpora import open_corpus
    from splade_anserini.retrieval.topics import read_topics

    paths = OutputPaths(Path(home))
    corpus, queries = open_corpus(str(cranfield())), read_topics(str(cranfield()))
    scale = default_scale(encoder)
    _encode(corpus, open_encoder(encoder), scale, paths, overwrite=overwrite)
    _index(corpus, paths, overwrite=overwrite)
    name = "-".join(Path(encoder).name.split())
    vectors = _search(queries, open_query_encoder(encoder), scale, name, paths)
    with _step("evaluate both runs"):
        scores = {name: _measured(paths.run(name)) for name in ("splade", "bm25")}
    query = next(query for query in queries if query.id == TOPIC)
    return Outcome(name, scores, query, vectors[TOPIC], list(_best(corpus, paths.run("splade"), 3)))


def _encode(corpus: "Corpus", encoder: "Encoder", scale: float, paths: OutputPaths, *, overwrite: bool) -> None:
    from splade_anserini.encode import encode
    from splade_anserini.encoding.options import EncodeOptions

    with _step("encode 1,400 documents"):
        options = EncodeOptions(scale=scale, docs_per_shard=500)
        encode(corpus, encoder, paths.impacts, options, overwrite=overwrite, bars=progress_bar)


def _index(corpus: "Corpus", paths: OutputPaths, *, overwrite: bool) -> None:
    from splade_anserini.index import index
    from splade_anserini.text_index import index_texts

    with _step("build the impact index"):
        index(paths.impacts, paths.index, overwrite=overwrite)
    with _step("build a BM25 index of the same text"):
        index_texts(corpus, paths.bm25, overwrite=overwrite)


def _search(
    queries: "Sequence[Query]", encoder: "Encoder", scale: float, name: str, paths: OutputPaths
) -> "dict[str, ImpactVector]":
    from splade_anserini.artifacts.manifests import IndexManifest, read_manifest
    from splade_anserini.encoding import quantize
    from splade_anserini.formats.runs import write_run
    from splade_anserini.lucene import ImpactSearcher, search_bm25
    from splade_anserini.parallel import cpu_count
    from splade_anserini.retrieval.options import QueryOptions, SearchOptions
    from splade_anserini.retrieval.query_idf import weighted_by_idf
    from splade_anserini.retrieval.query_settings import query_idf_for
    from splade_anserini.search import search

    with _step(f"encode and search {len(queries)} topics"):
        encoded = encoder.encode([query.text for query in queries])
        vectors = {query.id: quantize(vector, scale) for query, vector in zip(queries, encoded, strict=True)}
        query_idf = query_idf_for(read_manifest(paths.index, IndexManifest), QueryOptions())
        weighted = weighted_by_idf(vectors, paths.index, query_idf)
        with (
            progress_bar("Searching", len(queries), "topics") as progress,
            ImpactSearcher(paths.index, threads=cpu_count()) as searcher,
        ):
            rankings = search(weighted, searcher, SearchOptions(hits=HITS), progress=progress)
            write_run(paths.run("splade"), rankings, "trec", name)
    with _step("search the same topics with BM25"):
        write_run(paths.run("bm25"), search_bm25(paths.bm25, queries, HITS, cpu_count()), "trec", "bm25")
    return vectors


def _measured(path: Path) -> dict[str, float]:
    from splade_anserini.cards.shipped import cranfield
    from splade_anserini.evaluation.evaluation import evaluate
    from splade_anserini.evaluation.measures import parse_measures
    from splade_anserini.formats.qrels import read_qrels
    from splade_anserini.formats.runs import read_run

    return dict(evaluate(read_run(path), read_qrels(str(cranfield())), parse_measures(MEASURES)).aggregate)


def _best(corpus: "Corpus", path: Path, number: int) -> Iterator[tuple[str, float, str]]:
    from splade_anserini.formats.runs import read_run

    hits = [hit for hit in read_run(path) if hit.query_id == TOPIC][:number]
    titles = {document.id: document.title for document in corpus if document.id in {hit.doc_id for hit in hits}}
    for hit in hits:
        yield hit.doc_id, hit.score, titles[hit.doc_id]


@contextmanager
def _step(title: str) -> Iterator[None]:
    start = time.perf_counter()
    yield
    typer.echo(f"  {title:<42}{time.perf_counter() - start:6.1f} s")


def report(outcome: Outcome, home: Path) -> str:
    """Return the results, the paths of the files, and the next commands, as text."""
    header = "".join(f"{measure:>10}" for measure in MEASURES)
    names = {"splade": outcome.encoder, "bm25": "BM25"}
    width = max(map(len, names.values())) + 3
    rows = [
        f"{names[name]:<{width}}" + "".join(f"{values[measure]:10.4f}" for measure in MEASURES)
        for name, values in outcome.scores.items()
    ]
    strongest = by_strength(outcome.expansion.items())[:15]
    expansion = "  ".join(f"{token} {impact}" for token, impact in strongest)
    best = [f"  {score:10.1f}  {id_:>5}  {title}" for id_, score, title in outcome.best]
    return "\n".join(
        [
            f"Cranfield, {HITS} hits a topic\n",
            f"{'':<{width}}{header}",
            *rows,
            f"\nTopic {outcome.query.id}: {outcome.query.text}",
            f"  becomes  {expansion}  … ({len(outcome.expansion)} entries)",
            *best,
            f"\nFiles: {home}/impacts, {home}/index, {home}/run.splade.txt, {home}/run.bm25.txt",
            "Next, your own corpus:",
            "  splade-anserini encode --corpus corpus.jsonl --output impacts",
            "  splade-anserini index --input impacts --index index",
            "  splade-anserini search --index index --topics topics.tsv --output run.txt",
        ]
    )


def command(
    output: Annotated[Path, typer.Option(help="Directory for all files.")] = Path("quickstart"),
    encoder: Annotated[str, typer.Option(help="Card name, encoder directory, or Hugging Face id.")] = DEFAULT_ENCODER,
    overwrite: cli.Overwrite = False,
) -> None:
    """Run the whole pipeline on the Cranfield collection (1,400 documents, 225 topics), and compare it with BM25.

    \b
    Example:
      splade-anserini quickstart --output quickstart
    """
    start = time.perf_counter()
    typer.echo("The whole pipeline on Cranfield:")
    outcome = quickstart(output, encoder, overwrite=overwrite)
    typer.echo(f"  {'total':<42}{time.perf_counter() - start:6.1f} s\n")
    typer.echo(report(outcome, output))


if __name__ == "__main__":
    main_of(command)
