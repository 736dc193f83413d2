"""The command `doctor`: what works on this machine, what would go wrong, and what to do about it."""

import json
from typing import Annotated

import typer

from splade_anserini.cli import options as cli
from splade_anserini.cli.console import main_of


def command(
    network: Annotated[bool, typer.Option(help="Ask whether Hugging Face answers, for at most 3 seconds.")] = True,
    format: cli.Format = "table",  # noqa: A002  # the option's name
) -> None:
    """Check this installation and this machine. Exit code 1 when something that is needed does not work.

    Python, packages, Java and Anserini, memory with its limits, cores, devices and the precision that pays on them,
    caches, disks, network. Java is started and a text encoded; nothing is written.

    \b
    Examples:
      splade-anserini doctor
      splade-anserini doctor --no-network --format json
    """
    from splade_anserini.inspection.diagnosis import as_text, findings, is_usable
    from splade_anserini.inspection.machine import this_machine

    machine = this_machine(with_network=network)
    found = findings(machine)
    if format == "json":
        checks = [finding.values() for finding in found]
        typer.echo(json.dumps({"usable": is_usable(found), "checks": checks, "machine": machine.values()}))
    else:
        typer.echo(as_text(found), nl=False)
    if not is_usable(found):
        raise typer.Exit(1)


if __name__ == "__main__":
    main_of(command)
