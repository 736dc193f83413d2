"""How long it takes to check the files of an index before it is searched, and its share of a search.

    python benchmarks/index_check.py --index indexes/nfcorpus --topics queries.encoded.tsv

Reads the index several times (from the page cache, after the first), and times `search` as a process, with and without
the check. The last table is of a file of random bytes, to see the speed for large indexes.
"""

import argparse
import os
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterable
from pathlib import Path

from splade_anserini.lucene.index_files import IndexFiles

UNCHECKED = """
import sys
from splade_anserini.lucene import index_reader
index_reader.CHECKED_BYTES = 0
from splade_anserini.__main__ import main
sys.argv[0] = "splade-anserini"
main()
"""


def main() -> None:
    """Print the times."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--index", type=Path, required=True)
    parser.add_argument("--topics", type=Path, required=True, help="encoded topics")
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--megabytes", type=int, default=1000, help="size of the large file")
    options = parser.parse_args()
    size = IndexFiles(options.index).size
    seconds = [timed(lambda: IndexFiles(options.index).damages()) for _ in range(options.rounds)]
    print(f"{options.index}: {size / 1e6:,.1f} MB, checked in {spread(seconds, 1000)} ms")
    with tempfile.TemporaryDirectory() as home:
        checked, unchecked = [], []
        for _ in range(options.rounds):
            checked.append(search(["-m", "splade_anserini"], options, home))
            unchecked.append(search(["-c", UNCHECKED], options, home))
        print(f"search with the check {spread(checked)} s, without {spread(unchecked)} s")
        large = Path(home) / "_0.doc"
        large.write_bytes(os.urandom(options.megabytes * 1_000_000))
        seconds = [timed(lambda: IndexFiles(Path(home)).damages()) for _ in range(options.rounds)]
        speed = spread([options.megabytes / second for second in seconds])
        print(f"{options.megabytes:,} MB: {spread(seconds)} s, {speed} MB/s")


def timed(run: Callable[[], object]) -> float:
    """Return how many seconds a call takes."""
    start = time.perf_counter()
    run()
    return time.perf_counter() - start


def search(python: list[str], options: argparse.Namespace, home: str) -> float:
    """Return how many seconds the command takes, from start to end."""
    files = ["--index", str(options.index), "--topics", str(options.topics), "--output", f"{home}/run.txt"]
    command = [sys.executable, *python, "search", *files, "--pre-encoded", "--overwrite"]
    return timed(lambda: subprocess.run(command, check=True, capture_output=True))


def spread(values: Iterable[float], factor: float = 1) -> str:
    """Return the median and the range."""
    numbers = sorted(value * factor for value in values)
    return f"{statistics.median(numbers):,.2f} ({numbers[0]:,.2f} to {numbers[-1]:,.2f})"


if __name__ == "__main__":
    main()
