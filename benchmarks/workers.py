"""`encode` with threads, with worker processes and on Ray: documents/s side by side, and peak memory at three sizes.

    python benchmarks/workers.py --data DIR speed --documents 480 --rounds 3
    python benchmarks/workers.py --data DIR memory --sizes 1000 10000 100000

The speed is that of the whole command, its start included, and from the first of twelve shards on; the commands take
turns. Memory is measured with a tiny model with random weights, on short texts, 1,000 in a shard.
"""

import argparse
import itertools
import json
import os
import shutil
import statistics
import subprocess
import sys
import threading
import time
from dataclasses import dataclass, field
from pathlib import Path

WAYS = {
    "1 thread": ["--threads", "1"],
    "2 threads": ["--threads", "2"],
    "1 worker, 2 threads (Ray)": ["--ray", "--workers", "1", "--cpus-per-worker", "2"],
    "2 workers": ["--workers", "2"],
    "2 workers (Ray)": ["--ray", "--workers", "2"],
}
"""Ways to encode → options."""

_KINDS = {"splade_anserini.workers.child": "worker", "ray::RemoteWorker": "worker"}
"""Parts of the command lines of processes → what they are."""


@dataclass
class Peaks:
    """Peak memory in MB of a driver, of its largest worker, and of Ray's object store; and seconds."""

    seconds: float = 0.0
    encoding: float = 0.0
    """Seconds from the first file of the output to the end."""
    peaks: dict[str, float] = field(default_factory=dict)


