"""Explanations as HTML: parts of a notebook, and pages."""

from collections.abc import Sequence
from html import escape

from splade_anserini.artifacts.html import HtmlColumn, html_fragment, html_page, html_table
from splade_anserini.explaining.sections import Section, Table


def section_html(section: Section) -> str:
    """Return an explanation as a notebook shows it."""
    return html_fragment(f"<p><strong>{escape(section.title)}</strong></p>\n{_body(section)}", section.title)


def sections_page(title: str, sections: Sequence[Section], version: str) -> str:
    """Return a page with explanations, each below a heading."""
    parts = [_part(f"part-{number}", section) for number, section in enumerate(sections, 1)]
    return html_page(title, "\n".join(parts), f"splade-anserini {version}")


def _part(name: str, section: Section) -> str:
    heading = escape(section.heading or section.title)
    title = f"<p>{escape(section.title)}</p>\n" if section.heading else ""
    return f'<section aria-labelledby="{name}">\n<h2 id="{name}">{heading}</h2>\n{title}{_body(section)}\n</section>'


def _body(section: Section) -> str:
    parts = [f"<p>{escape(section.summary)}</p>"] if section.summary else []
    for table in section.tables:
        parts.append(_table(table, section.greatest))
        if table.more:
            parts.append(f"<p>… and {table.more:,} more</p>")
    parts += [f"<p>{escape(note)}</p>" for note in section.notes]
    return "\n".join(parts)


def _table(table: Table, greatest: float) -> str:
    columns = [HtmlColumn(column.title, is_text=column.is_text) for column in table.columns]
    return html_table(columns, table.rows, bars=table.values, series=table.series, greatest=greatest)
