"""Average the weights of a checkpoint and of the one that its training started from.

    python recipes/mean_of_checkpoints.py build/splade-mini-checkpoint build/splade-mini-v2/checkpoint --output DIR

The mean keeps more of what the first had learned of other collections than the second does (Wortsman et al. 2022,
"Robust fine-tuning of zero-shot models"). All other files are those of the second.
"""

import argparse
import shutil
from pathlib import Path

from safetensors.torch import load_file, save_file

from splade_anserini.artifacts.files import whole_directory
from splade_anserini.artifacts.manifests import CheckpointManifest, read_manifest, write_manifest

WEIGHTS = "model.safetensors"
OWN_FILES = ("output.manifest", "log.jsonl", "training.png", "README.md")
"""Files that tell about the second checkpoint alone."""


def main() -> None:
    """Write the mean."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("first", type=Path)
    parser.add_argument("second", type=Path)
    parser.add_argument("--output", type=Path, required=True)
    settings = parser.parse_args()
    first, second = load_file(settings.first / WEIGHTS), load_file(settings.second / WEIGHTS)
    if first.keys() != second.keys():
        parser.error(f"the checkpoints have different parameters: {sorted(first.keys() ^ second.keys())}")
    with whole_directory(settings.output) as partial:
        shutil.copytree(settings.second, partial, ignore=shutil.ignore_patterns(*OWN_FILES), dirs_exist_ok=True)
        means = {name: (first[name] + second[name]) / 2 for name in first}
        save_file(means, partial / WEIGHTS, metadata={"format": "pt"})
        # How queries are encoded and weighted; the counts are those of the training alone.
        if manifest := read_manifest(partial, CheckpointManifest):
            write_manifest(partial, manifest.model_copy(update={"truncation": None}))


if __name__ == "__main__":
    main()
