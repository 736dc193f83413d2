"""The time that `--help` of each command takes, compared with `python -c pass`: the shortest of a few runs.

Run: python benchmarks/help_times.py [--rounds 5]
"""

import argparse
import subprocess
import sys
import time

from splade_anserini.__main__ import COMMANDS


def seconds(command: list[str], rounds: int) -> float:
    """Return the time of the shortest of several runs, which other processes slow down least."""
    times = []
    for _ in range(rounds):
        start = time.perf_counter()
        subprocess.run(command, capture_output=True, check=True)
        times.append(time.perf_counter() - start)
    return min(times)


def main() -> None:
    """Print a row for each command."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, default=5)
    rounds = parser.parse_args().rounds
    print(f"{'python -c pass':<20}{seconds([sys.executable, '-c', 'pass'], rounds):6.3f} s")
    for name in COMMANDS:
        module = f"splade_anserini.{name.replace('-', '_')}"
        print(f"{name:<20}{seconds([sys.executable, '-m', module, '--help'], rounds):6.3f} s", flush=True)


if __name__ == "__main__":
    main()
