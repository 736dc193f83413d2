"""The same vectors searched by Lucene, Seismic and BMP: time, recall of the exact hits, size of the index.

Each searches on one thread. Seismic is approximate; BMP rounds impacts to 8 bits and query weights to at most 32.
"""

import json
import time
from collections.abc import Callable, Iterator, Mapping
from importlib.util import find_spec
from itertools import islice
from pathlib import Path
from typing import Any

import numpy as np
from alternate import MEMORY, Contestant, Measure, Race
from searching import built_index
from settings import MissingDataError, Settings, required
from synthetic import synthetic

HITS = (10, 1000)
BLOCK = 32
"""Documents in a block of BMP, as in BMP's README."""
MEASURES = [
    *(Measure(f"k = {hits:,}, ms a query", more_is_better=False, digits=2) for hits in HITS),
    *(Measure(f"recall@{hits}", digits=4, compared=False) for hits in HITS),
    Measure("index, MB", more_is_better=False, digits=0, compared=False),
]

type Vectors = Mapping[str, Mapping[str, int]]
type Search = Callable[[str, Mapping[str, int], int], list[str]]


def lucene(index: str, topics: str, truth: str, queries: int) -> dict[str, Any]:
    """Search with our `ImpactSearcher`."""
    from splade_anserini.lucene import ImpactSearcher

    with ImpactSearcher(Path(index), threads=1) as searcher:

        def search(_: str, vector: Mapping[str, int], hits: int) -> list[str]:
            return list(searcher.rank(vector, hits).ids)

        return _measured(search, _vectors(topics, queries), truth, Path(index))


def seismic(index: str, topics: str, truth: str, queries: int, cut: int, factor: float) -> dict[str, Any]:
    """Search with Seismic, which uses `cut` tokens of a query."""
    from seismic import SeismicIndex, get_seismic_string

    searcher, kind = SeismicIndex.load(index), get_seismic_string()

    def search(id_: str, vector: Mapping[str, int], hits: int) -> list[str]:
        tokens, weights = np.array(list(vector), dtype=kind), np.array(list(vector.values()), dtype=np.float32)
        return [docid for _, _, docid in searcher.search(id_, tokens, weights, hits, cut, factor)]

    return _measured(search, _vectors(topics, queries), truth, Path(index))


def bmp(index: str, topics: str, truth: str, queries: int) -> dict[str, Any]:
    """Search with BMP, without pruning blocks that may hold hits."""
    from bmp import Searcher

    searcher = Searcher(index)

    def search(_: str, vector: Mapping[str, int], hits: int) -> list[str]:
        return list(searcher.search(dict(vector), hits, 1.0, 1.0)[0])

    return _measured(search, _vectors(topics, queries), truth, Path(index))


def _measured(search: Search, vectors: Vectors, truth: str, index: Path) -> dict[str, Any]:
    """Search all queries once to warm up, then once more to measure the time."""
    best = json.loads(Path(truth).read_text())
    files = [path for path in index.rglob("*") if path.is_file()] if index.is_dir() else [index]
    results: dict[str, Any] = {"index, MB": sum(path.stat().st_size for path in files) / 1e6}
    for hits in HITS:
        rankings = {id_: search(id_, vector, hits) for id_, vector in vectors.items()}
        begin = time.perf_counter()
        for id_, vector in vectors.items():
            search(id_, vector, hits)
        results[f"k = {hits:,}, ms a query"] = 1000 * (time.perf_counter() - begin) / len(vectors)
        shares = [_recall(rankings[id_], *best[id_][str(hits)]) for id_ in vectors]
        results[f"recall@{hits}"] = float(np.mean(shares))
    return results


def _recall(ranking: list[str], hits: int, best: list[str]) -> float:
    """Return the share of the exact hits that a ranking holds; `best` also holds the documents tied with the last."""
    return min(len(set(ranking) & set(best)), hits) / hits if hits else 1.0


def _vectors(topics: str, queries: int) -> Vectors:
    from splade_anserini.formats.topics import read_encoded_topics

    return dict(islice(read_encoded_topics(topics).items(), queries))


