"""What must travel to a machine with a GPU and without a network: weights, texts and packages, and how large it is."""

import gzip
import shutil
import subprocess
import sys
import zipfile
from collections.abc import Iterable, Sequence
from importlib import metadata
from pathlib import Path
from typing import Any

LIMIT = 64 * 2**20
"""Bytes that may travel, the checkout included."""
BACKBONE, DATA, WHEELS = "backbone", "data", "wheels"

PACKAGES = ("annotated-types", "orjson", "pydantic", "pydantic-core", "typing-inspection")
"""What a machine that has torch, transformers and sentence-transformers may still lack."""

UNNEEDED = "encoders/splade-mini/model.onnx"
"""The largest file of the checkout: no part reads it."""

CHARACTERS = 1200
"""Of a text that are packed: the 160 tokens that splade-mini's recipe reads have fewer."""

MINI_DATA = (
    "medquad",
    "squad-sentences-nqg@dev+test",
    "qamr@dev+test",
    "cosqa@dev",
    "selqa@test",
    "titles:medquad@train",
    "sentences:medquad@train",
    "titles:selqa",
)
"""The data that splade-mini was trained with, below the directory of training data."""


def pack(directory: Path, backbone: str, sets: Path | None, *, wheels: bool = True) -> None:
    """Fill a directory with everything that gpu.py needs, and print its size beside the limit."""
    directory.mkdir(parents=True, exist_ok=True)
    pack_backbone(backbone, directory / BACKBONE)
    if sets is not None:
        for name in MINI_DATA:
            pack_examples(name, sets, directory / DATA)
    if wheels:
        download(directory / WHEELS)
    print("\n".join(report(directory, Path(__file__).parents[2])))


def pack_backbone(name: str, output: Path) -> None:
    """Write a sentence encoder with weights in fp16, and the files beside them."""
    from gpu_parts.weights import half_precision
    from splade_anserini.modeling.backbone import model_source

    source = Path(model_source(name))
    shutil.rmtree(output, ignore_errors=True)
    output.mkdir(parents=True)
    for path in source.rglob("*.json"):
        if path.name != "data_config.json":
            target = output / path.relative_to(source)
            target.parent.mkdir(exist_ok=True)
            shutil.copyfile(path, target)
    (output / "model.safetensors").write_bytes(half_precision(source / "model.safetensors"))


def pack_examples(name: str, sets: Path, output: Path) -> None:
    """Write the texts of training examples as a file that is read without judgements: JSON lines, compressed."""
    import orjson

    from splade_anserini.formats.examples import open_examples

    kind, _, source = name.rpartition(":")
    examples = open_examples(f"{kind}:{sets / source}" if kind else str(sets / source))
    output.mkdir(parents=True, exist_ok=True)
    path = output / f"{name.replace(':', '-').replace('@', '-').replace('+', '-')}.jsonl.gz"
    with gzip.open(path, "wb", compresslevel=9) as file:
        for index in range(len(examples)):
            example = examples[index]
            record = {"query": example.query, "positive": example.positive[:CHARACTERS].rstrip()}
            file.write(orjson.dumps(record) + b"\n")


def download(output: Path, python: str = "3.12") -> None:
    """Download the wheels of `PACKAGES` for Linux on x86-64, in the versions that are installed here."""
    output.mkdir(parents=True, exist_ok=True)
    platforms = [f"--platform=manylinux_2_{minor}_x86_64" for minor in (28, 17)] + ["--platform=manylinux2014_x86_64"]
    command = [sys.executable, "-m", "pip", "download", "--quiet", "--no-deps", "--only-binary=:all:"]
    command += [f"--python-version={python}", "--implementation=cp", *platforms, f"--dest={output}"]
    command += [f"{name}=={metadata.version(name)}" for name in PACKAGES]
    result = subprocess.run(command, capture_output=True, text=True, check=False)
    if result.returncode:
        print(f"Wheels were not downloaded: {result.stderr.strip().splitlines()[-1:]}", file=sys.stderr)


def unpack_wheels(directory: Path, output: Path, missing: Iterable[str]) -> list[str]:
    """Unpack the wheels in a directory, if any of these packages is missing; return the paths to import from."""
    wheels = sorted(directory.glob("*.whl")) if directory.is_dir() else []
    if not wheels or not list(missing):
        return []
    for wheel in wheels:
        with zipfile.ZipFile(wheel) as archive:
            archive.extractall(output)
    return [str(output)]


def packed_inputs(directory: Path) -> dict[str, Any]:
    """Return the backbone and the training data of a packed directory, those that are there."""
    backbone, data = directory / BACKBONE, sorted(map(str, (directory / DATA).glob("*.jsonl.gz")))
    return {**({"backbone": str(backbone)} if backbone.is_dir() else {}), **({"data": data} if data else {})}


def report(directory: Path, checkout: Path, limit: int = LIMIT) -> list[str]:
    """Return lines with the sizes of what is packed and of the checkout, compared with the limit."""
    packed = {part: _size((directory / part).rglob("*")) for part in (BACKBONE, DATA, WHEELS)}
    files = [checkout / name for name in _tracked(checkout)]
    tracked, unneeded = _size(files), _size([checkout / UNNEEDED])
    total = sum(packed.values()) + tracked
    lines = [f"{part}: {size / 2**20:.1f} MiB" for part, size in packed.items()]
    lines.append(f"checkout: {tracked / 2**20:.1f} MiB, of which {UNNEEDED}: {unneeded / 2**20:.1f} MiB")
    fits = "fits" if total <= limit else "does not fit"
    lines.append(f"total: {total / 2**20:.1f} MiB, which {fits} into {limit / 2**20:.0f} MiB")
    if total > limit:
        without = total - unneeded
        fits = "fits" if without <= limit else "does not fit"
        lines.append(
            f"without {UNNEEDED}: {without / 2**20:.1f} MiB, which {fits}; move it away for the time of the run"
        )
    lines.append(f"there: python benchmarks/gpu.py --inputs {directory} --output DIR")
    return lines


def _tracked(checkout: Path) -> Sequence[str]:
    command = ["git", "-C", str(checkout), "ls-files"]
    return subprocess.run(command, capture_output=True, text=True, check=False).stdout.splitlines()


def _size(paths: Iterable[Path]) -> int:
    return sum(path.stat().st_size for path in paths if path.is_file())
