"""Test and measure splade-anserini on a GPU: correctness, encoding, training steps, and a real training.

Run: python benchmarks/gpu.py --output DIR [--minutes 8] [--inputs PACKED]

Each result is written to DIR as soon as it is known: results.json, and a table in results.md. The same command again
takes the measurements that are missing. Nothing needs Java or a network; a package that is missing is named. On
another machine: python benchmarks/gpu.py --pack PACKED prepares what must travel.
"""

import argparse
import os
import subprocess
import sys
import time
from collections.abc import Sequence
from importlib import import_module
from pathlib import Path

BENCHMARKS = Path(__file__).parent
for directory in (str(BENCHMARKS.parent), str(BENCHMARKS)):
    if directory not in sys.path:
        sys.path.insert(0, directory)

from gpu_parts.context import (  # noqa: E402
    BROKEN,
    DEFAULT_BACKBONE,
    FULL,
    REQUIRED,
    TINY,
    Context,
    missing_packages,
    take,
)
from gpu_parts.pack import WHEELS, pack, packed_inputs, unpack_wheels  # noqa: E402
from gpu_parts.results import Results, failures, part_table  # noqa: E402

PARTS = {"correct": "correctness", "encode": "encoding_rates", "train": "training_steps", "real": "real_training"}
"""The parts in the order of their importance, and their modules."""
TITLES = {"correct": "Correctness", "encode": "Encoding", "train": "Training steps", "real": "A real training"}
SHARES = {"correct": 0.25, "encode": 0.45, "train": 0.4, "real": 1.0}
"""Of the time that is left when a part begins, what it may take."""
RESERVE = 10.0
"""Seconds that are left at the end."""
LEAST = 5.0
"""Seconds without which a part is not begun."""
NO_GPU = 4
"""Exit code of a part whose device is not there."""
OVERTIME = 124
"""Exit code of a part that had to be stopped."""
ATTEMPTS = 3
"""Processes for a part: after an error that leaves the device unusable, another one takes the rows that are left."""


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the parts one after the other, each in its own process; return 1 when something failed."""
    options = _parser().parse_args(arguments)
    if options.pack:
        pack(options.pack, options.backbone or DEFAULT_BACKBONE, options.sets, wheels=not options.no_wheels)
        return 0
    if options.output is None:
        _parser().error("--output is missing")
    if options.inputs:
        paths = unpack_wheels(options.inputs / WHEELS, options.work.absolute() / "site", missing_packages(REQUIRED))
        sys.path[:0] = paths
        if paths:
            os.environ["PYTHONPATH"] = os.pathsep.join(filter(None, [*paths, os.environ.get("PYTHONPATH")]))
    if missing := missing_packages(REQUIRED):
        print(f"Missing packages: {', '.join(missing)}.", file=sys.stderr)
        return 2
    return _run_part(options) if options.run_part else _run(options)


def _run(options: argparse.Namespace) -> int:
    results = Results(options.output, TITLES)
    # After this time, no part is begun and none goes on.
    end = time.time() + 60 * options.minutes - RESERVE
    run = f"{time.time():.0f}"
    ended: list[str] = []
    for part in PARTS:
        if options.only and part not in options.only:
            continue
        if results.is_complete(part):
            print(f"{part}: done before", file=sys.stderr)
            continue
        limit = SHARES[part] * (end - time.time())
        if limit < LEAST:
            print(f"{part}: no time left", file=sys.stderr)
            continue
        code = _attempt(options, part, run, min(time.time() + limit, end), results)
        if code == NO_GPU:
            return 2
        if code not in {0, OVERTIME}:
            ended.append(f"{part}: {_reason(code)}")
        print("\n".join([*part_table(TITLES[part], results.rows(part)), ""]), flush=True)
    failed = [f"{part}: {name}" for part in PARTS for name in failures(results.rows(part))]
    for name in (*ended, *failed):
        print(f"failed: {name}", file=sys.stderr)
    return 1 if ended or failed else 0


def _attempt(options: argparse.Namespace, part: str, run: str, deadline: float, results: Results) -> int:
    """Run a part, again if its device broke; return the exit code of the last process."""
    code = BROKEN
    for _ in range(ATTEMPTS):
        code = _start(options, part, run, deadline)
        results.load()
        results.interrupted(part, _reason(code))
        if code != BROKEN and code >= 0:
            break
    return code


def _start(options: argparse.Namespace, part: str, run: str, deadline: float) -> int:
    """Run a part in its own process; return its exit code, `OVERTIME` if it had to be stopped."""
    command = [sys.executable, __file__, "--run-part", part, "--run", run, "--deadline", str(deadline)]
    kind, _, index = options.device.partition(":")
    # With an index: some functions of torch.cuda need one.
    device = "cuda:0" if kind == "cuda" else kind
    command += ["--output", str(options.output), "--work", str(options.work), "--device", device]
    for name, value in (("--inputs", options.inputs), ("--backbone", options.backbone)):
        command += [name, str(value)] if value else []
    command += [word for source in options.data or () for word in ("--data", source)]
    command += ["--tiny"] if options.tiny else []
    environment = {"HF_HUB_OFFLINE": "1", **os.environ}
    if kind == "cpu" or index:
        # What chooses a device itself then has no choice.
        environment["CUDA_VISIBLE_DEVICES"] = index
    if part == "correct":
        environment["CUBLAS_WORKSPACE_CONFIG"] = ":4096:8"  # sums in a fixed order, where runs are compared
    with subprocess.Popen(command, env=environment) as process:
        try:
            # A measurement that has begun before the deadline may be finished.
            return process.wait(max(1.0, deadline + RESERVE / 2 - time.time()))
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()
            return OVERTIME


def _reason(code: int) -> str:
    if code == OVERTIME:
        return "its time was over"
    return f"the process ended with code {code}" if code else ""


def _run_part(options: argparse.Namespace) -> int:
    import torch
    from gpu_parts.devices import describe

    if options.device.startswith("cuda") and not torch.cuda.is_available():
        print("torch finds no GPU. For a rehearsal, add --device cpu --tiny.", file=sys.stderr)
        return NO_GPU
    results = Results(options.output, TITLES)
    results.set_machine(**describe(options.device))
    inputs = packed_inputs(options.inputs) if options.inputs else {}
    context = Context(
        part=options.run_part,
        device=options.device,
        deadline=options.deadline,
        run=options.run,
        results=results,
        output=options.output,
        work=options.work,
        sizes=TINY if options.tiny else FULL,
        backbone=options.backbone or inputs.get("backbone", DEFAULT_BACKBONE),
        data=options.data or inputs.get("data", ()),
    )
    context.work.mkdir(parents=True, exist_ok=True)
    return take(context, import_module(f"gpu_parts.{PARTS[options.run_part]}").measurements(context))


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--output", type=Path, help="directory of the results; an earlier run is continued")
    parser.add_argument("--minutes", type=float, default=8.0, help="time for everything [default: 8]")
    parser.add_argument("--device", default="cuda", help="cuda, cuda:n, or cpu for a rehearsal [default: cuda]")
    parser.add_argument("--tiny", action="store_true", help="tiny models and few texts, for a rehearsal")
    parser.add_argument("--only", action="append", choices=PARTS, help="one part; repeat for several")
    parser.add_argument("--inputs", type=Path, help="directory that --pack has filled")
    parser.add_argument("--backbone", help=f"sentence encoder of the real training [default: {DEFAULT_BACKBONE}]")
    parser.add_argument("--data", action="append", help="training examples, as train takes them; repeat for several")
    parser.add_argument("--work", type=Path, default=Path("build") / "gpu", help="directory for generated files")
    parser.add_argument("--pack", type=Path, metavar="DIR", help="fill DIR with what must travel, and print its size")
    parser.add_argument("--sets", type=Path, help="with --pack: the directory of splade-mini's training data")
    parser.add_argument("--no-wheels", action="store_true", help="with --pack: download no packages")
    for name, kind in (("--run-part", str), ("--run", str), ("--deadline", float)):
        parser.add_argument(name, type=kind, help=argparse.SUPPRESS)
    return parser


if __name__ == "__main__":
    sys.exit(main())
