"""The command `status`: how far artefacts are, from their manifests alone."""

import json
from typing import Annotated

import typer

from splade_anserini.cli import options as cli
from splade_anserini.cli.console import main_of
from splade_anserini.cli.results import results_of_each


def command(
    artifacts: Annotated[
        list[str], typer.Argument(metavar="PATH…", help="What encode, index, train, sweep, reproduce or others write.")
    ],
    format: cli.Format = "table",  # noqa: A002  # the option's name
) -> None:
    """Say which parts of artefacts are whole, missing, in progress or interrupted. Exit code 1 when one is not whole.

    Only manifests are read, also while another process writes; verify reads everything.

    \b
    Example:
      splade-anserini status impacts/mine indexes/mine
    """
    from splade_anserini.inspection.status import status_of

    found, code = results_of_each(artifacts, status_of)
    if format == "json":
        values = [status.values() for status in found]
        typer.echo(json.dumps(values[0] if len(artifacts) == 1 else values))
    else:
        typer.echo("\n".join(status.text() for status in found), nl=False)
    code = max(code, *(not status.is_whole for status in found), 0)
    if code:
        raise typer.Exit(code)


if __name__ == "__main__":
    main_of(command)
