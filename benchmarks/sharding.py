"""Indexes of growing size: time, bytes and memory of indexing, merging and searching; whole, merged and in shards.

    python benchmarks/sharding.py --documents 10000 30000 100000 --check 1000000

Documents have 40 entries, drawn by Zipf's law from a vocabulary of 30,000, queries 16. Each step runs in a process of
its own. From the sizes in --documents a line is fitted for each cost, and compared with what is measured at --check.
"""

import argparse
import gzip
import json
import os
import resource
import subprocess
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from splade_anserini.artifacts.files import whole_directory
from splade_anserini.artifacts.manifests import Counts, EncodeSettings, ImpactManifest, Shard, write_manifest

VOCABULARY, ENTRIES, TERMS = 30_000, 40, 16
FILE, FILES = 12_500, 8
"""Documents in a file at most, and the least number of files."""
SHARDS = 4
QUERIES = 200
HEAP = "1g"

FEW = ("index", "index as shards", "merge", "search", "search merged", "search shards")

type Row = dict[str, Any]


def main() -> None:
    """Measure all sizes and print the tables."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else "")
    parser.add_argument("--documents", type=int, nargs="+", default=[10_000, 30_000, 100_000])
    parser.add_argument("--check", type=int, help="A size to predict, and to measure.")
    parser.add_argument("--work", type=Path, default=Path("build/bench/sharding"))
    parser.add_argument("--json", type=Path, help="Where measurements are kept; none is repeated.")
    parser.add_argument("--step", nargs="+", help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if arguments.step:
        name, *words = arguments.step
        print(json.dumps(STEPS[name](*words) | memory()))
        return
    done = {row["documents"]: row for row in read_rows(arguments.json)}
    rows = []
    for size in [*arguments.documents, *([arguments.check] if arguments.check else [])]:
        rows.append(done.get(size) or measured(arguments.work, size, few=size == arguments.check))
        print(json.dumps(rows[-1]), flush=True)
        if arguments.json:
            arguments.json.write_text(json.dumps(rows, indent=1))
    print(tables(rows, checked=arguments.check is not None))


def read_rows(path: Path | None) -> list[Row]:
    """Return what was measured before."""
    return json.loads(path.read_bytes()) if path and path.exists() else []


def measured(work: Path, size: int, *, few: bool) -> Row:
    """Return all that is measured of one size; only a few steps of the size that is predicted."""
    impacts = work / f"impacts-{size}"
    if not impacts.exists():
        write_impacts(impacts, size)
    one, sharded, merged, copied = (work / f"{name}-{size}" for name in ("one", "sharded", "merged", "copied"))
    threads = str(min(2, os.cpu_count() or 1))
    row: Row = {"documents": size, "postings": size * ENTRIES}
    steps: dict[str, Sequence[object]] = {
        "index": ("index", impacts, one, threads, 1),
        "index by 2 workers": ("index", impacts, one, threads, 2),
        "index as shards": ("shards", impacts, sharded, threads),
        "merge": ("merge", sharded, merged, 1),
        "merge by copying": ("merge", sharded, copied, 0),
        "search": ("search", one),
        "search merged": ("search", merged),
        "search shards": ("search", sharded),
        "search shards one by one": ("search_each", sharded),
        "search shards on 2 threads": ("search_sliced", sharded),
    }
    for name, words in steps.items():
        if not few or name in FEW:
            row[name] = run_step(*words)
    row["bytes"] = sum(path.stat().st_size for path in one.iterdir())
    digests = {row[name]["digest"] for name in row if name.startswith("search")}
    if len(digests) > 1:
        raise SystemExit(f"The runs of {size:,} documents differ.")
    return row


def run_step(*words: object) -> Row:
    """Run a step in a new process; return its result."""
    environment = {**os.environ, "SPLADE_ANSERINI_HEAP": HEAP}
    command = [sys.executable, __file__, "--step", *map(str, words)]
    done = subprocess.run(command, env=environment, capture_output=True, text=True, check=False)
    if done.returncode:
        raise SystemExit(done.stderr)
    result: Row = json.loads(done.stdout.splitlines()[-1])
    return result


def memory() -> Row:
    """Return the memory of this process in MB: the peak, and what of it now is not the cache of files."""
    lines = Path("/proc/self/status").read_text(encoding="ascii").splitlines()
    fields = {line.split(":")[0]: line.split()[1] for line in lines if line.startswith(("VmHWM", "RssAnon"))}
    return {"peak MB": int(fields["VmHWM"]) // 1024, "own MB": int(fields["RssAnon"]) // 1024}


def index_step(impacts: str, output: str, threads: str, workers: str) -> Row:
    """Build one index."""
    from splade_anserini.index import index
    from splade_anserini.lucene import IndexOptions, start_jvm
    from splade_anserini.lucene.worker_options import IndexWorkerOptions

    if workers == "1":
        start_jvm()
    options, processes = IndexOptions(threads=int(threads)), IndexWorkerOptions(workers=int(workers))
    return timed(lambda: index(impacts, output, options, workers=processes, overwrite=True))


def shards_step(impacts: str, output: str, threads: str) -> Row:
    """Build a sharded index, in one process."""
    from splade_anserini.index import index
    from splade_anserini.lucene import IndexOptions, start_jvm
    from splade_anserini.lucene.worker_options import IndexWorkerOptions

    start_jvm()
    options = IndexOptions(threads=int(threads))
    return timed(lambda: index(impacts, output, options, workers=IndexWorkerOptions(shards=SHARDS), overwrite=True))


def merge_step(sharded: str, output: str, optimize: str) -> Row:
    """Merge the shards."""
    from splade_anserini.lucene import start_jvm
    from splade_anserini.merge import MergeOptions, merge

    start_jvm()
    return timed(lambda: merge([sharded], output, MergeOptions(optimize=optimize == "1"), overwrite=True))


def timed(work: Callable[[], object]) -> Row:
    """Return the seconds that `work` takes, and those of processors, also of processes that it started."""
    begin, before = time.perf_counter(), cpu_seconds()
    work()
    seconds = time.perf_counter() - begin
    return {"seconds": round(seconds, 2), "CPU s": round(cpu_seconds() - before, 2)}


def cpu_seconds() -> float:
    """Return the processor time of this process and of its children that have ended."""
    uses = (resource.getrusage(who) for who in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN))
    return sum(use.ru_utime + use.ru_stime for use in uses)


def search_step(index: str) -> Row:
    """Search with one reader of the index, or of all shards."""
    from splade_anserini.lucene import ImpactSearcher

    with ImpactSearcher(index) as searcher:
        return search_times(searcher.rank)


def search_each_step(sharded: str) -> Row:
    """Search shard by shard, and merge the rankings."""
    from heapq import merge as merged
    from itertools import islice

    from splade_anserini.artifacts.sharded_index import shard_directories
    from splade_anserini.lucene import ImpactSearcher
    from splade_anserini.lucene.ranking import Ranking
    from splade_anserini.ordering import rank_key

    searchers = [ImpactSearcher(path) for path in shard_directories(Path(sharded))]

    def rank(query: Mapping[str, int], hits: int) -> Ranking:
        rankings = [searcher.rank(query, hits) for searcher in searchers]
        pairs = [zip(ranking.scores, ranking.ids, strict=True) for ranking in rankings]
        best = list(islice(merged(*pairs, key=lambda pair: rank_key(*pair)), hits))
        return Ranking([id_ for _, id_ in best], [score for score, _ in best], [])

    return search_times(rank)


def search_bounded_step(sharded: str) -> Row:
    """Search shard by shard for as many hits as each will have among the best of all.

    No early stop can do more: this is as if each shard knew the k-th score of all before it began.
    """
    from collections import Counter

    from splade_anserini.artifacts.sharded_index import shard_directories
    from splade_anserini.lucene import ImpactSearcher
    from splade_anserini.ordering import best

    searchers = [ImpactSearcher(path) for path in shard_directories(Path(sharded))]
    row: Row = {}
    for hits in (10, 1000):
        times = {"all": 0.0, "bounded": 0.0}
        for query in make_queries():
            rankings = [searcher.rank(query, hits) for searcher in searchers]
            pairs = [
                (f"{number} {id_}", score)
                for number, ranking in enumerate(rankings)
                for score, id_ in zip(ranking.scores, ranking.ids, strict=True)
            ]
            share = Counter(int(id_.split()[0]) for id_, _ in best(pairs, hits))
            for name, depths in {
                "all": [hits] * len(searchers),
                "bounded": [share[n] for n in range(len(searchers))],
            }.items():
                before = time.thread_time()
                for searcher, depth in zip(searchers, depths, strict=True):
                    if depth:
                        searcher.rank(query, depth)
                times[name] += time.thread_time() - before
        row |= {f"CPU ms, k = {hits}, {name}": round(1000 * total / QUERIES, 2) for name, total in times.items()}
    return row


def search_sliced_step(sharded: str) -> Row:
    """Search with one reader of all shards, each on a thread of Java's."""
    from splade_anserini.lucene import ImpactSearcher

    with ImpactSearcher(sharded) as searcher:
        from jnius import autoclass

        pool = autoclass("java.util.concurrent.Executors").newFixedThreadPool(2)
        sliced = autoclass("org.apache.lucene.search.IndexSearcher")(
            searcher.lucene.getIndexReader(),
            pool,
            signature="(Lorg/apache/lucene/index/IndexReader;Ljava/util/concurrent/Executor;)V",
        )
        sliced.setSimilarity(searcher._similarity())  # noqa: SLF001  # what is measured is not offered
        searcher._searcher = sliced  # noqa: SLF001
        times = search_times(searcher.rank)
        pool.shutdown()
    return times


