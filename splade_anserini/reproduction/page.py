"""The report as a web page that stands by itself."""

from collections.abc import Iterable, Sequence
from html import escape

from splade_anserini.reproduction.report import HEADER, Report, cells

_STYLE = """
body { font: 15px/1.5 system-ui, sans-serif; max-width: 60rem; margin: 2rem auto; padding: 0 1rem; }
table { border-collapse: collapse; margin: 1rem 0; }
th, td { text-align: left; padding: .25rem .75rem; border-bottom: 1px solid #ddd; }
.pass { color: #17602e; } .fail { color: #a11; font-weight: bold; } .open { color: #666; }
"""


def page(report: Report) -> str:
    """Return the report as HTML; it loads nothing, and what stands in a card is only text in it."""
    verdict = "pass" if report.passed else "fail"
    rows = [_row(cells(line), line.verdict) for line in report.lines]
    steps = [(step.name, step.what, f"{step.seconds:,.1f} s", step.before or "now") for step in report.steps]
    about = [*report.versions.items(), *report.machine.items()]
    return "\n".join(
        [
            '<!doctype html>\n<html lang="en">\n<meta charset="utf-8">',
            f"<title>{escape(report.card)}: {verdict}</title>\n<style>{_STYLE}</style>",
            f'<h1>{escape(report.card)}: <span class="{verdict}">{verdict}</span></h1>',
            f"<p>{escape(report.description)}</p>",
            _table(HEADER, rows),
            "<h2>Steps</h2>",
            _table(("step", "what", "time", "done"), map(_row, steps)),
            "<h2>Versions and machine</h2>",
            _table(("", ""), map(_row, about)),
            "</html>\n",
        ]
    )


def _row(columns: Sequence[str], verdict: str = "") -> str:
    start = f'<tr class="{verdict}">' if verdict else "<tr>"
    return start + "".join(f"<td>{escape(column)}</td>" for column in columns) + "</tr>"


def _table(header: Sequence[str], rows: Iterable[str]) -> str:
    head = "".join(f"<th>{escape(name)}</th>" for name in header)
    return "\n".join(["<table>", f"<tr>{head}</tr>", *rows, "</table>"])
