"""The first hits of a cold process, from its start to its end: our command, Pyserini's command, Lucene by itself."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

from alternate import PROCESS, Contestant, Race
from searching import built_index
from settings import Settings, required

QUERY = "what causes high cholesterol"

PYSERINI = """
import runpy, sys
from splade_anserini.lucene import start_jvm
start_jvm()  # without this, Pyserini needs a JDK with the module jdk.incubator.vector
sys.argv[0] = "search"
runpy.run_module("pyserini.search.lucene", run_name="__main__")
"""


def lucene(index: str, topics: str) -> dict[str, Any]:
    """Search once with Lucene's IndexSearcher."""
    from lucene_limit import BareSearcher

    from splade_anserini.formats.topics import read_encoded_topics

    (vector,) = read_encoded_topics(topics).values()
    searcher = BareSearcher(Path(index))
    searcher.searcher.search(searcher.query(vector), 1000)
    return {}


def races(settings: Settings) -> Iterator[Race]:
    """Yield one race."""
    required(settings.vectors, settings.topics)
    from splade_anserini.formats.topics import read_encoded_topics, write_encoded_topics

    documents = settings.documents()[0]
    index = str(built_index(settings, documents))
    encoded, text, run = (settings.work / name for name in ("one.encoded.tsv", "one.tsv", "one.run.txt"))
    id_, vector = next(iter(read_encoded_topics(str(settings.topics)).items()))
    write_encoded_topics(encoded, {id_: vector})
    text.write_text(f"{id_}\t{QUERY}\n")
    common = ["--index", index, "--output", str(run), "--hits", "1000"]
    ours = ["-m", "splade_anserini", "search", *common, "--overwrite"]
    onnx = ["--topics", str(text), "--encoder", "splade-mini", "--scale", "51.2", "--force"]
    theirs = ["-c", PYSERINI, *common, "--topics", str(encoded), "--impact", "--min-idf", "-1"]
    yield Race(
        title="First hits from a cold process",
        contestants=[
            Contestant("splade-anserini search, encoded query", python=[*ours, "--topics", str(encoded)]),
            Contestant("splade-anserini search, text through ONNX", python=[*ours, *onnx]),
            Contestant("pyserini.search.lucene --impact, encoded query", python=theirs),
            Contestant(
                "limit: Python, Java, Lucene's IndexSearcher",
                __name__,
                "lucene",
                {"index": index, "topics": str(encoded)},
            ),
        ],
        measures=[PROCESS],
        rounds=settings.times(3, 7),
        note=f"{documents:,} documents, one query, k = 1,000; files are in the page cache.",
    )