def search_times(rank: Callable[[Mapping[str, int], int], Any]) -> Row:
    """Return the milliseconds for a query, after a first pass, and a digest of all rankings."""
    import hashlib

    queries = make_queries()
    digest = hashlib.sha256()
    row: Row = {}
    for hits in (10, 1000):
        for query in queries:
            ranking = rank(query, hits)
            digest.update(repr((ranking.ids, ranking.scores)).encode())
        times, of_thread = [], []
        for query in queries:
            begin, before = time.perf_counter(), time.thread_time()
            rank(query, hits)
            times.append(time.perf_counter() - begin)
            of_thread.append(time.thread_time() - before)
        row[f"ms, k = {hits}"] = round(1000 * float(np.median(times)), 2)
        # Java runs in this thread, and how busy the machine is does not count.
        row[f"CPU ms, k = {hits}"] = round(1000 * float(np.mean(of_thread)), 2)
    return row | {"digest": digest.hexdigest()}


STEPS: dict[str, Callable[..., Row]] = {
    "index": index_step,
    "shards": shards_step,
    "merge": merge_step,
    "search": search_step,
    "search_each": search_each_step,
    "search_bounded": search_bounded_step,
    "search_sliced": search_sliced_step,
}


def make_queries() -> list[dict[str, int]]:
    """Return the queries, which are the same for all sizes."""
    random = np.random.default_rng(7)
    tokens = draw(random, (QUERIES, TERMS))
    weights = random.integers(20, 250, size=tokens.shape)
    return [
        {f"t{token}": int(weight) for token, weight in zip(row, of_row, strict=True)}
        for row, of_row in zip(tokens, weights, strict=True)
    ]