def main() -> None:
    """Measure what is asked for, and print a table."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else "")
    parser.add_argument("--data", type=Path, required=True, help="Directory with nfcorpus/.")
    parser.add_argument("--work", type=Path, default=Path("build/bench"))
    parser.add_argument("what", choices=["speed", "memory"])
    parser.add_argument("--documents", type=int, default=480)
    parser.add_argument("--encoder", default="splade-mini", help="splade-mini, or MiniLM or bert-base with torch.")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--sizes", type=int, nargs="*", default=[1_000, 10_000, 100_000])
    parser.add_argument("--only", nargs="*", choices=WAYS, default=list(WAYS))
    arguments = parser.parse_args()
    arguments.work.mkdir(parents=True, exist_ok=True)
    (measure_speed if arguments.what == "speed" else measure_memory)(arguments)


def measure_speed(arguments: argparse.Namespace) -> None:
    """Print documents/s of each way, in turn."""
    corpus = write_corpus(arguments.data / "nfcorpus", arguments.work, arguments.documents)
    encoder = arguments.encoder
    if encoder != "splade-mini":
        encoder = made(encoder, arguments)
    shard = ["--docs-per-shard", str(max(1, arguments.documents // 12))]
    results: dict[str, list[Peaks]] = {way: [] for way in arguments.only}
    for _ in range(arguments.rounds):
        for way in arguments.only:
            results[way].append(encode(corpus, encoder, arguments.work, [*WAYS[way], *shard]))
            print(json.dumps({way: vars(results[way][-1])}), flush=True)
    print("| | documents/s | without the start | driver, MB | a worker, MB |\n|---|---|---|---|---|")
    for way, runs in results.items():
        whole = [arguments.documents / run.seconds for run in runs]
        # The first shard was done before the clock began.
        alone = [arguments.documents * 11 / 12 / run.encoding for run in runs]
        peaks = [max(run.peaks.get(kind, 0) for run in runs) for kind in ("driver", "worker")]
        print(f"| {way} | {spread(whole)} | {spread(alone)} | {peaks[0]:.0f} | {peaks[1]:.0f} |")


def measure_memory(arguments: argparse.Namespace) -> None:
    """Print the peak memory of each way at each size."""
    encoder = made("tiny", arguments)
    rows = []
    for size in arguments.sizes:
        corpus = write_corpus(arguments.data / "nfcorpus", arguments.work, size, words=20)
        for way in arguments.only:
            run = encode(corpus, encoder, arguments.work, [*WAYS[way], "--docs-per-shard", "1000"])
            peaks = " | ".join(f"{run.peaks.get(kind, 0):.0f}" for kind in ("driver", "worker", "object store"))
            rows.append(f"| {way} | {size:,} | {peaks} | {size / run.seconds:.0f} |")
            print(rows[-1], flush=True)
    print("| | documents | driver, MB | largest worker, MB | object store, MB | documents/s |")
    print("|---|---|---|---|---|---|", *rows, sep="\n")


def made(size: str, arguments: argparse.Namespace) -> str:
    """Make a checkpoint of this size with random weights."""
    sys.path.insert(0, str(Path(__file__).parent))
    from models import checkpoint

    return str(checkpoint(size, [arguments.data / "nfcorpus"], arguments.work))


def encode(corpus: Path, encoder: str, work: Path, options: list[str]) -> Peaks:
    """Run the command once."""
    output = work / f"workers-impacts-{os.getpid()}"
    shutil.rmtree(output, ignore_errors=True)
    command = [sys.executable, "-m", "splade_anserini.encode", "--corpus", str(corpus), "--encoder", encoder]
    begin, result = time.monotonic(), Peaks()
    with subprocess.Popen([*command, "--output", str(output), *options], stdout=subprocess.DEVNULL) as process:
        watcher = threading.Thread(target=watch, args=(process, output, result))
        watcher.start()
        process.wait()
        watcher.join()
    end = time.monotonic()
    if process.returncode:
        raise SystemExit(f"{command} {options} ended with {process.returncode}")
    result.seconds, result.encoding = end - begin, end - result.encoding
    return result


def watch(process: "subprocess.Popen[bytes]", output: Path, result: Peaks) -> None:
    """Note the peaks of a process and of those that it started, and when the first shard was there."""
    while process.poll() is None:
        if not result.encoding and any(output.glob("shard-*.gz")):
            result.encoding = time.monotonic()
        for pid in tree(process.pid):
            try:
                status = Path(f"/proc/{pid}/status").read_text(encoding="utf-8")
                line = Path(f"/proc/{pid}/cmdline").read_bytes().decode(errors="replace")
            except OSError:
                continue
            default = "driver" if pid == process.pid else "other"
            kind = next((kind for part, kind in _KINDS.items() if part in line), default)
            # What a process has mapped of Ray's object store is shared memory.
            for kind_, key in ((kind, "VmHWM"), ("object store", "RssShmem")):
                sizes = [int(row.split()[1]) / 1024 for row in status.splitlines() if row.startswith(f"{key}:")]
                result.peaks[kind_] = max([result.peaks.get(kind_, 0.0), *sizes])
        time.sleep(0.1)


def tree(pid: int) -> list[int]:
    """Return a process and all that it or these have started."""
    try:
        children = [path.read_text().split() for path in Path(f"/proc/{pid}/task").glob("*/children")]
    except OSError:
        return [pid]
    return [pid, *(each for child in itertools.chain(*children) for each in tree(int(child)))]


def write_corpus(source: Path, work: Path, count: int, words: int | None = None) -> Path:
    """Write documents of a collection, repeated until there are enough, perhaps only some words of each."""
    from splade_anserini.formats.corpora import open_corpus

    path = work / f"workers-{count}-{words or 'all'}.jsonl"
    if not path.exists():
        documents = itertools.cycle(list(open_corpus(str(source))))
        with path.open("w", encoding="utf-8") as file:
            for number, document in enumerate(itertools.islice(documents, count)):
                text = " ".join(document.contents.split()[:words])
                file.write(json.dumps({"id": f"d{number}", "text": text}) + "\n")
    return path


def spread(values: list[float]) -> str:
    """Return the median and the range."""
    return f"{statistics.median(values):.1f} ({min(values):.1f} to {max(values):.1f})"


if __name__ == "__main__":
    main()
