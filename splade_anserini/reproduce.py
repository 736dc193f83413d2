"""Command `reproduce`: build the index of a card, search it, and compare the scores with the expected ones."""

import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from splade_anserini.cli import options
from splade_anserini.cli.console import duration, main_of, progress_bar
from splade_anserini.errors import SpladeAnseriniError

if TYPE_CHECKING:
    from splade_anserini.reproduction.execution import ExecutionOptions
    from splade_anserini.reproduction.report import Report, StepResult
    from splade_anserini.reproduction.resolved_card import ResolvedCard
    from splade_anserini.reproduction.time_left import TimeLeft


def command(
    cards: Annotated[
        list[str], typer.Argument(help="Index cards: paths of .toml files, names, or patterns such as 'beir.*'.")
    ],
    data: Annotated[Path | None, typer.Option(help="Directory that replaces {data} in a card.")] = None,
    output: Annotated[
        Path | None,
        typer.Option(help="Directory for index, run and report. [default: where --index NAME finds the index]"),
    ] = None,
    plan: Annotated[
        bool, typer.Option("--plan", help="Only print the steps, their counts, the disk space, and missing inputs.")
    ] = False,
    force: Annotated[
        bool, typer.Option("--force", help="Repeat steps that were done with other settings than the card's.")
    ] = False,
    device: options.Device = "auto",
    batch_size: Annotated[int, typer.Option(min=1, help="The most texts in a batch.")] = 64,
    threads: Annotated[int, typer.Option(min=0, help="Threads. 0: one per core.")] = 0,
) -> None:
    """Encode, index, search and evaluate as an index card says, and compare with its expected scores.

    The same command resumes where it stopped. Exit code 1 when a score differs from the expected one.

    \b
    Example:
      splade-anserini reproduce cranfield.splade-mini
      splade-anserini reproduce 'beir.*' --plan
    """
    from splade_anserini.cards.finding import find_index_cards
    from splade_anserini.reproduction.execution import ExecutionOptions
    from splade_anserini.reproduction.resolved_card import check_judged_topics, require_inputs, resolve_card

    paths = dict.fromkeys(path for name in cards for path in find_index_cards(name))
    # All cards are checked before the first is reproduced.
    resolved_cards = [resolve_card(path, data) for path in paths]
    if plan:
        _print_plans(resolved_cards, output)
        return
    for resolved in resolved_cards:
        require_inputs(resolved)
        check_judged_topics(resolved)
    code = _reproduce_all(resolved_cards, output, ExecutionOptions(device, batch_size, threads, force))
    if code:
        raise typer.Exit(code)


def _reproduce_all(resolved_cards: "list[ResolvedCard]", output: Path | None, execution: "ExecutionOptions") -> int:
    """Reproduce each card, also after one of several has failed; return the exit code."""
    from splade_anserini.reproduction.rendering import summary

    reports: list[Report] = []
    code = 0
    for resolved in resolved_cards:
        try:
            reports.append(_reproduce(resolved, output, execution))
        except SpladeAnseriniError as error:
            if len(resolved_cards) == 1:
                raise
            sys.stderr.write(f"error: {resolved.card.name}: {error}\n")
            code = max(code, error.exit_code)
    if len(resolved_cards) > 1 and reports:
        typer.echo(summary(reports), nl=False)
    return code or int(not all(report.passed for report in reports))


def _reproduce(resolved: "ResolvedCard", output: Path | None, execution: "ExecutionOptions") -> "Report":
    from splade_anserini.reproduction.execution import Observer
    from splade_anserini.reproduction.plan import OutputPaths
    from splade_anserini.reproduction.rendering import as_text, write_report
    from splade_anserini.reproduction.running import reproduce

    paths = OutputPaths(resolved.output_directory(output), resolved.card.name)
    typer.echo(f"{resolved.card.name}:")
    report = reproduce(resolved, paths, execution, Observer(_print_step, _print_time_left, progress_bar))
    write_report(report, paths)
    typer.echo(f"\n{as_text(report)}\nReport: {paths.report('html')}, .txt, .json\n")
    return report


def _print_step(step: "StepResult") -> None:
    time = "done before" if step.completed_before else f"{step.seconds:,.1f} s"
    typer.echo(f"  {f'{step.name}: {step.result}':<70}{time:>12}")


def _print_time_left(left: "TimeLeft") -> None:
    typer.echo(f"  encode: {left.documents:,} of {left.total:,} documents, about {duration(left.seconds)} left")


def _print_plans(resolved_cards: "list[ResolvedCard]", output: Path | None) -> None:
    from splade_anserini.reproduction.plan import OutputPaths
    from splade_anserini.reproduction.plan_report import DISK_NOTE, estimate_steps, plan_text, total_text

    plans = []
    for resolved in resolved_cards:
        paths = OutputPaths(resolved.output_directory(output), resolved.card.name)
        plans.append(estimate_steps(resolved, paths))
        typer.echo(plan_text(resolved, plans[-1], paths), nl=False)
    if len(plans) > 1:
        typer.echo(total_text(plans), nl=False)
    typer.echo(DISK_NOTE, nl=False)


if __name__ == "__main__":
    main_of(command)
