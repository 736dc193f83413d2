"""What a command has made and what it prints of it."""

import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

import typer

from splade_anserini.errors import SpladeAnseriniError

if TYPE_CHECKING:
    from splade_anserini.artifacts.outputs import OutputRecord


def results_of_each[R](names: Sequence[str], make: Callable[[str], R]) -> tuple[list[R], int]:
    """Return the results of all names for which there is one, and the exit code: 0, or that of the worst error.

    With several names an error is printed, and the others follow; with a single name it is raised.
    """
    results, code = list[R](), 0
    for name in names:
        try:
            results.append(make(name))
        except SpladeAnseriniError as error:
            if len(names) == 1:
                raise
            typer.echo(f"error: {error}", err=True)
            code = max(code, error.exit_code)
    return results, code


@dataclass(frozen=True, slots=True)
class Result:
    """An output and what is known of it, such as counts."""

    output: Path
    values: Mapping[str, Any]
    up_to_date: bool = False
    """Whether the command had made it before, and so did nothing."""

    def text(
        self,
        format: Literal["table", "json"],  # noqa: A002  # as --format
        summary: Callable[[Mapping[str, Any]], str],
    ) -> str:
        """Return what the command prints: JSON, or a line with the summary of the values."""
        if format == "json":
            return json.dumps({"output": str(self.output), **self.values, "up_to_date": self.up_to_date})
        if self.up_to_date:
            return f"{self.output} is up to date: this command made it before."
        return f"{self.output}: {summary(self.values)}"


def print_or_write(text: str, output: Path | None) -> None:
    """Print the text as it is, or write it to the file `output`, which then appears whole."""
    from splade_anserini.artifacts.files import whole_file

    if output is None:
        typer.echo(text, nl=False)
        return
    with whole_file(output) as file:
        file.write(text.encode())


def make_once(
    output: Path, record: "OutputRecord", make: Callable[[], Mapping[str, float | str]], *, overwrite: bool
) -> Result:
    """Make an output and record it, unless this command made it before.

    `make` writes the output and returns its counts or measures. Raises `OutputError` when another output would be
    replaced without `overwrite`.
    """
    from splade_anserini.artifacts.outputs import is_up_to_date, read_output_manifest, record_output, recorded

    if is_up_to_date(output, record, overwrite=overwrite):
        manifest = read_output_manifest(output)
        return Result(output, manifest.counts if manifest else {}, up_to_date=True)
    with recorded(output, record):
        counts = make()
    record_output(output, record, counts)
    return Result(output, counts)
