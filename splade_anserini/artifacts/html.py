"""Tables in HTML: parts of a notebook, and pages that need no other file.

Colours are those of the surrounding text, so that tables are readable on light and on dark grounds.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from html import escape

STYLE = """\
.splade-anserini { font: 14px/1.45 system-ui, sans-serif; color: inherit; }
.splade-anserini table { border-collapse: collapse; margin: 0.6em 0; font: inherit; color: inherit;
  background: none; }
.splade-anserini caption { text-align: left; font-weight: 600; padding: 0.2em 0.6em; }
.splade-anserini th, .splade-anserini td { padding: 0.15em 0.6em; text-align: right; vertical-align: top;
  white-space: nowrap;
  border: 0; border-bottom: 1px solid color-mix(in srgb, currentColor 18%, transparent); background: none; }
.splade-anserini th { font-weight: 600; }
.splade-anserini tbody th { font-weight: 500; }
.splade-anserini tbody th.text { min-width: 8em; }
.splade-anserini th.text, .splade-anserini td.text { text-align: left; }
.splade-anserini td.long { white-space: normal; min-width: 18em; }
.splade-anserini td { font-variant-numeric: tabular-nums; }
.splade-anserini td.bar { vertical-align: middle; width: 16em; min-width: 8em; text-align: left; }
.splade-anserini .bar span { display: block; height: 0.8em; border-radius: 2px; background: #4477aa; }
.splade-anserini .bar span.second { background: #cc8833; }
.splade-anserini .bar span.less { background: repeating-linear-gradient(-45deg, #cc6644 0 4px, transparent 4px 7px);
  border: 1px solid #cc6644; box-sizing: border-box; }
.splade-anserini p { margin: 0.4em 0; white-space: pre-line; }
"""

_PAGE = """\
body { margin: 2rem auto; max-width: 64rem; padding: 0 1rem; background: #ffffff; color: #1b1b1f; }
main h1 { font-size: 1.5rem; } main h2 { font-size: 1.15rem; margin-top: 2rem; overflow-wrap: anywhere; }
section { overflow-x: auto; }
footer { margin-top: 3rem; opacity: 0.75; font-size: 0.85em; }
@media (prefers-color-scheme: dark) { body { background: #16171b; color: #e6e6ea; } }
@media print { body { margin: 0; max-width: none; } }
"""


@dataclass(frozen=True, slots=True)
class HtmlColumn:
    """A column of a table."""

    title: str
    is_text: bool = False
    """Whether its cells are words, aligned to the left, and not numbers."""
    is_long: bool = False
    """Whether its cells are texts of several lines."""


def html_table(
    columns: Sequence[HtmlColumn],
    rows: Sequence[Sequence[str]],
    *,
    caption: str = "",
    bars: Sequence[Sequence[float]] = (),
    series: Sequence[str] = (),
    greatest: float = 1.0,
) -> str:
    """Return a table whose first column names the rows.

    `bars` has the values of each row, one for each of `series`, which follow the cells as bars; `greatest` is as long
    as the column is wide. Programs that read pages aloud skip bars: their values should be in the cells.
    """
    titles = [f'<th scope="col"{_class(column)}>{escape(column.title)}</th>' for column in columns]
    names = series if len(series) > 1 else [""] * len(series)
    titles += [f'<th scope="col" class="text" aria-hidden="true">{escape(name)}</th>' for name in names]
    lines = ["<table>"]
    if caption:
        lines.append(f"<caption>{escape(caption)}</caption>")
    lines += ["<thead>", f"<tr>{''.join(titles)}</tr>", "</thead>", "<tbody>"]
    for index, row in enumerate(rows):
        first, *others = (escape(cell) for cell in row)
        cells = [f'<th scope="row"{_class(columns[0])}>{first}</th>']
        cells += [f"<td{_class(column)}>{cell}</td>" for column, cell in zip(columns[1:], others, strict=True)]
        cells += [_bar(value, greatest, number) for number, value in enumerate(bars[index] if bars else ())]
        lines.append(f"<tr>{''.join(cells)}</tr>")
    return "\n".join([*lines, "</tbody>", "</table>"])


def html_fragment(body: str, label: str) -> str:
    """Return a part of a page with its style, as notebooks show it; `label` says what it is."""
    return (
        f'<div class="splade-anserini" role="region" aria-label="{escape(label)}">\n'
        f"<style>\n{STYLE}</style>\n{body}\n</div>"
    )


def html_page(title: str, body: str, footer: str = "") -> str:
    """Return a page, light or dark as the reader's system is, that loads nothing."""
    end = f"<footer>{escape(footer)}</footer>\n" if footer else ""
    return (
        '<!doctype html>\n<html lang="en">\n<head>\n<meta charset="utf-8">\n'
        '<meta name="viewport" content="width=device-width, initial-scale=1">\n'
        f'<meta name="color-scheme" content="light dark">\n<title>{escape(title)}</title>\n'
        f"<style>\n{STYLE}{_PAGE}</style>\n</head>\n"
        f'<body class="splade-anserini">\n<main>\n<h1>{escape(title)}</h1>\n{body}\n</main>\n{end}</body>\n</html>\n'
    )


def _class(column: HtmlColumn) -> str:
    names = [name for name, has in (("text", column.is_text), ("long", column.is_long)) if has]
    return f' class="{" ".join(names)}"' if names else ""


def _bar(value: float, greatest: float, number: int) -> str:
    """Return a cell with a bar; negative values and the second series look different."""
    width = 100 * min(1.0, abs(value) / greatest) if greatest else 0.0
    kind = ' class="less"' if value < 0 else ' class="second"' if number else ""
    return f'<td class="bar" aria-hidden="true"><span{kind} style="width: {width:.2f}%"></span></td>'
