"""Measure splade-anserini and other tools, in turns, on the same input, and print tables in Markdown.

Run: python benchmarks/run.py --data DIR [--full] [--only indexing --only searching …]

DIR holds cranfield/ and nfcorpus/ (BEIR), splade-v3.nfcorpus/docs.jsonl.gz and
encoded-queries/msmarco-passage.dev-subset.tsv.gz. A benchmark whose data are missing is skipped, with a note.
"""

import argparse
import os
import platform
import sys
import time
from importlib import import_module
from importlib.metadata import version
from pathlib import Path

from alternate import Outcome, run, save
from settings import MissingDataError, Settings

SHORT = ("indexing", "searching", "cold_start", "encoding", "queries", "pipeline")
"""The pipeline compared with other tools, in ten minutes."""
BENCHMARKS = (*SHORT, "training", "engines", "two_step", "counting")
PACKAGES = (
    "splade-anserini",
    "pyserini",
    "torch",
    "transformers",
    "onnxruntime",
    "sentence-transformers",
    "numpy",
    "bmp",
    "pyseismic-lsr",
)


def machine() -> str:
    """Return a line with processor, cores, memory and versions."""
    lines = Path("/proc/cpuinfo").read_text().splitlines() if Path("/proc/cpuinfo").exists() else []
    names = [line.partition(":")[2].strip() for line in lines if line.startswith("model name")]
    memory = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") / 2**30
    versions = ", ".join(f"{package} {_version(package)}" for package in PACKAGES)
    return f"{(names or [platform.processor()])[0]}, {os.cpu_count()} cores, {memory:.0f} GB. {versions}."


def _version(package: str) -> str:
    try:
        return version(package)
    except ImportError:
        return "missing"


def benchmark(name: str, settings: Settings) -> list[Outcome]:
    """Run all races of one module and print their tables."""
    outcomes = []
    try:
        for race in import_module(name).races(settings):
            outcomes.append(run(race))
            print(outcomes[-1].table(), flush=True)
    except MissingDataError as error:
        print(f"### {name}\n\nSkipped: {error}.\n", flush=True)
    return outcomes


def main() -> None:
    """Print tables on stdout and progress on stderr; write all measurements as JSON."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, required=True, help="directory of the real data")
    parser.add_argument("--work", type=Path, default=Path("build") / "bench", help="directory for generated files")
    form = parser.add_mutually_exclusive_group()
    form.add_argument("--short", action="store_true", help="compare with other tools, in ten minutes [default]")
    form.add_argument("--full", action="store_true", help="everything, also with 1,000,000 documents: hours")
    parser.add_argument("--only", action="append", choices=BENCHMARKS, help="repeat for several")
    parser.add_argument("--rounds", type=int, help="turns of each contestant")
    parser.add_argument("--documents", type=int, help="synthetic documents [default: 100,000; --full: 1,000,000 too]")
    arguments = parser.parse_args()
    settings = Settings(arguments.data, arguments.work, arguments.full, arguments.rounds, arguments.documents)
    settings.work.mkdir(parents=True, exist_ok=True)
    begin = time.perf_counter()
    print(f"{machine()}\n", flush=True)
    names = arguments.only or (BENCHMARKS if arguments.full else SHORT)
    outcomes = [outcome for name in names for outcome in benchmark(name, settings)]
    save(outcomes, settings.work / "results.json")
    print(f"{(time.perf_counter() - begin) / 60:.1f} minutes", file=sys.stderr)


if __name__ == "__main__":
    main()
