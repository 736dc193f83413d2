"""Time the steps of the quickstart, the whole pipeline on Cranfield: medians of several runs.

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

from splade_anserini.cards.shipped import encoders_home

STEP = re.compile(r"^  (.+?)\s+([\d.]+) s$", re.MULTILINE)


def splade_anserini(*arguments: str | Path) -> tuple[float, str]:
    """Run a command in its own process; return its wall-clock seconds and its output."""
    start = time.perf_counter()
    done = subprocess.run(
        [sys.executable, "-m", "splade_anserini", *map(str, arguments)], capture_output=True, text=True, check=True
    )
    return time.perf_counter() - start, done.stdout


def quickstart_steps(runs: int) -> dict[str, list[float]]:
    """Return the seconds of each step of the quickstart, run `runs` times, each time in a new directory."""
    seconds: dict[str, list[float]] = defaultdict(list)
    for _ in range(runs):
        with tempfile.TemporaryDirectory() as home:
            total, output = splade_anserini("quickstart", "--output", Path(home) / "quickstart")
        for step, value in STEP.findall(output):
            seconds[step].append(float(value))
        seconds["the whole command"].append(total)
    return seconds


def main() -> None:
    """Print a table in Markdown."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--runs", type=int, default=3)
    runs = parser.parse_args().runs
    print("| step of the quickstart | median, s | minimum | maximum |\n|---|---|---|---|")
    for step, values in quickstart_steps(runs).items():
        print(f"| {step} | {statistics.median(values):.1f} | {min(values):.1f} | {max(values):.1f} |")

    model = encoders_home() / "splade-mini" / "model.onnx"
    print(f"\nencoders/splade-mini/model.onnx: {model.stat().st_size / 1e6:.1f} MB")


if __name__ == "__main__":
    main()
