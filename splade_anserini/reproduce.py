"""Stage: an index card → what it promises, built, measured and compared."""

import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from splade_anserini.cli import options
from splade_anserini.cli.console import main_of
from splade_anserini.errors import SpladeAnseriniError

if TYPE_CHECKING:
    from splade_anserini.reproduction.contract import Contract
    from splade_anserini.reproduction.execution import ExecutionOptions
    from splade_anserini.reproduction.report import Report


def command(
    cards: Annotated[
        list[str], typer.Argument(help="Index cards: paths of .toml files, names, or patterns such as 'beir.*'.")
    ],
    data: Annotated[Path | None, typer.Option(help="Directory that {data} in a card stands for.")] = None,
    output: Annotated[
        Path | None,
        typer.Option(help="Directory for index, run and report. [default: where --index NAME finds the index]"),
    ] = None,
    plan: Annotated[
        bool, typer.Option("--plan", help="Do nothing; say what would be done, how long, and on how much disk.")
    ] = False,
    force: Annotated[
        bool, typer.Option("--force", help="Do again what was done with other settings than the card's.")
    ] = False,
    device: options.Device = "auto",
    batch_size: Annotated[int, typer.Option(min=1, help="The most texts in a batch.")] = 64,
    threads: Annotated[int, typer.Option(min=0, help="Threads. 0: one per core.")] = 0,
) -> None:
    """Encode, index, search and evaluate as an index card says, and compare with the scores that it promises.

    The same command goes on where it stopped. Exit code 1 when a score is not what the card promises.

    \b
    Example:
      splade-anserini reproduce cranfield.splade-mini
      splade-anserini reproduce 'beir.*' --plan
    """
    from splade_anserini.cards.finding import find_index_cards
    from splade_anserini.reproduction.contract import check_judgements, open_contract
    from splade_anserini.reproduction.execution import ExecutionOptions

    paths = dict.fromkeys(path for name in cards for path in find_index_cards(name))
    # All before the first: a card that cannot be read is found out at once.
    contracts = [open_contract(path, data) for path in paths]
    for contract in contracts:
        check_judgements(contract)
    means = ExecutionOptions(device, batch_size, threads, force)
    if plan:
        _print_plans(contracts, output, means)
        return
    code = _run(contracts, output, means)
    if code:
        raise typer.Exit(code)


def _run(contracts: "list[Contract]", output: Path | None, means: "ExecutionOptions") -> int:
    """Reproduce each; return the exit code. An error of one of several does not keep the others from being run."""
    from splade_anserini.reproduction.report import summary

    reports: list[Report] = []
    code = 0
    for contract in contracts:
        try:
            reports.append(_one(contract, output, means))
        except SpladeAnseriniError as error:
            if len(contracts) == 1:
                raise
            sys.stderr.write(f"error: {contract.card.name}: {error}\n")
            code = max(code, error.exit_code)
    if len(contracts) > 1 and reports:
        typer.echo(summary(reports), nl=False)
    return code or int(not all(report.passed for report in reports))


def _one(contract: "Contract", output: Path | None, means: "ExecutionOptions") -> "Report":
    from splade_anserini.reproduction.plan import Places
    from splade_anserini.reproduction.report import text, write_report
    from splade_anserini.reproduction.running import reproduce

    def announce(what: str, seconds: float | None) -> None:
        typer.echo(f"  {what:<70}{'done before' if seconds is None else f'{seconds:,.1f} s':>12}")

    places = Places(contract.home(output), contract.card.name)
    typer.echo(f"{contract.card.name}:")
    report = reproduce(contract, places, means, announce)
    write_report(report, places)
    typer.echo(f"\n{text(report)}\nReport: {places.report('html')}, .txt, .json\n")
    return report


def _print_plans(contracts: "list[Contract]", output: Path | None, means: "ExecutionOptions") -> None:
    from splade_anserini.reproduction.estimates import estimated
    from splade_anserini.reproduction.plan import Places
    from splade_anserini.reproduction.plan_report import together, told

    plans = []
    for contract in contracts:
        places = Places(contract.home(output), contract.card.name)
        plans.append(estimated(contract, places, means))
        typer.echo(told(contract, plans[-1], places), nl=False)
    if len(plans) > 1:
        typer.echo(together(plans), nl=False)


if __name__ == "__main__":
    main_of(command)
