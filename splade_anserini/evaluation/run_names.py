"""What each of several runs is called."""

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path

from splade_anserini.errors import InputError


def named_runs(texts: Sequence[str]) -> dict[str, Path]:
    """Return the runs by their labels, in order: each text is `PATH` or `LABEL=PATH`.

    A text that is the path of a file as it stands has no label, also when there is a = in it. A run without a label is
    called by its file, with as many directories before it as tell it from the others. Raises `InputError` for a label
    that is empty or given twice, and a path that is given twice without labels.
    """
    pairs = [_split(text) for text in texts]
    paths = [path for label, path in pairs if label is None]
    if again := _repeated(map(str, paths)):
        raise InputError(f"The run {again} is named twice.", do=f"Give it labels: --run one={again} --run two={again}")
    labels = [_file_label(path, paths) if label is None else label for label, path in pairs]
    if again := _repeated(labels):
        raise InputError(f"Two runs are labelled {again}.", expected="LABEL=PATH with a label for each run")
    if unprintable := next((label for label in labels if not label.isprintable()), None):
        raise InputError(f"The label {unprintable!r} cannot be printed.", expected="letters, digits, signs and spaces")
    return {label: path for label, (_, path) in zip(labels, pairs, strict=True)}


def baseline_label(name: str, runs: Mapping[str, Path]) -> str:
    """Return the label of the run that is named by its label, or by its path.

    Raises `InputError` when it is none of the runs, or there is no other.
    """
    label = name if name in runs else next((label for label, path in runs.items() if path == Path(name)), None)
    if label is None:
        raise InputError(f"The baseline {name} is none of the runs.", expected=f"one of: {', '.join(runs)}")
    if len(runs) < 2:
        raise InputError("There is no run to compare with the baseline.", do="Name it too: --run may be repeated.")
    return label


def _split(text: str) -> tuple[str | None, Path]:
    label, equals, path = text.partition("=")
    # A label with a slash in it would be a directory's name: the path of a file that is not there.
    if not equals or "/" in label or Path(text).exists():
        return None, Path(text)
    if not label.strip() or not path:
        raise InputError(f"The run {text!r} has no {'path' if label.strip() else 'label'}.", expected="LABEL=PATH")
    return label, Path(path)


def _file_label(path: Path, paths: Sequence[Path]) -> str:
    """Return the shortest end of the path that is the end of no other."""
    for length in range(1, len(path.parts) + 1):
        end = path.parts[-length:]
        if sum(other.parts[-length:] == end for other in paths) == 1:
            return str(Path(*end))
    return str(path)


def _repeated(names: Iterable[str]) -> str | None:
    """Return the first name that occurs again."""
    return next((name for name, times in Counter(names).items() if times > 1), None)
