"""Labels of the runs that are evaluated together."""

import re
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path

from splade_anserini.errors import InputError


def named_runs(texts: Sequence[str]) -> dict[str, Path]:
    """Return the runs by their labels, in order, from texts of the form `PATH` or `LABEL=PATH`.

    A text that is the path of an existing file has no label, even if it contains `=`. A run without a label is labelled
    with its file name, preceded by as many directories as are needed to tell the runs apart. Raises `InputError` for
    an empty or duplicate label, and for a duplicate path without labels.
    """
    pairs = [_split(text) for text in texts]
    paths = [path for label, path in pairs if label is None]
    if duplicate := _first_duplicate(map(str, paths)):
        raise InputError(
            f"--run {duplicate} is given twice.", do=f"Add labels: --run first={duplicate} --run second={duplicate}"
        )
    labels = [_file_label(path, paths) if label is None else label for label, path in pairs]
    if duplicate := _first_duplicate(labels):
        raise InputError(
            f"Two runs have the label {duplicate}.",
            expected="a label of its own for each run",
            do="Pass --run LABEL=PATH.",
        )
    if unprintable := next((label for label in labels if not label.isprintable()), None):
        raise InputError(f"The label {unprintable!r} of a run has unprintable characters.", do="Choose another label.")
    return {label: path for label, (_, path) in zip(labels, pairs, strict=True)}


def runs_of_collections(directory: Path, collections: Iterable[str]) -> dict[str, Path]:
    """Return the run of each collection: the only file in the directory whose name has the collection's as a word.

    `android.txt`, `run.cqadupstack-android.splade.txt` and `android.trec.gz` are runs of `android`. Raises
    `InputError` when a collection has no run or several.
    """
    if not directory.is_dir():
        raise InputError(
            f"The qrels have several collections, but --run {directory} is not a directory.",
            expected="a directory with a run for each collection, named after it",
        )
    files = sorted(path for path in directory.iterdir() if path.is_file() and path.suffix != ".manifest")
    runs = {}
    for name in collections:
        word = re.compile(rf"(?<![A-Za-z0-9]){re.escape(name)}(?![A-Za-z0-9])")
        matches = [path for path in files if word.search(path.name)]
        if len(matches) != 1:
            found = ", ".join(path.name for path in matches[:3])
            raise InputError(
                f"{directory} has {f'several runs of {name}: {found}' if matches else f'no run of {name}'}.",
                expected=f"one file with {name} in its name, such as {name}.txt",
            )
        runs[name] = matches[0]
    return runs


def baseline_label(name: str, runs: Mapping[str, Path]) -> str:
    """Return the label of the run with this label or path.

    Raises `InputError` when it is not one of the runs, or is the only one.
    """
    label = name if name in runs else next((label for label, path in runs.items() if path == Path(name)), None)
    if label is None:
        raise InputError(f"--baseline {name} is not one of the runs.", expected=f"one of: {', '.join(runs)}")
    if len(runs) < 2:
        raise InputError(
            "--baseline needs at least two runs, got 1.", do="Add a --run for each run to compare with it."
        )
    return label


def _split(text: str) -> tuple[str | None, Path]:
    label, equals, path = text.partition("=")
    # With a slash before the "=", the text is a path, of a file that does not exist.
    if not equals or "/" in label or Path(text).exists():
        return None, Path(text)
    if not label.strip() or not path:
        missing = "path" if label.strip() else "label"
        raise InputError(f"--run {text!r} has no {missing}.", expected="PATH or LABEL=PATH")
    return label, Path(path)


def _file_label(path: Path, paths: Sequence[Path]) -> str:
    """Return the shortest end of the path that no other path has."""
    for length in range(1, len(path.parts) + 1):
        end = path.parts[-length:]
        if sum(other.parts[-length:] == end for other in paths) == 1:
            return str(Path(*end))
    return str(path)


def _first_duplicate(names: Iterable[str]) -> str | None:
    return next((name for name, count in Counter(names).items() if count > 1), None)