def draw(random: np.random.Generator, shape: tuple[int, int]) -> Any:
    """Draw ranks of tokens, of which the frequencies fall as 1 / (rank + 50)."""
    greatest = np.log((VOCABULARY + 50) / 50)
    return np.minimum(50 * np.expm1(greatest * random.random(shape)), VOCABULARY - 1).astype(np.int64)


def write_impacts(path: Path, size: int) -> None:
    """Write what encode would write."""
    shards, in_file = [], min(FILE, -(-size // FILES))
    with whole_directory(path) as partial:
        for number, start in enumerate(range(0, size, in_file)):
            shards.append(write_file(partial / f"shard-{number:05}.jsonl.gz", start, min(in_file, size - start)))
        counts = sum((shard.counts for shard in shards), Counts())
        settings = EncodeSettings(
            encoder=None,
            corpus="synthetic",
            scale=100,
            max_length=None,
            top_k=None,
            contents=False,
            docs_per_shard=in_file,
            shard_id=0,
            shard_num=1,
        )
        write_manifest(partial, ImpactManifest(settings=settings, complete=True, counts=counts, shards=tuple(shards)))


def write_file(path: Path, start: int, size: int) -> Shard:
    """Write some of the documents."""
    random = np.random.default_rng([2021, start])
    tokens = draw(random, (size, ENTRIES)).tolist()
    impacts = random.integers(1, 300, size=(size, ENTRIES)).tolist()
    postings = total = 0
    with gzip.open(path, "wb", compresslevel=1) as file:
        for row in range(size):
            vector = {f"t{token}": impact for token, impact in zip(tokens[row], impacts[row], strict=True)}
            postings += len(vector)
            total += sum(vector.values())
            line = json.dumps({"id": f"d{start + row}", "contents": "", "vector": vector}, separators=(",", ":"))
            file.write(line.encode() + b"\n")
    counts = Counts(documents=size, postings=postings, impacts=total)
    return Shard(file=path.name, counts=counts, digest=path.name)


COSTS: dict[str, Callable[[Row], float]] = {
    "index, CPU s": lambda row: row["index"]["CPU s"],
    "merge, CPU s": lambda row: row["merge"]["CPU s"],
    "index, MB": lambda row: row["bytes"] / 1e6,
    "search, k = 10, CPU ms": lambda row: row["search"]["CPU ms, k = 10"],
    "search, k = 1,000, CPU ms": lambda row: row["search"]["CPU ms, k = 1000"],
}


def tables(rows: Sequence[Row], *, checked: bool) -> str:
    """Return the measurements, and the fit, as tables in Markdown."""
    names = [name for name in rows[0] if isinstance(rows[0][name], dict)]
    lines = ["", f"| | {' | '.join(f'{row["documents"]:,}' for row in rows)} |", f"|---|{'---|' * len(rows)}"]
    for name in names:
        lines += [
            f"| {name}, {value} | {' | '.join(str(row[name][value]) if name in row else '' for row in rows)} |"
            for value in rows[0][name]
            if value != "digest"
        ]
    fitted = rows[:-1] if checked else rows
    sizes = np.array([row["documents"] for row in fitted], dtype=float)
    sizes_shown = [rows[-1]["documents"]] if checked else []
    sizes_shown += [8_800_000, 138_000_000, 1_000_000_000]
    lines += ["", f"| fitted | {' | '.join(f'{size:,}' for size in sizes_shown)} |{' measured |' if checked else ''}"]
    lines += [f"|---|{'---|' * len(sizes_shown)}{'---|' if checked else ''}"]
    for name, cost in COSTS.items():
        slope, constant = np.polyfit(sizes, [cost(row) for row in fitted], 1)
        values = [f"{constant + slope * size:,.4g}" for size in sizes_shown]
        if checked:
            values.append(f"{cost(rows[-1]):,.4g} at {rows[-1]['documents']:,}")
        lines.append(f"| {name} | {' | '.join(values)} |")
    return "\n".join(lines)


if __name__ == "__main__":
    main()
