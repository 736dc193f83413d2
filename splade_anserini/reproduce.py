"""Command `reproduce`: build the index of a card, search it, and compare the scores with the expected ones."""

import sys
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

import typer

from splade_anserini.cli.console import duration, main_of, progress_bar
from splade_anserini.errors import SpladeAnseriniError
from splade_anserini.options import option, options
from splade_anserini.reproduction.execution import ExecutionOptions

if TYPE_CHECKING:
    from splade_anserini.reproduction.report import Report, StepResult
    from splade_anserini.reproduction.resolved_card import ResolvedCard
    from splade_anserini.reproduction.time_left import TimeLeft


@options
class ReproduceOptions:
    """Where inputs and outputs are, and what is printed."""

    data: Path | None = option(default=None, help="Directory that replaces {data} in a card.")
    output: Path | None = option(
        default=None, help="Directory for index, run and report.", unset="where --index NAME finds the index"
    )
    plan: bool = option(default=False, help="Only print the steps, their counts, the disk space, and missing inputs.")
    format: Literal["table", "json"] = option(default="table", help="How to print the reports.")


def command(
    cards: Annotated[
        list[str], typer.Argument(help="Index cards: paths of .toml files, names, or patterns such as 'beir.*'.")
    ],
    options: ReproduceOptions,
    execution: ExecutionOptions,
) -> None:
    """Encode, index, search and evaluate as an index card says, and compare with its expected scores.

    The same command resumes where it stopped. Exit code 1 when a score differs from the expected one.

    \b
    Example:
      splade-anserini reproduce cranfield.splade-mini-v2
      splade-anserini reproduce 'beir.*' --plan
    """
    from splade_anserini.cards.finding import find_index_cards
    from splade_anserini.reproduction.resolved_card import check_judged_topics, require_inputs, resolve_card

    paths = dict.fromkeys(path for name in cards for path in find_index_cards(name))
    # All cards are checked before the first is reproduced.
    resolved_cards = [resolve_card(path, options.data) for path in paths]
    if options.plan:
        _print_plans(resolved_cards, options.output)
        return
    for resolved in resolved_cards:
        require_inputs(resolved)
        check_judged_topics(resolved)
    code = _reproduce_all(resolved_cards, options, execution)
    if code:
        raise typer.Exit(code)


def _reproduce_all(resolved_cards: "list[ResolvedCard]", options: ReproduceOptions, execution: ExecutionOptions) -> int:
    """Reproduce each card, also after one of several has failed; return the exit code."""
    from splade_anserini.reproduction.rendering import summary

    reports: list[Report] = []
    code = 0
    for resolved in resolved_cards:
        try:
            reports.append(_reproduce(resolved, options, execution))
        except SpladeAnseriniError as error:
            if len(resolved_cards) == 1:
                raise
            sys.stderr.write(f"error: {resolved.card.name}: {error}\n")
            code = max(code, error.exit_code)
    if len(resolved_cards) > 1 and reports and options.format == "table":
        typer.echo(summary(reports), nl=False)
    return code or int(not all(report.passed for report in reports))


def _reproduce(resolved: "ResolvedCard", options: ReproduceOptions, execution: ExecutionOptions) -> "Report":
    from splade_anserini.reproduction.execution import Observer
    from splade_anserini.reproduction.plan import OutputPaths
    from splade_anserini.reproduction.rendering import as_text, write_report
    from splade_anserini.reproduction.running import reproduce

    paths = OutputPaths(resolved.output_directory(options.output), resolved.card.name)
    # With --format json standard output holds JSON only.
    as_json = options.format == "json"
    typer.echo(f"{resolved.card.name}:", err=as_json)
    step = partial(_print_step, err=as_json)
    report = reproduce(resolved, paths, execution, Observer(step, partial(_print_time_left, err=as_json), progress_bar))
    write_report(report, paths)
    if as_json:
        typer.echo(report.model_dump_json())
    else:
        typer.echo(f"\n{as_text(report)}\nReport: {paths.report('html')}, .txt, .json\n")
    return report


def _print_step(step: "StepResult", *, err: bool) -> None:
    time = "done before" if step.completed_before else f"{step.seconds:,.1f} s"
    typer.echo(f"  {f'{step.name}: {step.result}':<70}{time:>12}", err=err)


def _print_time_left(left: "TimeLeft", *, err: bool) -> None:
    typer.echo(
        f"  encode: {left.documents:,} of {left.total:,} documents, about {duration(left.seconds)} left", err=err
    )


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
