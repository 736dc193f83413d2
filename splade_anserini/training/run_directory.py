"""Check that a run can start, and hold the directory of its checkpoints until it is finished."""

import json
import re
import shutil
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import pydantic

from splade_anserini.artifacts.changes import changed_names
from splade_anserini.artifacts.files import (
    PARTIAL,
    directory_lock,
    output_errors,
    require_disjoint,
    require_free,
    resolved_output,
    whole_file,
)
from splade_anserini.artifacts.outputs import require_replaceable
from splade_anserini.cards.encoder_card import EncoderCard
from splade_anserini.cards.training_recipe import TrainingRecipe
from splade_anserini.errors import DependencyError, InputError, MismatchError, OutputError
from splade_anserini.training.checkpoints import find_checkpoints

_PACKAGES = ("accelerate", "matplotlib")
"""Packages of the extra `train`; matplotlib is needed only at the end of a run."""

SUFFIX = ".training"
"""Appended to the output's name for the directory of an unfinished run."""

_CLUSTERS = "clusters.npz"
_FORMER_CLUSTERS = "topics.npz"
"""The name of the file in runs of earlier versions."""

_DESCRIPTION, _LOCK = "run.json", ".lock"
_OWN = re.compile(
    rf"(?:step-\d+|run\.json|\.lock|log\.jsonl|(?:clusters|topics)\.npz|best\.pt)(?:{re.escape(PARTIAL)})?"
)
"""What a run writes into its directory."""

NOTES = tuple(f"card.{name}" for name in ("recipe", "published", "verified", "reference"))
"""What a card says about its encoder that is in no file of a checkpoint."""
_NOTES = (*NOTES, "card.description", "card.license")
"""What changes nothing until a run is finished."""


def preflight(
    card: EncoderCard, output: Path, *, embeddings: Path | None = None, overwrite: bool = False
) -> TrainingRecipe:
    """Return the card's recipe after all checks that need no model and no data.

    Raises `InputError` when the card has no recipe, `OutputError` when `output` is not empty (with `overwrite`: when it
    is not a checkpoint), is or contains a model that is read or the file of the teacher's embeddings, and
    `DependencyError` when a package of the extra `train` is not installed.
    """
    if card.training is None:
        raise InputError(
            f"The card {card.name} has no table [training].",
            expected="a card that describes a training run, see docs/cards.md",
            do="Choose a card that has one, such as splade-v2-max, or write it.",
        )
    recipe = card.training
    teacher = recipe.teacher.model if recipe.teacher else None
    require_disjoint([output], [recipe.backbone, recipe.query_backbone, teacher])
    for directory in (resolved_output(output), run_directory(output)):
        if embeddings and embeddings.resolve().is_relative_to(directory.resolve()):
            raise OutputError(
                f"The embeddings {embeddings} are inside {directory}, which training replaces or removes.",
                do="Choose another path for them.",
            )
    if overwrite:
        require_replaceable(output)
    else:
        require_free(output)
    for package in _PACKAGES:
        if find_spec(package) is None:
            raise DependencyError.missing(package, "train")
    return card.training


def run_directory(output: Path) -> Path:
    """Return the directory of checkpoints and log, beside the output; it is removed when training is finished."""
    output = resolved_output(output)
    return output.with_name(output.name + SUFFIX)


def remove_run_directory(output: Path) -> None:
    """Remove what a run left beside its finished output, because it was killed before it could."""
    directory = run_directory(output)
    if directory.is_dir() and not _foreign(directory):
        with directory_lock(directory, name=_LOCK):
            _remove_checkpoints(directory)
        shutil.rmtree(directory, ignore_errors=True)


def clusters_file(directory: Path) -> Path:
    """Return the file with the cluster of each example, which takes long to compute."""
    former = directory / _FORMER_CLUSTERS
    return former if former.exists() else directory / _CLUSTERS


@contextmanager
def claim_run_directory(directory: Path, description: Mapping[str, Any], *, start_over: bool = False) -> Iterator[None]:
    """Hold `directory` for the run that `description` identifies; it stays afterwards if the run can be resumed.

    With `start_over`, what an earlier run left in it is removed. Raises `MismatchError` when another run can be resumed
    there, `OutputError` when another process holds it, or when there is something that no run wrote.
    """
    if foreign := _foreign(directory):
        raise OutputError(
            f"Training would write its checkpoints to {directory}, which holds other files: {', '.join(foreign[:5])}.",
            do="Choose another output, or move them.",
        )
    with output_errors(directory):
        directory.mkdir(parents=True, exist_ok=True)
    with directory_lock(directory, name=_LOCK):
        if start_over:
            _remove_checkpoints(directory)
        _match_description(directory, description)
        for partial in directory.glob(f"*{PARTIAL}"):
            shutil.rmtree(partial, ignore_errors=True)
        try:
            yield
        finally:
            if not _can_resume(directory):
                shutil.rmtree(directory, ignore_errors=True)


def _foreign(directory: Path) -> list[str]:
    """Return the names of what no run writes into its directory, which therefore nothing removes."""
    names = (path.name for path in directory.iterdir()) if directory.is_dir() else ()
    return sorted(name for name in names if not _OWN.fullmatch(name))


def _remove_checkpoints(directory: Path) -> None:
    for path in directory.iterdir():
        if path.is_dir():
            shutil.rmtree(path)
        elif path.name != _LOCK:
            path.unlink()


def _match_description(directory: Path, description: Mapping[str, Any]) -> None:
    """Compare the description with that of the run to resume, or write it if there is none."""
    path = directory / _DESCRIPTION
    if not path.exists():
        # Of a run that was killed while it removed an earlier one.
        _remove_checkpoints(directory)
    if not _can_resume(directory):
        with whole_file(path) as file:
            file.write(json.dumps(description, indent=1).encode())
        return
    earlier = _with_current_names(json.loads(path.read_bytes()))
    different = changed_names(earlier, description, _NOTES)
    if different:
        raise MismatchError(
            f"An unfinished run with other settings is in {directory}; these differ: {', '.join(different)}.",
            expected="the same settings, to resume it",
            do="Add --overwrite to start over, or choose another output.",
        )


def _with_current_names(description: Mapping[str, Any]) -> dict[str, Any]:
    """Return a description of an earlier version with the recipe's fields under their present names."""
    try:
        card = EncoderCard.model_validate(description["card"])
    except (KeyError, pydantic.ValidationError):
        return dict(description)
    return {**description, "card": card.model_dump(mode="json")}


def _can_resume(directory: Path) -> bool:
    return bool(find_checkpoints(directory)) or clusters_file(directory).exists()
