"""The exceptions of this package. Every message says what is wrong, what was expected and what to do.

    SpladeAnseriniError
    ├── InputError            a path, option, collection or model that cannot be used
    │   ├── RecordError       one line or record of a file, named by file and line number
    │   └── MismatchError     two inputs that do not fit together: settings, vocabularies, scales
    ├── OutputError           an output that cannot be written: full disk, no permission, file in use
    ├── IntegrityError        an output that differs from its input, or a file that was changed after it was written
    ├── TrainingError         a training run that cannot succeed: empty or dense vectors, a loss of NaN
    ├── WorkerError           worker processes that end again and again, or cannot be started
    ├── JavaError             Java is missing, too old, or out of memory
    └── DependencyError       an optional dependency that is not installed

Exit codes of the commands: 0 success, 1 failure, 2 bad input or usage.
"""

import logging

from splade_anserini.records import StrPath

NOTE = logging.INFO + 5
"""The level of log messages that say how an input was read where its format leaves a choice; commands show them."""


def first_line(error: Exception) -> str:
    """Return the first line of an error's message; the name of its type if it has none."""
    return (str(error).strip() or type(error).__name__).split("\n", maxsplit=1)[0]


class SpladeAnseriniError(Exception):
    """Base class of the errors that this package raises on purpose.

    `problem` is a sentence that names the value; `expected` completes "Expected …"; `do` is a sentence.
    """

    exit_code = 1

    def __init__(self, problem: str, *, expected: str = "", do: str = "") -> None:
        parts = [problem]
        if expected:
            parts.append(f"Expected {expected}.")
        if do:
            parts.append(do)
        super().__init__("\n".join(parts))

    def __reduce__(self) -> tuple[object, ...]:
        """Pickle the message as it is: subclasses make it of other arguments."""
        return _unpickled, (type(self), self.args), self.__dict__


def _unpickled(kind: type[SpladeAnseriniError], arguments: tuple[object, ...]) -> SpladeAnseriniError:
    error = kind.__new__(kind)
    error.args = arguments
    return error


class InputError(SpladeAnseriniError):
    """Raised when a path, option, collection or model cannot be used."""

    exit_code = 2


class RecordError(InputError):
    """Raised when one line or record of a file cannot be used; `problem` is not a full sentence here."""

    def __init__(
        self, path: StrPath, line: int, problem: str, *, expected: str = "", do: str = "", unit: str = "line"
    ) -> None:
        self.path = path
        self.line = line
        super().__init__(f"{path}, {unit} {line}: {problem}.", expected=expected, do=do)


class MismatchError(InputError):
    """Raised when two inputs do not fit together, such as an index and an encoder."""


class OutputError(SpladeAnseriniError):
    """Raised when an output cannot be written."""

    exit_code = 2


class IntegrityError(SpladeAnseriniError):
    """Raised when an output does not hold what its input holds, or a file was changed after it was written."""


class TrainingError(SpladeAnseriniError):
    """Raised when a training run cannot succeed, as early as that is certain."""


class WorkerError(SpladeAnseriniError):
    """Raised when worker processes or actors end before they answer, again and again, or cannot be started."""


class JavaError(SpladeAnseriniError):
    """Raised when Java is missing or too old, or fails."""


class DependencyError(SpladeAnseriniError):
    """Raised when an optional dependency is needed and not installed."""

    exit_code = 2

    @classmethod
    def missing(cls, module: str, extra: str) -> "DependencyError":
        """Return the error for `module`, with the command that installs the extra it belongs to."""
        return cls(f"{module} is not installed.", do=f"Run: pip install 'splade-anserini[{extra}]'")


def counted(count: int, singular: str, plural: str = "") -> str:
    """Return a count with its noun, for messages: `counted(1, "query", "queries")` is "1 query"."""
    return f"{count:,} {singular if count == 1 else plural or singular + 's'}"
