"""The command `info`: what artefacts are, in words, and what to do with them next."""

import json
from typing import Annotated

import typer

from splade_anserini.cli import options as cli
from splade_anserini.cli.console import main_of
from splade_anserini.cli.results import results_of_each


def command(
    artifacts: Annotated[
        list[str],
        typer.Argument(metavar="PATH…", help="Pseudo-documents, an index, a run, a checkpoint, an encoder and so on."),
    ],
    format: cli.Format = "table",  # noqa: A002  # the option's name
) -> None:
    """Say what artefacts are, how they were made, and what can be done with them. Exit code 1 when one is not whole.

    \b
    Example:
      splade-anserini info impacts/mine
    """
    from splade_anserini.inspection.describing import describe

    described, code = results_of_each(artifacts, describe)
    if format == "json":
        values = [description.values() for description in described]
        typer.echo(json.dumps(values[0] if len(artifacts) == 1 else values))
    else:
        typer.echo("\n".join(description.text() for description in described), nl=False)
    code = max(code, *(not description.status.is_whole for description in described), 0)
    if code:
        raise typer.Exit(code)


if __name__ == "__main__":
    main_of(command)
