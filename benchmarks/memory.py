"""Peak memory of `encode` with a bert-base on NFCorpus, defaults only, under real limits of memory.

    python benchmarks/memory.py --data DIR --limits 8 4 --documents 256

The checkpoint has random weights and as many active entries as trained models; its exports in fp32 and int8 are
measured too. The longest documents come first in a window of 256, so that a hundred or two give the peak. A limit is
a control group, in which the kernel kills a process that needs more; without the rights to make one, it is RLIMIT_AS,
which counts addresses and not memory, and the output says so.
"""

import argparse
import json
import os
import resource
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from itertools import islice
from pathlib import Path

GIB = 1 << 30

ENCODERS = ["torch-fp32", "onnx-fp32", "onnx-int8"]


@dataclass(frozen=True)
class Measurement:
    """One run of `encode`."""

    encoder: str
    limit: str
    limited_by: str
    documents: int
    peak_rss_gib: float
    """The greatest resident set: files that are mapped count."""
    seconds: float
    outcome: str


def main() -> None:
    """Measure every encoder under every limit, and print a table."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else "")
    parser.add_argument("--data", type=Path, required=True, help="Directory with nfcorpus/.")
    parser.add_argument("--limits", type=float, nargs="*", default=[0, 8, 4], help="Limits in GiB; 0: none.")
    parser.add_argument("--documents", type=int, default=256)
    parser.add_argument("--work", type=Path, default=Path("build/bench"))
    parser.add_argument("--only", nargs="*", choices=ENCODERS, default=ENCODERS)
    parser.add_argument("--json", type=Path, help="Where to write the measurements.")
    arguments = parser.parse_args()
    arguments.work.mkdir(parents=True, exist_ok=True)
    corpus = write_corpus(arguments.data / "nfcorpus", arguments.work, arguments.documents)
    measurements = []
    for name in arguments.only:
        encoder = make_encoder(name, arguments.data / "nfcorpus", arguments.work)
        for limit in arguments.limits:
            measurements.append(measure(name, encoder, corpus, arguments.work, int(limit * GIB)))
            print(json.dumps(asdict(measurements[-1])), flush=True)
    print(table(measurements))
    if arguments.json:
        arguments.json.write_text(json.dumps([asdict(measurement) for measurement in measurements], indent=1))


def write_corpus(source: Path, work: Path, count: int) -> Path:
    """Write the first documents of a collection; return the file."""
    from splade_anserini.formats.corpora import open_corpus

    path = work / f"memory-{count}.jsonl"
    with path.open("w", encoding="utf-8") as file:
        for document in islice(open_corpus(str(source)), count):
            file.write(json.dumps({"id": document.id, "title": document.title, "text": document.text}) + "\n")
    return path


def make_encoder(name: str, corpus: Path, work: Path) -> Path:
    """Make a bert-base, or an export of it, in processes of their own, once; return its directory."""
    root = Path(__file__).resolve().parent
    checkpoint = work / "checkpoint-bert-base"
    if not checkpoint.exists():
        make = f"import sys; sys.path.insert(0, {str(root)!r}); from pathlib import Path; import models; "
        run = f"models.checkpoint('bert-base', [Path({str(corpus)!r})], Path({str(work)!r}))"
        subprocess.run([sys.executable, "-c", make + run], check=True)
    kind, precision = name.split("-")
    if kind == "torch":
        return checkpoint
    output = work / f"bert-base-{precision}"
    if not output.exists():
        # Random weights are far apart in int8.
        options = ["--precision", precision, "--bound", "1", "--texts", corpus]
        command = [sys.executable, "-m", "splade_anserini.export", "--encoder", checkpoint, "--output", output]
        subprocess.run([*command, *options], check=True)
    return output


def measure(name: str, encoder: Path, corpus: Path, work: Path, limit: int) -> Measurement:
    """Encode the corpus once under a limit in bytes; 0: without one."""
    command = [sys.executable, "-m", "splade_anserini.encode", "--corpus", corpus, "--encoder", encoder]
    output = work / "memory-impacts"
    with limited(limit) as (limited_by, enter):
        start = time.monotonic()
        arguments = [*command, "--output", output, "--overwrite"]
        # There are no threads here that a function between fork and exec could upset.
        with subprocess.Popen(arguments, preexec_fn=enter, stderr=subprocess.PIPE, text=True) as process:  # noqa: PLW1509
            errors = process.stderr.read() if process.stderr else ""
            _, status, usage = os.wait4(process.pid, 0)
            process.returncode = os.waitstatus_to_exitcode(status)
        seconds = time.monotonic() - start
    outcome = "done" if process.returncode == 0 else f"ended with {process.returncode}: {errors.strip()[-200:]}"
    count = sum(1 for _ in corpus.open(encoding="utf-8"))
    size = f"{limit / GIB:g} GiB" if limit else "none"
    return Measurement(name, size, limited_by, count, usage.ru_maxrss * 1024 / GIB, seconds, outcome)


# Limits.


@contextmanager
def limited(limit: int) -> Iterator[tuple[str, Callable[[], None]]]:
    """Yield what limits a new process, and the function that it calls when it starts."""
    if not limit:
        yield "nothing", lambda: None
        return
    group = new_group(limit)
    if group is None:
        yield "RLIMIT_AS", lambda: resource.setrlimit(resource.RLIMIT_AS, (limit, limit))
        return

    def enter() -> None:
        (group / "cgroup.procs").write_text(str(os.getpid()))

    try:
        yield "a control group", enter
    finally:
        group.rmdir()


def new_group(limit: int) -> Path | None:
    """Make a control group with a limit inside the group of this process; None where that is not allowed."""
    for line in Path("/proc/self/cgroup").read_text().splitlines():
        _, controllers, path = line.split(":", 2)
        version_2 = not controllers
        if not version_2 and "memory" not in controllers.split(","):
            continue
        top = Path("/sys/fs/cgroup" if version_2 else "/sys/fs/cgroup/memory")
        group = top / path.strip("/") / f"splade-anserini-memory-{os.getpid()}"
        try:
            group.mkdir()
            (group / ("memory.max" if version_2 else "memory.limit_in_bytes")).write_text(str(limit))
        except OSError:
            if group.is_dir():
                group.rmdir()
            continue
        return group
    return None


def table(measurements: Sequence[Measurement]) -> str:
    """Return the measurements as a table of Markdown."""
    rows = ["| encoder | limit | peak | outcome |", "|---|---|---|---|"]
    rows += [f"| {m.encoder} | {m.limit} | {m.peak_rss_gib:.2f} GiB | {m.outcome} |" for m in measurements]
    return "\n".join(rows)


if __name__ == "__main__":
    main()
