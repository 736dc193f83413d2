"""A report as text, as JSON and as a web page, and a table of several reports."""

from collections.abc import Iterable, Sequence
from html import escape

from splade_anserini.artifacts.files import whole_file
from splade_anserini.formats.text_table import text_table
from splade_anserini.reproduction.expectations import Check
from splade_anserini.reproduction.plan import OutputPaths
from splade_anserini.reproduction.report import Report

_HEADER = ("evaluation", "measure", "value", "expected", "difference", "tolerance", "verdict", "source")
_STYLE = """
body { font: 15px/1.5 system-ui, sans-serif; max-width: 60rem; margin: 2rem auto; padding: 0 1rem; }
table { border-collapse: collapse; margin: 1rem 0; }
th, td { text-align: left; padding: .25rem .75rem; border-bottom: 1px solid #ddd; }
.pass { color: #17602e; } .fail { color: #a11; font-weight: bold; } .open { color: #666; }
"""


def write_report(report: Report, paths: OutputPaths) -> None:
    """Write a report in all three formats."""
    contents = {"txt": as_text(report), "json": report.model_dump_json(indent=1) + "\n", "html": as_html(report)}
    for suffix, content in contents.items():
        with whole_file(paths.report(suffix)) as file:
            file.write(content.encode())


def as_text(report: Report) -> str:
    """Return a report for a terminal."""
    rows = [_cells(check) for check in report.checks]
    sources = list(dict.fromkeys(f"  {row[0]}: {row[-1]}\n" for row in rows if row[-1]))
    width = max(len(step.name) for step in report.steps)
    steps = [
        f"  {step.name:<{width}}  {f'{step.seconds:,.1f} s':>12}  {step.result}"
        f"{f' (completed {step.completed_before})' if step.completed_before else ''}\n"
        for step in report.steps
    ]
    return "".join(
        [
            f"{report.card}: {'pass' if report.passed else 'FAIL'}\n{report.description}\n\n",
            text_table([_HEADER[:-1], *(row[:-1] for row in rows)]),
            *(["\nSources of the expected scores\n", *sources] if sources else []),
            *("\nSteps\n", *steps),
            "\nVersions  " + ", ".join(f"{name} {version}" for name, version in report.versions.items()),
            "\nMachine   " + ", ".join(f"{name} {value}" for name, value in report.machine.items()) + "\n",
        ]
    )


def as_html(report: Report) -> str:
    """Return a report as a web page that loads nothing; all text of a card is escaped."""
    verdict = "pass" if report.passed else "fail"
    rows = [_html_row(_cells(check), check.verdict) for check in report.checks]
    steps = [
        (step.name, step.result, f"{step.seconds:,.1f} s", step.completed_before or "now") for step in report.steps
    ]
    about = [*report.versions.items(), *report.machine.items()]
    return "\n".join(
        [
            '<!doctype html>\n<html lang="en">\n<meta charset="utf-8">',
            f"<title>{escape(report.card)}: {verdict}</title>\n<style>{_STYLE}</style>",
            f'<h1>{escape(report.card)}: <span class="{verdict}">{verdict}</span></h1>',
            f"<p>{escape(report.description)}</p>",
            _html_table(_HEADER, rows),
            "<h2>Steps</h2>",
            _html_table(("step", "result", "time", "completed"), map(_html_row, steps)),
            "<h2>Versions and machine</h2>",
            _html_table(("", ""), map(_html_row, about)),
            "</html>\n",
        ]
    )


def summary(reports: Sequence[Report]) -> str:
    """Return a table of the checks of several reports, and the means of the measures for which all expect a value."""
    rows = [(report.card, *_cells(check)[:-1]) for report in reports for check in report.checks]
    checks_by_measure: dict[str, list[Check]] = {}
    for report in reports:
        for check in report.checks:
            checks_by_measure.setdefault(check.measure, []).append(check)
    for measure, checks in checks_by_measure.items():
        expected = [check.expected for check in checks if check.expected is not None]
        if len(reports) > 1 and len(expected) == len(checks) == len(reports):
            value, mean = sum(check.value for check in checks) / len(checks), sum(expected) / len(expected)
            rows.append(("mean", "", measure, f"{value:.4f}", f"{mean:.4f}", f"{value - mean:+.4f}", "", ""))
    return text_table([("card", *_HEADER[:-1]), *rows])


def _cells(check: Check) -> tuple[str, ...]:
    """Return a check as the text of the columns in `_HEADER`."""
    columns = (check.evaluation, check.measure, f"{check.value:.4f}")
    if check.expected is None:
        return (*columns, "–", "–", "–", "no value known", "")
    source = check.source + ("" if check.verified else " (not verified here)")
    return (
        *columns, f"{check.expected:.4f}", f"{check.difference:+.4f}", f"{check.tolerance:g}", check.verdict, source
    )  # fmt: skip


def _html_row(columns: Sequence[str], verdict: str = "") -> str:
    start = f'<tr class="{verdict}">' if verdict else "<tr>"
    return start + "".join(f"<td>{escape(column)}</td>" for column in columns) + "</tr>"


def _html_table(header: Sequence[str], rows: Iterable[str]) -> str:
    head = "".join(f"<th>{escape(name)}</th>" for name in header)
    return "\n".join(["<table>", f"<tr>{head}</tr>", *rows, "</table>"])
