"""What can go wrong, as a tree. Every message says what was found, what was expected and what to do.

    SpladeAnseriniError
    ├── InputError            a path, option, collection or model that cannot be used
    │   ├── RecordError       one line or record of a file, named by file and line number
    │   └── MismatchError     two things that do not belong together: settings, vocabularies, scales
    ├── OutputError           what was made cannot be written: full disk, no permission, in use
    ├── IntegrityError        what came out is not what went in: documents or postings are missing
    ├── TrainingError         a training run that is lost: vectors dead or full, a loss that is no number
    ├── JavaError             no Java, one that is too old, or one that ran out of memory
    └── DependencyError       an optional part is not installed

Exit codes: 0 done, 1 failed, 2 bad input or usage.
"""

from pathlib import Path


class SpladeAnseriniError(Exception):
    """The base of all errors that this package raises on purpose."""

    exit_code = 1

    def __init__(self, found: str, *, expected: str = "", do: str = "") -> None:
        parts = [found]
        if expected:
            parts.append(f"Expected {expected}.")
        if do:
            parts.append(do)
        super().__init__("\n".join(parts))


class InputError(SpladeAnseriniError):
    """Raised when a path, option, collection or model cannot be used."""

    exit_code = 2


class RecordError(InputError):
    """Raised when one line or record of a file cannot be used."""

    def __init__(
        self, path: Path | str, line: int, found: str, *, expected: str = "", do: str = "", unit: str = "line"
    ) -> None:
        self.path = path
        self.line = line
        super().__init__(f"{path}, {unit} {line}: {found}.", expected=expected, do=do)


class MismatchError(InputError):
    """Raised when two things do not belong together."""


class OutputError(SpladeAnseriniError):
    """Raised when what was made cannot be written."""

    exit_code = 2


class IntegrityError(SpladeAnseriniError):
    """Raised when what came out is not what went in."""


class TrainingError(SpladeAnseriniError):
    """Raised when training cannot come to anything, so that hours are not spent on it."""


class JavaError(SpladeAnseriniError):
    """Raised when there is no Java that can do the work, or it failed at it."""


class DependencyError(SpladeAnseriniError):
    """Raised when a part that is optional is needed and not installed."""

    exit_code = 2

    @classmethod
    def missing(cls, module: str, extra: str) -> "DependencyError":
        """Name the extra that brings `module`."""
        return cls(f"{module} is not installed.", do=f"Run: pip install 'splade-anserini[{extra}]'")


def counted(count: int, singular: str, plural: str = "") -> str:
    """Return a count with its noun, for messages: `counted(1, "query", "queries")` is "1 query"."""
    return f"{count:,} {singular if count == 1 else plural or singular + 's'}"
