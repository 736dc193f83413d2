"""The command `list`: the encoders, index cards, measures and formats that there are."""

import json
from typing import Annotated

import typer

from splade_anserini.cli import options as cli
from splade_anserini.cli.console import main_of
from splade_anserini.errors import InputError
from splade_anserini.suggestions import did_you_mean, nearest

_KINDS = ("encoders", "indexes", "measures", "formats")


def command(
    kind: Annotated[str, typer.Argument(metavar="|".join(_KINDS), help="What to list.")],
    format: cli.Format = "table",  # noqa: A002  # the option's name
) -> None:
    """List the encoders or index cards that a name finds, the measures of evaluate, or the formats of files.

    Cards in encoders/ and indexes/ of the working directory are listed with those that ship.

    \b
    Example:
      splade-anserini list encoders
      splade-anserini list measures --format json
    """
    from splade_anserini.inspection.listing import KINDS, rows_of, table_of

    chosen = next((name for name in KINDS if name == kind), None)
    if chosen is None:
        raise InputError(
            f"There is no list of {kind!r}.", expected=", ".join(KINDS), do=did_you_mean(nearest(kind, KINDS))
        )
    rows = rows_of(chosen)
    typer.echo(
        json.dumps(rows, ensure_ascii=False) if format == "json" else table_of(chosen, rows), nl=format == "json"
    )


if __name__ == "__main__":
    main_of(command)
