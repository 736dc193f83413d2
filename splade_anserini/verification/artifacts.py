"""What can be verified, and what a path or a name stands for."""

from pathlib import Path
from typing import Literal

from splade_anserini.artifacts.manifests import kind_of_manifest
from splade_anserini.artifacts.outputs import IN_DIRECTORY, manifest_path
from splade_anserini.cards.finding import find_graph
from splade_anserini.errors import InputError

type ArtifactKind = Literal["impacts", "index", "text-index", "output", "sweep", "reproduction", "training", "encoder"]

_MANIFESTS: dict[str, ArtifactKind] = {
    "impacts": "impacts",
    "index": "index",
    "sharded-index": "index",
    "text-index": "text-index",
    "sweep": "sweep",
    "reproduction": "reproduction",
    "checkpoint": "encoder",
    "encoder": "encoder",
}
"""Kind of a directory's manifest → what the directory is."""

TRAINING_RUN = "run.json"
"""The file that describes an unfinished training run."""


def artifact_kind(name: str) -> ArtifactKind:
    """Return what a path or a name stands for; anything but a path is the name of an encoder.

    Raises `InputError` for what neither this program wrote nor Lucene.
    """
    path = Path(name)
    if path.is_dir():
        return _kind_of_directory(path)
    if not path.is_file() or path.suffix == ".toml":
        return "encoder"
    if manifest_path(path).is_file():
        return "output"
    raise InputError(
        f"{name} is a file without a manifest beside it.",
        expected="what a command of splade-anserini wrote, a Lucene index, or the name of an encoder",
    )


def _kind_of_directory(path: Path) -> ArtifactKind:
    manifest = kind_of_manifest(path)
    if manifest in _MANIFESTS:
        return _MANIFESTS[manifest]
    if manifest == "":
        raise InputError(f"The manifest of {path} cannot be read.", do="Write the directory again.")
    children = [child for child in path.iterdir() if child.is_dir() and not child.name.startswith(".")]
    holds_parts = bool(children) and all(kind_of_manifest(child) == "impacts" for child in children)
    kinds: dict[ArtifactKind, bool] = {
        "index": any(path.glob("segments_*")),
        "training": path.resolve().name.endswith(".training") and (path / TRAINING_RUN).is_file(),
        "impacts": holds_parts,
        "output": (path / IN_DIRECTORY).is_file() and find_graph(path) is None,
    }
    return next((kind for kind, is_it in kinds.items() if is_it), "encoder")