def exact(matrix: Path, topics: str, queries: int, output: Path) -> Path:
    """Write the exact hits: for each query and number of hits, how many there are, and all that score as high."""
    from scipy.sparse import load_npz

    documents = load_npz(matrix)
    with np.load(matrix) as file:
        ids, columns = file["ids"], {token: column for column, token in enumerate(file["tokens"].tolist())}
    best: dict[str, dict[str, tuple[int, list[str]]]] = {}
    for id_, vector in _vectors(topics, queries).items():
        query = np.zeros(documents.shape[1], dtype=np.int64)
        for token, weight in vector.items():
            if token in columns:
                query[columns[token]] = weight
        scores = documents @ query
        best[id_] = {str(hits): _best(scores, ids, hits) for hits in HITS}
    output.write_text(json.dumps(best))
    return output


def _best(scores: Any, ids: Any, hits: int) -> tuple[int, list[str]]:
    exact_hits = min(hits, int((scores > 0).sum()))
    least = np.partition(scores, -exact_hits)[-exact_hits] if exact_hits else 1
    return exact_hits, ids[scores >= max(least, 1)].tolist()


def prepared(name: str, impacts: Path, topics: Path, queries: int, work: Path) -> dict[str, str]:
    """Build the indexes of the engines and the exact hits below `work`, once; return their paths."""
    import bmp as engine
    from seismic import SeismicIndex

    from splade_anserini.convert import ConvertOptions, convert

    files = {"csr": f"{name}.npz", "seismic": f"{name}.jsonl", "bmp": f"{name}.bmp.ciff"}
    for format_, file in files.items():
        if not (work / file).exists():
            convert(impacts, work / file, ConvertOptions(max_impact=255 if format_ == "bmp" else None))
    if not (work / f"{name}.index.seismic").exists():
        SeismicIndex.build(str(work / files["seismic"])).save(str(work / name))
    if not (work / f"{name}.bmp").exists():
        engine.ciff2bmp(str(work / files["bmp"]), str(work / f"{name}.bmp"), BLOCK, False)
    truth = exact(work / files["csr"], str(topics), queries, work / f"{name}.exact.json")
    return {
        "seismic": str(work / f"{name}.index.seismic"),
        "bmp": str(work / f"{name}.bmp"),
        "truth": str(truth),
    }


def nfcorpus(settings: Settings) -> tuple[Path, Path]:
    """Return NFCorpus as pseudo-documents, and its index."""
    from splade_anserini.convert import convert
    from splade_anserini.index import index

    directory, built = settings.work / "engines-nfcorpus", settings.work / "engines-nfcorpus-index"
    if not directory.exists():
        convert(settings.vectors, directory)
    if not built.exists():
        index(directory, built)
    return directory, built


def races(settings: Settings) -> Iterator[Race]:
    """Yield a race over NFCorpus, and one for each number of synthetic documents."""
    real = settings.vectors.parent / "topics.test.tsv.gz"
    required(settings.vectors, settings.topics, real)
    for package in ("seismic", "bmp"):
        if find_spec(package) is None:
            raise MissingDataError(f"{package} is not installed: pip install 'splade-anserini[bench]'")
    directory, built = nfcorpus(settings)
    yield _race("NFCorpus, SPLADE-v3", "engines-nfcorpus", (directory, built, real, 323), settings)
    for documents in settings.documents():
        impacts = synthetic(settings.data, documents, settings.work)
        built = built_index(settings, documents)
        title = f"{documents:,} synthetic documents"
        yield _race(title, f"engines-{documents}", (impacts, built, settings.topics, 300), settings)


def _race(title: str, name: str, inputs: tuple[Path, Path, Path, int], settings: Settings) -> Race:
    impacts, index, topics, queries = inputs
    paths = prepared(name, impacts, topics, queries, settings.work)
    same = {"topics": str(topics), "truth": paths["truth"], "queries": queries}
    approximate = {"index": paths["seismic"], **same}
    return Race(
        title=f"Engines: {title}",
        contestants=[
            Contestant("splade-anserini (Lucene)", __name__, "lucene", {"index": str(index), **same}),
            Contestant(
                "Seismic, 10 tokens, factor 0.7", __name__, "seismic", {**approximate, "cut": 10, "factor": 0.7}
            ),
            Contestant(
                "Seismic, all tokens, factor 0.9", __name__, "seismic", {**approximate, "cut": 999, "factor": 0.9}
            ),
            Contestant("BMP, alpha 1, beta 1", __name__, "bmp", {"index": paths["bmp"], **same}),
        ],
        measures=[*MEASURES, MEMORY],
        rounds=settings.times(1, 3),
        note=f"{queries:,} encoded queries, one after the other, on one thread. Recall is of the exact hits; documents "
        "tied with the last one count as hits.",
    )
