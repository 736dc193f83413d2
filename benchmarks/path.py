"""Time the whole path on Cranfield, step by step, and the help of every stage: medians of several runs.

Run: python benchmarks/path.py [--runs 3]
"""

import argparse
import re
import statistics
import subprocess
import sys
import tempfile
import time
from collections import defaultdict
from pathlib import Path

from splade_anserini.__main__ import STAGES
from splade_anserini.cards.shipped import encoders_home

STEP = re.compile(r"^  (.+?)\s+([\d.]+) s$", re.MULTILINE)


def splade_anserini(*arguments: str | Path) -> tuple[float, str]:
    """Run the command in a process of its own; return its wall-clock seconds and what it printed."""
    start = time.perf_counter()
    done = subprocess.run(
        [sys.executable, "-m", "splade_anserini", *map(str, arguments)], capture_output=True, text=True, check=True
    )
    return time.perf_counter() - start, done.stdout


def quickstart_steps(runs: int) -> dict[str, list[float]]:
    """Return the seconds of each step of the quickstart, run from nothing `runs` times."""
    seconds: dict[str, list[float]] = defaultdict(list)
    for _ in range(runs):
        with tempfile.TemporaryDirectory() as home:
            took, text = splade_anserini("quickstart", "--output", Path(home) / "quickstart")
        for step, value in STEP.findall(text):
            seconds[step].append(float(value))
        seconds["the command, from start to end"].append(took)
    return seconds


def main() -> None:
    """Print a table in Markdown."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--runs", type=int, default=3)
    runs = parser.parse_args().runs
    print("| step of the quickstart | median, s | least | most |\n|---|---|---|---|")
    for step, values in quickstart_steps(runs).items():
        print(f"| {step} | {statistics.median(values):.1f} | {min(values):.1f} | {max(values):.1f} |")
    print("\n| `--help` of | median, s |\n|---|---|")
    for stage in STAGES:
        values = [splade_anserini(stage, "--help")[0] for _ in range(max(runs, 5))]
        print(f"| {stage} | {statistics.median(values):.2f} |")
    model = encoders_home() / "splade-mini" / "model.onnx"
    print(f"\nencoders/splade-mini/model.onnx: {model.stat().st_size / 1e6:.1f} MB")


if __name__ == "__main__":
    main()
